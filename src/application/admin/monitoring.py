"""Numbers for machines: this host's workers' reports, as metrics, percentiles by route, and one health score."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from spork.application.fleet.heartbeat import LoopLag
from spork.application.fleet.overview import Overview, health_parts
from spork.application.kernel.clock import Clock
from spork.application.telemetry.families import FAMILIES, Meter, MetricSums, WorkerReport, report_of, rows_of
from spork.application.telemetry.rolling import SIZE, Window, add_difference, percentile_ms
from spork.application.telemetry.tally import RequestCounters
from spork.domain.outcomes import SERVER_ERRORS


class WorkerShelf(Protocol):
    """Where the workers of one host leave their reports for each other."""

    def put(self, report: WorkerReport) -> None: ...

    def others(self) -> Sequence[WorkerReport]:
        """The latest report of every other worker of this gateway, those of ended ones marked `gone`."""


@dataclass(slots=True)
class RoutePerformance:
    """Latencies of one route in milliseconds: over the last 10 seconds, and since the workers started."""

    route: str
    requests: int
    rps: float
    error_ratio: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    recent_p50_ms: float | None
    recent_p95_ms: float | None
    recent_p99_ms: float | None


@dataclass(slots=True)
class HealthScore:
    """`score` 0 to 100, None while nothing is known; `parts` are what was taken off, by cause."""

    score: float | None
    parts: dict[str, float] = field(default_factory=dict)
    formula: str = ""


class Monitoring:
    """Collects when somebody asks."""

    def __init__(
        self,
        worker: str,
        clock: Clock,
        tally: RequestCounters,
        overview: Callable[[], Overview],
        shelf: WorkerShelf | None = None,
        lag: LoopLag | None = None,
        meters: Sequence[Meter] = (),
    ) -> None:
        """`meters` are asked for their samples whenever metrics are."""
        self._worker = worker
        self._clock = clock
        self._tally = tally
        self._overview = overview
        self._shelf = shelf
        self._lag = lag
        self._meters: list[Meter] = list(meters)
        self._started = clock.unix()

    def add(self, meter: Meter) -> None:
        """Have `meter` asked for its samples whenever metrics are."""
        self._meters.append(meter)

    async def report(self) -> WorkerReport:
        return await self._with_cells(self._own())

    async def _with_cells(self, report: WorkerReport) -> WorkerReport:
        if len(self._tally) < _MANY:
            report.cells = rows_of(self._tally)
        else:
            report.cells = await asyncio.to_thread(rows_of, self._tally)
        return report

    def _own(self) -> WorkerReport:
        report = report_of(self._worker, self._started, self._clock.unix(), self._tally, self._meters, cells=False)
        if self._lag is not None:
            report.waits, report.waited = list(self._lag.waits), self._lag.waited
        return report

    async def reports(self) -> list[WorkerReport]:
        """This worker's and the others'. Ten thousand routes are put together beside the event loop."""
        report = self._own()
        others = await asyncio.to_thread(self._shelf.others) if self._shelf is not None else ()
        return [await self._with_cells(report), *others]

    async def as_json(self) -> dict[str, object]:
        """Every metric by name, with its samples."""
        reports = await self.reports()
        return await asyncio.to_thread(self._described, reports)

    def _described(self, reports: Sequence[WorkerReport]) -> dict[str, object]:
        sums = MetricSums(reports)
        metrics: dict[str, object] = {}
        for family in FAMILIES:
            samples: list[dict[str, object]] = []
            for labels, value in sums.values.get(family.name, {}).items():
                samples.append({"labels": dict(zip(family.labels, labels, strict=True)), "value": value})
            for labels, histogram in sums.histograms.get(family.name, {}).items():
                samples.append(
                    {
                        "labels": dict(zip(family.labels, labels, strict=True)),
                        "count": sum(histogram.buckets),
                        "sum": histogram.seconds,
                        "buckets": [[_bound(bound), count] for bound, count in histogram.exposed()],
                    }
                )
            metrics[family.name] = {"kind": family.kind, "help": family.meaning, "samples": samples}
        return {"as_of": self._clock.unix(), "workers": sum(not r.gone for r in reports), "metrics": metrics}

    async def performance(self) -> list[RoutePerformance]:
        """By route, the busiest first."""
        recent = self._overview().picture.route
        return await asyncio.to_thread(_performances, await self.reports(), recent)

    def health_score(self) -> HealthScore:
        overview = self._overview()
        parts = health_parts(overview.picture.windows.total, overview.picture.windows.overhead, overview.services())
        score = None if parts is None else round(max(0.0, 100.0 - sum(parts.values())), 1)
        return HealthScore(score, parts or {}, FORMULA)


def _performances(reports: Sequence[WorkerReport], recent: Callable[[str], Window]) -> list[RoutePerformance]:
    totals: dict[str, _Total] = {}
    for report in reports:
        for row in report.cells:
            total = totals.setdefault(row[0], _Total())
            total.requests += row[5]
            total.errors += row[5] if row[2] >= SERVER_ERRORS else 0
            add_difference(total.buckets, row[7], _ZERO)
    rows = [_performance(route, total, recent(route)) for route, total in totals.items()]
    return sorted(rows, key=lambda row: (-row.requests, row.route))


FORMULA = (
    "100 - 50*min(1, error_ratio/0.10) - 30*(services down + half of degraded)/services"
    " - 10*min(1, throttled_ratio/0.50) - 10*min(1, overhead_p95_ms/50)"
)
_ZERO = (0,) * SIZE
#: Cells from which on putting them together is worth a thread.
_MANY = 300


@dataclass(slots=True)
class _Total:
    requests: int = 0
    errors: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * SIZE)


def _performance(route: str, total: _Total, recent: Window) -> RoutePerformance:
    return RoutePerformance(
        route=route,
        requests=total.requests,
        rps=recent.rps,
        error_ratio=total.errors / total.requests if total.requests else 0.0,
        p50_ms=percentile_ms(total.buckets, 0.50),
        p95_ms=percentile_ms(total.buckets, 0.95),
        p99_ms=percentile_ms(total.buckets, 0.99),
        recent_p50_ms=recent.percentile_ms(0.50),
        recent_p95_ms=recent.percentile_ms(0.95),
        recent_p99_ms=recent.percentile_ms(0.99),
    )


def _bound(bound: float) -> float | str:
    return "+Inf" if bound == float("inf") else bound
