"""Who uses limits and who is refused: bounded counts over the last five minutes, per limit.

The request path only adds one to a plain dictionary. `fold` moves those counts, off the request path, into slices of
half a minute that keep the heaviest identities each (Metwally's space-saving: an identity above 1/`KEPT` of a slice's
total is never missed, and a count is never too small).
"""

from __future__ import annotations

from collections import deque
from heapq import nlargest
from typing import Final

from spork.domain.limits.limit import Limit

SLICE: Final = 30.0
SLICES: Final = 10
KEPT: Final = 512


class LimitHits:
    """Counts of one bucket since the last fold, and for good."""

    __slots__ = ("admitted", "limit", "refused", "slices", "total_admitted", "total_refused")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.admitted: dict[str, int] = {}
        self.refused: dict[str, int] = {}
        self.total_admitted = 0
        self.total_refused = 0
        #: (began at, admitted by identity, refused by identity), newest last
        self.slices: deque[tuple[float, dict[str, int], dict[str, int]]] = deque()

    def turned_away(self, identity: str, by_this: bool) -> None:
        """Who was counted as admitted when asking was not: refused by this limit, or by another one beside it.

        A fold in between leaves a count below nothing, which the next fold takes off.
        """
        self.admitted[identity] = self.admitted.get(identity, 0) - 1
        if by_this:
            self.refused[identity] = self.refused.get(identity, 0) + 1

    def fold(self, now: float) -> None:
        while self.slices and self.slices[0][0] <= now - SLICE * SLICES:
            self.slices.popleft()
        if not self.admitted and not self.refused:
            return
        if not self.slices or self.slices[-1][0] + SLICE <= now:
            self.slices.append((now, {}, {}))
        self.total_admitted += _pour(self.admitted, self.slices[-1][1])
        self.total_refused += _pour(self.refused, self.slices[-1][2])

    def last_seen(self, identity: str) -> float | None:
        """When the latest slice with `identity` in it began."""
        for began, admitted, refused in reversed(self.slices):
            if identity in admitted or identity in refused:
                return began
        return None

    def counts(self, refused: bool = False) -> dict[str, int]:
        """By identity, over the last five minutes."""
        total: dict[str, int] = {}
        for _, admitted, turned_away in self.slices:
            for identity, count in (turned_away if refused else admitted).items():
                total[identity] = total.get(identity, 0) + count
        return total


class HeavyHitters:
    """The tallies of all limits in force, by bucket."""

    def __init__(self) -> None:
        self._tallies: dict[str, LimitHits] = {}

    def tally(self, limit: Limit) -> LimitHits:
        """The tally of the limit's bucket; kept when the limit is compiled anew."""
        tally = self._tallies.get(limit.bucket)
        if tally is None:
            tally = self._tallies[limit.bucket] = LimitHits(limit)
        tally.limit = limit
        return tally

    def fold(self, now: float) -> None:
        """Once a second, `now` in Unix seconds."""
        for tally in self._tallies.values():
            tally.fold(now)

    def keep(self, buckets: set[str]) -> None:
        """Forget the tallies of limits no longer in force."""
        self._tallies = {bucket: tally for bucket, tally in self._tallies.items() if bucket in buckets}

    def tallies(self) -> list[LimitHits]:
        return list(self._tallies.values())

    def top(self, most: int, refused: bool = False) -> list[tuple[LimitHits, str, int]]:
        """The heaviest (tally, identity, count) of the last five minutes, heaviest first."""
        rows = [
            (tally, identity, count)
            for tally in self._tallies.values()
            for identity, count in tally.counts(refused).items()
        ]
        return nlargest(most, rows, key=lambda row: row[2])


def _pour(fresh: dict[str, int], kept: dict[str, int]) -> int:
    """Move counts over and empty `fresh`; at the bound a newcomer takes the place, and the count, of the lightest."""
    moved = 0
    for identity, count in sorted(fresh.items(), key=lambda item: -item[1]):
        moved += count
        if count == 0:
            continue
        if identity in kept or len(kept) < KEPT:
            kept[identity] = kept.get(identity, 0) + count
        elif count > 1 or len(fresh) <= KEPT:
            lightest = min(kept, key=kept.__getitem__)
            kept[identity] = kept.pop(lightest) + count
    fresh.clear()
    return moved
