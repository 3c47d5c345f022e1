"""One request and its answer on a connection: the body as it arrives, and the sink its answer goes to.

Theory. The parser pushes body pieces in, the exchange pulls them out; more than a high-water mark of unread body stops
the socket, so a slow target never grows memory. Answers go straight to the transport without suspending. The head is
held until the first piece of body, so a small answer is one write; an answer of undeclared length that ends within one
turn of the loop gets an exact Content-Length. What was promised by Content-Length is checked: an answer that turns
out longer or shorter is cut visibly, never ended cleanly.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Final

from spork.adapters.edge.edge import close_once
from spork.adapters.edge.line import Line
from spork.adapters.edge.tunnel import ClientTunnel
from spork.adapters.edge.wire import BODILESS, CONTINUE, ResponseHead, UnsafeHeader, interim
from spork.application.exchange.answers import GatewayResponse
from spork.application.kernel.faults import FaultError
from spork.domain.http.head import Header, RequestHead
from spork.domain.outcomes import Denial, Fault, FaultKind, Side

#: Unread body, or a held answer, beyond which we stop reading from the client, or stop holding.
HIGH_WATER: Final = 65536
#: A request body this short is read to its end to save the connection when its answer came first.
WORTH_DRAINING: Final = 65536

_BODILESS: Final = 0
_LENGTH: Final = 1
_CHUNKED: Final = 2
_CLOSE: Final = 3


class ServerExchange:
    """`application.ports.RequestBody` and `ResponseSink` of one request. `denial` is set on one the edge refuses.

    `complete`: the whole request was parsed. `finished`: the whole answer was handed to the transport, or it was cut.
    `gone`: the client's connection is lost. `begun`: its task has taken its first step. `handed`: the exchange, if the application left it for the edge to go on with.
    """

    # What most requests never change is set here, once for all of them.
    task: asyncio.Task[None] | None = None
    handed: Awaitable[None] | None = None
    received = 0
    sent = 0
    complete = False
    started = False
    finished = False
    gone = False
    begun = False
    runs_on = False
    _pieces: list[bytes] | None = None
    _size = 0
    _fault: Fault | None = None
    _reader: asyncio.Future[None] | None = None
    _held: bytes | None = None
    _first: list[bytes] | None = None
    _mode = _BODILESS
    _left = 0

    def __init__(
        self,
        connection: Line,
        head: RequestHead,
        length: int | None,
        expect: bool,
        keep_alive: bool,
        maximum: int,
        denial: Denial | None = None,
    ) -> None:
        self._connection = connection
        self.head = head
        self.length = length
        self.keep_alive = keep_alive
        self.denial = denial
        self._expect = expect
        self._maximum = maximum

    def __repr__(self) -> str:
        request = "complete" if self.complete else f"{self.received} bytes so far"
        answer = "finished" if self.finished else "started" if self.started else "none"
        return f"<Cycle {self.head.method} {self.head.path!r}: request {request}, answer {answer}>"

    # -- the request's body ------------------------------------------------------------------------------------------

    @property
    def exhausted(self) -> bool:
        """Whether the next `read` answers b"" at once."""
        return self.complete and not self._pieces and self._fault is None

    @property
    def waiting(self) -> bool:
        """Whether it is the client's turn to send body."""
        return not self.complete and not self._expect

    def limit(self, maximum: int) -> None:
        self._maximum = maximum

    def whole(self) -> bytes | None:
        if not self.complete or self._fault is not None or self._too_large() or self._size != self.received:
            return None
        return self._take() if self._pieces else b""

    async def read(self) -> bytes:
        while True:
            if self._fault is not None:
                raise FaultError(self._fault)
            if self._too_large():
                raise FaultError(Fault(FaultKind.BODY_TOO_LARGE, Side.DOWNSTREAM))
            if self._pieces:
                return self._take()
            if self.complete:
                return b""
            self._invite()
            self._reader = self._connection.loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    def _too_large(self) -> bool:
        return self.received > self._maximum or (self.length or 0) > self._maximum

    def _take(self) -> bytes:
        pieces = self._pieces
        assert pieces is not None
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._pieces = None
        self._size = 0
        self._connection.resume_body()
        return data

    def _invite(self) -> None:
        """Answer `Expect: 100-continue`: only now somebody wants the body (RFC 9110 10.1.1)."""
        if self._expect:
            self._expect = False
            if not self.started and not self.received and not self.gone:
                self._connection.transport.write(CONTINUE)

    def feed(self, data: bytes) -> None:
        """A piece of body from the parser."""
        size = len(data)
        self.received += size
        if self.finished:
            return
        if self._pieces is None:
            self._pieces = [data]
        else:
            self._pieces.append(data)
        self._size += size
        if self._size > HIGH_WATER:
            self._connection.pause_body()
        self._wake()

    def end(self) -> None:
        """The parser saw the end of the request."""
        self.complete = True
        self._expect = False
        self._wake()

    def break_body(self, kind: FaultKind) -> None:
        """The rest of the body cannot be had: its reader is told, and the connection ends with the answer."""
        if self._fault is None:
            self._fault = Fault(kind, Side.DOWNSTREAM)
        self.keep_alive = False
        self._wake()

    def disconnect(self) -> None:
        """The client's connection is lost."""
        self.gone = True
        self.break_body(FaultKind.CLIENT_GONE)

    def run_on(self) -> None:
        """From now on the exchange goes on to its end though the client leaves: what it does must be known to the end."""
        self.runs_on = True

    async def over(self) -> None:
        """Wait until the answer is finished or the client is gone."""
        while not self.finished and not self.gone:
            self._reader = self._connection.loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    # -- the answer --------------------------------------------------------------------------------------------------

    @property
    def paused(self) -> bool:
        return self._connection.write_paused

    def inform(self, status: int, headers: list[Header]) -> None:
        if not self.started and not self.gone and self.head.version == "1.1":
            self._connection.transport.write(interim(status, headers))

    def start(self, status: int, headers: list[Header]) -> None:
        """The final head. Raises UnsafeHeader when a header would split it, RuntimeError when there was one."""
        if self.started:
            raise RuntimeError("an answer has one head")
        head = ResponseHead(status, headers, self._connection.edge.date)
        self.started = True
        if status == 101:
            self._switch(head)
            return
        if head.close or not self._may_keep():
            self.keep_alive = False
        if self.head.method == "HEAD" or status in BODILESS:
            self._mode = _BODILESS
        elif head.length is not None:
            self._mode = _LENGTH
            self._left = head.length
        else:
            self._mode = _CHUNKED if self.head.version == "1.1" else _CLOSE
        self._held = head.lines

    def _may_keep(self) -> bool:
        """Whether the connection can carry another request after this answer."""
        if self._connection.edge.draining or self.head.upgrade or self._fault is not None:
            return False
        if self.complete:
            return True
        return not self._expect and self.length is not None and self.length - self.received <= WORTH_DRAINING

    def write(self, data: bytes) -> None:
        """A piece of body; an empty one sends a held head, for answers whose body begins later."""
        if self.finished or self.gone:
            return
        if not data:
            self._flush()
            return
        if self._mode == _LENGTH:
            self._left -= len(data)
            if self._left < 0:
                self.abort()
                return
            self.sent += len(data)
            held = self._held
            if held is None:
                self._connection.transport.write(data)
            else:
                self._held = None
                self._connection.transport.write(held + self._end_of_head() + data)
            return
        if self._mode == _BODILESS:
            return
        self.sent += len(data)
        if self._held is not None and self.sent <= HIGH_WATER:
            if self._first is None:
                self._first = [data]
                self._connection.loop.call_soon(self._flush)
            else:
                self._first.append(data)
            return
        self._flush()
        self._write_piece(data)

    def _write_piece(self, data: bytes) -> None:
        if self._mode == _CHUNKED:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._connection.transport.write(data)

    def finish(self) -> None:
        if self.finished or self.gone:
            return
        if not self.started or (self._mode == _LENGTH and self._left):
            self.abort()
            return
        self.finished = True
        if self._held is not None:
            self._flush_whole()
        elif self._mode == _CHUNKED:
            self._connection.transport.write(b"0\r\n\r\n")
        elif self._mode == _CLOSE:
            self.keep_alive = False
        self._wake()
        self._connection.answered()

    def abort(self) -> None:
        """Cut the answer: whatever framing it has, the client can tell that it is not whole (RFC 9112 8)."""
        if self.finished or self.gone:
            return
        self.finished = True
        self.keep_alive = False
        self._held = self._first = None
        self._wake()
        if self._mode == _CLOSE or not self.sent:
            self._connection.reset()
        else:
            close_once(self._connection.transport)

    def fail(self, fault: Fault) -> None:
        """Answer with what is said of `fault`, if no answer has begun."""
        if not self.started and not self.gone:
            self.keep_alive = False
            self.answer(self._connection.edge.fail(fault))

    def answer(self, answer: GatewayResponse) -> None:
        """Give a whole answer of the edge's own."""
        if answer.close:
            self.keep_alive = False
        try:
            self.start(answer.status, list(answer.headers))
        except UnsafeHeader:
            self.abort()
            return
        self.write(answer.body)
        self.finish()

    async def drain(self) -> None:
        await self._connection.writable()

    def tunnel(self) -> ClientTunnel:
        tunnel = ClientTunnel(self._connection, self._connection.take_over())
        self._connection.follow(tunnel)
        return tunnel

    def _switch(self, head: ResponseHead) -> None:
        """Send a 101. What follows is the tunnel's."""
        line = b"connection: Upgrade\r\nupgrade: " + (head.upgrade or b"websocket") + b"\r\n\r\n"
        self._connection.transport.write(head.lines + line)
        self.keep_alive = False
        self._mode = _CLOSE

    def _flush(self) -> None:
        """Send the held head, and what was written after it, before the answer has ended."""
        held = self._held
        if held is None or self.gone:
            return
        self._held = None
        if self._mode == _CHUNKED:
            held += b"transfer-encoding: chunked\r\n"
        elif self._mode == _CLOSE:
            self.keep_alive = False
        self._connection.transport.write(held + self._end_of_head())
        if self._first is not None:
            first = b"".join(self._first)
            self._first = None
            self._write_piece(first)

    def _flush_whole(self) -> None:
        """Send head and body of an answer that ended before anything was sent: its length is known for certain."""
        held = self._held
        assert held is not None
        self._held = None
        body = b"".join(self._first) if self._first is not None else b""
        if self._mode == _CHUNKED or self._mode == _CLOSE:
            held += b"content-length: %d\r\n" % len(body)
        self._connection.transport.write(held + self._end_of_head() + body)

    def _end_of_head(self) -> bytes:
        """What the client is told of the connection, and the empty line."""
        if not self.keep_alive:
            return b"connection: close\r\n\r\n"
        return b"\r\n" if self.head.version == "1.1" else b"connection: keep-alive\r\n\r\n"
