"""Chunked bodies (RFC 9112 7.1), read by llhttp and guarded where llhttp is generous."""

from __future__ import annotations

from typing import Final

import httptools

from spork.adapters.http1 import faults
from spork.domain.http.head import Header

_HEAD: Final = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
_OVERHEAD: Final = 65536
#: Trailer fields that are kept; more are read and dropped.
_MOST_TRAILERS: Final = 64
_OVERHEAD_PER_CHUNK: Final = 64


class ChunkedBody:
    """Decodes one chunked body after another. Trailers are kept beside it: they are no header of anybody's,
    and nobody is sent them.

    llhttp skips line ends between messages, so that bytes after the last chunk could pass unseen: the end is taken
    as clean only if the stream's last five bytes are those of an ending, see `_clean`.
    """

    __slots__ = ("_body", "_chunks", "_ended", "_fed", "_out", "_parser", "_surplus", "_tail", "trailers")

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.begin()

    def begin(self) -> None:
        """Make ready for a body."""
        self._out: list[bytes] = []
        self._ended = False
        self._surplus = False
        self.trailers: list[Header] = []
        self._fed = self._body = self._chunks = 0
        self._tail = b""
        self._parser.feed_data(_HEAD)
        self.trailers = []

    def feed(self, data: bytes) -> tuple[list[bytes], bool, bool]:
        """The pieces in `data`, whether the body ended, whether bytes came after its end. Raises FaultError.

        After an end with surplus, or after an error, this object is of no further use.
        """
        out: list[bytes] = []
        self._out = out
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self._ended:
                raise faults.protocol(f"chunked body: {error}") from None
            self._surplus = True
        self._fed += len(data)
        if self._fed - self._body > _OVERHEAD + self._chunks * _OVERHEAD_PER_CHUNK:
            raise faults.protocol("chunked body: too much beside the data")
        self._tail = data[-5:] if len(data) >= 5 else (self._tail + data)[-5:]
        if self._ended and not self._surplus:
            self._surplus = not _clean(self._tail)
        return out, self._ended, self._surplus

    def on_message_begin(self) -> None:
        if self._ended:
            self._surplus = True

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._ended and len(self.trailers) < _MOST_TRAILERS:
            self.trailers.append((name.lower(), value))

    def on_body(self, data: bytes) -> None:
        if not self._ended:  # else it is the body of a message nobody asked for
            self._body += len(data)
            self._out.append(data)

    def on_message_complete(self) -> None:
        self._ended = True


def _clean(tail: bytes) -> bool:
    """Whether a finished stream ends right at its end.

    It must end in two line ends, and what stands before them is the last byte of the last chunk's or trailer's line:
    never itself CR or LF, which would mean that one of the two line ends is surplus.
    """
    return tail[-4:] == b"\r\n\r\n" and tail[-5:-4] not in (b"\r", b"\n", b"")
