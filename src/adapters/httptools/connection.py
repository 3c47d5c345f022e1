"""One connection to a target, and the response that is being read from it.

A `Connection` carries one exchange at a time. Whatever ends that exchange in any way but a whole request, a whole
response and silence after it also ends the connection. The event loop calls `data_received`; the reader decides what
the bytes mean; at most one task waits, on one future.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

from adapters.httptools import faults
from adapters.httptools.reader import Inform, Phase, ResponseReader
from application.ports import FaultError, Tunnel
from domain.outcomes import Fault, FaultKind, Side

if TYPE_CHECKING:
    from adapters.httptools.pool import TargetPool

#: Body bytes that may lie unread before the socket is not read any more.
HIGH_WATER = 65536
NEVER = float("inf")


class Connection(asyncio.Protocol):
    """A socket to a target. `served` counts the exchanges begun on it; `opened` and `idle_since` are monotonic."""

    __slots__ = (
        "_drained",
        "idle_limit",
        "idle_since",
        "opened",
        "pool",
        "response",
        "served",
        "transport",
        "unwritable",
    )

    def __init__(self, pool: TargetPool, now: float) -> None:
        self.pool = pool
        self.opened = now
        self.idle_since = now
        self.idle_limit = pool.policy.idle
        self.served = 0
        self.response: Response | None = None
        self.unwritable = False
        self._drained: asyncio.Future[None] | None = None
        self.transport: asyncio.Transport

    def __repr__(self) -> str:
        state = "busy" if self.response is not None else "idle"
        return f"<Connection {self.pool.label} {state} served={self.served}>"

    @property
    def alive(self) -> bool:
        return not self.transport.is_closing()

    def abort(self) -> None:
        """End the connection now; unsent bytes are dropped."""
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
        if self.response is not None:
            self.response.ended(None)
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._wake()
        if self.response is not None:
            self.response.ended(error)
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
    `sent` says that the whole request has been written; `error` is the fault that ended the exchange.
    """

    __slots__ = (
        "_connection",
        "_paused",
        "_pump",
        "_total",
        "_waiter",
        "alarm",
        "closed",
        "error",
        "first_byte",
        "idle",
        "sent",
        "write_alarm",
    )

    def __init__(self, connection: Connection, method: str, upgrade: bool, inform: Inform | None) -> None:
        super().__init__(method, upgrade, inform)
        self._connection = connection
        self._waiter: asyncio.Future[None] | None = None
        self._pump: asyncio.Task[None] | None = None
        self._paused = False
        self._total = self.alarm = self.write_alarm = NEVER
        self.first_byte = self.idle = NEVER
        self.sent = True
        self.closed = False
        self.error: FaultError | None = None

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.phase.name.lower()}{' broken' if self.error else ''}>"

    def arm(self, now: float, first_byte: float, idle: float, total: float) -> None:
        """Set the deadlines: `total` is monotonic, the others are seconds."""
        self.first_byte, self.idle, self._total = first_byte, idle, total
        self.alarm = min(now + first_byte, total)

    def rearm(self, now: float) -> None:
        """The request is sent: the wait for the first byte begins now."""
        self.alarm = min(now + self.first_byte, self._total)

    # --------------------------------------------------------------------------------------------- the reading task

    async def head(self) -> None:
        """Wait for the final head. Raises FaultError when there will be none."""
        while not self.status:
            if self.error is not None:
                raise self.error
            await self._wait()
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
        return data, self.phase == Phase.DONE and self.error is None

    async def read(self) -> bytes:
        while not self.pieces:
            if self.error is not None:
                raise self.error
            if self.phase == Phase.DONE:
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
        if self.phase == Phase.DONE and self.keep and self.sent and self.error is None and connection.alive:
            if self._paused:
                self._paused = False
                connection.transport.resume_reading()
            connection.pool.release(connection, self.keep_alive)
        else:
            self._stop_pump()
            connection.abort()
            connection.pool.retire(connection)

    def tunnel(self) -> Tunnel:
        if self.phase != Phase.TUNNEL:
            raise faults.gateway(FaultKind.HTTP_UPGRADE_FAILED, "no 101")
        self.alarm = self._total = self.idle = NEVER
        return UpstreamTunnel(self, self._connection)

    async def _wait(self) -> None:
        waiter = self._waiter = asyncio.get_running_loop().create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    # --------------------------------------------------------------------------------- called by the connection

    def received(self, data: bytes) -> None:
        try:
            self.feed(data)
        except FaultError as error:
            self.fail(error)
            return
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            if self.status:
                waiter.set_result(None)
        elif self.buffered > HIGH_WATER and not self._paused:
            self._paused = True
            self._connection.transport.pause_reading()

    def ended(self, error: Exception | None) -> None:
        """The target closed its side, or the connection broke."""
        if self.error is not None or self.closed:
            return
        if error is not None and self.phase == Phase.UNTIL_CLOSE:
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
        """End the exchange with `error`; what has arrived may still be taken."""
        if self.error is None:
            self.error = error
        self.keep = False
        self._stop_pump()
        self._connection.abort()
        self._wake()

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
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


class UpstreamTunnel:
    """The raw connection to the target after a 101 (`application.ports.Tunnel`)."""

    __slots__ = ("_connection", "_response")

    def __init__(self, response: Response, connection: Connection) -> None:
        self._response = response
        self._connection = connection

    async def read(self) -> bytes:
        return await self._response.read()

    def write(self, data: bytes) -> None:
        if self._connection.alive:
            self._connection.transport.write(data)

    async def drain(self) -> None:
        if self._connection.unwritable:
            await self._connection.drained()

    def close(self) -> None:
        """End our side: what was written is still sent."""
        self._connection.transport.close()
