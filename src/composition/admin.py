"""Operators of one gateway process: what they see, what they may do, what is written down of it, and what keeps it current."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from dependency_injector import containers, providers
from sqlalchemy.ext.asyncio import AsyncEngine

from spork.adapters.cryptography.certificates import CertificateHealth
from spork.adapters.files.state_files import WorkerFiles, admin_token, file_signature, newest_change
from spork.adapters.files.waiting_audit import WaitingAuditFile
from spork.adapters.sqlalchemy.audit import SqlAuditTrail
from spork.adapters.sqlalchemy.health import RecordsHealth
from spork.adapters.structlog.access_log import AccessLog
from spork.adapters.structlog.application_log import own_sink
from spork.adapters.system.process import ProcessMeter
from spork.application.admin.access import Operators
from spork.application.admin.actions import Actions
from spork.application.admin.callers import CallerControl
from spork.application.admin.commands import ObjectVersions, Operations
from spork.application.admin.component_health import Components
from spork.application.admin.concern_watch import ConcernWatch
from spork.application.admin.controls import (
    CacheControl,
    ChannelControl,
    Component,
    ConnectionControl,
    Controls,
    OpenApiControl,
)
from spork.application.admin.current_overview import CurrentOverview
from spork.application.admin.health import ConfigurationHealth, DiskHealth, LogHealth, LoopHealth, UpstreamsHealth
from spork.application.admin.heartbeat import OperatorHeartbeat
from spork.application.admin.maintenance import FleetMaintenance
from spork.application.admin.monitoring import Monitoring
from spork.application.admin.operations_seen import SeenOperations
from spork.application.admin.queries import Queries
from spork.application.admin.quotas import QuotaControl
from spork.application.admin.security_notes import SecurityNotes
from spork.application.admin.stream import Revisions, Stream
from spork.application.admin.turns import Turns
from spork.application.admin.upstreams import RegistryControl
from spork.application.admin.versions import VersionReport, versions_of
from spork.application.callers.consumers import Consumers
from spork.application.configuration.files import listener_tls
from spork.application.configuration.live import LiveConfiguration
from spork.application.configuration.model import AdminToken, Configuration
from spork.application.exchange.exchange import Current
from spork.application.fleet.heartbeat import LoopLag, Reporter
from spork.application.fleet.settings import FleetSettings
from spork.application.kernel.clock import Clock
from spork.application.kernel.descriptors import Descriptors
from spork.application.limits.heavy_hitters import HeavyHitters
from spork.application.limits.overrides import LimitOverrides
from spork.application.limits.upkeep import LimitStores
from spork.application.pipeline.overlay import RouteOverlay
from spork.application.telemetry.event_log import EventLog
from spork.application.telemetry.tail import Traffic
from spork.application.telemetry.tally import RequestCounters
from spork.application.telemetry.usage import UsageMeter, UsageStore
from spork.application.telemetry.versions import VersionCounters
from spork.application.telemetry.waiting_audit import WaitingAuditTrail
from spork.application.upstreams.drains import FleetDrains
from spork.composition.admin_api import Discovery, admin_application
from spork.composition.identity import ProcessIdentity
from spork.composition.log_settings import FleetLogging
from spork.composition.records import own_records
from spork.composition.telemetry import TelemetryExport
from spork.domain.limits.limit import RateLimiter

# A gateway that shares nothing does not import a Redis client.
if TYPE_CHECKING:
    from spork.adapters.redis.fleet.idempotency import RedisIdempotency
    from spork.adapters.redis.fleet.nodes import RedisNodes

log = logging.getLogger("spork.operators")


class AdminTokens:
    """The tokens of the configuration in force, or the one that is made when none is configured."""

    def __init__(self, configuration: Configuration, current: Current) -> None:
        self._configuration = configuration
        self._current = current
        self._generated: AdminToken | None = None

    def __call__(self) -> Sequence[AdminToken]:
        configured = self._current.snapshot.configuration.admin.tokens or self._configuration.admin.tokens
        if configured:
            return configured
        return (self._generated,) if self._generated is not None else ()

    def generate(self) -> None:
        """Make the token file when no token is configured."""
        if not self._configuration.admin.tokens:
            token = admin_token(self._configuration.state_dir)
            self._generated = AdminToken("generated", hashlib.sha256(token.encode()).hexdigest(), "admin")


def _kept_operations(board: RedisNodes | None) -> RedisIdempotency | None:
    """Where a fleet keeps which writes were carried out; None for a process that serves alone."""
    if board is None:
        return None
    from spork.adapters.redis.fleet.idempotency import RedisIdempotency

    return RedisIdempotency(board.client)


def _turns(board: RedisNodes | None, state_dir: str, identity: ProcessIdentity) -> Turns | None:
    """Where writes take turns: in what the fleet shares, else among the workers of this gateway."""
    if board is not None:
        from spork.adapters.redis.fleet.turns import RedisTurns

        return RedisTurns(board.client)
    if identity.worker:
        from spork.adapters.files.turns import FileTurns

        return FileTurns(state_dir)
    return None


def _logging(access_log: AccessLog, settings: FleetSettings, node: str, place: str) -> FleetLogging:
    """`place` is where access lines go; `off` keeps them off whatever an operator wants."""
    return FleetLogging(access_log, settings, node, place != "off")


def _maintenance(
    settings: FleetSettings, overlay: RouteOverlay, current: Current, live: LiveConfiguration
) -> FleetMaintenance:
    return FleetMaintenance(settings, overlay, lambda: current.snapshot.configuration, live.again)


def _audit(engine: AsyncEngine, state_dir: str, node: str) -> WaitingAuditTrail:
    return WaitingAuditTrail(SqlAuditTrail(engine), WaitingAuditFile(state_dir, node))


def _operations(
    versions: ObjectVersions,
    revisions: Revisions,
    events: EventLog,
    clock: Clock,
    node: str,
    audit: WaitingAuditTrail,
    kept: RedisIdempotency | None,
    configuration: Configuration,
    overview: CurrentOverview,
    turns: Turns | None,
    live: LiveConfiguration,
    reporter: Reporter,
    settings: FleetSettings,
    drains: FleetDrains,
    overrides: LimitOverrides,
) -> Operations:
    return Operations(
        versions,
        revisions,
        events,
        clock.unix,
        node,
        audit,
        kept=kept,
        own_records=own_records(configuration),
        on_done=overview.forget,
        turns=turns,
        sync=(
            live.follow,
            reporter.beat,
            settings.follow,
            lambda: overrides.refresh(clock.unix()),
            drains.follow,
        ),
    )


def _quotas(
    limiter: RateLimiter,
    insight: HeavyHitters,
    overrides: LimitOverrides,
    current: Current,
    stores: LimitStores,
    clock: Clock,
    consumers: Consumers,
    reporter: Reporter,
) -> QuotaControl:
    return QuotaControl(
        limiter,
        insight,
        overrides,
        lambda: current.snapshot.configuration,
        stores.state,
        clock.unix,
        lambda name: consumers.plan_and_owner(name)[1] or "",
        reporter.other_limits,
    )


def _controls(
    upstreams: RegistryControl,
    quotas: QuotaControl,
    callers: CallerControl,
    connections: ConnectionControl,
    cache: CacheControl,
    channels: ChannelControl,
    documents: OpenApiControl,
) -> Controls:
    return Controls(upstreams, quotas, callers, callers, callers, connections, channels, cache, documents)


def _stream(revisions: Revisions, queries: Queries, traffic: Traffic) -> Stream:
    encode = msgspec.json.Encoder().encode
    return Stream(revisions, encode, queries.rows, queries.tick, traffic.since, lambda: traffic.rate)


def _certificates(configuration: Configuration, current: Current, clock: Clock) -> CertificateHealth:
    def files() -> Sequence[str]:
        """PEM files of certificates this gateway shows: to clients, and to targets."""
        in_force = current.snapshot.configuration
        tls = (*listener_tls(configuration), *listener_tls(in_force))
        shown = [name for each in tls for name in (each.cert, *(pair.cert for pair in each.certificates))]
        return shown + [each.tls.cert for each in in_force.upstreams if each.tls is not None and each.tls.cert]

    return CertificateHealth(files, clock.unix)


def _log_health(access_log: AccessLog) -> tuple[LogHealth, ...]:
    own = own_sink()
    access = LogHealth(access_log.sink, lambda: access_log.enabled)
    return (access,) if own is None else (access, LogHealth(own, log="application"))


def _components(
    process: ProcessMeter,
    certificates: CertificateHealth,
    lag: LoopLag,
    live: LiveConfiguration,
    configuration: Configuration,
    logs: tuple[LogHealth, ...],
    overview: CurrentOverview,
    engine: AsyncEngine,
    board: RedisNodes | None,
    limits: LimitStores,
) -> Components:
    found: list[Component] = [
        process,
        certificates,
        LoopHealth(lag),
        ConfigurationHealth(live),
        DiskHealth(configuration.state_dir),
        *logs,
        UpstreamsHealth(overview.overview),
        RecordsHealth(engine),
    ]
    if board is not None:
        from spork.adapters.redis.fleet.nodes import RedisHealth

        found.append(RedisHealth(board.client))
    return Components((*found, limits))


def _monitoring(
    identity: ProcessIdentity,
    clock: Clock,
    tally: RequestCounters,
    overview: CurrentOverview,
    shelf: WorkerFiles,
    lag: LoopLag,
    logs: tuple[LogHealth, ...],
    *meters: object,
) -> Monitoring:
    """A part that is not there, or has no numbers, is left out."""
    asked: list[Any] = [meter for meter in (*meters, *logs) if hasattr(meter, "samples")]
    return Monitoring(identity.label, clock, tally, overview.overview, shelf, lag, asked)


def _version_report(
    current: Current, store: UsageStore, usage: UsageMeter, counters: VersionCounters, consumers: Consumers
) -> VersionReport:
    return VersionReport(
        lambda: versions_of(current.snapshot.configuration.routes),
        store,
        usage.flush,
        counters,
        lambda name: consumers.plan_and_owner(name)[0] or "",
    )


def _concerns(queries: Queries, live: LiveConfiguration, objectives: Any, stream: Stream, clock: Clock) -> ConcernWatch:
    return ConcernWatch(queries, live, objectives, lambda: bool(stream.watchers), clock.unix)


@contextlib.asynccontextmanager
async def _running(
    configuration: Configuration,
    identity: ProcessIdentity,
    tokens: AdminTokens,
    access_log: AccessLog,
    export: TelemetryExport,
    monitoring: Monitoring,
    shelf: WorkerFiles,
    live: LiveConfiguration,
    settings: FleetSettings,
    logs: FleetLogging,
    maintenance: FleetMaintenance,
    heartbeat: OperatorHeartbeat,
) -> AsyncIterator[None]:
    """Observe, beat and watch until the block ends; then flush and leave the fleet."""
    tokens.generate()
    if remark := own_records(configuration):
        log.warning("%s", remark)
    access_log.sink.open()
    export.open(monitoring.report)
    if identity.first:
        await asyncio.to_thread(shelf.clear_old)
    await live.adopt(await live.read_file())
    logs.listen()
    maintenance.listen()
    await settings.follow()
    await maintenance.settle()
    await live.follow(newer_than=newest_change(live.sources))
    try:
        async with heartbeat.running():
            yield
    finally:
        await export.close()
        await asyncio.to_thread(access_log.sink.close)


class AdminContainer(containers.DeclarativeContainer):
    """`application` is the admin listener's; `running` keeps what it shows current."""

    configuration: providers.Dependency[Configuration] = providers.Dependency()
    clock: providers.Dependency[Any] = providers.Dependency()
    identity: providers.Dependency[ProcessIdentity] = providers.Dependency()
    current: providers.Dependency[Current] = providers.Dependency()
    events: providers.Dependency[EventLog] = providers.Dependency()
    engine: providers.Dependency[AsyncEngine] = providers.Dependency()
    nodes: providers.Dependency[Any] = providers.Dependency()
    board: providers.Dependency[Any] = providers.Dependency()
    live_exchanges: providers.Dependency[Any] = providers.Dependency()
    connections: providers.Dependency[Any] = providers.Dependency()
    channels: providers.Dependency[Any] = providers.Dependency()
    mirrors: providers.Dependency[Any] = providers.Dependency()
    decisions: providers.Dependency[Any] = providers.Dependency()
    plugins: providers.Dependency[Any] = providers.Dependency()
    descriptors: providers.Dependency[Descriptors] = providers.Dependency()
    overlay: providers.Dependency[RouteOverlay] = providers.Dependency()
    explainer: providers.Dependency[Any] = providers.Dependency()
    limits = providers.DependenciesContainer()
    callers = providers.DependenciesContainer()
    upstreams = providers.DependenciesContainer()
    telemetry = providers.DependenciesContainer()
    caching = providers.DependenciesContainer()
    catalog = providers.DependenciesContainer()
    graphql = providers.DependenciesContainer()
    fleet = providers.DependenciesContainer()

    tokens = providers.Singleton(AdminTokens, configuration, current)
    operators = providers.Singleton(Operators, tokens, limiter=limits.shared)
    audit = providers.Singleton(_audit, engine, configuration.provided.state_dir, identity.provided.node)
    operations = providers.Singleton(
        _operations,
        fleet.versions,
        fleet.revisions,
        events,
        clock,
        identity.provided.node,
        audit,
        providers.Singleton(_kept_operations, board),
        configuration,
        fleet.overview,
        providers.Singleton(_turns, board, configuration.provided.state_dir, identity),
        fleet.live,
        fleet.reporter,
        fleet.settings,
        upstreams.drains,
        limits.limit_overrides,
    )
    notes = providers.Singleton(SecurityNotes, operations, events, clock.provided.unix, identity.provided.node)
    quotas = providers.Singleton(
        _quotas,
        limits.limiter,
        limits.insight,
        limits.limit_overrides,
        current,
        limits.stores,
        clock,
        callers.consumers,
        fleet.reporter,
    )
    controls = providers.Singleton(
        _controls,
        upstreams.control,
        quotas,
        callers.control,
        connections,
        caching.operations,
        channels,
        catalog.report,
    )
    process = providers.Singleton(ProcessMeter, descriptors)
    certificates = providers.Singleton(_certificates, configuration, current, clock)
    log_health = providers.Singleton(_log_health, telemetry.access_log)
    components = providers.Singleton(
        _components,
        process,
        certificates,
        fleet.lag,
        fleet.live,
        configuration,
        log_health,
        fleet.overview,
        engine,
        board,
        limits.stores,
    )
    queries = providers.Singleton(
        Queries,
        fleet.overview,
        controls,
        events,
        telemetry.traffic,
        fleet.revisions,
        clock,
        config=fleet.live.provided.view,
        components=components,
    )
    stream = providers.Singleton(_stream, fleet.revisions, queries, telemetry.traffic)
    actions = providers.Singleton(Actions, controls, fleet.overview.provided.fresh, clock.provided.monotonic)
    shelf = providers.Singleton(
        WorkerFiles, configuration.provided.state_dir, identity.provided.run, identity.provided.label
    )
    monitoring = providers.Singleton(
        _monitoring,
        identity,
        clock,
        telemetry.tally,
        fleet.overview,
        shelf,
        fleet.lag,
        log_health,
        fleet.reporter,
        events,
        stream,
        fleet.live,
        fleet.lag,
        process,
        certificates,
        upstreams.control,
        telemetry.usage,
        telemetry.objectives,
        telemetry.security,
        audit,
        nodes,
        quotas,
        queries.provided.concern_ledger,
        telemetry.export,
        telemetry.versions,
        telemetry.delivery,
        limits.stores,
        limits.guards,
        limits.shedding,
        caching.cache,
        catalog.catalog,
        graphql.counters,
        live_exchanges,
        channels.provided.hub,
        mirrors,
        decisions,
        plugins,
        callers.external_decisions,
    )
    version_report = providers.Singleton(
        _version_report, current, telemetry.usage_store, telemetry.usage, telemetry.versions, callers.consumers
    )
    seen = providers.Singleton(SeenOperations, graphql.counters)
    logs = providers.Singleton(
        _logging, telemetry.access_log, fleet.settings, identity.provided.node, configuration.provided.access_log
    )
    maintenance = providers.Singleton(_maintenance, fleet.settings, overlay, current, fleet.live)
    discovery = providers.Singleton(
        Discovery, configuration, upstreams.registrations, upstreams.registry, queries, operators, notes, clock
    )
    concerns = providers.Singleton(_concerns, queries, fleet.live, telemetry.objectives, stream, clock)
    heartbeat = providers.Singleton(
        OperatorHeartbeat,
        node=identity.provided.node,
        current=current,
        reporter=fleet.reporter,
        overview=fleet.overview,
        queries=queries,
        stream=stream,
        concerns=concerns,
        live=fleet.live,
        settings=fleet.settings,
        quotas=quotas,
        monitoring=monitoring,
        shelf=providers.Selector(
            providers.Callable(lambda worker: "several" if worker else "one", identity.provided.worker),
            one=providers.Object(None),
            several=shelf,
        ),
        tally=telemetry.tally,
        history=telemetry.history,
        objectives=telemetry.objectives,
        usage=telemetry.usage,
        versions=telemetry.versions,
        security=telemetry.security,
        operations=operations,
        notes=notes,
        audit=audit,
        nodes=nodes,
        lag=fleet.lag,
        state_changes=fleet.state_changes,
        lifecycle=fleet.lifecycle,
        unix=clock.provided.unix,
        signature=providers.Object(file_signature),
    )
    application = providers.Singleton(
        admin_application,
        configuration,
        identity,
        clock,
        current,
        queries,
        controls,
        actions,
        operations,
        operators,
        notes,
        stream,
        fleet.live,
        explainer,
        monitoring,
        telemetry.objectives,
        audit,
        telemetry.usage,
        telemetry.usage_store,
        telemetry.history,
        version_report,
        seen,
        fleet.lifecycle,
        logs,
        maintenance,
        discovery,
    )
    running = providers.Callable(
        _running,
        configuration,
        identity,
        tokens,
        telemetry.access_log,
        telemetry.export,
        monitoring,
        shelf,
        fleet.live,
        fleet.settings,
        logs,
        maintenance,
        heartbeat,
    )
