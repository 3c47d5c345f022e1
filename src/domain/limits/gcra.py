"""The generic cell rate algorithm (ITU-T I.371), the default: a token bucket whose whole state is one number.

The state is the theoretical arrival time `tat`: when the bucket would be full again. With T microseconds per unit and
room for `burst` units, a request of `cost` units at `now` is admitted iff max(now, tat) + T*cost - now <= T*burst.

Bound: in any interval of length L at most burst + floor(L / T) units are admitted.
"""

from __future__ import annotations

from spork.domain.limits.terms import Ruling, Terms


def decide(terms: Terms, state: int | None, now: int, cost: int) -> Ruling:
    """Rule on `cost` units at `now`. A cost of 0 takes nothing and is admitted iff one unit would be.

    A `tat` further away than a full bucket can only come from a clock that ran backwards: it is read as "empty now",
    so that a clock step costs at most one refill and never admits more.
    """
    span = terms.span
    interval = terms.interval
    if state is None or state <= now:
        tat = now
    elif state - now > span + terms.debt:
        tat = state = now + span
    else:
        tat = state
    new = tat + (interval * cost if cost > 0 else interval)
    over = new - now - span
    if over > 0:
        wait = tat - now
        return False, state, max((span - wait) // interval, 0), wait, over if cost <= terms.burst else terms.period
    if cost <= 0:
        return True, state, (span - tat + now) // interval, tat - now, 0
    return True, new, -over // interval, new - now, 0


def refund(terms: Terms, state: int | None, at: int, now: int, cost: int) -> int | None:
    """The state after `cost` units charged at `at` are given back at `now`.

    What time has refilled since is not given back again: without that, a bucket that had become full in between would
    hand out the same units twice.
    """
    back = terms.interval * max(cost, 0) - max(now - at, 0)
    if state is None or back <= 0:
        return state
    tat = state - back
    return tat if tat > now else None


def settle(terms: Terms, state: int | None, now: int, cost: int) -> int:
    """The state after `cost` units more are charged at `now` whether or not they fit: the debt is paid in time.

    At most `terms.debt` lies beyond an empty bucket; what is above that is let go.
    """
    tat = max(now if state is None else state, now) + terms.interval * max(cost, 0)
    return min(tat, now + terms.span + terms.debt)
