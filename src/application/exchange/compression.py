"""Compression of answers: the last stage before the wire, so that it is asked of whatever goes out on its route.

Compressed is what the client says it can decode, what is of a configured type and large enough, and what nobody forbids:
not a body that has a coding already, not `no-transform` (RFC 9110 7.7), not an answer without a whole body (1xx, 204,
206, 304), not a stream of events or messages. A secret beside text that an attacker chooses can be guessed from the size
of what is compressed (BREACH): cross-site requests with cookies and answers that set cookies stay as they are.

A small answer of known length is compressed in one go; everything else as it passes, flushed when the target pauses.
"""

from __future__ import annotations

import asyncio
from typing import Final

from spork.application.exchange.codings import Coding, Codings, Encoder
from spork.application.exchange.exchange import Exchange
from spork.application.exchange.sinks import PassingSink
from spork.application.kernel.streams import ResponseSink
from spork.domain.http.coding import CompressionPolicy, covers, merge_vary, negotiate, weakened
from spork.domain.http.head import Header, RequestHead

#: After this pause of the target, seconds, the client gets what there is.
FLUSH_AFTER: Final = 0.02
#: Answers of a known length up to this are compressed in one go.
ONE_GO: Final = 64 * 1024
_WITHOUT_BODY: Final = frozenset((204, 205, 206, 304))
_NEVER: Final = ("text/event-stream", "application/grpc", "multipart/mixed", "multipart/x-mixed-replace")
#: Fields about the very bytes, which change (RFC 9530, RFC 9110 14.3).
_ABOUT_BYTES: Final = frozenset(
    (b"content-length", b"content-md5", b"content-digest", b"repr-digest", b"accept-ranges")
)


class Compression:
    """The compression of one route."""

    def __init__(self, policy: CompressionPolicy, codings: Codings) -> None:
        self.minimum = policy.minimum
        self._types = policy.types
        self._secrets = policy.secrets
        self._codings = codings
        self._offered = tuple(name for name in policy.codings if name in codings)

    def sink(self, exchange: Exchange) -> CompressingSink:
        """What stands in front of the exchange's sink."""
        return CompressingSink(exchange.sink, self, exchange.head)

    def could(self, status: int, headers: list[Header]) -> bool:
        """Whether this answer is one of those that a client may get compressed; then its Vary says so."""
        if status < 200 or status in (204, 205, 206):
            return False
        kind = ""
        for name, value in headers:
            if name == b"content-encoding" or name == b"content-range":
                return False
            if name == b"cache-control" and b"no-transform" in value.lower():
                return False
            if name == b"set-cookie" and not self._secrets:
                return False
            if name == b"content-type":
                kind = value.partition(b";")[0].strip().lower().decode("latin-1")
        if status == 304:
            return True  # it speaks of an answer that had a type
        return covers(self._types, kind) and not kind.startswith(_NEVER)

    def choose(self, head: RequestHead) -> Coding | None:
        """The coding this client gets."""
        accepted: list[bytes] = []
        cookies = foreign = False
        for name, value in head.headers:
            if name == b"accept-encoding":
                accepted.append(value)
            elif name == b"cookie":
                cookies = True
            elif name == b"sec-fetch-site" and value == b"cross-site":
                foreign = True
        if not accepted or (cookies and foreign and not self._secrets):
            return None
        return self._codings.get(negotiate(accepted, self._offered))


class CompressingSink(PassingSink):
    """Compresses what is written, or lets it pass. The head waits until it is known which."""

    def __init__(self, inner: ResponseSink, policy: Compression, head: RequestHead) -> None:
        super().__init__(inner)
        self._policy = policy
        self._head = head
        self._coding: Coding | None = None
        self._encoder: Encoder | None = None
        self._status = 0
        self._headers: list[Header] = []
        self._length: int | None = None
        #: Pieces that wait for the decision; None once it is made.
        self._waiting: list[bytes] | None = None
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self, status: int, headers: list[Header]) -> None:
        self._coding = self._encoder = self._waiting = None
        if not self._policy.could(status, headers):
            self.inner.start(status, headers)
            return
        headers = merge_vary(headers, (b"accept-encoding",))
        coding = None if status in _WITHOUT_BODY else self._policy.choose(self._head)
        if status == 304 and self._policy.choose(self._head) is not None:
            headers = [(name, weakened(value) if name == b"etag" else value) for name, value in headers]
        length = _length(headers)
        if coding is None or (length is not None and length < self._policy.minimum):
            self.inner.start(status, headers)
            return
        self._coding, self._status, self._headers, self._length = coding, status, headers, length
        if self._head.method == "HEAD":
            self.inner.start(status, headers if length is None else coded_fields(headers, coding.name))
            return
        self._waiting, self._size = [], 0

    def write(self, data: bytes) -> None:
        if self._waiting is None and self._encoder is None:
            self.inner.write(data)
            return
        if data:
            self._size += len(data)
            if self._encoder is not None:
                self._send(self._encoder.piece(data))
            elif self._waiting is not None:
                self._waiting.append(data)
                if self._size >= self._policy.minimum and (self._length is None or self._length > ONE_GO):
                    self._begin()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER, self._pause, self._size)

    def finish(self) -> None:
        self._stop_timer()
        if self._waiting is not None and self._coding is not None:
            whole = b"".join(self._waiting)
            self._waiting = None
            if len(whole) < self._policy.minimum:
                self.inner.start(self._status, self._headers)
            else:
                self.inner.start(self._status, coded_fields(self._headers, self._coding.name))
                whole = self._coding.compress(whole)
            if whole:
                self.inner.write(whole)
        elif self._encoder is not None:
            self._send(self._encoder.end())
            self._encoder = None
        self.inner.finish()

    def abort(self) -> None:
        self._stop_timer()
        if self._waiting is not None:  # the client has no head yet, but must see a cut answer
            self._waiting = None
            self.inner.start(self._status, self._headers)
        self.inner.abort()

    def _begin(self) -> None:
        """Send the head, and compress from here on."""
        assert self._coding is not None
        assert self._waiting is not None
        self.inner.start(self._status, coded_fields(self._headers, self._coding.name))
        self._encoder = self._coding.encoder()
        waiting, self._waiting = self._waiting, None
        for piece in waiting:
            self._send(self._encoder.piece(piece))

    def _send(self, coded: bytes) -> None:
        if coded:
            self.inner.write(coded)

    def _pause(self, size: int) -> None:
        """The timer: flush if nothing came since it was set, else wait again."""
        self._timer = None
        if self._size != size:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_AFTER, self._pause, self._size)
            return
        if self._waiting is not None:
            self._begin()
        if self._encoder is not None:
            coded = self._encoder.flush() if size else b""
            self.inner.write(coded)  # an empty write sends a head that has no body yet

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _length(headers: list[Header]) -> int | None:
    for name, value in headers:
        if name == b"content-length":
            return int(value)
    return None


def coded_fields(headers: list[Header], coding: str) -> list[Header]:
    """The fields of an answer once its body is in `coding`: without a length, the entity tag weak."""
    coded = [
        (name, weakened(value) if name == b"etag" else value) for name, value in headers if name not in _ABOUT_BYTES
    ]
    coded.append((b"content-encoding", coding.encode("ascii")))
    return coded
