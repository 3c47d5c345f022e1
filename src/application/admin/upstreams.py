"""Live upstreams as operators see them, and what operators do to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from typing import Protocol

from spork.application.admin.commands import OperationRefused
from spork.application.admin.controls import Act
from spork.application.admin.upstream_views import UpstreamMoment, breakers, target_view
from spork.application.upstreams.drains import FleetDrains
from spork.application.upstreams.registry import UpstreamRegistry
from spork.application.upstreams.target import LiveTarget
from spork.application.upstreams.upstream import LiveUpstream
from spork.application.views import BreakerView, TargetView
from spork.domain.upstreams.circuit import Transition
from spork.domain.upstreams.circuit_machine import CircuitBreakers


class Prober(Protocol):
    """Probes one target now and says how it went (`application.probe.Probes`)."""

    def probe_now(self, target: LiveTarget) -> Awaitable[str]: ...


class RegistryControl:
    """`insight.UpstreamControl` over the upstream registry.

    `connections(target)` answers how many connections are open to it. What operators force is shared with replicas by
    the breakers adapter, drains by `drains` where there is one.
    """

    def __init__(
        self,
        registry: UpstreamRegistry,
        monotonic: Callable[[], float],
        prober: Prober | None = None,
        connections: Callable[[LiveTarget], int] | None = None,
        drains: FleetDrains | None = None,
    ) -> None:
        self._registry = registry
        self._monotonic = monotonic
        self._prober = prober
        self._connections = connections or (lambda target: 0)
        self._drains = drains
        self.transitions: dict[tuple[str, str], int] = {}

    @property
    def _breakers(self) -> CircuitBreakers:
        return self._registry.breakers

    # ------------------------------------------------------------------------------------------------------- reading

    def breakers(self, now: float, unix: float) -> list[BreakerView]:
        """Every circuit, whatever its state."""
        return breakers(self._registry, UpstreamMoment(now, unix))

    def targets(self, now: float, unix: float) -> list[TargetView]:
        moment = UpstreamMoment(now, unix)
        return [
            replace(target_view(target, moment), connections=self._connections(target))
            for upstream in self._registry
            for target in upstream.targets
        ]

    def probed(self, now: float) -> dict[str, tuple[int, int]]:
        """(probes, those that passed) of the last hour, by upstream."""
        return {upstream.name: upstream.history.counts(now) for upstream in self._registry}

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
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

    def circuit_moved(self, name: str, transition: Transition) -> None:
        """A circuit of this process moved: changes of its state are counted for the metrics."""
        if transition.before is not transition.after:
            key = name, transition.after.value
            self.transitions[key] = self.transitions.get(key, 0) + 1

    # --------------------------------------------------------------------------------------------------------- acting

    def trip(self, name: str, act: Act, now: float) -> None:
        self._breakers.force_open(name, act.reason, act.by, act.ttl, now)

    def reset(self, name: str, act: Act, now: float) -> None:
        self._breakers.reset(name, act.reason, act.by, now)

    async def drain(self, upstream: str, target: str, act: Act, now: float) -> None:
        """Here at once, on every replica within two seconds. Raises OSError when the others cannot be told."""
        if self._drains is not None:
            await self._drains.drain(upstream, target, act.reason, act.ttl, now)
        else:
            self._registry.drain(upstream, target, act.reason, act.ttl, now)

    async def undrain(self, upstream: str, target: str, act: Act, now: float) -> None:
        """Undo a drain here and in the fleet. Raises OSError when the others cannot be told."""
        if self._drains is not None:
            await self._drains.undrain(upstream, target, act.reason, now)
        else:
            self._registry.undrain(upstream, target, act.reason, now)

    async def probe(self, upstream: str, target: str) -> str:
        live = self._registry.get(upstream)
        found = live.find(target) if live is not None else None
        if found is None:
            raise OperationRefused("not_found", f"{upstream} has no target {target}.")
        if self._prober is None:
            raise OperationRefused("conflict", f"{upstream} has no probe configured.", current="off")
        return await self._prober.probe_now(found)


def _breaker_objects(upstream: LiveUpstream) -> list[tuple[str, str]]:
    """(circuit, state) of an upstream's circuits."""
    found = [(upstream.name, upstream.breaker.state.value)] if upstream.breaker is not None else []
    for target in upstream.targets:
        if target.breaker is not None:
            found.append((f"{upstream.name}/{target.name}", target.breaker.state.value))
    return found


def _out(target: LiveTarget, now: float) -> bool:
    return not target.healthy(now) or now < target.drained_until


def budget_left(upstream: LiveUpstream) -> float:
    """Share of the retry budget that is left, 0 to 1."""
    budget, policy = upstream.retry_budget, upstream.declared.retries
    if budget is None or policy is None:
        return 1.0
    allowed = policy.budget * budget.requests + policy.min_per_second * 10
    return max(0.0, 1.0 - budget.retries / allowed) if allowed else 0.0
