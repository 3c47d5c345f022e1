"""A request body that can be sent again: what was read is kept, up to a bound."""

from __future__ import annotations

from spork.application.kernel.streams import RequestBody


class ReplayBody:
    """`ports.RequestBody` over another one, kept up to `maximum` bytes so that a retry can begin anew."""

    __slots__ = ("_body", "_kept", "_maximum", "_position", "_size", "length", "replayable")

    def __init__(self, body: RequestBody, maximum: int) -> None:
        self._body = body
        self._kept: list[bytes] = []
        self._size = 0
        self._position = 0
        self._maximum = maximum
        self.length = body.length
        #: False once more was read than is kept.
        self.replayable = True

    @property
    def received(self) -> int:
        return self._body.received

    def whole(self) -> bytes | None:
        """After a rewind, all of it if all of it was read before."""
        if self.replayable and self._size == self.length and self._position == 0:
            self._position = len(self._kept)
            return b"".join(self._kept)
        return None

    def limit(self, maximum: int) -> None:
        self._body.limit(maximum)

    async def read(self) -> bytes:
        if self._position < len(self._kept):
            piece = self._kept[self._position]
            self._position += 1
            return piece
        piece = await self._body.read()
        if piece and self.replayable:
            self._size += len(piece)
            if self._size > self._maximum:
                self.replayable = False
                self._kept.clear()
            else:
                self._kept.append(piece)
                self._position += 1
        return piece

    def rewind(self) -> None:
        """Begin anew with the next read."""
        self._position = 0
