"""How much: limits, their decisions and the RateLimiter port."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Limit:
    """An allowance: `quota` units per `period` seconds, for each distinct value of what `by` names.

    `by`: ip, consumer, key, tenant, route, global, header:X, claim:X. `algorithm`: gcra, sliding_window, sliding_log,
    fixed_window, concurrency, calendar (long quotas; `period_name` day or month in `time_zone`).
    `burst` None means the quota itself. `cost` units a request takes. `shared` limits count across routes by name.
    `source` plan: the numbers come from the consumer's plan. `on_store_error`: allow, deny, local. `accuracy`: exact, hybrid.
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


@dataclass(frozen=True, slots=True)
class Charge:
    """One limit to be charged for one request: the limit, the identity it counts for, and the cost in units."""

    limit: Limit
    identity: str
    cost: int = 1


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit after a decision: what is left, seconds until it is whole again, and whether it refused."""

    limit: Limit
    remaining: int
    reset_after: float
    refused: bool = False
    retry_after: float = 0.0


@dataclass(frozen=True, slots=True)
class Admitted:
    """All limits admit the request; `states` are in the order of the charges. `lease` names permits to release."""

    states: tuple[LimitState, ...]
    lease: object | None = None


@dataclass(frozen=True, slots=True)
class Throttled:
    """At least one limit refuses; nothing was consumed. `retry_after` in seconds is the longest of the refusals."""

    states: tuple[LimitState, ...]
    retry_after: float


Decision = Admitted | Throttled


class RateLimiter(Protocol):
    """Decides all limits of one request at once, all or nothing.

    `now` is Unix seconds; None lets a shared store use its own clock. An in-process adapter answers at once; one that
    must ask a store answers an awaitable. It never raises for a store that is gone: each limit's `on_store_error` says.
    """

    def acquire(self, charges: Sequence[Charge], now: float | None = None) -> Decision | Awaitable[Decision]: ...

    def release(self, lease: object) -> None: ...
