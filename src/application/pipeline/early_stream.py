"""Event streams that begin before their target does: the head and heartbeats, so that nobody in between takes silence for an end.

The head is then sent and says 200. What goes wrong afterwards, a refusal, a fault, a target's error, can only be told in the stream:
as an event `error` whose data is what would have been the answer's body.
"""

from __future__ import annotations

import asyncio
from typing import Final

from spork.application.exchange.exchange import Exchange
from spork.application.exchange.sinks import PassingSink
from spork.application.kernel.streams import ResponseSink
from spork.domain.http.event_stream import HEARTBEAT
from spork.domain.http.head import Header

_STREAM: Final = b"text/event-stream"
_HEAD: Final[tuple[Header, ...]] = (
    (b"content-type", _STREAM),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)
#: Bytes of an error that are told.
_MOST_ERROR: Final = 64 * 1024


def begin_early(exchange: Exchange, after: float) -> None:
    """Begin the answer after `after` seconds of silence, if the client asks for an event stream."""
    accept = exchange.head.header(b"accept") or b""
    if _STREAM in accept.lower() and exchange.head.method != "HEAD":
        sink = EarlySink(
            exchange.sink, after, [(b"x-request-id", exchange.request_id_bytes), *exchange.response_headers]
        )
        exchange.sink = sink
        exchange.at_close(lambda _: sink.stop())


class EarlySink(PassingSink):
    """Stands in front of the client until the target's head is there; what was begun early goes on as a stream."""

    def __init__(self, inner: ResponseSink, after: float, own: list[Header]) -> None:
        super().__init__(inner)
        self._after = after
        self._own = own
        self._early = False
        self._started = False
        #: The answer turned out to be something else: its body, to be told as one event.
        self._error: list[bytes] | None = None
        self._size = 0
        self._timer: asyncio.TimerHandle | None = asyncio.get_running_loop().call_later(after, self._beat)

    @property
    def started(self) -> bool:
        """Whether the answer itself has begun; a fault before that can still be told."""
        return self._started

    def stop(self) -> None:
        """The answer is here, or nobody waits for it any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _beat(self) -> None:
        if not self._early:
            self._early = True
            self.inner.start(200, [*_HEAD, *self._own])
        if not self.inner.paused:
            self.inner.write(HEARTBEAT)
        self._timer = asyncio.get_running_loop().call_later(self._after, self._beat)

    def start(self, status: int, headers: list[Header]) -> None:
        self.stop()
        self._started = True
        if not self._early:
            self.inner.start(status, headers)
        elif status != 200 or not any(
            name == b"content-type" and value[:17].lower() == _STREAM for name, value in headers
        ):
            self._error = []

    def write(self, data: bytes) -> None:
        if self._error is None:
            self.inner.write(data)
        elif self._size < _MOST_ERROR:
            self._error.append(bytes(data))
            self._size += len(data)

    def finish(self) -> None:
        if self._error is not None:
            lines = b"".join(self._error)[:_MOST_ERROR].replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            self.inner.write(b"event: error\n" + b"".join(b"data: %b\n" % line for line in lines) + b"\n")
        self.inner.finish()

    def abort(self) -> None:
        self.stop()
        self.inner.abort()
