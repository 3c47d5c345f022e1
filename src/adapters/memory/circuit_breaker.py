"""Circuits of one process: nothing shared, nothing to open or close."""

from __future__ import annotations

from collections.abc import Callable

from spork.domain.upstreams.circuit import BreakerPolicy, CircuitStatus, TransitionListener
from spork.domain.upstreams.circuit_machine import Circuit


class MemoryCircuitBreakers:
    """`CircuitBreakers` in process. `chance` is `random.Random().random` or a seeded one.

    `on_transition(name, transition)` hears every move and must not raise.
    """

    def __init__(self, chance: Callable[[], float], on_transition: TransitionListener | None = None) -> None:
        self._chance = chance
        self.on_transition = on_transition
        self._circuits: dict[str, Circuit] = {}

    def circuit(self, name: str, policy: BreakerPolicy, now: float) -> Circuit:
        known = self._circuits.get(name)
        if known is None:
            known = self._circuits[name] = Circuit(name, policy, self._chance, now, self.on_transition)
        else:
            known.adjust(policy, now)
        return known

    def retire(self, name: str) -> None:
        self._circuits.pop(name, None)

    def force_open(self, name: str, reason: str, by: str, ttl: float | None, now: float) -> None:
        self._circuits[name].force_open(reason, by, ttl, now)

    def reset(self, name: str, reason: str, by: str, now: float) -> None:
        self._circuits[name].reset(reason, by, now)

    def status(self, name: str, now: float) -> CircuitStatus:
        return self._circuits[name].status(now)

    def statuses(self, now: float) -> list[CircuitStatus]:
        return [circuit.status(now) for circuit in self._circuits.values()]
