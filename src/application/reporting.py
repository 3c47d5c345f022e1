"""The heartbeat: once a second this process closes the second in its tally, says what it is, and hears the others."""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from application.events import EventLog
from application.insight import Controls
from application.nodes import Heard, NodeRegistry, NodeReport, Picture
from application.overview import Overview
from application.ports import Clock
from application.tally import BOUNDS, SIZE, Tally, Windows
from application.views import ConsumerView

if TYPE_CHECKING:
    from application.plan import Snapshot

log = logging.getLogger("spork.reporting")


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


class Reporter:
    """Builds this node's report and keeps the latest of the others.

    `beat()` once a second. `overview()` answers from the last beat, with this node's own part as it stands now.
    """

    def __init__(
        self,
        node: str,
        clock: Clock,
        tally: Tally,
        events: EventLog,
        registry: NodeRegistry,
        snapshot: Callable[[], Snapshot],
        controls: Controls,
        in_flight: Callable[[], int],
        consumers: Callable[[], Sequence[ConsumerView]] | None = None,
    ) -> None:
        self.node = node
        self._clock = clock
        self._tally = tally
        self._events = events
        self._registry = registry
        self._snapshot = snapshot
        self._controls = controls
        self._in_flight = in_flight
        self._consumers = consumers or (lambda: ())
        self._others: list[Heard] = []
        self._silent: frozenset[str] = frozenset()
        self.started = clock.unix()

    def report(self, windows: Windows | None = None) -> NodeReport:
        """What this process is now. `windows`: the tally's, if they are at hand."""
        unix = self._clock.unix()
        windows = windows or self._tally.windows()
        snapshot = self._snapshot()
        upstreams = self._controls.upstreams
        now = self._clock.monotonic()
        return NodeReport(
            node=self.node,
            at=unix,
            started=self.started,
            revision=snapshot.revision,
            in_flight=self._in_flight(),
            total=windows.total.row(),
            overhead=windows.overhead,
            routes={name: window.row() for name, window in windows.routes.items()},
            upstreams={name: window.row() for name, window in windows.upstreams.items()},
            targets=[(upstream, name, window.row()) for (upstream, name), window in windows.targets.items()],
            hits=self._hits(),
            series=self._tally.series(),
            breakers=upstreams.breakers(now, unix) if upstreams is not None else [],
            target_views=upstreams.targets(now, unix) if upstreams is not None else [],
            consumers=list(self._consumers()),
            events=self._events.latest(200),
        )

    def _hits(self) -> dict[str, int]:
        hits: dict[str, int] = {}
        for cell in self._tally.cells():
            hits[cell.key[0]] = hits.get(cell.key[0], 0) + cell.count
        return hits

    def picture(self) -> Picture:
        return Picture([Heard(self.report(), 0.0), *self._others])

    def overview(self) -> Overview:
        return Overview(self.picture(), self._snapshot().configuration)

    def revisions(self) -> dict[str, str]:
        """Which revision each speaking node serves."""
        return {report.node: report.revision for report in self.picture().reports}

    async def beat(self) -> None:
        """One heartbeat."""
        self._tally.tick(self._clock.unix())
        if self._registry.alone:
            return
        # Adding up ten thousand busy routes takes a while; requests go on meanwhile.
        windows = await asyncio.to_thread(self._tally.windows) if len(self._tally) > 300 else None
        await self._registry.announce(self.report(windows))
        self._others = [heard for heard in await self._registry.heard() if heard.report.node != self.node]
        silent = frozenset(Picture(self._others).nodes.silent)
        for name in sorted(silent - self._silent):
            self._events.publish("node.silent", name, {"detail": "has stopped reporting; sums leave it out"})
        for name in sorted(self._silent - silent):
            self._events.publish("node.heard", name, {"detail": "reports again"})
        self._silent = silent

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `application.metering`: what this node knows of itself."""
        yield ("gateway_requests_in_flight", (), float(self._in_flight()))
        yield ("gateway_nodes_silent", (), float(len(self._silent)))
        yield ("gateway_config_info", (self._snapshot().revision,), 1.0)
