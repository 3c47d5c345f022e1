"""All live upstreams of this process: which there are, and what operators do to their targets."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from spork.application.kernel.events import EventSink
from spork.application.upstreams.target import LiveTarget
from spork.application.upstreams.upstream import LiveUpstream, Surroundings
from spork.domain.upstreams.circuit import BreakerPolicy, BreakerState, Transition
from spork.domain.upstreams.circuit_machine import Circuit, CircuitBreakers
from spork.domain.upstreams.model import Target, Upstream

TargetListener = Callable[[LiveTarget], None]
#: Hears (upstream, target, (reason, seconds or None)), or None instead of the pair when it is undrained.
DrainListener = Callable[[str, str, tuple[str, float | None] | None], None]


@dataclass(frozen=True, slots=True)
class Discovered:
    """Targets found for one upstream, and the policies it has if the configuration does not declare it."""

    targets: tuple[Target, ...]
    policies: Upstream = Upstream("", ())


class UpstreamRegistry(Surroundings):
    """All live upstreams of this process, by name; what new snapshots take their upstreams from.

    `breakers` makes the circuits, `chance` is `random.Random().random` or a seeded one. `on_joined` and `on_left` hear
    of every target that comes and goes, `on_changed` of every change of what there is (the probes listen).
    """

    def __init__(self, breakers: CircuitBreakers, chance: Callable[[], float], events: EventSink | None = None) -> None:
        self.breakers = breakers
        self.chance = chance
        self.on_joined: list[TargetListener] = []
        self.on_left: list[TargetListener] = []
        self.on_changed: list[Callable[[], None]] = []
        self.on_drained: list[DrainListener] = []
        self._events = events
        self._upstreams: dict[str, LiveUpstream] = {}
        self._found: dict[str, dict[str, Discovered]] = {}
        self._declared: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[LiveUpstream]:
        return iter(self._upstreams.values())

    def get(self, name: str) -> LiveUpstream | None:
        return self._upstreams.get(name)

    def prepare(self, upstreams: Iterable[Upstream], now: float) -> Mapping[str, LiveUpstream]:
        """The live upstreams a configuration would have, without touching those in force."""
        prepared: dict[str, LiveUpstream] = {}
        for declared in upstreams:
            prepared[declared.name] = self._upstreams.get(declared.name) or LiveUpstream(declared, self, now)
        return prepared

    def commit(self, upstreams: Iterable[Upstream], prepared: Mapping[str, LiveUpstream], now: float) -> None:
        """Put what was prepared into force. Upstreams that are gone finish what is in flight."""
        declared = {u.name: u for u in upstreams}
        self._declared = frozenset(declared)
        found = self._found_names()
        for name in [name for name in self._upstreams if name not in declared and name not in found]:
            self._upstreams.pop(name).retire()
        for name, upstream in declared.items():
            self._upstreams[name] = prepared[name]
            prepared[name].adopt(upstream, now)
        self._join_found(now)
        self.changed()

    # ---------------------------------------------------------------------------------------------------- discovery

    def discover(self, source: str, found: Mapping[str, Discovered], now: float) -> None:
        """Set what one source of discovery (registrations, DNS, a file) knows at present, by upstream name.

        Its targets stand beside the declared ones of the same upstream; a name that is not declared becomes an
        upstream with the policies the source gives.
        """
        if self._found.get(source) == found:
            return
        self._found[source] = dict(found)
        names = self._found_names()
        for name in [name for name in self._upstreams if name not in self._declared and name not in names]:
            self._upstreams.pop(name).retire()
        self._join_found(now)
        self.changed()

    def _found_names(self) -> set[str]:
        return {name for found in self._found.values() for name in found}

    def _join_found(self, now: float) -> None:
        for name in self._found_names() | self._upstreams.keys():
            parts = [found[name] for found in self._found.values() if name in found]
            live = self._upstreams.get(name)
            if name not in self._declared:
                declared = replace(parts[0].policies, name=name, targets=())
                if live is None:
                    live = self._upstreams[name] = LiveUpstream(declared, self, now)
                else:
                    live.adopt(declared, now)
            assert live is not None
            live.adopt_registered([target for part in parts for target in part.targets], now)

    def changed(self) -> None:
        """Which targets there are, or how they are watched, is not as it was."""
        for listener in self.on_changed:
            listener()

    def sync(self, upstreams: Iterable[Upstream], now: float) -> Mapping[str, LiveUpstream]:
        """Prepare and commit at once; a live view of what is in force."""
        upstreams = tuple(upstreams)
        self.commit(upstreams, self.prepare(upstreams, now), now)
        return self.view

    @property
    def view(self) -> Mapping[str, LiveUpstream]:
        """A read-only mapping by name that follows later changes."""
        return MappingProxyType(self._upstreams)

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

    def publish(self, kind: str, subject: str, data: dict[str, object]) -> None:
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
            "detail": transition.cause,
        }
        self.publish(kinds[transition.after], name, data)

    # ---------------------------------------------------------------------------------------------------- operators

    def drain(self, upstream: str, target: str, reason: str, ttl: float | None, now: float) -> LiveTarget:
        """Send nothing new to a target, for `ttl` seconds or until undrained. Raises KeyError if there is none."""
        live = self.find(upstream, target)
        live.drained_until = math.inf if ttl is None else now + ttl
        live.drain_reason = reason
        live.upstream.changed()
        for hear in self.on_drained:
            hear(upstream, target, (reason, ttl))
        self.publish("target.draining", f"{upstream}/{target}", {"detail": reason, "in_flight": live.active})
        return live

    def undrain(self, upstream: str, target: str, reason: str, now: float) -> LiveTarget:
        live = self.find(upstream, target)
        live.drained_until = -math.inf
        live.drain_reason = ""
        live.warm_since = now
        live.upstream.changed()
        for hear in self.on_drained:
            hear(upstream, target, None)
        self.publish("target.undrained", f"{upstream}/{target}", {"detail": reason})
        return live

    def find(self, upstream: str, target: str) -> LiveTarget:
        """The live target of that name. Raises KeyError if there is none."""
        pool = self._upstreams.get(upstream)
        live = None if pool is None else pool.find(target)
        if live is None:
            raise KeyError(f"{upstream}/{target}")
        return live
