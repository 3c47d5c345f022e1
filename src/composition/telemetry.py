"""Telemetry that leaves the process, put together: what observes, the encoders, and the exporter's thread."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from spork.adapters.otlp.exporter import Item, OtlpExporter, Source
from spork.adapters.structlog.redaction import redact, redact_query
from spork.application.configuration.telemetry import Telemetry
from spork.application.exchange.exchange import Exchange, Observer, Snapshot
from spork.application.telemetry.families import WorkerReport
from spork.application.telemetry.log_ring import LogRing
from spork.application.telemetry.otlp.logs import LogEncoder, LogLine
from spork.application.telemetry.otlp.metrics import MetricEncoder
from spork.application.telemetry.otlp.traces import SCHEMA_URL, SpanEncoder
from spork.application.telemetry.otlp.wire import Value, resource_of
from spork.application.telemetry.spans import BATCH, SpanRing
from spork.application.views import EventView

#: Longest time that the end of the process waits for telemetry, in seconds.
LAST = 5.0


class TelemetryExport:
    """The rings, the encoders and the exporter of one process. `running` costs a thread only where telemetry is configured."""

    def __init__(
        self,
        node: str,
        version: str,
        report: Callable[[], Coroutine[Any, Any, WorkerReport]],
        fields: Callable[[Exchange], Iterable[tuple[str, Value]]],
    ) -> None:
        self._node = node
        self._version = version
        self._report = report
        self.spans = SpanRing()
        self.logs = LogRing(fields)
        self._span_encoder = SpanEncoder(redact, redact_query)
        self._log_encoder = LogEncoder()
        self._metric_encoder = MetricEncoder()
        self._patterns: dict[str, str] = {}
        self._scheme = "http"
        self._telemetry: Telemetry | None = None
        self.exporter = OtlpExporter(
            (
                Source("traces", self._take_spans, version, SCHEMA_URL, waiting=lambda: len(self.spans)),
                Source("metrics", self._take_metrics, version, SCHEMA_URL, every=15.0),
                Source("logs", self._take_logs, version, SCHEMA_URL, waiting=lambda: len(self.logs)),
            )
        )
        self.spans.on_full = self.logs.on_full = self.exporter.wake
        self._started = False
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def observers(self) -> tuple[Observer, ...]:
        """What sees finished exchanges, before whoever wants to know whether their trace is kept."""
        return (self.spans, self.logs)

    def heard(self, event: EventView, data: dict[str, object]) -> None:
        """An event of the gateway, for the logs."""
        fields = [("spork.actor", event.actor), ("spork.object", event.object), ("spork.outcome", event.outcome)]
        kept = tuple((key, value) for key, value in fields if value)
        self.logs.put(LogLine(event.at, event.severity, event.kind, redact(event.detail or event.kind), kept))

    def swapped(self, before: Snapshot, after: Snapshot) -> None:
        """Another configuration is in force."""
        configuration = after.configuration
        self._patterns = {name: plan.config.match.path.text for name, plan in after.plans.items()}
        self._scheme = "https" if configuration.tls is not None else "http"
        telemetry = configuration.telemetry
        if telemetry == self._telemetry:
            return
        self._telemetry = telemetry
        signals = () if telemetry is None else telemetry.otlp.signals
        self.spans.active = "traces" in signals
        self.logs.active = "logs" in signals
        if telemetry is None:
            self.exporter.configure(None, b"")
            return
        self.exporter.configure(telemetry.otlp, resource_of(self.resource(telemetry)))
        if not self._started:
            self._started = True
            self.exporter.start()

    def resource(self, telemetry: Telemetry) -> dict[str, Value]:
        """The attributes of everything that is sent."""
        found: dict[str, Value] = {
            "service.name": telemetry.service_name,
            "service.version": self._version,
            "service.instance.id": self._node,
            "host.name": socket.gethostname(),
            "process.pid": os.getpid(),
            "process.runtime.name": platform.python_implementation().lower(),
            "process.runtime.version": platform.python_version(),
        }
        return found | dict(telemetry.attributes)

    def open(self) -> None:
        """Know the loop, which numbers are asked of. Called inside it."""
        self._loop = asyncio.get_running_loop()

    async def close(self, seconds: float = LAST) -> None:
        """Send what waits, for a bounded time."""
        if self._started:
            await asyncio.to_thread(self.exporter.stop, seconds)

    # --------------------------------------------------------------------------------- in the exporter's thread

    def _take_spans(self) -> Iterable[Item]:
        while records := self.spans.take(BATCH):
            for record in records:
                parts = self._span_encoder.encode(record)
                yield len(parts), parts

    def _take_metrics(self) -> Iterable[Item]:
        if self._loop is None or self._loop.is_closed():
            return
        report = asyncio.run_coroutine_threadsafe(self._report(), self._loop).result(LAST)
        for metric in self._metric_encoder.encode(report, self._patterns, self._scheme):
            yield 1, (metric,)

    def _take_logs(self) -> Iterable[Item]:
        now = time.time()
        while lines := self.logs.take(BATCH):
            for line in lines:
                yield 1, (self._log_encoder.encode(line, now),)

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        if not self._started:
            return
        yield ("gateway_spans_total", ("recorded",), float(self.spans.recorded))
        yield ("gateway_spans_total", ("dropped",), float(self.spans.dropped))
        yield ("gateway_log_lines_lost_total", ("otlp",), float(self.logs.dropped))
        yield from self.exporter.samples()
