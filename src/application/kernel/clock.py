"""The two clocks a use case may read."""

from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """The two clocks. Read once per exchange."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""

    def unix(self) -> float:
        """Seconds since the epoch."""
