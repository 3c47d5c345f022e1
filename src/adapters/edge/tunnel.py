"""The raw connection to a client after an upgrade: bytes pass as they are, only frame boundaries are watched.

Watching costs one look at each frame's header and is what lets a draining gateway say goodbye (close code 1001)
between two frames of the target's stream instead of in the middle of one.
"""

from __future__ import annotations

import asyncio
from typing import Final

from spork.adapters.edge.line import Line, RawReader
from spork.domain.http.websocket import close_frame

#: A server's unmasked Close frame with status 1001, going away (RFC 6455 5.5.1, 7.4.1).
GOING_AWAY: Final = close_frame(1001)

_CLOSE: Final = 0x8
_HIGH_WATER: Final = 64 * 1024


class FrameBoundaries:
    """Follows a stream of WebSocket frames (RFC 6455 5.2) and knows where it stands between two of them."""

    __slots__ = ("_left", "_partial", "closed")

    def __init__(self) -> None:
        self._partial = b""
        self._left = 0
        #: A Close frame went by: nothing may follow it.
        self.closed = False

    @property
    def between(self) -> bool:
        """Whether the stream stands at the end of a frame."""
        return not self._left and not self._partial

    def advance(self, data: bytes) -> int:
        """Take in `data`; how many of its bytes belong to frames that end within it."""
        carried = len(self._partial)
        if carried:
            data = self._partial + data
            self._partial = b""
        at = whole = 0
        size = len(data)
        while at < size:
            if not self._left:
                header = self._frame_header(data, at)
                if not header:
                    self._partial = data[at:]
                    break
                at += header
            taken = min(self._left, size - at)
            self._left -= taken
            at += taken
            if not self._left:
                whole = at
        return max(0, whole - carried)

    def _frame_header(self, data: bytes, at: int) -> int:
        """Length of the frame header at `at`, its payload's length noted; 0 while it is incomplete."""
        available = len(data) - at
        if available < 2:
            return 0
        marker = data[at + 1] & 0x7F
        extended = 2 if marker == 126 else 8 if marker == 127 else 0
        length = 2 + extended + (4 if data[at + 1] & 0x80 else 0)
        if available < length:
            return 0
        self._left = int.from_bytes(data[at + 2 : at + 2 + extended], "big") if extended else marker
        self.closed = self.closed or data[at] & 0x0F == _CLOSE
        return length


class ClientTunnel(RawReader):
    """`application.ports.Tunnel` to the client. Reading pauses while the target takes less than the client sends."""

    __slots__ = (
        "_connection",
        "_ended",
        "_farewell",
        "_frames",
        "_goodbye",
        "_pieces",
        "_size",
        "_waiter",
        "drain_code",
    )

    def __init__(self, connection: Line, early: bytes) -> None:
        self._connection = connection
        self._pieces = [early] if early else []
        self._size = len(early)
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False
        self._frames = FrameBoundaries()
        self._goodbye = False
        self._farewell = GOING_AWAY
        self.drain_code = 1001

    @property
    def paused(self) -> bool:
        return self._connection.write_paused

    async def read(self) -> bytes:
        """Next bytes, b"" when the client has closed or was told goodbye."""
        while not self._pieces:
            if self._ended:
                return b""
            self._waiter = self._connection.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        self._connection.resume_body()
        return data

    def write(self, data: bytes) -> None:
        if self._connection.transport.is_closing() or (self._goodbye and self._frames.between):
            return
        whole = self._frames.advance(data)
        if not self._goodbye:
            self._connection.transport.write(data)
        elif whole or self._frames.between:
            self._connection.transport.write(data[:whole] + self._farewell)
            self.feed_eof()
        else:
            self._connection.transport.write(data)

    async def drain(self) -> None:
        await self._connection.writable()

    def close(self) -> None:
        """End the connection; after a goodbye the client gets a moment to answer it."""
        self._connection.end_tunnel(lingering=self._goodbye)

    def feed(self, data: bytes) -> None:
        """Bytes from the client."""
        if self._ended:
            return
        self._pieces.append(data)
        self._size += len(data)
        if self._size > _HIGH_WATER:
            self._connection.pause_body()
        self._wake()

    def feed_eof(self) -> None:
        """Nothing more comes from the client, or nothing more is wanted."""
        self._ended = True
        self._wake()

    def go_away(self, code: int = 0, text: str = "") -> None:
        """Send a Close frame as soon as the target's current frame has ended, then read as if at the end."""
        if self._goodbye or self._frames.closed:
            return
        self._goodbye = True
        self._farewell = close_frame(code or self.drain_code, text)
        if self._frames.between and not self._connection.transport.is_closing():
            self._connection.transport.write(self._farewell)
            self.feed_eof()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
