"""Service level objectives: what share of requests must be good, and how fast the allowance for bad ones is spent.

A request is bad when it failed (5xx) or, for a latency objective, took longer than promised. The error budget of an
objective of 99.9 % is 0.1 % of requests. The burn rate of a window is its share of bad requests over that allowance: 1
spends the budget exactly over its period, 14.4 spends 2 % of a 30-day budget in one hour (Google SRE Workbook, ch. 5).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from spork.domain.outcomes import SERVER_ERRORS

#: Windows that burn rates are reported for, seconds, with their names.
WINDOWS: Final = ((300, "5m"), (1800, "30m"), (3600, "1h"), (21600, "6h"))

#: (width of a slice, windows up to so long are added up from them), seconds.
_WIDTHS: Final = ((60, 3600.0), (600, 86_400.0), (21_600, 90 * 86_400.0))


@dataclass(frozen=True, slots=True)
class Objective:
    """`target` 0..1 of the requests of `route` and `consumer` (empty: all) are to be good, over `period` seconds.

    `latency` in seconds makes slow requests bad too; None asks only that they do not fail.
    """

    name: str
    target: float
    route: str = ""
    consumer: str = ""
    latency: float | None = None
    period: float = 30 * 86400.0

    @property
    def key(self) -> str:
        """What its counts are kept under: another definition begins anew."""
        parts = (self.name, self.target, self.route, self.consumer, self.latency, self.period)
        return hashlib.sha256("\0".join(map(repr, parts)).encode()).hexdigest()[:24]

    @property
    def kept(self) -> dict[int, float]:
        """Slices that its windows and its period are added up from: width in seconds, and for how long each is needed."""
        needed: dict[int, float] = {}
        for seconds in (*(seconds for seconds, _ in WINDOWS), self.period):
            width = slice_width(seconds)
            needed[width] = max(needed.get(width, 0.0), seconds)
        return needed

    def covers(self, route: str, consumer: str) -> bool:
        return (not self.route or self.route == route) and (not self.consumer or self.consumer == consumer)

    def bad(self, status: int, seconds: float) -> bool:
        return status >= SERVER_ERRORS or status == 0 or (self.latency is not None and seconds > self.latency)


def slice_width(seconds: float) -> int:
    """How finely a window of so many seconds is counted: some dozens to some hundred slices, in seconds."""
    for width, longest in _WIDTHS:
        if seconds <= longest:
            return width
    return 86_400


def first_slice(seconds: float, now: float) -> int:
    """The oldest slice (by `slice_width`) of the last `seconds`, which the running one belongs to. `now` in Unix seconds."""
    width = slice_width(seconds)
    return int(now // width) - int(-(-seconds // width)) + 1


def burn_rate(bad: int, total: int, target: float) -> float:
    """How many times faster than sustainable the budget is spent; 0 without requests."""
    if total == 0 or bad == 0:
        return 0.0
    allowance = 1.0 - target
    return round((bad / total) / allowance, 6) if allowance > 0 else float("inf")


def budget_left(bad: int, total: int, target: float) -> float:
    """Share of the error budget that is left, 1 when nothing is spent, below 0 when overspent."""
    if total == 0 or bad == 0:
        return 1.0
    allowed = (1.0 - target) * total
    return round(1.0 - bad / allowed, 6) if allowed > 0 else -1.0
