"""Live upstreams as operators see them, and what operators do to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Protocol

from application.insight import Act
from application.operations import OperationRefused
from application.targets import LiveTarget
from application.upstreams import LiveUpstream, UpstreamRegistry
from application.views import BreakerView, TargetView, TransitionView
from domain.circuit import BreakerPolicy, CircuitStatus
from domain.circuit_machine import CircuitBreakers


class Prober(Protocol):
    """Probes one target now."""

    def probe_now(self, target: LiveTarget) -> Awaitable[bool]: ...


class RegistryControl:
    """`insight.UpstreamControl` over the upstream registry.

    `connections(target)` answers how many connections are open to it. What operators force is shared with replicas by
    the breakers adapter; drains are told to the others through `announce`, when there is one.
    """

    def __init__(
        self,
        registry: UpstreamRegistry,
        monotonic: Callable[[], float],
        prober: Prober | None = None,
        connections: Callable[[LiveTarget], int] | None = None,
    ) -> None:
        self._registry = registry
        self._monotonic = monotonic
        self._prober = prober
        self._connections = connections or (lambda target: 0)
        self.transitions: dict[tuple[str, str], int] = {}

    @property
    def _breakers(self) -> CircuitBreakers:
        return self._registry.breakers

    # ------------------------------------------------------------------------------------------------------- reading

    def breakers(self, now: float, unix: float) -> list[BreakerView]:
        """Every circuit, whatever its state."""
        shift = unix - now
        found: list[BreakerView] = []
        for upstream in self._registry:
            policy = upstream.declared.breaker
            if policy is None:
                continue
            fallback = _fallback(upstream)
            for circuit in _circuits(upstream):
                found.append(breaker_view(self._breakers.status(circuit, now), policy, shift, fallback))
        return found

    def targets(self, now: float, unix: float) -> list[TargetView]:
        return [
            target_view(target, self._connections(target), now, unix - now)
            for upstream in self._registry
            for target in upstream.targets
        ]

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `application.metering`."""
        now = self._monotonic()
        for upstream in self._registry:
            if upstream.retry_budget is not None and upstream.declared.retries is not None:
                yield ("upstream_retry_budget_remaining", (upstream.name,), budget_left(upstream))
            for circuit in _breaker_objects(upstream):
                state = circuit[1]
                for word in ("closed", "open", "half_open", "forced_open"):
                    yield ("circuit_breaker_state", (circuit[0], word), float(word == state))
            for target in upstream.targets:
                labels = (upstream.name, target.name)
                yield ("upstream_health_status", labels, float(not _out(target, now)))
                yield ("upstream_requests_in_flight", labels, float(target.active))
                yield ("upstream_pool_connections", labels, float(self._connections(target)))
                if target.ejection is not None:
                    yield ("upstream_ejections_total", labels, float(target.ejection.ejections))
        for key, count in self.transitions.items():
            yield ("circuit_breaker_transitions_total", key, float(count))

    def moved(self, name: str, after: str) -> None:
        """A circuit changed its state: counted for the metrics."""
        self.transitions[name, after] = self.transitions.get((name, after), 0) + 1

    # --------------------------------------------------------------------------------------------------------- acting

    def trip(self, name: str, act: Act, now: float) -> None:
        self._breakers.force_open(name, act.reason, act.by, act.ttl, now)

    def reset(self, name: str, act: Act, now: float) -> None:
        self._breakers.reset(name, act.reason, act.by, now)

    def drain(self, upstream: str, target: str, act: Act, now: float) -> None:
        self._registry.drain(upstream, target, act.reason, act.ttl, now)

    def undrain(self, upstream: str, target: str, act: Act, now: float) -> None:
        self._registry.undrain(upstream, target, act.reason, now)

    async def probe(self, upstream: str, target: str) -> str:
        pool = self._registry.get(upstream)
        live = pool.find(target) if pool is not None else None
        if live is None:
            raise OperationRefused("not_found", f"{upstream} has no target {target}.")
        if self._prober is None:
            raise OperationRefused("conflict", f"{upstream} has no probe configured.", current="off")
        passed = await self._prober.probe_now(live)
        verdict = live.probe.verdict.value if live.probe is not None else "off"
        return f"{'passed' if passed else 'failed'}, verdict {verdict}"


def _circuits(upstream: LiveUpstream) -> list[str]:
    names = [upstream.name] if upstream.breaker is not None else []
    return names + [f"{upstream.name}/{target.name}" for target in upstream.targets if target.breaker is not None]


def _breaker_objects(upstream: LiveUpstream) -> list[tuple[str, str]]:
    """(circuit, state) of an upstream's circuits."""
    found = [(upstream.name, upstream.breaker.state.value)] if upstream.breaker is not None else []
    for target in upstream.targets:
        if target.breaker is not None:
            found.append((f"{upstream.name}/{target.name}", target.breaker.state.value))
    return found


def breaker_view(status: CircuitStatus, policy: BreakerPolicy, shift: float, fallback: str | None) -> BreakerView:
    """A circuit's status with its times as Unix seconds. `shift` is unix minus monotonic."""
    forced = status.forced
    return BreakerView(
        name=status.name,
        state=status.state.value,
        since=status.since + shift,
        cause=status.cause,
        requests=status.requests,
        failures=status.failures,
        slow=status.slow,
        error_ratio=status.failures / status.requests if status.requests else 0.0,
        threshold=policy.failure_ratio,
        min_requests=policy.min_requests,
        trips=status.trips,
        next_try=status.next_try + shift if status.next_try is not None else None,
        ramp=status.ramp,
        rps=status.requests / policy.window if policy.window else 0.0,
        forced_by=forced.by if forced is not None else None,
        forced_reason=forced.reason if forced is not None else None,
        expires_at=forced.until + shift if forced is not None and forced.until is not None else None,
        transitions=tuple(
            TransitionView(move.at + shift, move.before.value, move.after.value, move.cause)
            for move in status.transitions
        ),
        window=status.window,
        fallback=fallback,
    )


def target_view(target: LiveTarget, connections: int, now: float, shift: float) -> TargetView:
    """A live target's facts; rates and percentiles are filled in from the tally, over the whole fleet."""
    ejection = target.ejection
    out = ejection is not None and ejection.out(now)
    requests, failures, _, _ = target.window.totals(now)
    traffic = "ejected" if out else "idle" if not requests else "failing" if failures * 2 >= requests else "ok"
    return TargetView(
        upstream=target.upstream.name,
        name=target.name,
        url=target.target.url,
        config=config_state(target, now),
        probe=target.probe.verdict.value if target.probe is not None else "off",
        breaker=target.breaker.state.value if target.breaker is not None else "off",
        traffic=traffic,
        weight=target.target.weight,
        priority=target.target.priority,
        in_flight=target.active,
        connections=connections,
        rps=requests / 10.0,
        error_ratio=failures / requests if requests else 0.0,
        p95_ms=None,
        ejections=ejection.ejections if ejection is not None else 0,
        ejected_until=ejection.until + shift if out and ejection is not None else None,
        last_error=target.last_error,
        last_probe_at=target.last_probe_at + shift if target.last_probe_at is not None else None,
        probe_ms=target.probe_seconds * 1000 if target.probe_seconds is not None else None,
        flaps=target.recent_flaps(now),
    )


def config_state(target: LiveTarget, now: float) -> str:
    """active, draining (requests still in flight), drained, or registered (came by registration)."""
    if now < target.drained_until:
        return "draining" if target.active else "drained"
    return "registered" if target.registered else "active"


def _out(target: LiveTarget, now: float) -> bool:
    return not target.healthy(now) or now < target.drained_until


def budget_left(upstream: LiveUpstream) -> float:
    """Share of the retry budget that is left, 0 to 1."""
    budget, policy = upstream.retry_budget, upstream.declared.retries
    if budget is None or policy is None:
        return 1.0
    allowed = policy.budget * budget.requests + policy.min_per_second * 10
    return max(0.0, 1.0 - budget.retries / allowed) if allowed else 0.0


def _fallback(upstream: LiveUpstream) -> str | None:
    declared = upstream.declared.fallback
    if declared is None:
        return None
    return f"upstream {declared.upstream}" if declared.upstream else f"status {declared.status}"
