"""Counting in windows of time: fixed, calendar, sliding counter, sliding log; and counting what is in flight.

Bounds on the units admitted in *any* interval as long as the period:

- fixed window and calendar: quota in each aligned window, up to 2 x quota across an edge;
- sliding window counter: the last window's count is weighed by how much of it is still in sight, as if its requests
  had come evenly; below 2 x quota in the worst case, close to the quota under steady load;
- sliding log: exactly the quota; the state grows with the number of requests admitted in one period;
- concurrency: quota at once, whatever the time.

All take `cost` 0 as a question: nothing is consumed, and it is admitted iff one unit would be. Negative costs count
as 0.
Whatever a state says of times after `now` comes from a clock that ran backwards; it is counted as having happened now,
which never admits more, and costs at most one period.
"""

from __future__ import annotations

from spork.domain.limits.terms import Ruling, Terms

#: (start of the window, units used in it)
Counter = tuple[int, int]
#: (start of the current window, units in it, units in the window before)
Pair = tuple[int, int, int]
#: ((admitted at, units), ...), oldest first
Log = tuple[tuple[int, int], ...]


def _count(terms: Terms, state: Counter | None, start: int, end: int, now: int, cost: int) -> Ruling:
    used = 0
    if state is not None:
        if state[0] == start:
            used = state[1]
        elif state[0] > start:
            used = state[1]
            state = (start, used)
    left = terms.quota - used
    if left < (cost if cost > 0 else 1):
        return False, state, max(left, 0), end - now, end - now
    if cost <= 0:
        return True, state, left, end - now, 0
    return True, (start, used + cost), left - cost, end - now, 0


def decide_fixed(terms: Terms, state: Counter | None, now: int, cost: int) -> Ruling:
    """Windows aligned to the epoch."""
    start = now - now % terms.period
    return _count(terms, state, start, start + terms.period, now, cost)


def decide_calendar(terms: Terms, state: Counter | None, now: int, cost: int) -> Ruling:
    """Windows of a local day or month."""
    assert terms.calendar is not None
    start, end = terms.calendar.window(now)
    return _count(terms, state, start, end, now, cost)


def refund_fixed(terms: Terms, state: Counter | None, at: int, now: int, cost: int) -> Counter | None:
    return _uncount(state, at - at % terms.period, cost)


def refund_calendar(terms: Terms, state: Counter | None, at: int, now: int, cost: int) -> Counter | None:
    assert terms.calendar is not None
    return _uncount(state, terms.calendar.window(at)[0], cost)


def _uncount(state: Counter | None, start: int, cost: int) -> Counter | None:
    """Only the window that was charged is given its units back."""
    if state is None or state[0] != start:
        return state
    used = state[1] - max(cost, 0)
    return (start, used) if used > 0 else None


def decide_sliding(terms: Terms, state: Pair | None, now: int, cost: int) -> Ruling:
    """The sliding window counter. The weighed count is rounded up, so rounding never admits more."""
    period = terms.period
    start = now - now % period
    current = previous = 0
    if state is not None:
        at, current, previous = state
        if at > start:
            current, previous = min(current + previous, terms.quota), 0
            state = (start, current, 0)
        elif at == start - period:
            current, previous = 0, current
        elif at != start:
            current = previous = 0
    rest = start + period - now
    weight = -(-rest // terms.slice)
    used = current + -(-previous * weight // terms.slices)
    left = terms.quota - used
    need = cost if cost > 0 else 1
    if left < need:
        whole = rest + period if current else rest
        return False, state, max(left, 0), whole, _sliding_wait(terms, current, previous, rest, need)
    if cost <= 0:
        return True, state, left, (rest + period if current else (rest if previous else 0)), 0
    return True, (start, current + cost, previous), left - cost, rest + period, 0


def _sliding_wait(terms: Terms, current: int, previous: int, rest: int, need: int) -> int:
    """Microseconds until `need` units fit if nobody else comes; a period when they never will."""
    if need > terms.quota:
        return terms.period
    room = terms.quota - current - need
    if room >= 0:
        return rest - room * terms.slices // previous * terms.slice
    weight = min((terms.quota - need) * terms.slices // current, terms.slices)
    return rest + max(terms.period - weight * terms.slice, 0)


def refund_sliding(terms: Terms, state: Pair | None, at: int, now: int, cost: int) -> Pair | None:
    if state is None:
        return None
    start, current, previous = state
    charged = at - at % terms.period
    if charged == start:
        current = max(current - max(cost, 0), 0)
    elif charged == start - terms.period:
        previous = max(previous - max(cost, 0), 0)
    return (start, current, previous) if current or previous else None


def decide_log(terms: Terms, state: Log | None, now: int, cost: int) -> Ruling:
    """The sliding log. An admission stops counting exactly one period after it was made."""
    log: Log = state or ()
    if log and log[-1][0] > now:
        log = state = tuple((min(at, now), units) for at, units in log)
    edge = now - terms.period
    first = 0
    for at, _ in log:
        if at > edge:
            break
        first += 1
    live = log[first:] if first else log
    used = sum(units for _, units in live)
    left = terms.quota - used
    need = cost if cost > 0 else 1
    reset = live[-1][0] - edge if live else 0
    if left < need:
        return False, state, max(left, 0), reset, _log_wait(terms, live, edge, need - left, need)
    if cost <= 0:
        return True, state, left, reset, 0
    return True, (*live, (now, cost)), left - cost, terms.period, 0


def _log_wait(terms: Terms, live: Log, edge: int, missing: int, need: int) -> int:
    if need > terms.quota:
        return terms.period
    for at, units in live:
        missing -= units
        if missing <= 0:
            return at - edge
    return terms.period


def refund_log(terms: Terms, state: Log | None, at: int, now: int, cost: int) -> Log | None:
    """Takes one entry of `cost` units made at `at` out."""
    log = state or ()
    if (at, cost) not in log:
        return state
    index = log.index((at, cost))
    return (*log[:index], *log[index + 1 :]) or None


def decide_concurrency(terms: Terms, state: int | None, now: int, cost: int) -> Ruling:
    """`state` is the units in flight; they come back by release, so waiting is a guess: one second."""
    used = state or 0
    left = terms.quota - used
    if left < (cost if cost > 0 else 1):
        return False, state, max(left, 0), 0, 1_000_000
    if cost <= 0:
        return True, state, left, 0, 0
    return True, used + cost, left - cost, 0, 0


def refund_concurrency(terms: Terms, state: int | None, at: int, now: int, cost: int) -> int | None:
    left = (state or 0) - max(cost, 0)
    return left if left > 0 else None


def settle_fixed(terms: Terms, state: Counter | None, now: int, cost: int) -> Counter:
    """`cost` units more in the window of `now`, above the quota if need be."""
    start = now - now % terms.period
    return (start, (state[1] if state is not None and state[0] >= start else 0) + cost)


def settle_calendar(terms: Terms, state: Counter | None, now: int, cost: int) -> Counter:
    assert terms.calendar is not None
    start = terms.calendar.window(now)[0]
    return (start, (state[1] if state is not None and state[0] >= start else 0) + cost)


def settle_sliding(terms: Terms, state: Pair | None, now: int, cost: int) -> Pair:
    start = now - now % terms.period
    if state is None or state[0] < start - terms.period:
        return (start, cost, 0)
    if state[0] < start:
        return (start, cost, state[1])
    return (start, state[1] + cost, state[2] if state[0] == start else 0)


def settle_log(terms: Terms, state: Log | None, now: int, cost: int) -> Log:
    return (*(state or ()), (now, cost))
