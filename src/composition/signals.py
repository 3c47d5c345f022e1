"""What one part of the process tells others: made before all parts, so that none has to be given another afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field

from spork.application.exchange.exchange import Snapshot
from spork.application.kernel.signal import Signal
from spork.domain.upstreams.circuit import Transition


@dataclass(frozen=True, slots=True)
class Signals:
    """Who hears of them is said in one place: `spork.composition.gateway.subscribe`."""

    #: Another configuration is in force: the snapshots before and after.
    swapped: Signal[Snapshot, Snapshot] = field(default_factory=lambda: Signal("a configuration swap"))
    #: A circuit of this process moved: its name and the move.
    circuit_moved: Signal[str, Transition] = field(default_factory=lambda: Signal("a circuit's move"))
