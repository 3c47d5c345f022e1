"""A clock that stands still until it is told to go on."""

from __future__ import annotations


class VirtualClock:
    """Implements `Clock`. Starts at `unix` seconds; only `advance` moves it. Timers of the event loop are not its own."""

    def __init__(self, unix: float = 1_750_000_000.0) -> None:
        self._unix = unix
        self._monotonic = 1000.0

    def monotonic(self) -> float:
        return self._monotonic

    def unix(self) -> float:
        return self._unix

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass at once. Raises ValueError for time that would run backwards."""
        if seconds < 0:
            raise ValueError("time does not run backwards")
        self._unix += seconds
        self._monotonic += seconds
