"""The circuit itself: counts calls, moves along `TRANSITIONS`, hands out permits. Pure but for its own state.

One instance is one circuit as one process sees it. A fleet shares openings and closings through an adapter, which
listens to `on_transition`, calls `agree` with what the others decided, and puts a `gate` before the probes so that
one lease serves the whole fleet.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from spork.domain.upstreams.call_window import FAILURES, REQUESTS, SLOW, UNREACHED, CallWindow
from spork.domain.upstreams.circuit import (
    TRANSITIONS,
    BreakerPolicy,
    BreakerState,
    CallResult,
    CircuitEvent,
    CircuitStatus,
    Forced,
    Open,
    Permit,
    Transition,
    TransitionListener,
)

#: Transitions kept for operators.
REMEMBERED: Final = 16
#: The least share of traffic that a ramp admits, so that a slow trickle is not starved at its beginning.
RAMP_FLOOR: Final = 0.05
#: What a caller is told to wait while probes are out or a ramp is on, seconds.
SOON: Final = 1.0

Gate = Callable[[float], bool]


#: What opens a circuit for a reason of its own: a probe that fails keeps it open, but is not why.
_OPENS: Final = (CircuitEvent.TRIPPED, CircuitEvent.FORCED, CircuitEvent.AGREED_OPEN)


class Circuit:
    """A `CircuitBreaker`. `chance` answers uniform numbers in [0, 1) and spreads `open_for` by +-20 %."""

    __slots__ = (
        "_cause",
        "_closed_at",
        "_credit",
        "_epoch",
        "_forced",
        "_leases",
        "_next_lease",
        "_opened_because",
        "_permit",
        "_ramp_over",
        "_since",
        "_slow_call",
        "_state",
        "_streak",
        "_successes",
        "_transitions",
        "_trips",
        "_until",
        "_wide_open",
        "_window",
        "chance",
        "gate",
        "name",
        "on_transition",
        "policy",
    )

    def __init__(
        self,
        name: str,
        policy: BreakerPolicy,
        chance: Callable[[], float],
        now: float,
        on_transition: TransitionListener | None = None,
    ) -> None:
        self.name = name
        self.policy = policy
        self.chance = chance
        self.on_transition = on_transition
        self.gate: Gate | None = None
        self._state = BreakerState.CLOSED
        self._since = now
        self._cause = "started"
        self._opened_because = ""
        self._until: float | None = None
        self._forced: Forced | None = None
        self._epoch = 0
        self._permit = Permit(False, 0)
        self._wide_open = True
        self._slow_call = math.inf if policy.slow_call is None else policy.slow_call
        self._window = CallWindow(policy.window, now)
        self._streak = 0
        self._leases: dict[int, float] = {}
        self._next_lease = 1
        self._successes = 0
        self._closed_at = self._ramp_over = now
        self._credit = 0.0
        self._trips = 0
        self._transitions: deque[Transition] = deque(maxlen=REMEMBERED)

    @property
    def state(self) -> BreakerState:
        return self._state

    @property
    def epoch(self) -> int:
        return self._epoch

    def __repr__(self) -> str:
        return f"<Circuit {self.name} {self._state.value} {self._cause!r} {self._window.row}>"

    # ------------------------------------------------------------------------------------------------ request path

    def permit(self, now: float) -> Permit | Open:
        if self._wide_open:
            return self._permit
        if self._state is BreakerState.CLOSED:
            return self._ramped(now)
        return self._guarded(now)

    def refuses(self, now: float) -> bool:
        """Whether `permit` would surely refuse at `now`; asks nothing and changes nothing."""
        if self._wide_open or self._state is BreakerState.CLOSED:
            return False
        if self._state is BreakerState.HALF_OPEN:
            return sum(until > now for until in self._leases.values()) >= self.policy.probes
        return self._until is None or now < self._until

    def wakes_at(self) -> float | None:
        """When its state may change by itself, monotonic seconds; None if it does not."""
        return self._until

    def record(self, permit: Permit, result: CallResult, duration: float, now: float) -> None:
        if permit is self._permit and result is CallResult.OK and duration < self._slow_call:
            self._streak = 0
            self._window.at(now)[0] += 1
        elif permit.probe:
            self._settle_probe(permit, result, duration, now)
        elif permit.epoch == self._epoch and result is not CallResult.IGNORED:
            self._count(result, duration, now)

    def _ramped(self, now: float) -> Permit | Open:
        if now >= self._ramp_over:
            self._wide_open = True
            return self._permit
        self._credit += self._ramp_share(now)
        if self._credit >= 1.0:
            self._credit -= 1.0
            return self._permit
        return Open(min(SOON, self._ramp_over - now), BreakerState.CLOSED)

    def _ramp_share(self, now: float) -> float:
        passed = max(0.0, now - self._closed_at)
        return max(RAMP_FLOOR, passed / (self._ramp_over - self._closed_at))

    def _guarded(self, now: float) -> Permit | Open:
        """Open, forced open or half open."""
        if self._state is not BreakerState.HALF_OPEN:
            if self._until is None or now < self._until:
                return Open(SOON * 30 if self._until is None else self._until - now, self._state)
            if self.gate is not None and not self.gate(now):
                return Open(SOON, self._state)
            forced = self._state is BreakerState.FORCED_OPEN
            event = CircuitEvent.FORCE_ENDED if forced else CircuitEvent.COOLED
            self._move(event, "the forced opening has ended" if forced else "open time is over", now)
        return self._lease(now)

    def _lease(self, now: float) -> Permit | Open:
        leases = self._leases
        for lease in [lease for lease, until in leases.items() if until <= now]:
            del leases[lease]
        if len(leases) >= self.policy.probes or (self.gate is not None and not self.gate(now)):
            return Open(SOON, self._state)
        lease = self._next_lease
        self._next_lease += 1
        leases[lease] = now + self.policy.probe_lease
        return Permit(True, self._epoch, lease)

    def _settle_probe(self, permit: Permit, result: CallResult, duration: float, now: float) -> None:
        until = self._leases.pop(permit.lease, None)
        if until is None or until <= now or permit.epoch != self._epoch or result is CallResult.IGNORED:
            return
        if result is CallResult.OK and duration < self._slow_call:
            self._successes += 1
            if self._successes >= self.policy.probes:
                self._move(CircuitEvent.PROBED_WELL, "the probe did well", now)
        else:
            why = "was slow" if result is CallResult.OK else f"ended as {result.value}"
            self._move(CircuitEvent.PROBE_FAILED, f"the probe {why}", now)

    def _count(self, result: CallResult, duration: float, now: float) -> None:
        row = self._window.at(now)
        row[REQUESTS] += 1
        if duration >= self._slow_call:
            row[SLOW] += 1
        if result is CallResult.OK:
            self._streak = 0
        else:
            row[FAILURES] += 1
            self._streak += 1
            if result is CallResult.UNREACHED:
                row[UNREACHED] += 1
        cause = self._trip_cause(now)
        if cause is not None:
            self._move(CircuitEvent.TRIPPED, cause, now)

    def _trip_cause(self, now: float) -> str | None:
        policy = self.policy
        if policy.consecutive and self._streak >= policy.consecutive:
            return f"{self._streak} failures in a row"
        requests, failures, slow, unreached = self._window.totals(now)
        if requests < policy.min_requests:
            return None
        if failures and failures >= policy.failure_ratio * requests:
            local = f", {unreached} of them not reached" if unreached else ""
            return f"{failures} of {requests} calls failed in {policy.window:g} s{local}"
        if slow and policy.slow_call is not None and slow >= policy.slow_ratio * requests:
            return f"{slow} of {requests} calls took {policy.slow_call:g} s or more"
        return None

    # ------------------------------------------------------------------------------------- operators and the fleet

    def force_open(self, reason: str, by: str, ttl: float | None, now: float) -> None:
        """Open until `reset` or for `ttl` seconds, whatever the calls say."""
        forced = Forced(by, reason, None if ttl is None else now + ttl)
        self._move(CircuitEvent.FORCED, f"forced by {by}: {reason}", now, forced)

    def reset(self, reason: str, by: str, now: float) -> None:
        """Closed with empty counts at once, without a ramp."""
        self._move(CircuitEvent.RESET, f"reset by {by}: {reason}", now)

    def agree_open(self, cause: str, remaining: float, now: float) -> None:
        """Another replica opened this circuit and will try again in `remaining` seconds."""
        self._move(CircuitEvent.AGREED_OPEN, cause, now, remaining=remaining)

    def agree_closed(self, cause: str, now: float) -> None:
        """Another replica found the target well again: closed, ramping up here too."""
        self._move(CircuitEvent.AGREED_CLOSED, cause, now)

    def adjust(self, policy: BreakerPolicy, now: float) -> None:
        """A new configuration: the state stays, the counts stay unless the window changed."""
        if policy == self.policy:
            return
        if policy.window != self.policy.window:
            self._window = CallWindow(policy.window, now)
        self.policy = policy
        self._slow_call = math.inf if policy.slow_call is None else policy.slow_call

    def status(self, now: float) -> CircuitStatus:
        requests, failures, slow, unreached = self._window.totals(now)
        ramping = self._state is BreakerState.CLOSED and now < self._ramp_over
        return CircuitStatus(
            name=self.name,
            state=self._state,
            since=self._since,
            cause=self._cause,
            requests=requests,
            failures=failures,
            slow=slow,
            unreached=unreached,
            trips=self._trips,
            next_try=self._until,
            ramp=min(1.0, self._ramp_share(now)) if ramping else None,
            forced=self._forced,
            probing=sum(until > now for until in self._leases.values()),
            transitions=tuple(self._transitions),
            window=self._window.history(now),
            opened_because=self._opened_because,
        )

    # --------------------------------------------------------------------------------------------------- the moves

    def _move(
        self,
        event: CircuitEvent,
        cause: str,
        now: float,
        forced: Forced | None = None,
        remaining: float | None = None,
    ) -> None:
        before = self._state
        after = TRANSITIONS.get((before, event))
        if after is None:
            return
        self._state, self._since, self._cause, self._forced = after, now, cause, forced
        if event in _OPENS:
            self._opened_because = cause
        self._epoch += 1
        self._permit = Permit(False, self._epoch)
        self._leases.clear()
        self._successes = self._streak = 0
        self._until = None
        self._wide_open = after is BreakerState.CLOSED
        if after is BreakerState.CLOSED:
            self._enter_closed(event, now)
        elif after is BreakerState.OPEN:
            self._trips += 1
            jittered = self.policy.open_for * (0.8 + 0.4 * self.chance())
            self._until = now + (jittered if remaining is None else remaining)
        elif forced is not None:
            self._until = forced.until
        transition = Transition(now, before, after, event, cause, self._until)
        self._transitions.append(transition)
        if self.on_transition is not None:
            self.on_transition(self.name, transition)

    def _enter_closed(self, event: CircuitEvent, now: float) -> None:
        self._window.clear(now)
        self._closed_at = self._ramp_over = now
        if event is not CircuitEvent.RESET and self.policy.ramp > 0:
            self._ramp_over = now + self.policy.ramp
            self._credit = 1.0
            self._wide_open = False


class CircuitBreakers(Protocol):
    """All circuits of this process, one per name, and what operators do to them. Answers cover the fleet in time.

    `now` is monotonic seconds. Operators' verbs raise KeyError for an unknown name.
    """

    def circuit(self, name: str, policy: BreakerPolicy, now: float) -> Circuit: ...

    def retire(self, name: str) -> None:
        """This circuit's upstream or target is gone."""

    def force_open(self, name: str, reason: str, by: str, ttl: float | None, now: float) -> None: ...

    def reset(self, name: str, reason: str, by: str, now: float) -> None: ...

    def status(self, name: str, now: float) -> CircuitStatus: ...

    def statuses(self, now: float) -> list[CircuitStatus]: ...
