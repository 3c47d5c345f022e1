"""Upstreams as they live between configuration changes: availability, balancing, circuits, budgets.

`UpstreamRegistry.sync` takes over a new configuration: what did not change keeps its state (counts, latencies, probe
verdicts, ejections, circuit). The request path uses four calls, in this order:

1. `upstream.breaker.permit(now)`         when `upstream.breaker` is set
2. `upstream.choose(key, now, tried)`     then `target.breaker.permit(now)` when `target.breaker` is set
3. `target.started()`
4. `target.finished(result, seconds, now)` and `breaker.record(permit, result, seconds, now)`, always
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence

from application.ports import EventSink
from application.targets import LiveTarget, name_of
from domain.balancing import Balancer, balancer_for, first_level
from domain.circuit import BreakerPolicy, BreakerState, Transition
from domain.circuit_machine import Circuit, CircuitBreakers
from domain.health import Ejection, ProbeHistory, ProbeRecord, may_eject
from domain.retries import RetryBudget
from domain.upstreams import Target, Upstream

#: How often weights are set anew while a target starts slowly, seconds.
SLOW_START_TICK = 0.5

TargetListener = Callable[[LiveTarget], None]


class LiveUpstream:
    """A named pool in use. `choose` answers from a list that is rebuilt only when a target's standing changes."""

    def __init__(self, declared: Upstream, registry: UpstreamRegistry, now: float) -> None:
        self.name = declared.name
        self.declared = declared
        self.targets: list[LiveTarget] = []
        self.breaker: Circuit | None = None
        self.retry_budget: RetryBudget | None = None
        self.history = ProbeHistory()
        self.panic = False
        self.retired = False
        self._registry = registry
        self._registered: tuple[Target, ...] = ()
        self._balancer: Balancer[LiveTarget]
        self._refresh_at = -math.inf
        self._per_target = False
        self._adopt_policies(declared, now, first=True)
        self._adopt_targets(now)

    def __repr__(self) -> str:
        return f"<LiveUpstream {self.name} {self.targets} {self.breaker}>"

    # ------------------------------------------------------------------------------------------------ request path

    def choose(self, exchange_key: bytes | None, now: float, exclude: Collection[LiveTarget] = ()) -> LiveTarget | None:
        """A target for one try, None when none may be used. One in `exclude` only when there is no other."""
        if now >= self._refresh_at:
            self.refresh(now)
        target = self._pick(exchange_key, now, exclude)
        if target is not None and self._per_target and target.breaker is not None and target.breaker.refuses(now):
            self.refresh(now)
            return self._pick(exchange_key, now, exclude)
        return target

    def changed(self) -> None:
        """A target's standing changed: look again before the next choice."""
        self._refresh_at = -math.inf

    def refresh(self, now: float) -> None:
        """Work out who may be used at `now`, and when to look again."""
        slow_start = self.declared.slow_start
        growing = False
        soonest = math.inf
        levels: dict[int, tuple[list[LiveTarget], list[LiveTarget]]] = {}
        for target in self.targets:
            growing = target.reweigh(slow_start, now) or growing
            soonest = min(soonest, target.next_change(now))
            if target.allowed(now):
                allowed, healthy = levels.setdefault(target.target.priority, ([], []))
                allowed.append(target)
                if target.healthy(now):
                    healthy.append(target)
        outliers = self.declared.outliers
        usable, panic = first_level([levels[p] for p in sorted(levels)], 0.5 if outliers is None else outliers.panic)
        if panic and not self.panic:
            self._registry.tell("upstream.panic", self.name, {"targets": len(usable)})
        self.panic = panic
        self._balancer.arrange(usable, self._peers(usable))
        self._refresh_at = min(soonest, now + SLOW_START_TICK) if growing else soonest

    def _peers(self, usable: Sequence[LiveTarget]) -> list[LiveTarget]:
        """Everyone of the priority in use, so that a hash ring is laid out the same whoever is healthy."""
        if not usable:
            return []
        priority = usable[0].target.priority
        return [t for t in self.targets if t.target.priority == priority]

    def consider_ejecting(self, target: LiveTarget, now: float) -> None:
        """A target has failed often enough to be taken out, if that leaves enough others."""
        policy = self.declared.outliers
        if policy is None or target.ejection is None:
            return
        ejected = sum(t.ejection is not None and t.ejection.out(now) for t in self.targets)
        if not may_eject(policy, ejected, len(self.targets)):
            return
        streak = target.ejection.streak
        until = target.ejection.eject(now)
        target.warm_since = until
        self.changed()
        self._registry.tell(
            "target.ejected",
            f"{self.name}/{target.name}",
            {"failures_in_a_row": streak, "seconds": round(until - now, 3), "ejections": target.ejection.ejections},
        )

    # ----------------------------------------------------------------------------------------------- configuration

    def adopt(self, declared: Upstream, now: float) -> None:
        """Take over a new declaration of the same name."""
        if declared == self.declared:
            return
        self._adopt_policies(declared, now, first=False)
        self._adopt_targets(now)

    def adopt_registered(self, targets: Sequence[Target], now: float) -> None:
        """Set the targets that came by registration or discovery, beside the declared ones."""
        if tuple(targets) != self._registered:
            self._registered = tuple(targets)
            self._adopt_targets(now)

    def find(self, name: str) -> LiveTarget | None:
        return next((t for t in self.targets if t.name == name), None)

    def _adopt_policies(self, declared: Upstream, now: float, *, first: bool) -> None:
        before, self.declared = self.declared, declared
        if first or before.balance != declared.balance:
            self._balancer = balancer_for(declared.balance.algorithm, self._registry.chance)
            self._pick = self._balancer.pick
        breaker = declared.breaker
        self._per_target = breaker is not None and breaker.per_target
        if breaker is not None and not breaker.per_target:
            self.breaker = self._registry.circuit(self.name, breaker, now)
        elif self.breaker is not None:
            self._registry.breakers.retire(self.name)
            self.breaker = None
        if declared.retries is None:
            self.retry_budget = None
        elif self.retry_budget is None:
            self.retry_budget = RetryBudget(declared.retries, now)
        else:
            self.retry_budget.adjust(declared.retries)

    def _adopt_targets(self, now: float) -> None:
        known = {(t.target.url, t.target.tls): t for t in self.targets}
        running = bool(self.targets)
        kept: list[LiveTarget] = []
        wanted = [(t, False) for t in self.declared.targets] + [(t, True) for t in self._registered]
        for target, registered in wanted:
            if any(k.target.url == target.url for k in kept):
                continue
            live = known.pop((target.url, target.tls), None)
            fresh = live is None
            if live is None:
                live = LiveTarget(self, target, now, registered=registered)
                live.warm_since = now if running else -math.inf
            live.target, live.registered, live.name = target, registered, name_of(target)
            self._equip(live, now)
            kept.append(live)
            if fresh:
                self._registry.joined(live)
        self.targets = kept
        for gone in known.values():
            self._registry.left(gone)
        self.changed()

    def _equip(self, live: LiveTarget, now: float) -> None:
        declared = self.declared
        live.measured = declared.balance.algorithm == "peak_ewma"
        if declared.outliers is None:
            live.ejection = None
        elif live.ejection is None:
            live.ejection = Ejection(declared.outliers)
        else:
            live.ejection.policy = declared.outliers
        if declared.probe is None:
            live.probe = None
        elif live.probe is None:
            live.probe = ProbeRecord(declared.probe)
        else:
            live.probe.policy = declared.probe
        circuit = f"{self.name}/{live.name}"
        if declared.breaker is not None and declared.breaker.per_target:
            live.breaker = self._registry.circuit(circuit, declared.breaker, now)
        elif live.breaker is not None:
            self._registry.breakers.retire(circuit)
            live.breaker = None

    def retire(self) -> None:
        self.retired = True
        if self.breaker is not None:
            self._registry.breakers.retire(self.name)
        for target in self.targets:
            self._registry.left(target)


class UpstreamRegistry:
    """All live upstreams of this process, by name; what new snapshots take their upstreams from.

    `breakers` makes the circuits, `chance` is `random.Random().random` or a seeded one. `on_joined` and `on_left` hear
    of every target that comes and goes (the probes listen).
    """

    def __init__(self, breakers: CircuitBreakers, chance: Callable[[], float], events: EventSink | None = None) -> None:
        self.breakers = breakers
        self.chance = chance
        self.on_joined: list[TargetListener] = []
        self.on_left: list[TargetListener] = []
        self._events = events
        self._upstreams: dict[str, LiveUpstream] = {}

    def __iter__(self) -> Iterator[LiveUpstream]:
        return iter(self._upstreams.values())

    def get(self, name: str) -> LiveUpstream | None:
        return self._upstreams.get(name)

    def sync(self, upstreams: Iterable[Upstream], now: float) -> dict[str, LiveUpstream]:
        """Take over a configuration's upstreams; returns them by name. Removed ones finish what is in flight."""
        declared = {u.name: u for u in upstreams}
        for name in [name for name in self._upstreams if name not in declared]:
            self._upstreams.pop(name).retire()
        for name, upstream in declared.items():
            live = self._upstreams.get(name)
            if live is None:
                self._upstreams[name] = LiveUpstream(upstream, self, now)
            else:
                live.adopt(upstream, now)
        return dict(self._upstreams)

    def circuit(self, name: str, policy: BreakerPolicy, now: float) -> Circuit:
        return self.breakers.circuit(name, policy, now)

    def joined(self, target: LiveTarget) -> None:
        for listener in self.on_joined:
            listener(target)

    def left(self, target: LiveTarget) -> None:
        target.retired = True
        if target.breaker is not None:
            self.breakers.retire(f"{target.upstream.name}/{target.name}")
        for listener in self.on_left:
            listener(target)

    def tell(self, kind: str, subject: str, data: dict[str, object]) -> None:
        if self._events is not None:
            self._events.publish(kind, subject, data)

    def circuit_moved(self, name: str, transition: Transition) -> None:
        """Hears every move of every circuit (`on_transition` of the breakers adapter)."""
        upstream = self._upstreams.get(name.partition("/")[0])
        if upstream is not None:
            upstream.changed()
        if transition.before is transition.after:
            return
        kinds = {
            BreakerState.CLOSED: "breaker.closed",
            BreakerState.OPEN: "breaker.opened",
            BreakerState.HALF_OPEN: "breaker.half_open",
            BreakerState.FORCED_OPEN: "breaker.forced",
        }
        data: dict[str, object] = {
            "before": transition.before.value,
            "after": transition.after.value,
            "cause": transition.cause,
        }
        self.tell(kinds[transition.after], name, data)

    # ---------------------------------------------------------------------------------------------------- operators

    def drain(self, upstream: str, target: str, reason: str, ttl: float | None, now: float) -> LiveTarget:
        """Send nothing new to a target, for `ttl` seconds or until undrained. Raises KeyError if there is none."""
        live = self._live(upstream, target)
        live.drained_until = math.inf if ttl is None else now + ttl
        live.drain_reason = reason
        live.upstream.changed()
        self.tell("target.draining", f"{upstream}/{target}", {"reason": reason, "in_flight": live.active})
        return live

    def undrain(self, upstream: str, target: str, reason: str, now: float) -> LiveTarget:
        live = self._live(upstream, target)
        live.drained_until = -math.inf
        live.drain_reason = ""
        live.warm_since = now
        live.upstream.changed()
        self.tell("target.undrained", f"{upstream}/{target}", {"reason": reason})
        return live

    def _live(self, upstream: str, target: str) -> LiveTarget:
        pool = self._upstreams.get(upstream)
        live = None if pool is None else pool.find(target)
        if live is None:
            raise KeyError(f"{upstream}/{target}")
        return live
