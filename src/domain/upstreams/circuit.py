"""Circuit breaker: states, the table of transitions, the circuit itself and the port the request path uses.

A circuit is *closed* while calls do well enough, *open* while a target is left alone, *half_open* while a few probes
find out whether it is back, and *forced_open* while an operator says so. `TRANSITIONS` is the whole machine: what is
not in it cannot happen, and the diagram in docs/resilience.md is drawn from it.

A probe holds a lease that ends by itself, so that a probe which never returns cannot wedge the circuit. After a
recovery the admitted share of traffic grows linearly over `ramp` seconds. Calls in flight across a transition say
nothing about the new state: a permit carries the epoch of the state that gave it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from spork.domain.outcomes import Fault, FaultKind, Side


class BreakerState(Enum):
    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"


class CircuitEvent(Enum):
    """What moves a circuit. The `agreed` ones come from the other replicas of the fleet."""

    TRIPPED = "tripped"
    COOLED = "cooled"
    PROBED_WELL = "probed_well"
    PROBE_FAILED = "probe_failed"
    FORCED = "forced"
    FORCE_ENDED = "force_ended"
    RESET = "reset"
    AGREED_OPEN = "agreed_open"
    AGREED_CLOSED = "agreed_closed"


_S, _E = BreakerState, CircuitEvent

#: Every move there is. An event that is not listed for a state leaves the circuit as it is.
TRANSITIONS: Final[dict[tuple[BreakerState, CircuitEvent], BreakerState]] = {
    (_S.CLOSED, _E.TRIPPED): _S.OPEN,
    (_S.CLOSED, _E.FORCED): _S.FORCED_OPEN,
    (_S.CLOSED, _E.RESET): _S.CLOSED,
    (_S.CLOSED, _E.AGREED_OPEN): _S.OPEN,
    (_S.OPEN, _E.COOLED): _S.HALF_OPEN,
    (_S.OPEN, _E.FORCED): _S.FORCED_OPEN,
    (_S.OPEN, _E.RESET): _S.CLOSED,
    (_S.OPEN, _E.AGREED_OPEN): _S.OPEN,
    (_S.OPEN, _E.AGREED_CLOSED): _S.CLOSED,
    (_S.HALF_OPEN, _E.PROBED_WELL): _S.CLOSED,
    (_S.HALF_OPEN, _E.PROBE_FAILED): _S.OPEN,
    (_S.HALF_OPEN, _E.FORCED): _S.FORCED_OPEN,
    (_S.HALF_OPEN, _E.RESET): _S.CLOSED,
    (_S.HALF_OPEN, _E.AGREED_OPEN): _S.OPEN,
    (_S.HALF_OPEN, _E.AGREED_CLOSED): _S.CLOSED,
    (_S.FORCED_OPEN, _E.FORCED): _S.FORCED_OPEN,
    (_S.FORCED_OPEN, _E.FORCE_ENDED): _S.HALF_OPEN,
    (_S.FORCED_OPEN, _E.RESET): _S.CLOSED,
    (_S.FORCED_OPEN, _E.AGREED_OPEN): _S.OPEN,
    (_S.FORCED_OPEN, _E.AGREED_CLOSED): _S.CLOSED,
}


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
    """What one permitted call says about the target. IGNORED counts for nothing (a client that left, our own limits).

    FAILED is a failure the target answered with; UNREACHED one the gateway saw itself: connect error, timeout, reset.
    """

    OK = "ok"
    FAILED = "failed"
    UNREACHED = "unreached"
    IGNORED = "ignored"


def result_of_status(status: int, statuses: tuple[int, ...]) -> CallResult:
    """A target's answer as a call result: 4xx are fine answers, `statuses` are failures."""
    return CallResult.FAILED if status in statuses else CallResult.OK


def result_of_fault(fault: Fault) -> CallResult:
    """A fault as a call result: what a client or the gateway itself did counts for nothing."""
    if fault.side is not Side.UPSTREAM or fault.kind is FaultKind.CONNECTION_LIMIT_REACHED:
        return CallResult.IGNORED
    if not fault.fresh_connection:
        return CallResult.IGNORED
    return CallResult.UNREACHED


@dataclass(frozen=True, slots=True)
class Permit:
    """May call. `probe` marks one of half-open's leases; `epoch` ties the record to the state that gave it."""

    probe: bool = False
    epoch: int = 0
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    """May not call; try again in `retry_after` seconds. `state` is closed while a recovery still ramps up."""

    retry_after: float
    state: BreakerState = BreakerState.OPEN


class CircuitBreaker(Protocol):
    """One circuit. Synchronous: replicas agree in the background, never on the request path.

    `now` is monotonic seconds. Every permit is settled exactly once by `record`, whatever happened to the call.
    """

    def permit(self, now: float) -> Permit | Open: ...

    def record(self, permit: Permit, result: CallResult, duration: float, now: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Transition:
    """One move of a circuit at `at` (monotonic seconds), and in words why. `until` ends the new state by itself."""

    at: float
    before: BreakerState
    after: BreakerState
    event: CircuitEvent
    cause: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Forced:
    """Who forced a circuit open, why, and until when (monotonic seconds, None until reset)."""

    by: str
    reason: str
    until: float | None


@dataclass(frozen=True, slots=True)
class CircuitStatus:
    """Everything an operator may ask of a circuit, in any state. Times are monotonic seconds."""

    name: str
    state: BreakerState
    since: float
    cause: str
    requests: int
    failures: int
    slow: int
    unreached: int
    trips: int
    next_try: float | None
    ramp: float | None
    forced: Forced | None
    probing: int
    transitions: tuple[Transition, ...]
    window: tuple[tuple[int, int], ...]
    opened_because: str = ""


TransitionListener = Callable[[str, Transition], None]
