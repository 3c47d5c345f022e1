"""Reads one response from bytes, strictly, with no socket: the whole of RFC 9112's message framing for a client.

    HEAD --head--> LENGTH | CHUNKED | UNTIL_CLOSE | DONE | TUNNEL
    HEAD --1xx---> HEAD
    LENGTH, CHUNKED --last byte--> DONE;  UNTIL_CLOSE --end of stream--> DONE;  anything unlawful raises FaultError

How the bytes were cut into pieces never changes what is read. `keep` turns False at the slightest doubt and never
turns back: a connection whose reader does not end with `keep` must not carry another request.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from spork.adapters.http1 import faults
from spork.adapters.http1.chunked import ChunkedBody
from spork.adapters.http1.head import Head, parse
from spork.domain.http.head import Header
from spork.domain.outcomes import FaultKind

MAX_HEAD: Final = 65536
MAX_INTERIM: Final = 10
_END: Final = b"\r\n\r\n"
_PREFIX: Final = b"HTTP/1."

Inform = Callable[[int, list[Header]], None]


#: Phases; plain integers, because they are compared for every piece of data.
HEAD: Final = 0
LENGTH: Final = 1
CHUNKED: Final = 2
UNTIL_CLOSE: Final = 3
DONE: Final = 4
TUNNEL: Final = 5
PHASES: Final = ("head", "length", "chunked", "until_close", "done", "tunnel")


class ResponseReader:
    """One response being read. `status` is 0 until its final head is known; `pieces` hold body bytes not yet taken."""

    # Most of these never change in a small exchange: as class attributes they cost nothing per response.
    phase = HEAD
    status = 0
    buffered = 0
    keep = True
    keep_alive: float | None = None
    headers: list[Header]
    trailers: Sequence[Header] = ()
    _interim = 0
    _remaining = 0
    _partial: bytearray | None = None
    _chunked: ChunkedBody | None = None

    def __init__(self, method: str, upgrade: bool = False, inform: Inform | None = None) -> None:
        self.pieces: list[bytes] = []
        self._no_body = method == "HEAD"
        self._upgrade = upgrade
        self._inform = inform

    def feed(self, data: bytes) -> None:
        """Read `data`. Raises FaultError when the response breaks the rules."""
        phase = self.phase
        if phase == HEAD:
            self._feed_head(data)
        elif phase == LENGTH:
            self._feed_length(data)
        elif phase == CHUNKED:
            self._feed_chunked(data)
        elif phase == DONE:
            self.keep = False  # surplus: belongs to no request, and must never answer one
        else:
            self.pieces.append(data)
            self.buffered += len(data)

    def end(self) -> None:
        """The stream ended. Raises FaultError when the response had not."""
        self.keep = False
        if self.phase in (UNTIL_CLOSE, TUNNEL):
            self.phase = DONE
        elif self.phase == HEAD and self._partial is None and self._interim == 0:
            raise faults.upstream(FaultKind.CONNECTION_TERMINATED, "closed before the response")
        elif self.phase != DONE:
            raise faults.upstream(FaultKind.HTTP_RESPONSE_INCOMPLETE, "closed within the response")

    @property
    def untouched(self) -> bool:
        """No byte of a response has arrived."""
        return self.phase == HEAD and self._partial is None and self._interim == 0

    # ------------------------------------------------------------------------------------------------------------ head

    def _feed_head(self, data: bytes) -> None:
        partial = self._partial
        start = 0
        if partial is not None:
            start = len(partial)
            partial += data
            if partial.find(_END, max(start - 3, 0), MAX_HEAD) < 0:
                self._hold(partial, start)
                return
            data = bytes(partial)
            self._partial = None
        end = data.find(_END, max(start - 3, 0), MAX_HEAD)
        if end < 0:
            self._hold(data, 0)
            return
        if not data.startswith(_PREFIX):
            raise faults.protocol("not an HTTP/1 response")
        rest = data[end + 4 :]
        head = parse(data[:end])
        if head.status >= 200:
            self._begin(head, rest)
        elif head.status == 101:
            self._switch(head, rest)
        else:
            self._interim_head(head)
            if rest:
                self._feed_head(rest)

    def _hold(self, data: bytes | bytearray, start: int) -> None:
        """Keep a partial head, unless it can no longer become a lawful one: do not wait for what cannot come."""
        if data[: len(_PREFIX)] != _PREFIX[: len(data)]:
            raise faults.protocol("not an HTTP/1 response")
        if data.count(b"\n", start, MAX_HEAD) != data.count(b"\r\n", max(start - 1, 0), MAX_HEAD):
            raise faults.protocol("bare LF in head")
        if len(data) >= MAX_HEAD:
            raise faults.upstream(FaultKind.HTTP_RESPONSE_HEADER_SECTION_SIZE, "head beyond 64 KiB")
        if self._partial is None:
            self._partial = bytearray(data)

    def _interim_head(self, head: Head) -> None:
        self._interim += 1
        if self._interim > MAX_INTERIM:
            raise faults.protocol("too many interim responses")
        if not head.persistent:  # odd, but lawful: the final response comes, and nothing after it
            self.keep = False
        if head.status == 103 and self._inform is not None:
            self._inform(103, [header for header in head.headers if header[0] != b"content-length"])

    def _switch(self, head: Head, rest: bytes) -> None:
        self.keep = False
        if not self._upgrade:
            raise faults.protocol("101 that was not asked for")
        if head.upgrade != b"websocket":
            raise faults.upstream(FaultKind.HTTP_UPGRADE_FAILED, "101 without Upgrade: websocket")
        self.status, self.headers = 101, [header for header in head.headers if header[0] != b"content-length"]
        self.phase = TUNNEL
        if rest:
            self.feed(rest)

    def _begin(self, head: Head, rest: bytes) -> None:
        self.status = status = head.status
        self.headers = head.headers
        length = head.length
        if not head.persistent:
            self.keep = False
        if head.keep_alive is not None:
            self.keep_alive = head.keep_alive
        if self._no_body or status == 204 or status == 304:
            if status == 204 and length is not None:
                self.headers = [header for header in head.headers if header[0] != b"content-length"]
            self.phase = DONE
        elif length is not None:
            self._remaining = length
            self.phase = LENGTH if length else DONE
            if length and rest:
                self._feed_length(rest)
                return
        elif head.chunked:
            self._chunked = ChunkedBody()
            self.phase = CHUNKED
        else:
            self.keep = False
            self.phase = UNTIL_CLOSE
        if rest:
            self.feed(rest)

    # ------------------------------------------------------------------------------------------------------------ body

    def _feed_length(self, data: bytes) -> None:
        size = len(data)
        remaining = self._remaining
        if size > remaining:
            self.keep = False
            data = data[:remaining]
            size = remaining
        self._remaining = remaining - size
        if size == remaining:
            self.phase = DONE
        self.pieces.append(data)
        self.buffered += size

    def _feed_chunked(self, data: bytes) -> None:
        assert self._chunked is not None
        pieces, ended, surplus = self._chunked.feed(data)
        self.pieces += pieces
        for piece in pieces:
            self.buffered += len(piece)
        if ended:
            self.phase = DONE
            if self._chunked.trailers:
                self.trailers = self._chunked.trailers
            if surplus:
                self.keep = False
