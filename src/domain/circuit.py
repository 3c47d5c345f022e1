"""Circuit breaker: states, policy and the port the request path uses."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Protocol


class BreakerState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"


@dataclass(frozen=True, slots=True)
class BreakerPolicy:
    """When a circuit opens and how it comes back. Times in seconds, ratios 0..1, `consecutive` 0 is off."""

    window: float = 10.0
    min_requests: int = 20
    failure_ratio: float = 0.5
    slow_call: float | None = None
    slow_ratio: float = 1.0
    consecutive: int = 0
    open_for: float = 5.0
    probes: int = 1
    probe_lease: float = 10.0
    ramp: float = 10.0
    statuses: tuple[int, ...] = (502, 503, 504)
    per_target: bool = False


class CallResult(Enum):
    """What one permitted call says about the target. IGNORED counts for nothing (4xx-like, a client that left)."""

    OK = "ok"
    FAILED = "failed"
    IGNORED = "ignored"


@dataclass(frozen=True, slots=True)
class Permit:
    """May call. `probe` marks one of half-open's leases; `epoch` ties the record to the state that gave it."""

    probe: bool = False
    epoch: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    """May not call; try again in `retry_after` seconds."""

    retry_after: float
    state: BreakerState = BreakerState.OPEN


class CircuitBreaker(Protocol):
    """One circuit. Synchronous: replicas agree in the background, never on the request path. `now` is monotonic seconds.

    Every permit is settled exactly once by `record`, whatever happened to the call.
    """

    def permit(self, now: float) -> Permit | Open: ...

    def record(self, permit: Permit, result: CallResult, duration: float, now: float) -> None: ...
