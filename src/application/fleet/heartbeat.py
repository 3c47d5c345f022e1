"""The heartbeat: once a second, roll the counters over, publish this node's report, and read the other nodes' reports."""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from spork.application.fleet.nodes import (
    SILENT_AFTER,
    FleetState,
    LocalNodeState,
    NodeCount,
    NodeRegistry,
    NodeReport,
    NodeState,
    RouteReport,
)
from spork.application.fleet.overview import Overview, routes_by_upstream
from spork.application.kernel.clock import Clock
from spork.application.limits.reports import LimitReport
from spork.application.telemetry.event_log import EventLog
from spork.application.telemetry.rolling import BOUNDS, PIECE, SIZE
from spork.application.telemetry.tally import RequestCounters
from spork.application.views import BreakerView, ConsumerView, TargetView

if TYPE_CHECKING:
    from spork.application.configuration.model import Configuration
    from spork.application.exchange.exchange import Snapshot

log = logging.getLogger("spork.reporting")

#: A node with more routes than this tells the others of them in every fifth beat.
MANY_ROUTES = 500
ROUTES_EVERY = 5


class LoopLag:
    """How late timers fire: what a request may have to wait before its first line of code runs."""

    def __init__(self, every: float = 0.1) -> None:
        self._every = every
        self._worst: deque[tuple[float, float]] = deque(maxlen=int(10 / every))
        #: How long a callback that was ready waited for its turn, by bucket of the tally's, and the sum in seconds.
        self.waits = [0] * SIZE
        self.waited = 0.0

    def note(self, now: float, late: float) -> None:
        self._worst.append((now, max(0.0, late)))

    def _turn_came(self, ready: float) -> None:
        self.waited_for_turn(time.perf_counter() - ready)

    def waited_for_turn(self, seconds: float) -> None:
        """One ready callback's wait: what a parsed request waits before its first phase."""
        self.waits[bisect_left(BOUNDS, seconds)] += 1
        self.waited += seconds

    @property
    def worst(self) -> float:
        """Seconds, of the last 10 seconds."""
        return max((late for _, late in self._worst), default=0.0)

    async def watch(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self._every
            await asyncio.sleep(self._every)
            now = loop.time()
            self.note(now, now - due)
            # loop.time() is cached within an iteration in some loops; a wait may be shorter than that.
            loop.call_soon(self._turn_came, time.perf_counter())

    def samples(self) -> list[tuple[str, tuple[str, ...], float]]:
        return [("gateway_event_loop_lag_seconds", (), self.worst)]


class UpstreamFacts(Protocol):
    """What a node reports of its upstreams. `now` is monotonic, `unix` wall time, both in seconds."""

    def breakers(self, now: float, unix: float) -> list[BreakerView]: ...

    def targets(self, now: float, unix: float) -> list[TargetView]: ...

    def probed(self, now: float) -> dict[str, tuple[int, int]]: ...


class Reporter:
    """Builds this node's report and keeps the latest of the others.

    `beat()` once a second. `overview()` answers from the last beat, with this node's own part as it stands now.
    """

    def __init__(
        self,
        node: str,
        clock: Clock,
        tally: RequestCounters,
        events: EventLog,
        registry: NodeRegistry,
        snapshot: Callable[[], Snapshot],
        upstreams: UpstreamFacts | None,
        in_flight: Callable[[], int],
        consumers: Callable[[], Sequence[ConsumerView]] | None = None,
        limits: Callable[[], LimitReport] = LimitReport,
        count: NodeCount | None = None,
    ) -> None:
        self.node = node
        self._clock = clock
        self._tally = tally
        self._events = events
        self._registry = registry
        self._snapshot = snapshot
        self._upstreams = upstreams
        self._in_flight = in_flight
        self._consumers = consumers or (lambda: ())
        self._limits = limits
        self._limit_report = LimitReport()
        self._count = count or NodeCount()
        self._others: list[NodeState] = []
        self._silent: frozenset[str] = frozenset()
        self.started = clock.unix()
        self._routes = RouteReport()
        self._beats = 0
        self._routes_of: tuple[Configuration, dict[str, list[str]]] | None = None

    def report(self) -> NodeReport:
        """What this process is now, but for its routes."""
        unix = self._clock.unix()
        windows = self._tally.windows()
        snapshot = self._snapshot()
        upstreams = self._upstreams
        now = self._clock.monotonic()
        return NodeReport(
            node=self.node,
            at=unix,
            started=self.started,
            revision=snapshot.revision,
            in_flight=self._in_flight(),
            total=windows.total.row(),
            overhead=windows.overhead,
            upstreams={name: window.row() for name, window in windows.upstreams.items()},
            targets=[(upstream, name, window.row()) for (upstream, name), window in windows.targets.items()],
            series=self._tally.series(),
            breakers=upstreams.breakers(now, unix) if upstreams is not None else [],
            target_views=upstreams.targets(now, unix) if upstreams is not None else [],
            probed=upstreams.probed(now) if upstreams is not None else {},
            consumers=list(self._consumers()),
            events=self._events.latest(200),
            limits=self._limit_report,
        )

    async def routes(self) -> RouteReport:
        """The rest of the report, for other nodes; requests go on meanwhile. That of many routes is made every few beats."""
        self._beats += 1
        if len(self._routes.hits) > MANY_ROUTES and self._beats % ROUTES_EVERY:
            return self._routes
        report = self._routes = RouteReport(dict(self._tally.hits))
        for at, (name, window) in enumerate(list(self._tally.windows().routes.items()), 1):
            report.windows[name] = window.row()
            if at % PIECE == 0:
                await asyncio.sleep(0)
        return report

    def fleet_state(self) -> FleetState:
        return FleetState([LocalNodeState(self.report(), self._tally.windows(), self._tally.hits), *self._others])

    def overview(self) -> Overview:
        configuration = self._snapshot().configuration
        if self._routes_of is None or self._routes_of[0] is not configuration:
            self._routes_of = (configuration, routes_by_upstream(configuration))
        return Overview(self.fleet_state(), configuration, self._routes_of[1])

    def other_limits(self) -> list[LimitReport]:
        """What the other processes that speak have counted of limits."""
        return [heard.report.limits for heard in self._others if heard.age <= SILENT_AFTER]

    def revisions(self) -> dict[str, str]:
        """Which revision each speaking node serves."""
        return {report.node: report.revision for report in self.fleet_state().reports}

    async def beat(self) -> None:
        """One heartbeat."""
        for _ in self._tally.closing(self._clock.unix()):
            await asyncio.sleep(0)
        if self._registry.alone:
            return
        self._limit_report = self._limits()
        await self._registry.announce(self.report(), await self.routes())
        self._others = [heard for heard in await self._registry.nodes() if heard.report.node != self.node]
        fleet = FleetState(self._others)
        self._count.update(fleet.nodes.seen)
        silent = frozenset(fleet.nodes.silent)
        for name in sorted(silent - self._silent):
            self._events.publish("node.silent", name, {"detail": "has stopped reporting; sums leave it out"})
        for name in sorted(self._silent - silent):
            self._events.publish("node.heard", name, {"detail": "reports again"})
        self._silent = silent

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`: what this node knows of itself."""
        yield ("gateway_requests_in_flight", (), float(self._in_flight()))
        yield ("gateway_nodes_silent", (), float(len(self._silent)))
        yield ("gateway_config_info", (self._snapshot().revision,), 1.0)
