"""Once a second, everything that operators are shown is brought up to date."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Final

from spork.application.admin.commands import Operations
from spork.application.admin.concern_watch import ConcernWatch
from spork.application.admin.current_overview import CurrentOverview
from spork.application.admin.monitoring import Monitoring, WorkerShelf
from spork.application.admin.queries import Queries
from spork.application.admin.quotas import QuotaControl
from spork.application.admin.security_notes import SecurityNotes
from spork.application.admin.stream import Stream
from spork.application.admin.versions import versions_of
from spork.application.configuration.live import LiveConfiguration
from spork.application.exchange.exchange import Current
from spork.application.fleet.heartbeat import LoopLag, Reporter
from spork.application.fleet.lifecycle import Lifecycle
from spork.application.fleet.nodes import NodeRegistry
from spork.application.fleet.settings import FleetSettings
from spork.application.fleet.state_changes import StateChanges
from spork.application.kernel.tasks import end
from spork.application.telemetry.history import History
from spork.application.telemetry.objectives import ObjectiveTracker
from spork.application.telemetry.security_log import SecurityDecisions
from spork.application.telemetry.tally import RequestCounters
from spork.application.telemetry.usage import UsageMeter
from spork.application.telemetry.versions import VersionCounters
from spork.application.telemetry.waiting_audit import WaitingAuditTrail

log = logging.getLogger("spork.operators")

#: Seconds between two beats, and between two looks at who may still watch.
BEAT: Final = 1.0
LOOK: Final = 0.5
#: Beats between two measurements of the busiest windows of limits.
MEASURE_EVERY: Final = 5


@dataclass(frozen=True, slots=True)
class OperatorHeartbeat:
    """The loops behind the admin API. `shelf` is None for a gateway of one process; `signature` tells whether files changed
    (`LiveConfiguration.watch`)."""

    node: str
    current: Current
    reporter: Reporter
    overview: CurrentOverview
    queries: Queries
    stream: Stream
    concerns: ConcernWatch
    live: LiveConfiguration
    settings: FleetSettings
    quotas: QuotaControl
    monitoring: Monitoring
    shelf: WorkerShelf | None
    tally: RequestCounters
    history: History
    objectives: ObjectiveTracker
    usage: UsageMeter
    versions: VersionCounters
    security: SecurityDecisions
    operations: Operations
    notes: SecurityNotes
    audit: WaitingAuditTrail
    nodes: NodeRegistry
    lag: LoopLag
    state_changes: StateChanges
    lifecycle: Lifecycle
    unix: Callable[[], float]
    signature: Callable[[Sequence[str]], object]

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Beat and watch until the block ends; then write down what is not yet, and leave the fleet."""
        loops = (
            self._beats,
            self._look_at_streams,
            self._end_streams,
            self._watch_files,
            self.lag.watch,
            self.state_changes.watch,
            self.audit.settling,
        )
        tasks = [asyncio.create_task(loop()) for loop in loops]
        try:
            yield
        finally:
            self.stream.end()
            await end(tasks)
            await self.nodes.leave(self.node)
            await self.usage.flush()
            if self.objectives.any:
                await self.objectives.flush()
            for entry in self.security.take():
                await self.operations.note(entry)
            await self.notes.settle(1.0)

    async def _beats(self) -> None:
        beats = 0
        while True:
            beats += 1
            try:
                await self._beat(beats)
            except Exception:
                log.exception("heartbeat")
            await asyncio.sleep(BEAT)

    async def _beat(self, number: int) -> None:
        """What this node is, what the others are, what changed, what the fleet was told."""
        await self.reporter.beat()
        if self.stream.watchers:
            await self.queries.refresh()
        self.overview.forget()
        await self.concerns.beat()
        await self._keep_history()
        await self.stream.beat()
        if self.shelf is not None:
            await asyncio.to_thread(self.shelf.put, await self.monitoring.report())
        await self.live.follow()
        await self.settings.follow()
        await self.objectives.tick()
        await self.usage.tick()
        routes = self.current.snapshot.configuration.routes
        self.versions.tick((version for _, version in versions_of(routes)), self.unix())
        for entry in self.security.due():
            await self.operations.note(entry)
        if number % MEASURE_EVERY == 0:
            await self.quotas.measure()

    async def _keep_history(self) -> None:
        now = self.unix()
        if self.history.due(now):
            for _ in self.tally.settling():
                await asyncio.sleep(0)
            self.history.sample(self.tally.last_windows(), now)

    async def _look_at_streams(self) -> None:
        """The stream of an operator whose token expired or was taken out of the configuration ends."""
        while True:
            self.stream.look()
            await asyncio.sleep(LOOK)

    async def _end_streams(self) -> None:
        """Shutdown has begun: streams would otherwise hold it up for the whole grace period."""
        await self.lifecycle.draining()
        self.stream.end()

    async def _watch_files(self) -> None:
        await self.live.watch(self.signature)
