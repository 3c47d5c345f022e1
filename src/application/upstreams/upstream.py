"""Upstreams as they live between configuration changes: availability, balancing, circuits, budgets.

`UpstreamRegistry` takes over each new configuration: what did not change keeps its state (counts, latencies, probe
verdicts, ejections, circuit). The request path makes two calls per try, `admit` and `settle`; between them the target
is known to have one more request in flight and the circuit waits for its record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Final

from spork.application.upstreams.affinity import Request, key_reader
from spork.application.upstreams.target import LiveTarget, Owner
from spork.domain.http.edits import HeaderTransform
from spork.domain.upstreams.balancing import Balancer, HashRing, Sticky, WeightedRotation, balancer_for, first_level
from spork.domain.upstreams.circuit import BreakerPolicy, CallResult, Open, Permit
from spork.domain.upstreams.circuit_machine import Circuit, CircuitBreakers
from spork.domain.upstreams.health import Ejection, ProbeHistory, ProbeRecord, may_eject
from spork.domain.upstreams.model import Target, Upstream, secured
from spork.domain.upstreams.retries import RetryBudget

#: How often weights are set anew while a target starts slowly, seconds.
SLOW_START_TICK: Final = 0.5

#: Handed out where no circuit watches.
NO_CIRCUIT: Final = Permit()


class Surroundings:
    """What an upstream finds around it: circuits, chance, and who hears of its targets."""

    breakers: CircuitBreakers
    chance: Callable[[], float]

    def circuit(self, name: str, policy: BreakerPolicy, now: float) -> Circuit:
        raise NotImplementedError

    def changed(self) -> None:
        raise NotImplementedError

    def joined(self, target: LiveTarget) -> None:
        raise NotImplementedError

    def left(self, target: LiveTarget) -> None:
        raise NotImplementedError

    def publish(self, kind: str, subject: str, data: dict[str, object]) -> None:
        raise NotImplementedError


class LiveUpstream(Owner):
    """A named pool in use. `choose` answers from a list that is rebuilt only when a target's standing changes."""

    def __init__(self, declared: Upstream, registry: Surroundings, now: float) -> None:
        self.name = declared.name
        self.declared = declared
        self.targets: list[LiveTarget] = []
        self.breaker: Circuit | None = None
        self.retry_budget: RetryBudget | None = None
        self.history = ProbeHistory()
        self.panic = False
        #: Monotonic seconds until which it has asked to be left alone.
        self.rests_until = -math.inf
        self.request_edit: HeaderTransform | None = None
        self.response_edit: HeaderTransform | None = None
        self.retired = False
        self._registry = registry
        self._registered: tuple[Target, ...] = ()
        self._balancer: Balancer[LiveTarget]
        self._refresh_at = -math.inf
        self._adopt_policies(declared, now, first=True)
        self._adopt_targets(now)

    def __repr__(self) -> str:
        return f"<LiveUpstream {self.name} {self.targets} {self.breaker}>"

    # ------------------------------------------------------------------------------------------------ request path

    def admit(
        self, exchange: Request, now: float, exclude: Collection[LiveTarget] = ()
    ) -> tuple[LiveTarget, Permit] | Open | None:
        """A target for one try with leave to call it, `Open` when the circuit refuses, None when no target may be used.

        One in `exclude` (tried before) is taken only when there is no other. Every target handed out is given back by
        `settle`, whatever happened.
        """
        if now >= self._refresh_at:
            self.refresh(now)
        read_key = self._read_key
        key = None if read_key is None else read_key(exchange)
        breaker = self.breaker
        if breaker is None:
            return self._admit_unguarded(key, now, exclude)
        permit = breaker.permit(now)
        if permit.__class__ is Open:
            return permit
        target = self._pick(key, now, exclude)
        if target is None:
            breaker.record(permit, CallResult.IGNORED, 0.0, now)  # type: ignore[arg-type]
            return None
        target.active += 1
        return target, permit  # type: ignore[return-value]

    def settle(
        self, target: LiveTarget, permit: Permit, result: CallResult, seconds: float, now: float, cause: str = ""
    ) -> None:
        """One try is over, `seconds` after it was sent. `cause` says for operators what broke."""
        target.finished(result, seconds, now, cause)
        breaker = self.breaker if target.breaker is None else target.breaker
        if breaker is not None:
            breaker.record(permit, result, seconds, now)

    def answered(self, target: LiveTarget, permit: Permit, status: int, seconds: float, now: float) -> None:
        """A probe has its response head, and with it its result: the body may be a stream that outlasts its lease."""
        breaker = self.breaker if target.breaker is None else target.breaker
        if breaker is not None:
            breaker.record(permit, self.judge(status), seconds, now)

    def told_to_rest(self, status: int, retry_after: float | None, now: float) -> bool:
        """Whether an answer asks for a pause (`RestPolicy`); then it begins."""
        policy = self.declared.rest
        if policy is None or status not in policy.statuses:
            return False
        wait = policy.default if retry_after is None else retry_after
        self.rests_until = max(self.rests_until, now + min(wait, policy.longest))
        return True

    def judge(self, status: int) -> CallResult:
        """What an answer with this status says about the target."""
        return CallResult.FAILED if status in self._failures else CallResult.OK

    def preview(self, exchange: Request, now: float) -> LiveTarget | None:
        """The target a request would get now, without taking it: nobody's turn passes."""
        if now >= self._refresh_at:
            self.refresh(now)
        key = None if self._read_key is None else self._read_key(exchange)
        balancer = self._balancer
        rotation = balancer.rotation if isinstance(balancer, HashRing | Sticky) else balancer
        turn = rotation.turn if isinstance(rotation, WeightedRotation) else 0
        picked = balancer.pick(key, now, ())
        if isinstance(rotation, WeightedRotation):
            rotation.turn = turn
        return picked

    def _admit_unguarded(
        self, key: bytes | None, now: float, exclude: Collection[LiveTarget]
    ) -> tuple[LiveTarget, Permit] | Open | None:
        """Without a circuit of the upstream's own: its targets may have theirs."""
        target = self.choose(key, now, exclude)
        refused: Open | None = None
        while target is not None and target.breaker is not None:
            permit = target.breaker.permit(now)
            if isinstance(permit, Permit):
                target.active += 1
                return target, permit
            refused = permit
            exclude = [*exclude, target]
            target = self.choose(key, now, exclude)
            if target in exclude:
                return refused
        if target is None:
            return refused or self._refused_by_all(now)
        target.active += 1
        return target, NO_CIRCUIT

    def _refused_by_all(self, now: float) -> Open | None:
        """When every target's own circuit refuses, the soonest of their next tries."""
        waits = [t.breaker.wakes_at() for t in self.targets if t.breaker is not None and t.breaker.refuses(now)]
        if not waits or len(waits) < len(self.targets):
            return None
        return Open(max(0.0, min((w for w in waits if w is not None), default=now + 1.0) - now))

    def choose(self, exchange_key: bytes | None, now: float, exclude: Collection[LiveTarget] = ()) -> LiveTarget | None:
        """The balancer's choice alone, without circuit and without counting it in flight."""
        if now >= self._refresh_at:
            self.refresh(now)
        return self._pick(exchange_key, now, exclude)

    def changed(self) -> None:
        """A target's standing changed: look again before the next choice."""
        self._refresh_at = -math.inf

    def rest(self, target: LiveTarget, seconds: float, now: float) -> None:
        """`target` asked to be left alone for `seconds`."""
        target.rests_until = max(target.rests_until, now + seconds)
        self.changed()
        detail = f"answered 429 with Retry-After: rests for {seconds:g} s"
        self._registry.publish("target.resting", f"{self.name}/{target.name}", {"detail": detail})

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
                allowed, healthy = levels.setdefault(target.declared.priority, ([], []))
                allowed.append(target)
                if target.healthy(now):
                    healthy.append(target)
        outliers = self.declared.outliers
        usable, panic = first_level([levels[p] for p in sorted(levels)], 0.5 if outliers is None else outliers.panic)
        if panic and not self.panic:
            detail = f"too few targets are healthy: all {len(usable)} are used"
            self._registry.publish("upstream.panic", self.name, {"targets": len(usable), "detail": detail})
        self.panic = panic
        self._balancer.arrange(usable, self._peers(usable))
        self._refresh_at = min(soonest, now + SLOW_START_TICK) if growing else soonest

    def _peers(self, usable: Sequence[LiveTarget]) -> list[LiveTarget]:
        """Everyone of the priority in use, so that a hash ring is laid out the same whoever is healthy."""
        if not usable:
            return []
        priority = usable[0].declared.priority
        return [t for t in self.targets if t.declared.priority == priority]

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
        self._registry.publish(
            "target.ejected",
            f"{self.name}/{target.name}",
            {
                "failures_in_a_row": streak,
                "seconds": round(until - now, 3),
                "ejections": target.ejection.ejections,
                "detail": f"{streak} failures in a row: out for {until - now:.0f} s",
            },
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
            self._registry.changed()

    def find(self, name: str) -> LiveTarget | None:
        return next((t for t in self.targets if t.name == name), None)

    def _adopt_policies(self, declared: Upstream, now: float, *, first: bool) -> None:
        before, self.declared = self.declared, declared
        self.request_edit = HeaderTransform.compile(declared.request_headers)
        self.response_edit = HeaderTransform.compile(declared.response_headers)
        sticky = declared.sticky is not None
        if first or before.balance != declared.balance or sticky is not (before.sticky is not None):
            self._balancer = balancer_for(declared.balance.algorithm, self._registry.chance)
            if sticky:
                self._balancer = Sticky(self._balancer)
            self._pick = self._balancer.pick
        breaker = declared.breaker
        self._read_key = key_reader(declared.balance, declared.sticky)
        self._failures = (502, 503, 504) if breaker is None else breaker.statuses
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
        known = {(t.declared.url, t.declared.tls): t for t in self.targets}
        running = bool(self.targets)
        kept: list[LiveTarget] = []
        wanted = [(t, False) for t in self.declared.listed]
        wanted += [(secured(t, self.declared.tls), True) for t in self._registered]
        for target, registered in wanted:
            if any(k.declared.url == target.url for k in kept):
                continue
            live = known.pop((target.url, target.tls), None)
            fresh = live is None
            if live is None:
                live = LiveTarget(self, target, now, registered=registered)
                live.warm_since = now if running else -math.inf
            live.declare(target, registered=registered)
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
