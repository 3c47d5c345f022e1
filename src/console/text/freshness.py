"""How old is what the operator sees? Said in a word and an age, per topic, by the console's own monotonic clock.

    LIVE   younger than 2 intervals         STALE  5 intervals and older
    LAG    younger than 5 intervals         DOWN   three attempts in a row failed, whatever the age

The server's `as_of` gives the starting point; from then on age is counted here, so a gateway whose clock is wrong, or
stands still, cannot make old data look new. A difference of more than two seconds between the two wall clocks is
shown as CLOCK SKEW.
"""

from __future__ import annotations

from dataclasses import dataclass

LIVE, LAG, STALE, DOWN, NEVER = "LIVE", "LAG", "STALE", "DOWN", "WAITING"
FAILURES_UNTIL_DOWN = 3
SKEW_TOLERATED = 2.0


@dataclass(frozen=True, slots=True)
class Freshness:
    """`word` and `age` in seconds (None before the first data). `tone` is how it is painted."""

    word: str
    age: float | None

    @property
    def old(self) -> bool:
        """So old that what is shown is history, and painted quietly?"""
        return self.word in (STALE, DOWN)

    @property
    def live(self) -> bool:
        return self.word == LIVE

    @property
    def tone(self) -> str:
        return {LIVE: "ok", LAG: "warn", STALE: "warn", DOWN: "bad", NEVER: "dim"}[self.word]

    def __str__(self) -> str:
        return self.word if self.age is None else f"{self.word} {age(self.age)}"


def judge(seconds: float | None, interval: float, failures: int) -> Freshness:
    """The freshness of data `seconds` old that ought to be renewed each `interval` seconds."""
    if failures >= FAILURES_UNTIL_DOWN:
        return Freshness(DOWN, seconds)
    if seconds is None:
        return Freshness(NEVER, None)
    if seconds < 2 * interval:
        return Freshness(LIVE, seconds)
    return Freshness(LAG if seconds < 5 * interval else STALE, seconds)


def lag_on_arrival(as_of: float, wall: float) -> float:
    """How old an answer was when it came. A larger difference than tolerated is skew, and says nothing about age."""
    lag = wall - as_of
    return lag if 0.0 < lag <= SKEW_TOLERATED else 0.0


def skewed(skew: float) -> bool:
    """Do the two clocks differ by more than we tolerate?"""
    return abs(skew) > SKEW_TOLERATED


def age(seconds: float) -> str:
    """0.3s 14s 2m10s 3h12m 4d: an age of at most five or six cells."""
    if seconds < 0:
        seconds = 0.0
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 99.5:
        return f"{seconds:.0f}s"
    if seconds < 3600:
        return f"{int(seconds // 60)}m{int(seconds % 60):02d}s"
    if seconds < 86_400 * 2:
        return f"{int(seconds // 3600)}h{int(seconds % 3600 // 60):02d}m"
    return f"{int(seconds // 86_400)}d"
