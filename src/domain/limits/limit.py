"""How much: limits, their decisions and the RateLimiter port.

A limit is what the operator wrote; `Limit.terms` are its numbers in integer microseconds; the algorithms (`gcra.py`,
`windows.py`) are pure functions from terms, a state, a time and a cost to a ruling. Adapters only keep the states.

Odd inputs mean the same everywhere: quota 0 refuses all; a cost above the quota (for GCRA above the burst) is always
refused; a cost of 0 takes nothing and is admitted while one unit would be; a negative cost counts as 0; what is larger
than the bounds of `terms.py` is cut to them. `limit_problems` says what configuration must refuse.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, Protocol

from spork.domain.limits import gcra, windows
from spork.domain.limits.calendars import Calendar
from spork.domain.limits.cost import CostSource
from spork.domain.limits.terms import MAX_PERIOD, MAX_UNITS, MICROS, Decide, Terms

Refund = Callable[[Terms, Any, int, int, int], Any]
Expiry = Callable[[Terms, Any], int]
Settle = Callable[[Terms, Any, int, int], Any]


class Algorithm(NamedTuple):
    """How one algorithm rules, takes back, and until when (Unix microseconds) a state means anything."""

    decide: Decide
    refund: Refund
    expires: Expiry


def _calendar_end(terms: Terms, state: windows.Counter) -> int:
    assert terms.calendar is not None
    return terms.calendar.window(state[0])[1]


ALGORITHMS: Final[dict[str, Algorithm]] = {
    "gcra": Algorithm(gcra.decide, gcra.refund, lambda terms, state: gcra.expires(state)),
    "sliding_window": Algorithm(
        windows.decide_sliding, windows.refund_sliding, lambda terms, state: int(state[0]) + 2 * terms.period
    ),
    "sliding_log": Algorithm(
        windows.decide_log, windows.refund_log, lambda terms, state: int(state[-1][0]) + terms.period if state else 0
    ),
    "fixed_window": Algorithm(
        windows.decide_fixed, windows.refund_fixed, lambda terms, state: int(state[0]) + terms.period
    ),
    "calendar": Algorithm(windows.decide_calendar, windows.refund_calendar, _calendar_end),
    "concurrency": Algorithm(windows.decide_concurrency, windows.refund_concurrency, lambda terms, state: 1 << 62),
}

#: The longest log, in units: each admitted request is an entry.
MAX_LOG: Final = 10_000
#: Charges more after the fact, by algorithm: (terms, state, now, units) to the state. Permits have no cost to settle.
SETTLERS: Final[dict[str, Settle]] = {
    "gcra": gcra.settle,
    "sliding_window": windows.settle_sliding,
    "sliding_log": windows.settle_log,
    "fixed_window": windows.settle_fixed,
    "calendar": windows.settle_calendar,
}
STORE_ERRORS: Final = ("allow", "deny", "local")


@dataclass(frozen=True, slots=True)
class Limit:
    """An allowance: `quota` units per `period` seconds, for each distinct value of what `by` names.

    `by`: ip, consumer, key, tenant, route, global, header:X, claim:X. `algorithm`: gcra, sliding_window, sliding_log,
    fixed_window, concurrency, calendar (long quotas; `period_name` day or month in `time_zone`).
    `burst` None means the quota itself. `cost` units a request takes. `shared` limits count across routes by name.
    `source` plan: the numbers come from the consumer's plan. `on_store_error`: allow, deny, local.
    `accuracy`: exact, hybrid.
    `scope` says what the counters are kept under besides the name: a route's name, empty when shared.
    `terms` are the numbers an algorithm works with. Raises ValueError for an algorithm, unit or time zone unknown.
    """

    name: str
    quota: int
    period: float
    by: str = "ip"
    algorithm: str = "gcra"
    burst: int | None = None
    cost: int = 1
    on_store_error: str = "local"
    accuracy: str = "exact"
    shared: bool = False
    source: str = ""
    period_name: str = ""
    time_zone: str = "UTC"
    scope: str = ""
    #: Where the answer says what it cost; None: every request costs `cost`.
    price: CostSource | None = None
    #: A request is charged what its GraphQL operation is estimated to cost, instead of `cost`.
    by_operation: bool = False
    terms: Terms = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        algorithm = ALGORITHMS.get(self.algorithm)
        if algorithm is None:
            raise ValueError(f"{self.algorithm!r} is no algorithm: {', '.join(ALGORITHMS)}")
        calendar = Calendar(self.period_name or "day", self.time_zone) if self.algorithm == "calendar" else None
        object.__setattr__(
            self,
            "terms",
            Terms(
                self.algorithm,
                algorithm.decide,
                self.quota,
                self.period,
                self.burst,
                calendar,
                0 if self.price is None else self.price.most,
            ),
        )

    @property
    def bucket(self) -> str:
        """What the counters are kept under: two limits with one bucket count together."""
        return f"{self.scope}/{self.name}/{self.algorithm}"


def limit_problems(limit: Limit) -> list[str]:
    """What is wrong with a limit as written, one sentence each; empty when it may be used."""
    problems: list[str] = []
    if limit.source == "plan":
        return problems
    if limit.quota < 0:
        problems.append("quota must not be negative; 0 refuses all")
    if limit.quota > MAX_UNITS or (limit.burst or 0) > MAX_UNITS:
        problems.append(f"quota and burst are at most {MAX_UNITS}")
    if limit.burst is not None and limit.burst < 1 and limit.quota > 0:
        problems.append("burst must be at least 1; use quota 0 to refuse all")
    if limit.cost < 0:
        problems.append("cost must not be negative")
    if limit.algorithm not in ("concurrency", "calendar") and not 0 < limit.period * MICROS <= MAX_PERIOD:
        problems.append("per must be more than 0 and at most 366d")
    if 0 < (limit.terms.burst if limit.algorithm == "gcra" else limit.quota) < limit.cost:
        problems.append("cost is more than the limit ever admits at once")
    if limit.algorithm == "sliding_log" and limit.quota > MAX_LOG:
        problems.append(f"sliding_log remembers every request: quota at most {MAX_LOG}; use gcra or sliding_window")
    if limit.on_store_error not in STORE_ERRORS:
        problems.append(f"on_store_error is one of {', '.join(STORE_ERRORS)}")
    if limit.price is not None and limit.algorithm == "concurrency":
        problems.append("cost of requests in flight is their number; it cannot come from the answer")
    if limit.price is not None and limit.accuracy == "hybrid":
        problems.append("accuracy hybrid leases units in advance; a cost that the answer tells takes exact")
    if limit.accuracy == "hybrid" and limit.algorithm != "gcra":
        problems.append("accuracy hybrid leases shares of a gcra limit; other algorithms are exact only")
    return problems


def limit_warnings(limit: Limit) -> list[str]:
    """What an operator should know of a limit that is not wrong, for `spork check`."""
    if limit.algorithm == "fixed_window":
        return ["fixed_window admits up to twice the quota across a window's edge; gcra and sliding_log do not"]
    if limit.algorithm == "sliding_window":
        return ["sliding_window is approximate: it takes the last window's requests to have come evenly"]
    return []


def local_share(limit: Limit, nodes: int) -> Limit:
    """What one of `nodes` processes enforces alone while the shared store is gone: GCRA at its share, rounded up.

    Together the nodes admit at most quota + nodes - 1 units where one store would have admitted the quota.
    """
    nodes = max(nodes, 1)
    quota = -(-limit.quota // nodes)
    burst = None if limit.burst is None else -(-limit.burst // nodes)
    if limit.algorithm == "concurrency":
        return replace(limit, quota=quota, burst=None)
    period = limit.period
    if limit.terms.calendar is not None:
        period = 86_400.0 if limit.terms.calendar.unit == "day" else 31 * 86_400.0
    return replace(limit, quota=quota, burst=burst, period=period, algorithm="gcra")


class Charge(NamedTuple):
    """One limit to be charged for one request: the limit, the identity it counts for, and the cost in units.

    The charges of one request name each pair of bucket and identity at most once.
    """

    limit: Limit
    identity: str
    cost: int = 1


class LimitState(NamedTuple):
    """One limit after a decision: what is left, seconds until it is whole again, and whether it refused."""

    limit: Limit
    remaining: int
    reset_after: float
    refused: bool = False
    retry_after: float = 0.0


class Admitted(NamedTuple):
    """All limits admit the request; `states` are in the order of the charges. `lease` names permits to release.
    `at` is when it was ruled, in Unix seconds of the adapter's clock, and what `refund` asks for."""

    states: tuple[LimitState, ...]
    lease: object | None = None
    at: float = 0.0


class Throttled(NamedTuple):
    """At least one limit refuses; nothing was consumed. `retry_after` in seconds is the longest of the refusals.
    `unavailable`: the store is gone and a limit says deny; no quota was exceeded."""

    states: tuple[LimitState, ...]
    retry_after: float
    unavailable: bool = False


Decision = Admitted | Throttled


class RateLimiter(Protocol):
    """Decides all limits of one request at once, all or nothing.

    `now` is Unix seconds; None lets a shared store use its own clock. An in-process adapter answers at once; one that
    must ask a store answers an awaitable. It never raises for a store that is gone: each limit's `on_store_error` says.
    """

    @property
    def keeps_time(self) -> bool:
        """True when the adapter rules by a clock of its own that replicas share: callers then leave `now` out."""

    def acquire(self, charges: Sequence[Charge], now: float | None = None) -> Decision | Awaitable[Decision]: ...

    def release(self, lease: object) -> None:
        """Gives the permits of an admission back. Safe to call twice."""

    def refund(self, charges: Sequence[Charge], at: float, now: float | None = None) -> None:
        """Gives back the units of an admission made at `at` that came to nothing: another guard refused the request.
        Best effort, and never more than was taken."""

    def settle(self, charges: Sequence[Charge], at: float, now: float | None = None) -> None:
        """Corrects what an admission made at `at` charged: each charge's `cost` is the difference to what was really
        used, below 0 to give back. May overdraw. A shared store is told exactly once, also after it was gone."""

    def reset(self, limit: Limit, identity: str) -> Awaitable[None] | None:
        """Forgets what `identity` has used of `limit`."""

    def peek(
        self, charges: Sequence[Charge], now: float | None = None
    ) -> tuple[LimitState, ...] | Awaitable[tuple[LimitState, ...]]:
        """What is left, consuming nothing. For operators, not for the request path."""
