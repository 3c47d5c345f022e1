"""Generic cell rate algorithm, the default: a token bucket whose state is when it would be full again.

The state is the theoretical arrival time `tat` and the interval it was counted with. With T microseconds per unit and
room for `burst` units, a request of `cost` units at `now` is admitted iff max(now, tat) + T*cost - now <= T*burst.

The interval is kept because a quota may change while a bucket is in use, by a new configuration or an operator's raise:
what was used is then read in units, and weighs as much as it would have under the new quota.

Bound: in any interval of length L at most burst + floor(L / T) units are admitted.
"""

from __future__ import annotations

from typing import Final

from spork.domain.limits.terms import Ruling, Terms

#: `tat` in Unix microseconds, and the microseconds per unit it was counted with.
State = tuple[int, int]
#: Parts of a unit that are kept when a bucket changes its interval: as many as leave products below 2^53.
_PARTS: Final = 256


def decide(terms: Terms, state: State | None, now: int, cost: int) -> Ruling:
    """Rule on `cost` units at `now`. A cost of 0 takes nothing and is admitted iff one unit would be.

    A `tat` further away than a full bucket can only come from a clock that ran backwards: it is read as "empty now",
    so that a clock step costs at most one refill and never admits more.
    """
    span = terms.span
    interval = terms.interval
    if state is None or state[0] <= now:
        tat = now
    else:
        tat = state[0] if state[1] == interval else _full_at(terms, state, now)
        if tat - now > span + terms.debt:
            tat = now + span
            state = (tat, interval)
    new = tat + (interval * cost if cost > 0 else interval)
    over = new - now - span
    if over > 0:
        wait = tat - now
        return False, state, max((span - wait) // interval, 0), wait, over if cost <= terms.burst else terms.period
    if cost <= 0:
        return True, state, (span - tat + now) // interval, tat - now, 0
    return True, (new, interval), -over // interval, new - now, 0


def refund(terms: Terms, state: State | None, at: int, now: int, cost: int) -> State | None:
    """The state after `cost` units charged at `at` are given back at `now`.

    What time has refilled since is not given back again: without that, a bucket that had become full in between would
    hand out the same units twice.
    """
    back = terms.interval * max(cost, 0) - max(now - at, 0)
    if state is None or back <= 0:
        return state
    tat = _full_at(terms, state, now) - back
    return (tat, terms.interval) if tat > now else None


def settle(terms: Terms, state: State | None, now: int, cost: int) -> State:
    """The state after `cost` units more are charged at `now` whether or not they fit: the debt is paid in time.

    At most `terms.debt` lies beyond an empty bucket; what is above that is let go.
    """
    tat = (now if state is None else max(_full_at(terms, state, now), now)) + terms.interval * max(cost, 0)
    return min(tat, now + terms.span + terms.debt), terms.interval


def expires(state: State) -> int:
    """When a state means nothing any more, Unix microseconds: the bucket is full."""
    return state[0]


def _full_at(terms: Terms, state: State, now: int) -> int:
    """`tat` with the interval of `terms`: the units that are missing at `now` stay as many.

    In whole units and 256ths, rounded up: both factors stay exact in a double, where Redis computes the same.
    """
    tat, counted = state
    interval = terms.interval
    if counted == interval or tat <= now:
        return tat
    missing = tat - now
    units = missing // counted
    # Nothing beyond an empty bucket and its debt means more than that.
    most = (terms.span + terms.debt) // interval + 1
    if units >= most:
        return now + most * interval
    parts = -(-(missing - units * counted) * _PARTS // counted)
    return now + units * interval + -(-parts * interval // _PARTS)
