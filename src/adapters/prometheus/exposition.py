"""Worker reports as Prometheus text or OpenMetrics, through prometheus-client's own families and writers.

Nothing is kept in prometheus-client between scrapes: its labelled children would cost more per request than all else the
gateway counts, and its multi-process files would cost a write per request.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.exposition import CONTENT_TYPE_LATEST as OPENMETRICS
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from prometheus_client.utils import floatToGoString

from spork.application.telemetry.families import FAMILIES, Family, HistogramSums, MetricSums, WorkerReport


class ReportCollector(Collector):
    """The families of some workers' reports, added up."""

    def __init__(self, reports: Iterable[WorkerReport]) -> None:
        self._sums = MetricSums(reports)

    def collect(self) -> Iterator[Metric]:
        for family in FAMILIES:
            if family.kind == "histogram":
                yield self._histogram(family)
            elif family.kind == "counter":
                yield self._counter(family)
            else:
                yield self._gauge(family)

    def _counter(self, family: Family) -> Metric:
        metric = CounterMetricFamily(family.name, family.meaning, labels=family.labels)
        for labels, value in self._sums.values.get(family.name, {}).items():
            metric.add_metric(labels, value)
        return metric

    def _gauge(self, family: Family) -> Metric:
        metric = GaugeMetricFamily(family.name, family.meaning, labels=family.labels)
        for labels, value in self._sums.values.get(family.name, {}).items():
            metric.add_metric(labels, value)
        return metric

    def _counted(self, family: Family, metric: HistogramMetricFamily) -> None:
        """A histogram that somebody else keeps: cumulative counts by upper bound."""
        rows: dict[tuple[str, ...], dict[str, float]] = {}
        for labels, value in self._sums.values.get(family.name, {}).items():
            rows.setdefault(labels[:-1], {})[labels[-1]] = value
        for labels, values in rows.items():
            total = values.pop("sum", 0.0)
            bounds = sorted(values.items(), key=lambda item: _bound(item[0]))
            metric.add_metric(labels, [(floatToGoString(_bound(le)), count) for le, count in bounds], total)  # type: ignore[no-untyped-call]

    def _histogram(self, family: Family) -> Metric:
        metric = HistogramMetricFamily(family.name, family.meaning, labels=family.labels)
        if family.counted:
            self._counted(family, metric)
        for labels, sums in self._sums.histograms.get(family.name, {}).items():
            metric.add_metric(labels, list(_buckets(sums)), sums.seconds)
        return metric


def _bound(le: str) -> float:
    return float("inf") if le == "+Inf" else float(le)


def _buckets(sums: HistogramSums) -> Iterator[tuple[str, float] | tuple[str, float, Exemplar]]:
    """(le, cumulative count), with the exemplar at the bucket its value falls into."""
    exemplar = sums.exemplar
    for bound, count in sums.exposed():
        le: str = floatToGoString(bound)  # type: ignore[no-untyped-call]
        if exemplar is not None and exemplar[1] <= bound:
            yield (le, count, Exemplar({"trace_id": exemplar[0]}, exemplar[1], exemplar[2]))
            exemplar = None
        else:
            yield (le, count)


def expose(reports: Iterable[WorkerReport], accept: str = "") -> tuple[bytes, str]:
    """(body, content type) in the format that `accept` prefers: Prometheus text, or OpenMetrics with exemplars."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(ReportCollector(reports))
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


__all__ = ["OPENMETRICS", "ReportCollector", "expose"]
