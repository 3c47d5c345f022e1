"""The operators' side of one gateway process, put together: what observes, what answers, what beats.

Part of the composition root, beside container.py. Building opens nothing; `running()` does, for as long as its block lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy.ext.asyncio import AsyncEngine

from spork.adapters.cryptography.certificates import CertificateHealth
from spork.adapters.files.applied import AppliedFile
from spork.adapters.files.line_sink import line_sink
from spork.adapters.files.state_files import RevisionFiles, WorkerFiles, admin_token, file_signature, newest_change
from spork.adapters.files.waiting_audit import WaitingAuditFile
from spork.adapters.prometheus.exposition import expose
from spork.adapters.sqlalchemy.audit import SqlAuditTrail
from spork.adapters.sqlalchemy.health import RecordsHealth
from spork.adapters.sqlalchemy.usage import SqlUsage
from spork.adapters.structlog.access_log import AccessLog, line_fields
from spork.adapters.structlog.application_log import own_sink
from spork.adapters.structlog.redaction import redact
from spork.adapters.system.process import ProcessMeter
from spork.adapters.yaml.load import load, loads
from spork.application.admin.access import Operators
from spork.application.admin.actions import Actions
from spork.application.admin.commands import Operations
from spork.application.admin.configuration import ConfigurationActions
from spork.application.admin.controls import Component, Controls
from spork.application.admin.explain import Explainer
from spork.application.admin.health import ConfigurationHealth, DiskHealth, LogHealth, LoopHealth, UpstreamsHealth
from spork.application.admin.monitoring import Monitoring
from spork.application.admin.queries import Queries
from spork.application.admin.stream import Revisions, Stream
from spork.application.admin.turns import Turns
from spork.application.admin.upstreams import RegistryControl
from spork.application.admin.versions import VersionReport, versions_of
from spork.application.configuration.live import KeptExchange, LiveConfiguration
from spork.application.configuration.model import AdminToken, Configuration
from spork.application.configuration.problems import errors
from spork.application.exchange.exchange import Current, Observer, Snapshot
from spork.application.fleet import concern_rules
from spork.application.fleet.heartbeat import LoopLag, Reporter
from spork.application.fleet.lifecycle import Lifecycle
from spork.application.fleet.nodes import NodeRegistry, SingleNodeRegistry
from spork.application.fleet.settings import FleetSettings, SettingsStore
from spork.application.kernel.clock import Clock
from spork.application.limits.reports import LimitReport
from spork.application.pipeline.configurator import Configurator
from spork.application.telemetry.audit import AuditEntry
from spork.application.telemetry.event_log import EventLog
from spork.application.telemetry.history import History
from spork.application.telemetry.objective_ledger import ObjectiveLedger
from spork.application.telemetry.objectives import ObjectiveTracker
from spork.application.telemetry.security_log import SecurityDecisions
from spork.application.telemetry.tail import Traffic
from spork.application.telemetry.tally import RequestCounters
from spork.application.telemetry.usage import UsageMeter
from spork.application.telemetry.versions import VersionCounters
from spork.application.telemetry.waiting_audit import WaitingAuditTrail
from spork.application.upstreams.registry import UpstreamRegistry
from spork.application.views import ComponentHealth
from spork.composition.limits import LimitSide
from spork.composition.log_settings import FleetLogging
from spork.composition.material import material_problems
from spork.composition.telemetry import TelemetryExport
from spork.domain.identity.consumers import Consumer
from spork.domain.upstreams.circuit import Transition
from spork.domain.upstreams.model import Target

if TYPE_CHECKING:
    from spork.adapters.redis.fleet.nodes import RedisNodes

log = logging.getLogger("spork.operators")
#: Beats between looks for concerns while nobody watches.
CONCERNS_EVERY = 5


def _in_redis(nodes: NodeRegistry) -> RedisNodes | None:
    """The registry, if it is the one in Redis; a lone node does not load a Redis client to know that it is not."""
    if isinstance(nodes, SingleNodeRegistry):
        return None
    from spork.adapters.redis.fleet.nodes import RedisNodes

    return nodes if isinstance(nodes, RedisNodes) else None


def node_name(configuration: Configuration) -> str:
    """How this process is called in the fleet; stable over restarts. Workers add their number."""
    worker = os.environ.get("SPORK_WORKER", "")
    name = f"{os.environ.get('SPORK_NODE') or socket.gethostname()}:{configuration.port}"
    return f"{name}/{worker}" if worker else name


def gateway_run() -> str:
    """What the workers of one run of the gateway have in common, and no other run has."""
    return os.environ.get("SPORK_RUN") or f"{os.getpid()}-{int(time.time() * 1000)}"


def objective_ledger(board: RedisNodes | None, engine: AsyncEngine | None) -> ObjectiveLedger:
    """Where counts of objectives are kept: what the fleet shares, else the records, else this process."""
    if board is not None:
        from spork.adapters.redis.fleet.objective_ledger import RedisObjectives

        return RedisObjectives(board.client)
    if engine is not None:
        from spork.adapters.sqlalchemy.objective_ledger import SqlObjectives

        return SqlObjectives(engine)
    from spork.adapters.memory.objective_ledger import MemoryObjectives

    return MemoryObjectives()


def turns_of(board: RedisNodes | None, state_dir: str | Path) -> Turns | None:
    """Where writes take turns: in what the fleet shares, else among the workers of this gateway."""
    if board is not None:
        from spork.adapters.redis.fleet.turns import RedisTurns

        return RedisTurns(board.client)
    if "SPORK_WORKER" in os.environ:
        from spork.adapters.files.turns import FileTurns

        return FileTurns(state_dir)
    return None


def settings_store(board: RedisNodes | None, state_dir: str | Path) -> SettingsStore:
    """Where the settings that operators make are kept: in what the fleet shares, else in a file of the gateway's."""
    if board is not None:
        from spork.adapters.redis.fleet.settings import RedisSettings

        return RedisSettings(board.client)
    from spork.adapters.files.settings import FileSettings

    return FileSettings(str(state_dir))


def own_records(configuration: Configuration) -> str:
    """What is wrong with records that are one node's own beside a store that a fleet shares; empty when nothing is."""
    if configuration.shared == "memory" or configuration.records.startswith("postgres"):
        return ""
    return (
        "Records are this node's own (SQLite): other gateways of the shared store do not see its keys, plans and usage. "
        "Set `records: postgresql://...` for a fleet."
    )


def own_version() -> str:
    try:
        return version("spork-gateway")
    except PackageNotFoundError:
        return "0"


class OperatorSide:
    """Everything operators see and use of this process. `tally`, `traffic` and `access_log` observe exchanges."""

    def __init__(
        self,
        configuration: Configuration,
        clock: Clock,
        current: Current,
        registry: UpstreamRegistry,
        configurator: Configurator,
        lifecycle: Lifecycle,
        events: EventLog,
        path: Path | None = None,
        nodes: NodeRegistry | None = None,
        engine: AsyncEngine | None = None,
        controls: Controls | None = None,
        limits: LimitSide | None = None,
        connections: Callable[[Target], int] | None = None,
    ) -> None:
        self.clock = clock
        self.configuration = configuration
        self.events = events
        self.node = events.node
        self.lifecycle = lifecycle
        self._current = current
        self._registry = registry
        self.tally = RequestCounters()
        self.traffic = Traffic(redact=redact)
        self.access_log = AccessLog(line_sink(configuration.access_log))
        self.access_log.enabled = configuration.access_log != "off"
        self.controls = controls or Controls()
        self.nodes = nodes or SingleNodeRegistry()
        board = _in_redis(self.nodes)
        counted = None if connections is None else (lambda live: connections(live.declared))
        self.upstreams = RegistryControl(registry, clock.monotonic, connections=counted)
        self.controls.upstreams = self.controls.upstreams or self.upstreams
        if limits is not None:
            self.controls.quotas = self.controls.quotas or limits.control
        self.lag = LoopLag()
        self.export = TelemetryExport(
            self.node,
            own_version(),
            lambda: self.monitoring.report(),
            lambda exchange: line_fields(self.access_log.line(exchange)),
        )
        events.listen(self.export.heard)
        configurator.on_swap.append(self.export.swapped)
        self.reporter = Reporter(
            self.node,
            clock,
            self.tally,
            events,
            self.nodes,
            lambda: current.snapshot,
            self.controls.upstreams,
            self.in_flight,
            lambda: self.usage.consumers(),
            LimitReport if limits is None else limits.report,
        )
        if limits is not None:
            limits.control.others = self.reporter.other_limits
        configurator.on_swap.append(self.configuration_swapped)
        lifecycle.remarks = self.remarks
        self.revisions = Revisions(clock.unix)
        self.audit: WaitingAuditTrail | None = None
        if engine is not None:
            self.audit = WaitingAuditTrail(SqlAuditTrail(engine), WaitingAuditFile(configuration.state_dir, self.node))
        self.usage_store = SqlUsage(engine) if engine is not None else None
        self.usage = UsageMeter(clock.unix, self.usage_store)
        self.versions = VersionCounters(events)
        ledger = objective_ledger(board, engine)
        run = f"{os.getpid()}-{clock.unix():.6f}"
        self.levels = ObjectiveTracker(configuration.objectives, clock.unix, ledger, self.node, run)
        self.security = SecurityDecisions(clock.unix, self.node)
        kept = None
        if board is not None:
            from spork.adapters.redis.fleet.idempotency import RedisIdempotency

            kept = RedisIdempotency(board.client)
        self.operations = Operations(
            self.revisions,
            events,
            clock.unix,
            self.node,
            self.audit,
            kept=kept,
            own_records=own_records(configuration),
            turns=turns_of(board, configuration.state_dir),
        )
        self.queries = Queries(
            self.reporter, self.controls, events, self.traffic, self.revisions, self.operations.substances, clock
        )
        self.stream = Stream(
            self.revisions,
            msgspec.json.Encoder().encode,
            self.queries.rows,
            self.queries.tick,
            self.traffic.since,
            lambda: self.traffic.rate,
        )
        self.queries.prime = self.stream.prime
        self.operations.on_done.append(self.queries.forget)
        applied = AppliedFile(configuration.state_dir)
        self.live = LiveConfiguration(
            lambda: load(path, os.environ, material_problems),
            lambda text: loads(
                text, str(path or "spork.yaml"), os.environ, str(path.parent if path else "."), material_problems
            ),
            configurator.apply_in_slices,
            RevisionFiles(configuration.state_dir),
            clock.unix,
            events,
            applied if board is None else KeptExchange(applied, board),
            self.reporter.revisions,
            self.reporter.beat,
            "api" if board is None else "fleet",
        )
        self.queries.show_config(self.live.view)
        self._board = board
        self.settings = FleetSettings(settings_store(board, configuration.state_dir))
        written = configuration.access_log != "off"
        self.logging = FleetLogging(self.access_log, self.settings, self.node, written)
        self.operations.sync += [self.live.follow, self.reporter.beat, self.settings.follow]
        if limits is not None:
            self.operations.sync.append(lambda: limits.overrides.refresh(clock.unix()))
        self.actions = Actions(self.controls, self.queries.fresh, clock.monotonic)
        worker = f"{self.node.replace('/', '_')}-{os.getpid()}"
        self.shelf = WorkerFiles(configuration.state_dir, gateway_run(), worker)
        self.monitoring = Monitoring(worker, clock, self.tally, self.queries.overview, self.shelf, self.lag)
        logs = [LogHealth(self.access_log.sink, lambda: self.access_log.enabled)]
        if (sink := own_sink()) is not None:
            logs.append(LogHealth(sink, log="application"))
        process = ProcessMeter()
        meters: list[Any] = [
            self.reporter, events, self.stream, self.live, self.lag, process, self.upstreams, self.usage,
            self.levels, self.security, self.audit, self.nodes, self.controls.quotas, self.queries.concern_ledger,
            self.export, *logs,
        ]  # fmt: skip
        for meter in meters:
            if hasattr(meter, "samples"):
                self.monitoring.add(meter)
        self.monitoring.add(self.versions)
        self.history = History()
        self._certificates = CertificateHealth(self._certificate_files, clock.unix)
        components: list[Component] = [
            process,
            self._certificates,
            LoopHealth(self.lag),
            ConfigurationHealth(self.live),
            DiskHealth(configuration.state_dir),
            *logs,
            UpstreamsHealth(self.queries.overview),
        ]
        if engine is not None:
            components.append(RecordsHealth(engine))
        if board is not None:
            from spork.adapters.redis.fleet.nodes import RedisHealth

            components.append(RedisHealth(board.client))
        for component in components:
            self.queries.add_component(component)
        if limits is not None:
            self.monitoring.add(limits)
            self.add_component(limits)
        self.operators = Operators(self.admin_tokens, limiter=limits.redis if limits is not None else None)
        self._generated: AdminToken | None = None
        self._beats = 0
        self._component_rows: Sequence[ComponentHealth] = ()
        self._notes: set[asyncio.Future[Any]] = set()

    def in_flight(self) -> int:
        """Requests that targets are serving for this process."""
        return sum(target.active for upstream in self._registry for target in upstream.targets)

    @property
    def observers(self) -> list[Observer]:
        """What sees each exchange when it is over, in this order."""
        return [
            *self.export.observers,
            self.tally,
            self.traffic,
            self.usage,
            self.versions,
            self.levels,
            self.security,
            self.access_log,
        ]

    def version_report(self) -> VersionReport:
        """Who still calls which version."""
        return VersionReport(
            lambda: versions_of(self._current.snapshot.configuration.routes),
            self.usage_store,
            self.usage.flush,
            self.versions,
            lambda name: self.usage.plan_of(name)[0] or "",
        )

    def know_consumers(self, named: Callable[[str], Consumer | None]) -> None:
        """Where plan and owner of a consumer are found, for the views of consumers."""

        def plan_of(name: str) -> tuple[str | None, str | None]:
            consumer = named(name)
            return (None, None) if consumer is None else (consumer.plan or None, consumer.owner or None)

        self.usage.plan_of = plan_of

    def configuration_swapped(self, before: Snapshot, after: Snapshot) -> None:
        """A new configuration is in force."""
        telemetry = after.configuration.telemetry
        self.traffic.link = "" if telemetry is None else telemetry.traces.link
        self.levels.adopt(after.configuration.objectives)
        self.usage.forget_units()
        self.tally.forget(frozenset(after.plans))

    def remarks(self) -> list[str]:
        """What readiness adds: ready, but not all of the configuration is in force, or records are not the fleet's."""
        return [*self._of_configuration(), *filter(None, (own_records(self.configuration),))]

    def _of_configuration(self) -> list[str]:
        problems = self.live.problems
        if errors(problems):
            return ["the configuration on disk is refused; the last good one serves"]
        if any("left out" in problem.suggestion for problem in problems):
            return ["parts of the configuration have errors and are left out"]
        return []

    def circuit_moved(self, name: str, transition: Transition) -> None:
        """Hears every move of every circuit, for the metrics."""
        if transition.before is not transition.after:
            self.upstreams.moved(name, transition.after.value)

    def add_component(self, component: Component) -> None:
        self.queries.add_component(component)

    # ---------------------------------------------------------------------------------------------------- admin tokens

    def admin_tokens(self) -> Sequence[AdminToken]:
        """The tokens of the configuration in force, or the generated one when there are none."""
        configured = self._current.snapshot.configuration.admin.tokens or self.configuration.admin.tokens
        if configured:
            return configured
        return (self._generated,) if self._generated is not None else ()

    def generate_token(self) -> None:
        """Make the token file when no token is configured."""
        if not self.configuration.admin.tokens:
            token = admin_token(self.configuration.state_dir)
            self._generated = AdminToken("generated", hashlib.sha256(token.encode()).hexdigest(), "admin")

    def record_security_event(self, kind: str, who: str, client: str, detail: str) -> None:
        """A security event on the admin listener: told, and audited."""
        self.events.publish(kind, "admin", {"actor": who, "outcome": "refused", "detail": detail})
        entry = AuditEntry(
            self.clock.unix(),
            kind,
            actor=who,
            object="admin",
            outcome="refused",
            detail=detail,
            client=client,
            node=self.node,
        )
        task = asyncio.ensure_future(self.operations.note(entry))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def note_profile(self, actor: str, client: str, words: str, reason: str) -> None:
        """Who took a profile of this node, in the audit trail."""
        entry = AuditEntry(
            self.clock.unix(),
            "profile.take",
            actor=actor,
            object=self.node,
            outcome="done",
            detail=words,
            reason=reason,
            client=client,
            node=self.node,
        )
        await self.operations.note(entry)

    # ------------------------------------------------------------------------------------------------- the application

    @property
    def open_to_readers(self) -> bool:
        """Whether what only reads needs no token: as configured, or because the admin listener is on loopback."""
        admin = self.configuration.admin
        if admin.readers != "auto":
            return admin.readers == "open"
        return admin.host in ("127.0.0.1", "::1", "localhost")

    def _same_files(self, node: str) -> bool:
        """Whether a node is a worker of this very gateway, and so reads the same files."""
        return node.partition("/")[0] == self.node.partition("/")[0]

    def admin_names(self) -> tuple[str, ...]:
        """Names with a dot that the admin listener answers to: those configured now, and this machine's own."""
        own = (self.configuration.admin.host.lower(), socket.gethostname().lower())
        return (*self._current.snapshot.configuration.admin.hosts, *self.configuration.admin.hosts, *own)

    def exposed_metrics(self) -> Sequence[Any]:
        """Handlers for a data listener that exposes metrics: open, because the operator asked for it."""
        from spork.adapters.litestar.admin.monitoring import metrics_handlers

        return metrics_handlers(self.monitoring, expose)

    def admin_app(self, explainer: Explainer, extra: Sequence[Any] = ()) -> Any:
        """The ASGI application of the admin listener. `extra` handlers stand at its root."""
        from spork.adapters.litestar.admin.access import Authenticated
        from spork.adapters.litestar.admin.accounting import accounting_handlers
        from spork.adapters.litestar.admin.acting import acting_handlers
        from spork.adapters.litestar.admin.application import admin_application
        from spork.adapters.litestar.admin.caching import caching_handlers
        from spork.adapters.litestar.admin.configuring import configuring_handlers
        from spork.adapters.litestar.admin.logging import logging_handlers
        from spork.adapters.litestar.admin.monitoring import monitoring_handlers
        from spork.adapters.litestar.admin.profiling import profiling_handlers
        from spork.adapters.litestar.admin.reading import reading_handlers
        from spork.adapters.litestar.admin.streaming import streaming_handlers
        from spork.adapters.litestar.health import health_handlers
        from spork.application.telemetry.profiler import Profiler

        closed = None
        if not self.open_to_readers:
            closed = Authenticated(self.operators, self.clock.unix, self.record_security_event)
        health = health_handlers(self.lifecycle, frozenset({"health", "ready", "startup"}))
        configuring = configuring_handlers(
            self.queries, ConfigurationActions(self.live, self._same_files), self.operations, explainer
        )
        gateway = os.environ.get("SPORK_NAME") or socket.gethostname()
        return admin_application(
            [
                *reading_handlers(self.queries, self.controls, gateway, own_version(), self.node, self.history),
                *acting_handlers(self.actions, self.operations),
                *configuring,
                *streaming_handlers(self.stream, lambda operator: self.operators.still(operator, self.clock.unix())),
                *profiling_handlers(Profiler(), self.node, self.note_profile),
                *caching_handlers(self.queries, self.controls, self.actions, self.operations),
                *logging_handlers(self.operations, self.logging.state, self.logging.change),
                *accounting_handlers(
                    self.queries,
                    self.operations,
                    self.levels,
                    self.audit,
                    self.usage_store,
                    self.usage.flush,
                    self.version_report(),
                    lambda: self.controls.cache,
                ),
            ],
            [*health, *monitoring_handlers(self.monitoring, self.queries, expose, closed), *extra],
            self.operators,
            self.clock.unix,
            self.record_security_event,
            own_version(),
            self.admin_names,
        )

    # --------------------------------------------------------------------------------------------------------- running

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Observe, beat and watch until the block ends; then flush and say goodbye."""
        self.generate_token()
        if remark := own_records(self.configuration):
            log.warning("%s", remark)
        self.access_log.sink.open()
        self.export.open()
        if os.environ.get("SPORK_WORKER", "0") == "0":
            await asyncio.to_thread(self.shelf.clear_old)
        await self.live.adopt(await self.live.read_file())
        await self.settings.follow()
        await self.live.follow(newer_than=newest_change(self.live.sources))
        loops: list[Callable[[], Any]] = [
            self._beat,
            self.lag.watch,
            self._watch_files,
            self._end_streams,
            self._watch_streams,
        ]
        if self.audit is not None:
            loops.append(self.audit.settling)
        tasks = [asyncio.create_task(loop()) for loop in loops]
        try:
            yield
        finally:
            self.stream.end()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self.nodes.leave(self.node)
            await self.usage.flush()
            if self.levels.any:
                await self.levels.flush()
            for entry in self.security.take():
                await self.operations.note(entry)
            if self._notes:
                await asyncio.wait(self._notes, timeout=1.0)
            await self.export.close()
            await asyncio.to_thread(self.access_log.sink.close)

    def _certificate_files(self) -> Sequence[str]:
        """PEM files of certificates this gateway shows: to clients, and to targets."""
        found = []
        configuration = self._current.snapshot.configuration
        for declared in (self.configuration, configuration):
            tls = getattr(declared, "tls", None)
            if tls is not None:
                found.append(str(tls.cert))
        for upstream in configuration.upstreams:
            if upstream.tls is not None and upstream.tls.cert:
                found.append(upstream.tls.cert)
        return found

    async def _look_for_concerns(self) -> None:
        """What is not as it should be, every few seconds; each second while somebody watches."""
        self._beats += 1
        if self._beats % CONCERNS_EVERY and not self.stream.watchers:
            return
        if self._beats % CONCERNS_EVERY == 0 or not self._component_rows:
            self._component_rows = await self.queries.health()
            if not self.stream.watchers:  # else they have just been read
                with contextlib.suppress(OSError, TimeoutError):
                    await asyncio.wait_for(self.queries.refresh(("quotas",)), 1.0)
        overview = self.queries.overview()
        found = concern_rules.everything(
            overview.services(),
            overview.targets(),
            overview.breakers(),
            self.queries.quota_rows,
            overview.picture.nodes,
            self._component_rows,
            self.live.problems,
            await self.levels.current() if self.levels.any else (),
        )
        self.queries.concern_ledger.observe(found, self.clock.unix())

    async def _keep_history(self) -> None:
        now = self.clock.unix()
        if self.history.due(now):
            for _ in self.tally.settling():
                await asyncio.sleep(0)
            self.history.sample(self.tally.last_windows(), now)

    async def _beat(self) -> None:
        """Each second: what this node is, what the others are, what changed, what the fleet was told."""
        while True:
            try:
                await self.reporter.beat()
                if self._board is not None:
                    self.revisions.skew = self._board.skew
                if self.stream.watchers:
                    await self.queries.refresh()
                self.queries.forget()
                await self._look_for_concerns()
                await self._keep_history()
                await self.stream.beat()
                if "SPORK_WORKER" in os.environ:
                    await asyncio.to_thread(self.shelf.put, await self.monitoring.report())
                await self.live.follow()
                await self.settings.follow()
                await self.levels.tick()
                await self.usage.tick()
                routes = self._current.snapshot.configuration.routes
                self.versions.tick((version for _, version in versions_of(routes)), self.clock.unix())
                for entry in self.security.due():
                    await self.operations.note(entry)
            except Exception:
                log.exception("heartbeat")
            await asyncio.sleep(1.0)

    async def _watch_streams(self) -> None:
        """The stream of an operator whose token expired or was taken out of the configuration ends."""
        while True:
            self.stream.look()
            await asyncio.sleep(0.5)

    async def _end_streams(self) -> None:
        """Shutdown has begun: streams would otherwise hold it up for the whole grace period."""
        await self.lifecycle.draining()
        self.stream.end()

    async def _watch_files(self) -> None:
        await self.live.watch(file_signature)
