"""A fill in progress: the answer of a target on its way into the cache, which others may read while it arrives.

The fill is read at the target's pace. Whoever reads it keeps a place of its own and is woken for each piece, so a slow first
client slows nobody. An answer that turns out larger than may be kept goes on as a plain relay: from then on pieces that all
readers have are let go, and the target is read no faster than the slowest of them.
"""

from __future__ import annotations

import asyncio
from typing import Final

from spork.application.kernel.faults import FaultError
from spork.domain.http.caching.stored import StoredResponse

#: Pieces held for the slowest reader of an answer that is not kept.
_BEHIND: Final = 16


class Filling:
    """The pieces of one answer. `entry` has its head; `whole` is set when it is complete and fits."""

    __slots__ = (
        "_base",
        "_places",
        "_waiting",
        "entry",
        "failure",
        "kept",
        "most",
        "pieces",
        "readers",
        "size",
        "whole",
    )

    def __init__(self, entry: StoredResponse, most: int) -> None:
        self.entry = entry
        self.most = most
        self.pieces: list[bytes] = []
        self.size = 0
        #: False once there was more than may be kept.
        self.kept = True
        self.whole: StoredResponse | None = None
        self.failure: FaultError | None = None
        self.readers = 0
        self._base = 0
        self._places: dict[int, int] = {}
        self._waiting: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        state = "whole" if self.whole is not None else "broken" if self.failure is not None else "open"
        return f"<Filling {state} {self.size} bytes, {self.readers} readers{'' if self.kept else ', not kept'}>"

    @property
    def joinable(self) -> bool:
        """Whether another reader can still have all of it."""
        return self.kept and self.failure is None

    def feed(self, piece: bytes) -> None:
        """One more piece of the body."""
        self.pieces.append(piece)
        self.size += len(piece)
        if self.kept and self.size > self.most:
            self.kept = False
        if not self.kept:
            self._let_go()
        self._wake()

    def complete(self) -> StoredResponse:
        """The clean end of the body. Answers the entry with it; it is only to be kept when `kept`."""
        self.whole = self.entry.with_body(b"".join(self.pieces)) if self.kept else self.entry
        self._wake()
        return self.whole

    def fail(self, failure: FaultError) -> None:
        """The body broke: nothing of it is kept, and every reader's answer is cut."""
        self.failure = failure
        self._wake()

    async def room(self) -> None:
        """Wait until the slowest reader is near enough, when pieces are not kept anyway."""
        while not self.kept and len(self.pieces) > _BEHIND and self.readers:
            await self._wait()

    # ---------------------------------------------------------------------------------------------------------- readers

    def join(self) -> int:
        """A new reader; its number."""
        number = max(self._places, default=0) + 1
        self._places[number] = 0
        self.readers += 1
        return number

    def leave(self, number: int) -> None:
        self._places.pop(number, None)
        self.readers -= 1
        if not self.kept:
            self._let_go()
        self._wake()

    async def read(self, number: int) -> bytes:
        """The next pieces for this reader, b"" at the clean end. Raises FaultError when the body broke."""
        while True:
            at = self._places[number] - self._base
            if at < len(self.pieces):
                piece = self.pieces[at] if at + 1 == len(self.pieces) else b"".join(self.pieces[at:])
                self._places[number] = self._base + len(self.pieces)
                if not self.kept:
                    self._let_go()
                    self._wake()
                return piece
            if self.failure is not None:
                raise self.failure
            if self.whole is not None:
                return b""
            await self._wait()

    def _let_go(self) -> None:
        done = min(self._places.values(), default=self._base + len(self.pieces)) - self._base
        if done > 0:
            del self.pieces[:done]
            self._base += done

    async def _wait(self) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future

    def _wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
