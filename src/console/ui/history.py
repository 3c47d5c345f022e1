"""Where the operator has been: the way back, the way forward, the view before this one."""

from __future__ import annotations

MOST = 50
Place = tuple[str, str]
"""A screen's name and the key of what it shows, '' for lists."""


class History:
    """Places in the order they were visited; `here` is the current one, None before the first."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._at = -1
        self.before: Place | None = None

    @property
    def here(self) -> Place | None:
        return self._places[self._at] if self._places else None

    def visit(self, place: Place) -> bool:
        """Go there, forgetting what lay forward. False if that is here."""
        if place == self.here:
            return False
        self.before = self.here
        del self._places[self._at + 1 :]
        self._places.append(place)
        del self._places[:-MOST]
        self._at = len(self._places) - 1
        return True

    def back(self) -> bool:
        """One step back; False at the beginning."""
        return self._step(-1)

    def forward(self) -> bool:
        """One step forward; False at the end."""
        return self._step(1)

    def _step(self, by: int) -> bool:
        there = 0 <= self._at + by < len(self._places)
        self._at += by if there else 0
        return there
