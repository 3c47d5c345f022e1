"""One connection to a target, and the response that is being read from it.

A `Connection` carries one exchange at a time. Whatever ends that exchange in any way but a whole request, a whole
response and silence after it also ends the connection. The event loop calls `data_received`; the reader decides what
the bytes mean; at most one task waits, on one future.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Final, cast

from spork.adapters.http1 import faults
from spork.adapters.http1.reader import DONE, PHASES, TUNNEL, UNTIL_CLOSE, ResponseReader
from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import Tunnel
from spork.application.upstreams.transport import UpstreamRequest
from spork.domain.outcomes import Fault, FaultKind, Side
from spork.domain.upstreams.model import PoolPolicy

#: Body bytes that may lie unread before the socket is not read any more.
HIGH_WATER: Final = 65536
NEVER: Final = float("inf")


class Home:
    """Where a connection belongs: what it reads of its pool, and whom it tells how its exchanges ended."""

    label: str
    policy: PoolPolicy
    clock: Callable[[], float]

    def lost(self, connection: Connection) -> None:
        """The socket is gone."""
        raise NotImplementedError

    def release(self, connection: Connection, keep_alive: float | None) -> None:
        """The exchange ended as it should: `keep_alive` is for how long it may stay idle, None for its own limit."""
        raise NotImplementedError

    def retire(self, connection: Connection) -> None:
        """The exchange ended in doubt: the connection carries no other one."""
        raise NotImplementedError


class Connection:
    """A socket to a target, an `asyncio.Protocol` in all but name: a class without a base can be compiled.

    `served` counts the exchanges begun on it; `opened` and `idle_since` are monotonic."""

    __slots__ = (
        "_drained",
        "alive",
        "idle_limit",
        "idle_since",
        "opened",
        "pool",
        "response",
        "served",
        "transport",
        "unwritable",
    )

    def __init__(self, pool: Home, now: float) -> None:
        self.pool = pool
        self.opened = now
        self.idle_since = now
        self.idle_limit = pool.policy.idle
        self.served = 0
        self.alive = True
        self.response: Response | None = None
        self.unwritable = False
        self._drained: asyncio.Future[None] | None = None
        self.transport: asyncio.Transport

    def __repr__(self) -> str:
        state = "busy" if self.response is not None else "idle"
        return f"<Connection {self.pool.label} {state} served={self.served}>"

    def abort(self) -> None:
        """End the connection now; unsent bytes are dropped."""
        self.alive = False
        self.transport.abort()

    async def drained(self) -> None:
        """Wait until the target takes bytes again. Raises FaultError when it never will."""
        if not self.unwritable:
            return
        if self._drained is None:
            self._drained = asyncio.get_running_loop().create_future()
        await self._drained

    # ------------------------------------------------------------------------------------- called by the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        response = self.response
        if response is None:
            self.abort()  # nobody asked: these bytes must never answer a later request
        else:
            response.received(data)

    def eof_received(self) -> bool:
        self.alive = False
        if self.response is not None:
            self.response.ended(None if self._orderly() else ConnectionResetError("no end of the TLS session"))
        return False

    def _orderly(self) -> bool:
        """Whether the target itself ended the stream: over TLS the event loops report a mere FIN the same way."""
        session = self.transport.get_extra_info("ssl_object")
        if session is None:
            return True
        try:
            return bool(session.read(1) == b"")
        except ssl.SSLError:
            return False

    def connection_lost(self, error: Exception | None) -> None:
        self.alive = False
        self._wake()
        if self.response is not None:
            self.response.ended(error or ConnectionResetError("no orderly end"))
        else:
            self.pool.lost(self)

    def pause_writing(self) -> None:
        self.unwritable = True

    def resume_writing(self) -> None:
        self._wake()

    def _wake(self) -> None:
        self.unwritable = False
        waiter, self._drained = self._drained, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class Response(ResponseReader):
    """A target's answer as it arrives (`application.ports.UpstreamResponse`).

    `alarm` and `write_alarm` are the monotonic times at which waiting has been too long; the sweeper looks at them.
    `sent` says that the whole request has been written; `error` is the fault that ended the exchange. `waits_since` is the
    monotonic time since which the client has sent nothing of its body; NEVER while nothing is awaited of it.
    """

    sent = True
    closed = False
    error: FaultError | None = None
    waiter: asyncio.Future[None] | None = None
    _pump: asyncio.Task[None] | None = None
    _paused = False

    def __init__(
        self, connection: Connection, request: UpstreamRequest, waiter: asyncio.Future[None], now: float
    ) -> None:
        super().__init__(request.method, request.upgrade, request.on_inform)
        self.write_alarm = NEVER
        self.waits_since = NEVER
        self._connection = connection
        self.waiter = self.begun = waiter
        timeouts = request.timeouts
        self.first_byte = timeouts.first_byte
        self.idle = timeouts.idle
        self._total = total = request.deadline
        alarm = now + timeouts.first_byte
        self.alarm = alarm if alarm < total else total

    def __repr__(self) -> str:
        return f"<Response {self.status} {PHASES[self.phase]}{' broken' if self.error else ''}>"

    def rearm(self, now: float) -> None:
        """The request is sent: the wait for the first byte begins now."""
        self.alarm = min(now + self.first_byte, self._total)

    # --------------------------------------------------------------------------------------------- the reading task

    def arrived(self) -> None:
        """To be called once `begun` is done: the final head is here. Raises FaultError when there will be none."""
        self.waiter = None
        if not self.status:
            assert self.error is not None
            raise self.error
        self.alarm = self._total

    def take(self) -> tuple[bytes, bool]:
        pieces = self.pieces
        if not pieces:
            data = b""
        else:
            data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self.pieces = []
            self.buffered = 0
            if self._paused:
                self._paused = False
                self._connection.transport.resume_reading()
        return data, self.phase == DONE and self.error is None

    def patience(self, idle: float) -> None:
        self.idle = max(self.idle, idle)

    async def read(self) -> bytes:
        while not self.pieces:
            if self.error is not None:
                raise self.error
            if self.phase == DONE:
                return b""
            self.alarm = min(self._connection.pool.clock() + self.idle, self._total)
            await self._wait()
            self.alarm = self._total
        return self.take()[0]

    def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        connection = self._connection
        connection.response = None
        if self.phase == DONE and self.keep and self.sent and connection.alive:
            if self._paused:
                self._paused = False
                connection.transport.resume_reading()
            connection.pool.release(connection, self.keep_alive)
        else:
            self._stop_pump()
            connection.abort()
            connection.pool.retire(connection)

    def tunnel(self) -> Tunnel:
        if self.phase != TUNNEL:
            raise faults.gateway(FaultKind.HTTP_UPGRADE_FAILED, "no 101")
        self.alarm = self._total = self.idle = NEVER
        return UpstreamTunnel(self, self._connection)

    async def _wait(self) -> None:
        waiter = self.waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self.waiter = None

    # --------------------------------------------------------------------------------- called by the connection

    def received(self, data: bytes) -> None:
        try:
            self.feed(data)
        except FaultError as error:
            self.fail(error)
            return
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            if self.status:
                waiter.set_result(None)
        elif self.buffered > HIGH_WATER and not self._paused:
            self._paused = True
            self._connection.transport.pause_reading()

    def ended(self, error: Exception | None) -> None:
        """The target closed its side in good order, or the connection broke with `error`.

        Good order means FIN, and over TLS the end of the session before it (RFC 9112 9.8).
        """
        if self.error is not None or self.closed:
            return
        if error is not None and self.phase == UNTIL_CLOSE:
            self.fail(faults.upstream(FaultKind.HTTP_RESPONSE_INCOMPLETE, f"reset within the response: {error}"))
            return
        untouched = self.untouched
        try:
            self.end()
        except FaultError as fault:
            self.fail(self._lost(error) if untouched else fault)
            return
        self._wake()

    def _lost(self, error: Exception | None) -> FaultError:
        kind = FaultKind.CONNECTION_TERMINATED if error is None else faults.kind_of(error)
        note = f"closed before any response byte: {error or 'end of stream'}"
        return faults.upstream(kind, note, fresh=self._connection.served <= 1)

    def fail(self, error: FaultError) -> None:
        """End the exchange with `error`; what has arrived may still be taken, and a whole answer stays one."""
        if self.error is None and self.phase != DONE:
            self.error = error
        self.keep = False
        self._stop_pump()
        self._connection.abort()
        self._wake()

    def give_way(self) -> None:
        """Others need the connection, and the client of this exchange has sent nothing for a while."""
        self.fail(FaultError(Fault(FaultKind.BODY_TOO_SLOW, Side.DOWNSTREAM, note="gave its connection to others")))

    def expire(self, now: float) -> None:
        """A deadline has passed."""
        if self.error is not None:
            return
        if now >= self.write_alarm:
            kind, note = FaultKind.CONNECTION_WRITE_TIMEOUT, "target does not take the request body"
        elif not self.status:
            kind, note = FaultKind.HTTP_RESPONSE_TIMEOUT, "no response head in time"
        elif now >= self._total:
            kind, note = FaultKind.CONNECTION_READ_TIMEOUT, "response not complete in time"
        else:
            kind, note = FaultKind.CONNECTION_READ_TIMEOUT, "response body stalled"
        self.fail(FaultError(Fault(kind, Side.UPSTREAM, note=note)))

    def stream(self, task: asyncio.Task[None]) -> None:
        """`task` is sending the request body: the wait for the first byte begins when it is done."""
        self._pump = task
        self.sent = False
        self.alarm = self._total

    def _stop_pump(self) -> None:
        if self._pump is not None:
            self._pump.cancel()
            self._pump = None

    def _wake(self) -> None:
        waiter = self.waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class UpstreamTunnel:
    """The raw connection to the target after a 101 (`application.ports.Tunnel`)."""

    __slots__ = ("_connection", "_response", "drain_code")

    def __init__(self, response: Response, connection: Connection) -> None:
        self._response = response
        self._connection = connection
        self.drain_code = 1001

    @property
    def paused(self) -> bool:
        return self._connection.unwritable

    async def read(self) -> bytes:
        return await self._response.read()

    def write(self, data: bytes) -> None:
        if self._connection.alive:
            self._connection.transport.write(data)

    async def drain(self) -> None:
        if self._connection.unwritable:
            await self._connection.drained()

    def go_away(self, code: int = 0, text: str = "") -> None:
        """A target hears goodbye from whoever follows the client's frames; here there is only the end."""
        self.close()

    def close(self) -> None:
        """End our side: what was written is still sent."""
        self._connection.transport.close()
