"""Metrics as OTLP: OpenTelemetry's own HTTP metrics from the cells of the tally, and every family of ours by its name.

Cumulative since the worker started. Each worker sends its own, told apart by `service.instance.id`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from spork.application.telemetry.families import FAMILIES, CellRow, HistogramSums, MetricSums, WorkerReport
from spork.application.telemetry.otlp.wire import (
    Attributes,
    Value,
    double,
    fixed64,
    message,
    nanoseconds,
    packed_double,
    packed_fixed64,
)
from spork.application.telemetry.rolling import BOUNDS, SIZE
from spork.domain.outcomes import SERVER_ERRORS

#: Bucket bounds of HTTP durations: those of the semantic conventions that the tally has too, and 0.02, 0.03, 0.2 and 0.3.
DURATION_BOUNDS: Final = (0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
_METRIC: Final = b"\x12"
_POINT: Final = b"\x0a"
_CUMULATIVE: Final = b"\x10\x02"
_MONOTONIC: Final = b"\x18\x01"
_ATTRIBUTE_OF_NUMBER: Final = b"\x3a"
_ATTRIBUTE_OF_HISTOGRAM: Final = b"\x4a"

Exemplar = tuple[str, float, float]


class MetricEncoder:
    """Encodes a worker's report. `patterns` are the path patterns of routes by name. For one thread."""

    def __init__(self) -> None:
        self._attributes = Attributes()

    def encode(self, report: WorkerReport, patterns: Mapping[str, str], scheme: str) -> list[bytes]:
        """Metrics, each framed as field 2 of ScopeMetrics."""
        self._start = nanoseconds(report.started)
        self._now = nanoseconds(report.at)
        sums = MetricSums((report,))
        server = self._durations(report.cells, patterns, scheme)
        client = self._client_durations(report.cells)
        metrics = [
            self._histogram("http.server.request.duration", "Duration of HTTP server requests.", server),
            self._histogram("http.client.request.duration", "Duration of HTTP client requests.", client),
        ]
        for family in FAMILIES:
            if family.kind == "histogram":
                rows = [
                    (tuple(zip(family.labels, labels, strict=False)), histogram)
                    for labels, histogram in sums.histograms.get(family.name, {}).items()
                ]
                metrics.append(self._histogram(family.name, family.meaning, rows))
                continue
            values = sums.values.get(family.name, {})
            points = [
                self._number(tuple(zip(family.labels, labels, strict=False)), value, family.kind == "counter")
                for labels, value in values.items()
            ]
            if family.name == "gateway_requests_in_flight":
                active = [self._number((("url.scheme", scheme),), value, True) for value in values.values()]
                metrics.append(
                    self._sum("http.server.active_requests", "Requests being served.", active, up_only=False)
                )
            if family.kind == "counter":
                metrics.append(self._sum(family.name, family.meaning, points))
            else:
                metrics.append(self._metric(family.name, family.meaning, "", b"\x2a", b"".join(points)))
        return [metric for metric in metrics if metric]

    # ---------------------------------------------------------------------------------------------- HTTP metrics

    def _durations(
        self, cells: Iterable[CellRow], patterns: Mapping[str, str], scheme: str
    ) -> list[tuple[tuple[tuple[str, Value], ...], HistogramSums]]:
        found: dict[tuple[tuple[str, Value], ...], HistogramSums] = {}
        for row in cells:
            route, method, status, seconds, buckets, exemplar = row[0], row[1], row[2], row[6], row[7], row[13]
            labels: list[tuple[str, Value]] = [("http.request.method", _method(method)), ("url.scheme", scheme)]
            if status:
                labels.append(("http.response.status_code", status))
            if route in patterns:
                labels.append(("http.route", patterns[route]))
            if status >= SERVER_ERRORS:
                labels.append(("error.type", str(status)))
            found.setdefault(tuple(labels), HistogramSums()).add(buckets, seconds, exemplar)
        return list(found.items())

    def _client_durations(self, cells: Iterable[CellRow]) -> list[tuple[tuple[tuple[str, Value], ...], HistogramSums]]:
        """Time at targets by request: tries of one request are added up."""
        found: dict[tuple[tuple[str, Value], ...], HistogramSums] = {}
        for row in cells:
            method, status, upstream, target, seconds, buckets = row[1], row[2], row[3], row[4], row[8], row[9]
            if not target:
                continue
            host, colon, port = target.rpartition(":")
            labels: list[tuple[str, Value]] = [("http.request.method", _method(method))]
            labels.append(("server.address", (host if colon else target).strip("[]")))
            if port.isdigit():
                labels.append(("server.port", int(port)))
            if status:
                labels.append(("http.response.status_code", status))
            labels.append(("spork.upstream", upstream))
            found.setdefault(tuple(labels), HistogramSums()).add(buckets, seconds)
        return list(found.items())

    # ------------------------------------------------------------------------------------------------- messages

    def _metric(self, name: str, meaning: str, unit: str, tag: bytes, data: bytes) -> bytes:
        if not data:
            return b""
        content = message(b"\x0a", name.encode("ascii")) + message(b"\x12", meaning.encode("utf-8"))
        if unit:
            content += message(b"\x1a", unit.encode("ascii"))
        return message(_METRIC, content + message(tag, data))

    def _sum(self, name: str, meaning: str, points: list[bytes], up_only: bool = True) -> bytes:
        data = b"".join(points)
        if not data:
            return b""
        return self._metric(name, meaning, "", b"\x3a", data + _CUMULATIVE + (_MONOTONIC if up_only else b""))

    def _number(self, labels: Iterable[tuple[str, Value]], value: float, started: bool) -> bytes:
        content = fixed64(b"\x11", self._start) if started else b""
        content += fixed64(b"\x19", self._now) + double(b"\x21", float(value))
        content += b"".join([self._attributes.encode(_ATTRIBUTE_OF_NUMBER, key, text) for key, text in labels])
        return message(_POINT, content)

    def _histogram(
        self, name: str, meaning: str, rows: Iterable[tuple[Iterable[tuple[str, Value]], HistogramSums]]
    ) -> bytes:
        points = b"".join([self._distribution(labels, sums) for labels, sums in rows])
        return self._metric(name, meaning, "s", b"\x4a", points + _CUMULATIVE) if points else b""

    def _distribution(self, labels: Iterable[tuple[str, Value]], sums: HistogramSums) -> bytes:
        counts = buckets_of(sums.buckets)
        content = fixed64(b"\x11", self._start) + fixed64(b"\x19", self._now)
        total = sum(counts)
        if total:
            content += fixed64(b"\x21", total)
        content += double(b"\x29", sums.seconds)
        content += packed_fixed64(b"\x32", counts) + packed_double(b"\x3a", DURATION_BOUNDS)
        if sums.exemplar is not None:
            content += message(b"\x42", _exemplar(sums.exemplar))
        content += b"".join([self._attributes.encode(_ATTRIBUTE_OF_HISTOGRAM, key, text) for key, text in labels])
        return message(_POINT, content)


def buckets_of(counts: list[int]) -> list[int]:
    """The tally's buckets added up to those of `DURATION_BOUNDS`, and one more for what is slower."""
    out = [0] * (len(DURATION_BOUNDS) + 1)
    at = 0
    for index in range(SIZE):
        while at < len(DURATION_BOUNDS) and (index == SIZE - 1 or BOUNDS[index] > DURATION_BOUNDS[at]):
            at += 1
        out[at] += counts[index]
    return out


def _exemplar(exemplar: Exemplar) -> bytes:
    trace_id, value, at = exemplar
    content = fixed64(b"\x11", nanoseconds(at)) + double(b"\x19", value)
    return content + message(b"\x2a", bytes.fromhex(trace_id))


def _method(method: str) -> str:
    return "_OTHER" if method in ("other", "-") else method
