"""Reads one response from bytes, strictly, with no socket: the whole of RFC 9112's message framing for a client.

    HEAD --head--> LENGTH | CHUNKED | UNTIL_CLOSE | DONE | TUNNEL
    HEAD --1xx---> HEAD
    LENGTH, CHUNKED --last byte--> DONE;  UNTIL_CLOSE --end of stream--> DONE;  anything unlawful raises FaultError

How the bytes were cut into pieces never changes what is read. `keep` turns False at the slightest doubt and never
turns back: a connection whose reader does not end with `keep` must not carry another request.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from adapters.httptools import faults
from adapters.httptools.chunked import ChunkedBody
from adapters.httptools.head import Head, parse
from domain.http import Header
from domain.outcomes import FaultKind

MAX_HEAD = 65536
MAX_INTERIM = 10
_END = b"\r\n\r\n"
_PREFIX = b"HTTP/1."

Inform = Callable[[int, list[Header]], None]


class Phase(IntEnum):
    HEAD = 0
    LENGTH = 1
    CHUNKED = 2
    UNTIL_CLOSE = 3
    DONE = 4
    TUNNEL = 5


class ResponseReader:
    """One response being read. `status` is 0 until its final head is known; `pieces` hold body bytes not yet taken."""

    __slots__ = (
        "_chunked",
        "_inform",
        "_interim",
        "_no_body",
        "_partial",
        "_remaining",
        "_upgrade",
        "buffered",
        "headers",
        "keep",
        "keep_alive",
        "phase",
        "pieces",
        "status",
    )

    def __init__(self, method: str, upgrade: bool = False, inform: Inform | None = None) -> None:
        self.phase = Phase.HEAD
        self.status = 0
        self.headers: list[Header] = []
        self.pieces: list[bytes] = []
        self.buffered = 0
        self.keep = True
        self.keep_alive: float | None = None
        self._no_body = method == "HEAD"
        self._upgrade = upgrade
        self._inform = inform
        self._interim = 0
        self._partial: bytearray | None = None
        self._remaining = 0
        self._chunked: ChunkedBody | None = None

    def feed(self, data: bytes) -> None:
        """Read `data`. Raises FaultError when the response breaks the rules."""
        phase = self.phase
        if phase == Phase.HEAD:
            self._feed_head(data)
        elif phase == Phase.LENGTH:
            self._feed_length(data)
        elif phase == Phase.CHUNKED:
            self._feed_chunked(data)
        elif phase == Phase.DONE:
            self.keep = False  # surplus: belongs to no request, and must never answer one
        else:
            self.pieces.append(data)
            self.buffered += len(data)

    def end(self) -> None:
        """The stream ended. Raises FaultError when the response had not."""
        self.keep = False
        if self.phase in (Phase.UNTIL_CLOSE, Phase.TUNNEL):
            self.phase = Phase.DONE
        elif self.phase == Phase.HEAD and self._partial is None and self._interim == 0:
            raise faults.upstream(FaultKind.CONNECTION_TERMINATED, "closed before the response")
        elif self.phase != Phase.DONE:
            raise faults.upstream(FaultKind.HTTP_RESPONSE_INCOMPLETE, "closed within the response")

    @property
    def untouched(self) -> bool:
        """No byte of a response has arrived."""
        return self.phase == Phase.HEAD and self._partial is None and self._interim == 0

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
        if head.status == 103 and self._inform is not None:
            self._inform(103, [header for header in head.headers if header[0] != b"content-length"])

    def _switch(self, head: Head, rest: bytes) -> None:
        self.keep = False
        if not self._upgrade:
            raise faults.protocol("101 that was not asked for")
        if head.upgrade != b"websocket":
            raise faults.upstream(FaultKind.HTTP_UPGRADE_FAILED, "101 without Upgrade: websocket")
        self.status, self.headers = 101, [header for header in head.headers if header[0] != b"content-length"]
        self.phase = Phase.TUNNEL
        if rest:
            self.feed(rest)

    def _begin(self, head: Head, rest: bytes) -> None:
        status = head.status
        self.status, self.headers, self.keep_alive = status, head.headers, head.keep_alive
        self.keep = head.persistent
        length = head.length
        if self._no_body or status == 204 or status == 304:
            if status == 204 and length is not None:
                self.headers = [header for header in head.headers if header[0] != b"content-length"]
            self.phase = Phase.DONE
        elif length is not None:
            self._remaining = length
            self.phase = Phase.LENGTH if length else Phase.DONE
        elif head.chunked:
            self._chunked = ChunkedBody()
            self.phase = Phase.CHUNKED
        else:
            self.keep = False
            self.phase = Phase.UNTIL_CLOSE
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
            self.phase = Phase.DONE
        self.pieces.append(data)
        self.buffered += size

    def _feed_chunked(self, data: bytes) -> None:
        assert self._chunked is not None
        pieces, ended, surplus = self._chunked.feed(data)
        self.pieces += pieces
        for piece in pieces:
            self.buffered += len(piece)
        if ended:
            self.phase = Phase.DONE
            if surplus:
                self.keep = False
