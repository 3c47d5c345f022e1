"""What operators see of upstreams, targets and circuits: live state turned into the read models of `views.py`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from spork.application.upstreams.registry import UpstreamRegistry
from spork.application.upstreams.target import LiveTarget
from spork.application.views import BreakerView, TargetView, TransitionView
from spork.domain.upstreams.circuit import CircuitStatus, Transition
from spork.domain.upstreams.model import Upstream


@dataclass(frozen=True, slots=True)
class UpstreamMoment:
    """One instant on both clocks, to turn monotonic times into Unix times."""

    monotonic: float
    unix: float

    def stamp(self, at: float | None) -> float | None:
        """Unix seconds of a monotonic time, to the millisecond, so that a look later says the same; None and infinity are
        None."""
        return None if at is None or not math.isfinite(at) else round(at - self.monotonic + self.unix, 3)


#: Names of the routes that lead to an upstream.
RoutesOf = Callable[[str], tuple[str, ...]]


def no_routes(upstream: str) -> tuple[str, ...]:
    return ()


def percentile(durations: Iterable[float], share: float) -> float | None:
    """The `share` quantile in milliseconds, None without samples."""
    ordered = sorted(durations)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1000 if ordered else None


def target_view(target: LiveTarget, moment: UpstreamMoment) -> TargetView:
    now = moment.monotonic
    requests, failures, _, _ = target.window.totals(now)
    return TargetView(
        upstream=target.upstream.name,
        name=target.name,
        url=target.declared.url,
        config=_config(target, now),
        probe="off" if target.probe is None else target.probe.verdict.value,
        breaker="off" if target.breaker is None else target.breaker.state.value,
        traffic=_traffic(target, requests, failures, now),
        weight=target.declared.weight,
        priority=target.declared.priority,
        in_flight=target.active,
        connections=0,
        rps=requests / 10,
        error_ratio=failures / requests if requests else 0.0,
        p95_ms=percentile(target.durations, 0.95) if requests else None,
        ejections=0 if target.ejection is None else target.ejection.total,
        ejected_until=moment.stamp(target.ejection.until)
        if target.ejection is not None and target.ejection.out(now)
        else None,
        last_error=target.last_error,
        last_probe_at=moment.stamp(target.last_probe_at),
        probe_ms=None if target.probe_seconds is None else target.probe_seconds * 1000,
        flaps=target.recent_flaps(now),
    )


def _config(target: LiveTarget, now: float) -> str:
    if now < target.drained_until:
        return "draining" if target.active else "drained"
    return "registered" if target.registered else "active"


def _traffic(target: LiveTarget, requests: int, failures: int, now: float) -> str:
    if target.ejection is not None and target.ejection.out(now):
        return "ejected"
    if not requests:
        return "idle"
    return "failing" if failures * 2 >= requests else "ok"


def breakers(registry: UpstreamRegistry, moment: UpstreamMoment, routes: RoutesOf = no_routes) -> list[BreakerView]:
    views = []
    for status in registry.breakers.statuses(moment.monotonic):
        upstream = registry.get(status.name.partition("/")[0])
        if upstream is not None and upstream.declared.breaker is not None:
            views.append(breaker_view(status, upstream.declared, moment, routes(upstream.name)))
    return views


def breaker_view(
    status: CircuitStatus, declared: Upstream, moment: UpstreamMoment, routes: tuple[str, ...] = ()
) -> BreakerView:
    policy = declared.breaker
    forced = status.forced
    return BreakerView(
        name=status.name,
        state=status.state.value,
        since=moment.stamp(status.since) or 0.0,
        cause=status.cause,
        requests=status.requests,
        failures=status.failures,
        slow=status.slow,
        error_ratio=status.failures / status.requests if status.requests else 0.0,
        threshold=1.0 if policy is None else policy.failure_ratio,
        min_requests=0 if policy is None else policy.min_requests,
        trips=status.trips,
        next_try=moment.stamp(status.next_try),
        ramp=status.ramp,
        rps=_rate(status.window),
        routes=routes,
        forced_by=None if forced is None else forced.by,
        forced_reason=None if forced is None else forced.reason,
        expires_at=None if forced is None else moment.stamp(forced.until),
        transitions=tuple(_transition(t, moment) for t in status.transitions),
        window=status.window,
        fallback=fallback_word(declared),
        opened_because=status.opened_because,
        window_seconds=0.0 if policy is None else policy.window,
        consecutive=0 if policy is None else policy.consecutive,
        slow_call_ms=None if policy is None or policy.slow_call is None else policy.slow_call * 1000.0,
        slow_ratio=None if policy is None or policy.slow_call is None else policy.slow_ratio,
        open_for=0.0 if policy is None else policy.open_for,
        ramp_seconds=0.0 if policy is None else policy.ramp,
        per_target=policy is not None and policy.per_target,
    )


def _rate(window: Sequence[tuple[int, int]]) -> float:
    return sum(requests for requests, _ in window) / len(window) if window else 0.0


def _transition(transition: Transition, moment: UpstreamMoment) -> TransitionView:
    return TransitionView(
        at=moment.stamp(transition.at) or 0.0,
        before=transition.before.value,
        after=transition.after.value,
        cause=transition.cause,
    )


def fallback_word(declared: Upstream) -> str | None:
    fallback = declared.fallback
    if fallback is None:
        return None
    return f"upstream {fallback.upstream}" if fallback.upstream else f"answer {fallback.status}"
