"""A limit's numbers, compiled once: integer microseconds and units, so that every adapter computes the same integers.

Everything stays below 2^53, where Lua's doubles are still exact. What is written larger is cut to the bounds here,
and the cut is always towards refusing: never a unit more than was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from spork.domain.limits.calendars import Calendar

MICROS: Final = 1_000_000
#: The longest period, in microseconds: 366 days.
MAX_PERIOD: Final = 366 * 86_400 * MICROS
#: The largest quota and burst, in units.
MAX_UNITS: Final = 1_000_000_000
#: The longest time a full bucket may take to refill, in microseconds (about 95 years): beyond it, burst is cut.
MAX_SPAN: Final = 3_000_000_000_000_000
#: A period is weighed in at most this many slices by the sliding window counter.
SLICES: Final = 1_000_000

#: What an algorithm answers: admitted, the state to keep, units left, and microseconds until whole and until a retry.
#: A refused request's state to keep is the one it was given, unless that state lay in the future and was moved to now.
Ruling = tuple[bool, Any, int, int, int]
Decide = Callable[["Terms", Any, int, int], Ruling]


class Terms:
    """The numbers of one limit. Times in microseconds.

    `interval` is what one unit costs in time (GCRA's T, rounded up), `span` the time a full bucket takes to refill.
    `slice` and `slices` divide the period for the sliding window counter. `calendar` is set for calendar quotas.
    Compared and hashed by identity: an adapter may key on it.
    """

    __slots__ = (
        "algorithm",
        "burst",
        "calendar",
        "debt",
        "decide",
        "interval",
        "period",
        "quota",
        "slice",
        "slices",
        "span",
    )

    def __init__(
        self,
        algorithm: str,
        decide: Decide,
        quota: int,
        period: float,
        burst: int | None,
        calendar: Calendar | None,
        debt: int = 0,
    ) -> None:
        self.algorithm = algorithm
        self.decide = decide
        self.quota = min(max(int(quota), 0), MAX_UNITS)
        self.period = min(max(round(period * MICROS), 1), MAX_PERIOD)
        self.interval = -(-self.period // self.quota) if self.quota else self.period
        wanted = self.quota if burst is None else (min(max(int(burst), 0), MAX_UNITS) if self.quota else 0)
        self.burst = min(wanted, MAX_SPAN // self.interval)
        self.span = self.interval * self.burst
        self.slice = -(-self.period // SLICES)
        self.slices = -(-self.period // self.slice)
        self.calendar = calendar
        #: How far beyond an empty bucket `tat` may rightly lie: what settled costs may overdraw.
        self.debt = min(self.interval * max(debt, 0), MAX_SPAN)

    def __repr__(self) -> str:
        return f"<Terms {self.algorithm} {self.quota} per {self.period} us, burst {self.burst}>"
