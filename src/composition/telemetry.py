"""What one gateway process tells of its requests: counters, logs, usage, objectives, events, and what leaves for a collector."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from dependency_injector import containers, providers
from sqlalchemy.ext.asyncio import AsyncEngine

from spork.adapters.files.line_sink import line_sink
from spork.adapters.otlp.exporter import Item, OtlpExporter, Source
from spork.adapters.sqlalchemy.usage import SqlUsage
from spork.adapters.structlog.access_log import AccessLog, line_fields
from spork.adapters.structlog.redaction import redact, redact_query
from spork.application.callers.consumers import Consumers
from spork.application.configuration.model import Configuration
from spork.application.configuration.telemetry import Telemetry
from spork.application.exchange.exchange import Exchange, Observer, Snapshot
from spork.application.kernel.clock import Clock
from spork.application.telemetry.event_delivery import EventDelivery, Hub
from spork.application.telemetry.event_log import EventLog
from spork.application.telemetry.families import WorkerReport
from spork.application.telemetry.history import History
from spork.application.telemetry.log_ring import LogRing
from spork.application.telemetry.objective_ledger import ObjectiveLedger
from spork.application.telemetry.objectives import ObjectiveTracker
from spork.application.telemetry.otlp.logs import LogEncoder, LogLine
from spork.application.telemetry.otlp.metrics import MetricEncoder
from spork.application.telemetry.otlp.traces import SCHEMA_URL, SpanEncoder
from spork.application.telemetry.otlp.wire import Value, resource_of
from spork.application.telemetry.security_log import SecurityDecisions
from spork.application.telemetry.spans import BATCH, SpanRing
from spork.application.telemetry.tail import Traffic
from spork.application.telemetry.tally import RequestCounters
from spork.application.telemetry.usage import UsageMeter
from spork.application.telemetry.versions import VersionCounters
from spork.application.views import EventView
from spork.composition.identity import ProcessIdentity

# A gateway that shares nothing does not import a Redis client.
if TYPE_CHECKING:
    from spork.adapters.redis.fleet.nodes import RedisNodes

#: Longest time that the end of the process waits for telemetry, in seconds.
LAST = 5.0


class TelemetryExport:
    """The rings, the encoders and the exporter of one process. `running` costs a thread only where telemetry is configured."""

    def __init__(
        self,
        node: str,
        version: str,
        fields: Callable[[Exchange], Iterable[tuple[str, Value]]],
    ) -> None:
        self._node = node
        self._version = version
        wake = threading.Event()
        self.spans = SpanRing(on_full=wake.set)
        self.logs = LogRing(fields, on_full=wake.set)
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
            ),
            wake=wake,
        )
        self._started = False
        self._report: Callable[[], Coroutine[Any, Any, WorkerReport]] | None = None
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

    def open(self, report: Callable[[], Coroutine[Any, Any, WorkerReport]]) -> None:
        """From now on metrics can be sent: `report` answers them, in the loop that runs now."""
        self._report = report
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
        if self._report is None or self._loop is None or self._loop.is_closed():
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


def hub_for(url: str) -> Hub | None:
    """The message hub behind a URL: a Redis stream (`?stream=NAME`), NATS (`?prefix=NAME`) or a webhook."""
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    bare = parts._replace(query="").geturl()
    if not url:
        return None
    if parts.scheme.startswith("redis"):
        from spork.adapters.redis.fleet.events import RedisHub
        from spork.adapters.redis.store.connection import connect

        return RedisHub(connect(bare, connections=1, operation=2.0).client, options.get("stream", "spork:events"))
    if parts.scheme in ("nats", "tls"):
        from spork.adapters.nats.events import NatsHub

        return NatsHub(bare, options.get("prefix", "spork.events"))
    from spork.adapters.httpx.webhook import WebhookHub

    return WebhookHub(url)


def _delivery(configuration: Configuration, node: str) -> EventDelivery | None:
    hub = hub_for(configuration.hub.url)
    return None if hub is None else EventDelivery(hub, f"/spork/{node}", configuration.hub.kinds)


def _ledger(board: RedisNodes | None, engine: AsyncEngine) -> ObjectiveLedger:
    """Where counts of objectives are kept: what the fleet shares, else the records."""
    if board is not None:
        from spork.adapters.redis.fleet.objective_ledger import RedisObjectives

        return RedisObjectives(board.client)
    from spork.adapters.sqlalchemy.objective_ledger import SqlObjectives

    return SqlObjectives(engine)


def _objectives(
    configuration: Configuration, clock: Clock, ledger: ObjectiveLedger, identity: ProcessIdentity
) -> ObjectiveTracker:
    run = f"{identity.pid}-{clock.unix():.6f}"
    return ObjectiveTracker(configuration.objectives, clock.unix, ledger, identity.node, run)


def _access_log(place: str) -> AccessLog:
    log = AccessLog(line_sink(place))
    log.enabled = place != "off"
    return log


def _export(identity: ProcessIdentity, access_log: AccessLog) -> TelemetryExport:
    return TelemetryExport(identity.node, identity.version, lambda exchange: line_fields(access_log.line(exchange)))


def _observers(export: TelemetryExport, *others: Observer) -> Sequence[Observer]:
    return [*export.observers, *others]


class TelemetryInForce:
    """Follows the configuration in force: what is counted, linked and promised."""

    def __init__(
        self, tally: RequestCounters, traffic: Traffic, usage: UsageMeter, objectives: ObjectiveTracker
    ) -> None:
        self._tally = tally
        self._traffic = traffic
        self._usage = usage
        self._objectives = objectives

    def swapped(self, before: Snapshot, after: Snapshot) -> None:
        """Another configuration is in force."""
        telemetry = after.configuration.telemetry
        self._traffic.link_traces("" if telemetry is None else telemetry.traces.link)
        self._objectives.adopt(after.configuration.objectives)
        self._usage.forget_units()
        self._tally.forget(frozenset(after.plans))


@contextlib.asynccontextmanager
async def _running(delivery: EventDelivery | None) -> AsyncIterator[None]:
    """Deliver events until the block ends."""
    if delivery is not None:
        await delivery.open()
    try:
        yield
    finally:
        if delivery is not None:
            await delivery.close()


class TelemetryContainer(containers.DeclarativeContainer):
    """`observers` see each exchange when it is over, in their order; the rest is what operators ask."""

    configuration: providers.Dependency[Configuration] = providers.Dependency()
    clock: providers.Dependency[Any] = providers.Dependency()
    identity: providers.Dependency[ProcessIdentity] = providers.Dependency()
    events: providers.Dependency[EventLog] = providers.Dependency()
    engine: providers.Dependency[AsyncEngine] = providers.Dependency()
    board: providers.Dependency[Any] = providers.Dependency()
    consumers: providers.Dependency[Consumers] = providers.Dependency()

    tally = providers.Singleton(RequestCounters)
    traffic = providers.Singleton(Traffic, redact=redact)
    access_log = providers.Singleton(_access_log, configuration.provided.access_log)
    export = providers.Singleton(_export, identity, access_log)
    usage_store = providers.Singleton(SqlUsage, engine)
    usage = providers.Singleton(UsageMeter, clock.provided.unix, usage_store, plan_of=consumers.provided.plan_and_owner)
    versions = providers.Singleton(VersionCounters, events)
    ledger = providers.Singleton(_ledger, board, engine)
    objectives = providers.Singleton(_objectives, configuration, clock, ledger, identity)
    security = providers.Singleton(SecurityDecisions, clock.provided.unix, identity.provided.node)
    history = providers.Singleton(History)
    delivery = providers.Singleton(_delivery, configuration, identity.provided.node)
    in_force = providers.Singleton(TelemetryInForce, tally, traffic, usage, objectives)
    observers = providers.Callable(
        _observers, export, tally, traffic, usage, versions, objectives, security, access_log
    )
    running = providers.Callable(_running, delivery)
