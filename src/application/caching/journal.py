"""The journal of purges: up to where each tag was purged, so that purging costs one note and leaves nothing behind.

Positions grow with every purge. An entry remembers where the journal stood when its fill began; it is gone once one of its
tags was purged behind that. So a fill that began before a purge is covered although it ends after it, no clock is asked, and
there is no index from tags to entries that could leak or lose one. The journal is bounded: when it is full, its floor rises,
and every entry that began before the floor counts as purged.

One that a fleet shares gives whole positions. Purges that could not be told to it yet lie between them.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Final

from spork.domain.http.caching.stored import StoredResponse

#: Tags that the journal holds before its floor rises.
MOST: Final = 50_000


class Purged(Enum):
    """What a purge made of an entry."""

    NO = 0
    SOFT = 1  #: stale from now on
    HARD = 2  #: gone


class PurgeJournal:
    """Tags with the positions of their last purge. `epoch` names the life of the store behind it."""

    __slots__ = ("_hard", "_most", "_soft", "changes", "epoch", "floor", "position")

    def __init__(self, most: int = MOST) -> None:
        self._hard: dict[bytes, float] = {}
        self._soft: dict[bytes, float] = {}
        self._most = most
        self.epoch = ""
        self.position = 0.0
        self.floor = 0.0
        #: Grows with everything noted: an entry looked at since then need not be looked at again.
        self.changes = 0

    def __len__(self) -> int:
        return len(self._hard) + len(self._soft)

    def __repr__(self) -> str:
        return f"<PurgeJournal at {self.position:g}, {len(self)} tags, floor {self.floor:g}>"

    def note(self, tags: Iterable[bytes], soft: bool, position: float | None = None) -> float:
        """Purge `tags` at `position`, or behind everything so far; answers where the journal stands then."""
        at = self.position + 1.0 if position is None else position
        noted = self._soft if soft else self._hard
        for tag in tags:
            noted[tag] = max(at, noted.get(tag, 0.0))
        self.position = max(self.position, at)
        self.changes += 1
        if len(self) > self._most:
            self.raise_floor(self.position)
        return self.position

    def note_untold(self, tags: Iterable[bytes], soft: bool) -> float:
        """Purge `tags` here, at a position that no shared journal gives: between the last whole one and the next."""
        whole = float(int(self.position))
        return self.note(tags, soft, whole + (1.0 + self.position - whole) / 2.0)

    def raise_floor(self, position: float) -> None:
        """Forget the tags: every entry that began before `position` counts as purged."""
        self.floor = max(self.floor, position)
        self._hard.clear()
        self._soft.clear()
        self.changes += 1

    def restart(self, epoch: str) -> None:
        """The store behind was emptied: nothing that was kept before may be believed."""
        self.epoch = epoch
        self._hard.clear()
        self._soft.clear()
        self.position = self.floor = 0.0
        self.changes += 1

    def covers(self, entry: StoredResponse) -> Purged:
        """Whether one of the entry's tags was purged after its fill began."""
        began = entry.began
        if began < self.floor:
            return Purged.HARD
        found = Purged.NO
        hard, soft = self._hard, self._soft
        if not hard and not soft:
            return found
        for tag in entry.tags:
            if hard.get(tag, -1.0) > began:
                return Purged.HARD
            if soft.get(tag, -1.0) > began:
                found = Purged.SOFT
        return found
