"""One target as it lives: what is in flight to it, how it did lately, and whether it may be used.

Configured, probe, breaker and traffic state are kept as separate facts. A live target outlasts configuration changes
as long as its address stays the same.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Final

from spork.domain.upstreams.balancing import peak_average, token_of
from spork.domain.upstreams.call_window import CallWindow
from spork.domain.upstreams.circuit import CallResult, Permit
from spork.domain.upstreams.circuit_machine import Circuit
from spork.domain.upstreams.health import Ejection, ProbeHistory, ProbeRecord, ProbeVerdict
from spork.domain.upstreams.model import Target, Upstream

#: Seconds that rates and error ratios of views look back.
LOOK_BACK: Final = 10
#: Latest durations kept per target, for percentiles.
SAMPLES: Final = 256
#: The least share of its weight that a target has while it starts slowly.
SLOW_START_FLOOR: Final = 0.1
#: Seconds over which verdict changes count as flaps.
FLAP_WINDOW: Final = 300.0


def name_of(target: Target) -> str:
    """What operators call a target: its given name, host:port or the socket's path."""
    if target.name:
        return target.name
    if target.unix_path is not None:
        return target.unix_path
    return f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"


class Owner:
    """The upstream a target belongs to, as far as the target, and who was given the target, need it."""

    name: str
    declared: Upstream
    history: ProbeHistory

    def settle(
        self, target: LiveTarget, permit: Permit, result: CallResult, seconds: float, now: float, cause: str = ""
    ) -> None:
        raise NotImplementedError

    def answered(self, target: LiveTarget, permit: Permit, status: int, seconds: float, now: float) -> None:
        raise NotImplementedError

    def changed(self) -> None:
        raise NotImplementedError

    def consider_ejecting(self, target: LiveTarget, now: float) -> None:
        raise NotImplementedError


class LiveTarget:
    """Call `started` when a request goes out to it and `finished` exactly once when that is over."""

    __slots__ = (
        "active",
        "authority",
        "breaker",
        "declared",
        "drain_reason",
        "drained_until",
        "durations",
        "ejection",
        "ewma",
        "ewma_at",
        "flaps",
        "last_error",
        "last_probe_at",
        "last_used",
        "measured",
        "name",
        "probe",
        "probe_seconds",
        "registered",
        "rests_until",
        "retired",
        "token",
        "upstream",
        "warm_since",
        "weight",
        "window",
    )

    def __init__(self, upstream: Owner, declared: Target, now: float, *, registered: bool = False) -> None:
        self.upstream = upstream
        self.declare(declared, registered=registered)
        self.weight = float(declared.weight)
        self.active = 0
        self.ewma = 0.0
        self.ewma_at = now
        self.measured = upstream.declared.balance.algorithm == "peak_ewma"
        self.breaker: Circuit | None = None
        self.ejection: Ejection | None = None
        self.probe: ProbeRecord | None = None
        self.window = CallWindow(LOOK_BACK, now)
        self.durations: deque[float] = deque(maxlen=SAMPLES)
        self.flaps: deque[float] = deque(maxlen=32)
        self.warm_since = -math.inf
        self.drained_until = -math.inf
        self.drain_reason = ""
        #: It asked to be left alone until then (429 with Retry-After).
        self.rests_until = -math.inf
        self.last_error: str | None = None
        self.last_used = -math.inf
        self.last_probe_at: float | None = None
        self.probe_seconds: float | None = None
        self.retired = False

    def declare(self, declared: Target, *, registered: bool) -> None:
        """Take over a new declaration of the same address."""
        self.declared = declared
        self.registered = registered
        self.name = name_of(declared)
        self.authority = declared.authority
        self.token = token_of(self.name)

    def __repr__(self) -> str:
        return f"<LiveTarget {self.upstream.name}/{self.name} active {self.active} {self.probe} {self.ejection}>"

    # ------------------------------------------------------------------------------------------------ request path

    def started(self) -> None:
        self.active += 1

    def finished(self, result: CallResult, seconds: float, now: float, cause: str = "") -> None:
        """One request is over, `seconds` after it was sent. An ignored one only stops being in flight."""
        self.active -= 1
        if result is CallResult.OK:
            self.window.at(now)[0] += 1
            self.durations.append(seconds)
            if self.ejection is not None:
                self.ejection.streak = 0
            if self.measured:
                self._measure(seconds, now)
        elif result is not CallResult.IGNORED:
            self._failed(result, seconds, now, cause)

    def _measure(self, seconds: float, now: float) -> None:
        self.ewma = peak_average(self.ewma, seconds, now - self.ewma_at)
        self.ewma_at = now

    def _failed(self, result: CallResult, seconds: float, now: float, cause: str) -> None:
        row = self.window.at(now)
        row[0] += 1
        row[1] += 1
        self.durations.append(seconds)
        if self.measured:
            self._measure(seconds, now)
        self.last_error = cause or result.value
        if self.ejection is not None and not self.ejection.out(now) and self.ejection.failed():
            self.upstream.consider_ejecting(self, now)

    # ---------------------------------------------------------------------------------------------------- standing

    def allowed(self, now: float) -> bool:
        """Whether it may be used at all: not drained, and its own circuit does not refuse."""
        return (
            now >= self.drained_until
            and now >= self.rests_until
            and (self.breaker is None or not self.breaker.refuses(now))
        )

    def healthy(self, now: float) -> bool:
        """Whether neither probes nor recent traffic speak against it."""
        if self.probe is not None and self.probe.verdict is ProbeVerdict.DOWN:
            return False
        return self.ejection is None or not self.ejection.out(now)

    def reweigh(self, slow_start: float, now: float) -> bool:
        """Set the weight in force at `now`; True while it is still growing."""
        share = 1.0
        if slow_start > 0:
            share = max(SLOW_START_FLOOR, min(1.0, (now - self.warm_since) / slow_start))
        self.weight = self.declared.weight * share
        return share < 1.0

    def next_change(self, now: float) -> float:
        """When its standing changes by itself, monotonic seconds; infinity if never."""
        soonest = math.inf
        if self.ejection is not None and self.ejection.out(now):
            soonest = self.ejection.until
        if now < self.drained_until < soonest:
            soonest = self.drained_until
        if now < self.rests_until < soonest:
            soonest = self.rests_until
        if self.breaker is not None:
            until = self.breaker.wakes_at()
            if until is not None and now < until < soonest:
                soonest = until
        return soonest

    def probed(self, passed: bool, seconds: float, now: float, error: str | None) -> bool:
        """Take one probe result; True when the verdict changed."""
        self.last_probe_at = now
        self.probe_seconds = seconds
        if error is not None:
            self.last_error = error
        if self.probe is None:
            return False
        before = self.probe.verdict
        changed = self.probe.observe(passed)
        if changed and before is not ProbeVerdict.UNKNOWN:
            self.flaps.append(now)
        if changed and before is ProbeVerdict.DOWN:
            self.warm_since = now
        return changed

    def recent_flaps(self, now: float) -> int:
        return sum(at > now - FLAP_WINDOW for at in self.flaps)
