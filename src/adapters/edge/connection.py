"""The wire edge: one client connection, from accept to the last byte.

Theory. `parsing.py` turns bytes into `Cycle`s and refusals; here they are put in line, timed and ended. A connection is
a line of `Cycle`s: `_parsing` is the newest, `serving` the oldest whose answer is not finished, `_queue` those between.
While a whole request waits for its answer, further bytes are kept unparsed, and above a mark not even read. Refusals
take their turn in that line too; after one that puts framing in doubt the connection is deaf: what still arrives is read
and thrown away for a moment, so that the client gets to read the answer instead of a reset (RFC 9112 9.6).

Two front doors. A path of the gateway's own goes to the ASGI application. Any other goes straight to the `Gateway`, or,
with the `mount` door, through the ASGI application that finds the `Cycle` in its scope.
"""

from __future__ import annotations

import asyncio
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from socket import SO_LINGER, SOL_SOCKET
from typing import Any, Final

from uvicorn.protocols.utils import get_local_addr, get_remote_addr

from spork.adapters.edge.asgi import AsgiExchange, mount_scope, own_scope
from spork.adapters.edge.certificate import certificate_facts
from spork.adapters.edge.cycle import ServerExchange
from spork.adapters.edge.edge import Edge, close_once, log
from spork.adapters.edge.line import RawReader
from spork.adapters.edge.parsing import BODY_SLICE, NEVER, RequestParsing
from spork.domain.http.head import HEADER_TIMEOUT, OVERLOADED
from spork.domain.http.proxy_protocol import Origin
from spork.domain.outcomes import Denial, Fault, FaultKind, Side

#: Bytes parsed at once while heads may be in them: bounds how many pipelined requests one read can start.
_HEAD_SLICE: Final = 4096
#: Unparsed bytes kept while a request waits for its answer, beyond which the socket is no longer read. Until then it
#: is, because a client that leaves is only noticed by reading.
_BACKLOG: Final = 65536
#: A client that half-closes gets this many seconds for its answer: it may also be one that left, nothing tells.
_HALF_CLOSED: Final = 0.5

_BODY: Final = 1
_BEHIND: Final = 2

_EXCHANGE: Final = "exchange"
_INTERNAL: Final = Fault(FaultKind.PROXY_INTERNAL_ERROR, Side.GATEWAY)
_RESET: Final = struct.pack("ii", 1, 0)

#: An ASGI application, as uvicorn loads it.
Application = Callable[[Any, Any, Any], Awaitable[None]]


class ClientConnection(RequestParsing):
    """One client connection: what `EdgeProtocol` hands the event loop's calls to."""

    def __init__(
        self,
        edge: Edge,
        app: Application,
        app_state: dict[str, Any],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(edge)
        self.app = app
        self.loop = loop
        self.app_state = app_state
        self.mount_scope: dict[str, Any] | None = None
        self.transport: asyncio.Transport = None  # type: ignore[assignment]
        self.server: tuple[str, int | None] | None = None
        #: Whom a balancer in front says the connection is for (PROXY protocol).
        self.origin: Origin | None = None
        self.secure = False
        self.write_paused = False
        self._over_limit = False
        self.used = False
        self._queue: deque[ServerExchange] = deque()
        self._backlog: list[bytes] = []
        self._pause_reasons = 0
        self._half_closed = False
        self._tunnel: RawReader | None = None
        self._writer: asyncio.Future[None] | None = None
        self._unsent = 0
        self._stalled = 0.0

    def __repr__(self) -> str:
        state = (
            "tunnel" if self._tunnel else "deaf" if self._discarding else repr(self.serving) if self.serving else "idle"
        )
        return f"<ClientConnection {self.peer}:{self.peer_port}: {state}>"

    # -- the connection ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:
        self.transport = transport
        client = get_remote_addr(transport)
        if client is not None:
            # A listener on [::] gets IPv4 clients mapped; they are IPv4 clients to everybody who is told of them.
            self.peer, self.peer_port = (
                client[0].removeprefix("::ffff:") if "." in client[0] else client[0],
                client[1] or 0,
            )
        origin = self.origin
        if origin is not None:
            self.peer, self.peer_port = origin.address, origin.port
        self.server = get_local_addr(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None:
            self.secure = True
            self.certificate = certificate_facts(tls.getpeercert(), tls.getpeercert(True))
        self.scheme = "https" if self.secure or (origin is not None and origin.secure) else "http"
        self._over_limit = not self.edge.admit(self)
        self.deadline = self.edge.now + self.edge.limits.header_timeout

    def connection_lost(self, exc: Exception | None) -> None:
        self.edge.connections.discard(self)
        self.deadline = NEVER
        self._release_writer()
        if self._tunnel is not None:
            self._tunnel.feed_eof()
        lost = [*([self.serving] if self.serving is not None else []), *self._queue]
        self._queue.clear()
        self._backlog.clear()
        for cycle in lost:
            if not cycle.finished:
                cycle.disconnect()
                # A tunnel's exchange ends by reading the end of it; an own endpoint by `http.disconnect`.
                task = cycle.task
                if (
                    task is not None
                    and self._tunnel is None
                    and not cycle.runs_on
                    and not self.edge.is_own(cycle.head.path)
                ):
                    if not cycle.begun:  # cancelled before its first step it would settle nothing itself
                        self._settle(cycle)
                    task.cancel()
        self.serving = self._parsing = None  # nothing is left in a circle for the collector
        self.parser = None  # type: ignore[assignment]

    def eof_received(self) -> bool | None:
        """The client sends no more. True keeps our direction open, which TLS cannot do."""
        if self._tunnel is not None:
            self._tunnel.feed_eof()
            return not self.secure
        if self._discarding or self.secure or self.serving is None or self.serving.finished:
            return None
        if self._in_head or (self._parsing is not None and not self._parsing.complete):
            return None
        self._half_closed = True
        self.deadline = self.edge.now + self.edge.tick + _HALF_CLOSED
        return True

    def work(self) -> list[asyncio.Task[None]]:
        """The task of the request being served, if there is one."""
        return [self.serving.task] if self.serving is not None and self.serving.task is not None else []

    @property
    def idle(self) -> bool:
        return self.serving is None and self._tunnel is None and not self._discarding

    def shutdown(self) -> None:
        """Close when idle; else the answers that are due are the last ones."""
        if self._tunnel is not None:
            self._tunnel.go_away()
        elif self.serving is None and not self._discarding:
            close_once(self.transport)

    # -- reading -----------------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self.serving is None and len(data) <= _HEAD_SLICE and not self._discarding and not self._backlog:
            self._feed(data)
        elif self._tunnel is not None:
            self._tunnel.feed(data)
        elif self._discarding:
            return
        elif self._upgrade_data is not None:
            self._keep(self._upgrade_data, data)
        elif self._backlog or (self.serving is not None and self.serving.complete):
            self._keep(self._backlog, data)
        else:
            self._parse(data)

    def _keep(self, where: list[bytes], data: bytes) -> None:
        """Put bytes aside that cannot be parsed yet."""
        where.append(data)
        self._buffered += len(data)
        if self._buffered > _BACKLOG:
            self._pause(_BEHIND)

    def _parse(self, data: bytes) -> None:
        if len(data) <= _HEAD_SLICE:
            self._feed(data)
            return
        view = memoryview(data)
        at = 0
        while at < len(data) and not self._discarding and self._upgrade_data is None:
            if self._queue and self._parsing is not None and self._parsing.complete:
                self._keep(self._backlog, data[at:])
                return
            size = self._slice()
            self._feed(view[at : at + size])
            at += size
        if self._upgrade_data is not None and at < len(data):
            self._keep(self._upgrade_data, data[at:])

    def _slice(self) -> int:
        """How many bytes may be parsed before looking again at what they started."""
        cycle = self._parsing
        if cycle is None or cycle.complete or self._in_head:
            return _HEAD_SLICE
        if cycle.length is None:
            return BODY_SLICE
        return max(cycle.length - cycle.received, 1)

    # -- the line of cycles ------------------------------------------------------------------------------------------

    def _line_up(self, cycle: ServerExchange) -> None:
        if self.serving is None:
            self._serve(cycle)
        else:
            self._queue.append(cycle)

    def _serve(self, cycle: ServerExchange) -> None:
        """Start what answers `cycle`. No task is made for a refusal."""
        self.serving = cycle
        edge = self.edge
        self.used = True
        self.deadline = edge.now + edge.tick + _HALF_CLOSED if self._half_closed else NEVER
        own = edge.is_own(cycle.head.path)
        if cycle.denial is None and not own and (self._over_limit or edge.in_flight >= edge.limits.max_in_flight):
            cycle.denial = OVERLOADED
            cycle.keep_alive = cycle.keep_alive and not self._over_limit
        if cycle.denial is not None:
            self._deny(cycle, cycle.denial)
            return
        edge.in_flight += 1
        if own:
            work = self._run_app(cycle, AsgiExchange(self, cycle, own_scope(self, cycle)))
        elif edge.mounted:
            work = self._run_app(cycle, AsgiExchange(self, cycle, mount_scope(self, cycle)))
        else:
            work = self._run_gateway(cycle)
        cycle.task = asyncio.Task(work, loop=self.loop, name=_EXCHANGE)  # a name, or one is formatted for each

    async def _run_gateway(self, cycle: ServerExchange) -> None:
        gateway = self.edge.gateway
        assert gateway is not None
        cycle.begun = True
        try:
            await gateway.handle(cycle.head, cycle, cycle)
        except asyncio.CancelledError:
            if not cycle.gone:
                raise
        except Exception:
            log.exception("An exchange failed")
        finally:
            self._settle(cycle)

    async def _run_app(self, cycle: ServerExchange, exchange: AsgiExchange) -> None:
        cycle.begun = True
        try:
            await self.app(exchange.scope, exchange.receive, exchange.send)
            handed = cycle.handed
            if handed is not None:
                cycle.handed = None
                await handed
        except asyncio.CancelledError:
            if not cycle.gone:
                raise
        except Exception:
            log.exception("An endpoint of the gateway failed")
        finally:
            self._settle(cycle)

    def _settle(self, cycle: ServerExchange) -> None:
        """The work on `cycle` is over, whether or not it answered."""
        self.edge.in_flight -= 1
        cycle.task = None
        if self._tunnel is not None:
            self._tunnel.close()
        if cycle.finished or cycle.gone:
            return
        if cycle.started:
            cycle.abort()
        else:
            cycle.fail(_INTERNAL)

    def _deny(self, cycle: ServerExchange, denial: Denial) -> None:
        if denial.close:
            cycle.keep_alive = False
        cycle.answer(self.edge.deny(denial, cycle.head))

    def answered(self) -> None:
        """The exchange being served has its whole answer: on to the next, or to the end of the connection."""
        cycle = self.serving
        assert cycle is not None
        if not cycle.keep_alive or (self._half_closed and not self._queue and not self._backlog):
            self._end()
        elif cycle.complete:
            self._next()
        else:  # the rest of its body is on its way and worth reading
            self.deadline = self.edge.now + self.edge.limits.header_timeout

    def _next(self) -> None:
        """Serve the next request in line, or parse on."""
        self.serving = None
        limits = self.edge.limits
        self.deadline = self.edge.now + (limits.header_timeout if self._in_head else limits.idle_timeout)
        if self._queue:
            self._serve(self._queue.popleft())
            if self._backlog and self._lacks_body():  # it was kept, too
                self.loop.call_soon(self._catch_up)
        elif self._backlog:
            self.loop.call_soon(self._catch_up)
        elif self.edge.draining and not self._in_head:
            self._end()

    def _lacks_body(self) -> bool:
        """Whether the request being served is not whole. A method, for a compiler takes `serving` for None where it was
        set to None before."""
        return self.serving is not None and not self.serving.complete

    def _catch_up(self) -> None:
        """Parse what came while the line was full."""
        if self._discarding or not self._backlog or self.transport.is_closing():
            return
        if self.serving is not None and self.serving.complete:
            return
        data = b"".join(self._backlog)
        self._backlog.clear()
        self._buffered = 0
        self._resume(_BEHIND)
        self._parse(data)

    # -- the end of the connection -----------------------------------------------------------------------------------

    def _end(self) -> None:
        """Close behind the last answer; when the client may still be sending, let it read the answer first."""
        complete = self.serving is None or self.serving.complete or self.serving.length == 0
        if (
            self._discarding or self._backlog or self._queue or self._upgrade_data or not complete
        ) and not self._half_closed:
            self._linger()
        else:
            self._discarding = True
            close_once(self.transport)

    def _linger(self) -> None:
        """Half-close and throw away what still comes, until the client closes or the time is up."""
        self._discarding = True
        self._ending = True
        self._backlog.clear()
        if self.transport.is_closing():
            return
        self._resume(_BODY | _BEHIND)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.deadline = self.edge.now + self.edge.tick + self.edge.linger

    def reset(self) -> None:
        """End the connection so that the client cannot take it for a clean end."""
        sock = self.transport.get_extra_info("socket")
        if sock is not None and not self.transport.is_closing():
            sock.setsockopt(SOL_SOCKET, SO_LINGER, _RESET)
        self.transport.abort()

    # -- called by the sweeper ---------------------------------------------------------------------------------------

    @property
    def watched(self) -> bool:
        """Whether progress is owed: by a client that sends a body, or that reads slower than we write."""
        if self.write_paused or self.transport.is_closing():
            return True
        return self._parsing is not None and not self._parsing.complete

    def expire(self) -> None:
        """The deadline has passed."""
        self.deadline = NEVER
        if self._half_closed:
            self.transport.abort()
        elif self._ending or not self._in_head:
            close_once(self.transport)
        elif self.serving is None:
            self._refuse(HEADER_TIMEOUT)

    def watch(self, elapsed: float) -> None:
        """`elapsed` seconds have passed since the last look."""
        if self.write_paused or self.transport.is_closing():
            self._watch_reader(elapsed)
        cycle = self._parsing
        if cycle is None or self._pause_reasons or self._discarding or not cycle.waiting:
            return
        rate = self.edge.limits.body_min_rate
        if rate <= 0:
            return
        arrived = cycle.received - self._counted
        self._counted = cycle.received
        self._patience = min(self.edge.body_grace, self._patience - elapsed + arrived / rate)
        if self._patience < 0:
            self._break_body(cycle, FaultKind.BODY_TOO_SLOW)

    def _watch_reader(self, elapsed: float) -> None:
        """A client that takes nothing for as long as an idle one is kept holds a target's connection for nothing."""
        unsent = self.transport.get_write_buffer_size()
        self._stalled = self._stalled + elapsed if unsent == self._unsent else 0.0
        self._unsent = unsent
        if self._stalled > self.edge.limits.idle_timeout:
            self.transport.abort()

    # -- flow control ------------------------------------------------------------------------------------------------

    def _pause(self, why: int) -> None:
        if not self._pause_reasons and not self.transport.is_closing():
            self.transport.pause_reading()
        self._pause_reasons |= why

    def _resume(self, why: int) -> None:
        if self._pause_reasons & why:
            self._pause_reasons &= ~why
            if not self._pause_reasons and not self.transport.is_closing():
                self.transport.resume_reading()

    def pause_body(self) -> None:
        """More body has arrived than its reader took."""
        self._pause(_BODY)

    def resume_body(self) -> None:
        """The reader took what there was."""
        if self._pause_reasons:
            self._resume(_BODY)

    def pause_writing(self) -> None:
        self.write_paused = True
        self._stalled = 0.0

    def resume_writing(self) -> None:
        self._release_writer()

    def _release_writer(self) -> None:
        self.write_paused = False
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
        self._writer = None

    async def writable(self) -> None:
        """Wait until the client has read enough of what was written."""
        while self.write_paused:
            if self._writer is None:
                self._writer = self.loop.create_future()
            await asyncio.shield(self._writer)

    # -- tunnels -----------------------------------------------------------------------------------------------------

    def take_over(self) -> bytes:
        """The raw connection, after a 101 was sent; answers what came behind the request."""
        if self.serving is not None:
            self.serving.finished = True
        early = b"".join(self._upgrade_data or ())
        self._upgrade_data = None
        self._buffered = 0
        return early

    def follow(self, reader: RawReader) -> None:
        """Hand `reader` what comes from now on."""
        self._tunnel = reader
        self._resume(_BEHIND)
        if self._half_closed:
            reader.feed_eof()
        if self.edge.draining:
            reader.go_away()

    def end_tunnel(self, lingering: bool) -> None:
        """The exchange is done with the tunnel."""
        self._tunnel = None
        self._discarding = True
        if lingering:
            self._linger()
        else:
            close_once(self.transport)
