"""Where the operator has been, and how they came to where they are: the way back, the way forward, the way up."""

from __future__ import annotations

MOST = 50
DEEPEST = 12
Place = tuple[str, str]
"""A screen's name and the key of what it shows, '' for lists."""
Trail = tuple[Place, ...]
"""The places from a list down to where one is."""


class History:
    """Places in the order they were visited; `here` is the current one, None before the first.

    Each is kept with its trail: what was opened from what. A list begins a new one, a place that is in it already ends it there.
    """

    def __init__(self) -> None:
        self._trails: list[Trail] = []
        self._at = -1
        self.before: Place | None = None

    @property
    def trail(self) -> Trail:
        """From the list the way began at down to here."""
        return self._trails[self._at] if self._trails else ()

    @property
    def here(self) -> Place | None:
        return self.trail[-1] if self._trails else None

    def visit(self, place: Place, within: bool = False) -> bool:
        """Go there, forgetting what lay forward; `within` keeps the way to a list. False if that is here."""
        if place == self.here:
            return False
        trail = self.trail
        if not place[1] and not within:
            trail = (place,)
        elif place in trail:
            trail = trail[: trail.index(place) + 1]
        else:
            trail = (*trail[-DEEPEST + 1 :], place)
        self._add(trail)
        return True

    def up(self) -> bool:
        """To what this was opened from; False at a list."""
        if len(self.trail) < 2:
            return False
        self._add(self.trail[:-1])
        return True

    def _add(self, trail: Trail) -> None:
        self.before = self.here
        del self._trails[self._at + 1 :]
        self._trails.append(trail)
        del self._trails[:-MOST]
        self._at = len(self._trails) - 1

    def back(self) -> bool:
        """One step back; False at the beginning."""
        return self._step(-1)

    def forward(self) -> bool:
        """One step forward; False at the end."""
        return self._step(1)

    def _step(self, by: int) -> bool:
        there = 0 <= self._at + by < len(self._trails)
        self._at += by if there else 0
        return there
