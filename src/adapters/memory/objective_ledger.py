"""Counts of objectives in this process: gone when it ends."""

from __future__ import annotations

from collections.abc import Sequence

from spork.application.telemetry.objective_ledger import NAMED_FOR, Counted, Kept, Reading, Slice, needed
from spork.domain.objectives import Objective


class MemoryObjectives:
    """`application.objective_ledger.ObjectiveLedger` for a process that counts for itself."""

    where = "process"

    def __init__(self) -> None:
        self._kept: dict[str, dict[Slice, tuple[int, int]]] = {}
        self._since: dict[str, float] = {}
        self._nodes: dict[str, float] = {}
        #: node -> the batch it was last heard with: one at a time is under way.
        self._batches: dict[str, str] = {}

    async def add(self, node: str, batch: str, counted: Sequence[Counted], unix: float) -> None:
        self._nodes[node] = unix
        if self._batches.get(node) == batch:
            return
        self._batches[node] = batch
        for row in counted:
            key = row.objective.key
            self._since.setdefault(key, unix)
            slices = self._kept.setdefault(key, {})
            had = slices.get(row.slice, (0, 0))
            slices[row.slice] = (had[0] + row.requests, had[1] + row.bad)

    async def read(self, objectives: Sequence[Objective], unix: float) -> Reading:
        for objective in objectives:
            slices = self._kept.get(objective.key, {})
            for old in [slice for slice in slices if not needed(objective, slice, unix)]:
                del slices[old]
        self._nodes = {node: at for node, at in self._nodes.items() if at > unix - NAMED_FOR}
        return Reading(
            {o.key: Kept(self._since.get(o.key), dict(self._kept.get(o.key, {}))) for o in objectives},
            tuple(sorted(self._nodes)),
        )
