"""What limits promise about real intervals of time, and a checker of it. Times in microseconds."""

from __future__ import annotations

from spork.domain.limits.limit import Limit


def most_in_any_interval(admitted: list[tuple[int, int]], length: int) -> int:
    """The most units admitted in any half-open interval of `length`: only those that begin at an admission matter."""
    most = total = first = 0
    for at, units in admitted:
        total += units
        while admitted[first][0] <= at - length:
            total -= admitted[first][1]
            first += 1
        most = max(most, total)
    return most


def bound(rule: Limit, length: int) -> int:
    """What the algorithm promises for any interval of `length`."""
    terms = rule.terms
    if rule.algorithm == "gcra":
        return terms.burst + length // terms.interval
    if rule.algorithm == "sliding_log":
        return terms.quota * -(-length // terms.period)
    return terms.quota * (-(-length // terms.period) + 1)
