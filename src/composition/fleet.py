"""The fleet as one gateway process sees it: the other nodes, the configuration they share, and the present of all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dependency_injector import containers, providers

from spork.adapters.files.applied import AppliedFile
from spork.adapters.files.state_files import RevisionFiles
from spork.adapters.yaml.load import load, loads
from spork.application.admin.commands import ObjectVersions
from spork.application.admin.current_overview import CurrentOverview
from spork.application.admin.stream import Revisions
from spork.application.admin.upstreams import RegistryControl
from spork.application.configuration.live import KeptExchange, LiveConfiguration
from spork.application.configuration.model import Configuration
from spork.application.configuration.problems import errors
from spork.application.exchange.exchange import Current
from spork.application.fleet.heartbeat import LoopLag, Reporter
from spork.application.fleet.lifecycle import Lifecycle
from spork.application.fleet.nodes import NodeCount, NodeRegistry, SingleNodeRegistry
from spork.application.fleet.settings import FleetSettings
from spork.application.fleet.state_changes import StateChanges
from spork.application.kernel.clock import Clock
from spork.application.limits.reports import LimitReport
from spork.application.pipeline.configurator import Configurator
from spork.application.telemetry.event_log import EventLog
from spork.application.telemetry.tally import RequestCounters
from spork.application.telemetry.usage import UsageMeter
from spork.application.upstreams.registry import UpstreamRegistry
from spork.composition.identity import ProcessIdentity
from spork.composition.material import material_problems
from spork.composition.records import own_records
from spork.composition.stores import background_connection, store_kind

# A gateway that shares nothing does not import a Redis client.
if TYPE_CHECKING:
    from spork.adapters.redis.fleet.nodes import RedisNodes


def _fleet_nodes(shared: str) -> RedisNodes:
    from spork.adapters.redis.fleet.nodes import RedisNodes

    # Reports are larger than what the request path asks for; they may take a little longer.
    return RedisNodes(background_connection(shared, connections=4, operation=1.0).client)


def _reporter(
    identity: ProcessIdentity,
    clock: Clock,
    tally: RequestCounters,
    events: EventLog,
    nodes: NodeRegistry,
    current: Current,
    control: RegistryControl,
    registry: UpstreamRegistry,
    usage: UsageMeter,
    limits: Callable[[], LimitReport],
    count: NodeCount,
) -> Reporter:
    def in_flight() -> int:
        return sum(target.active for upstream in registry for target in upstream.targets)

    return Reporter(
        identity.node,
        clock,
        tally,
        events,
        nodes,
        lambda: current.snapshot,
        control,
        in_flight,
        usage.consumers,
        limits,
        count,
    )


def _live(
    configuration: Configuration,
    path: Path | None,
    identity: ProcessIdentity,
    configurator: Configurator,
    clock: Clock,
    events: EventLog,
    board: RedisNodes | None,
    reporter: Reporter,
) -> LiveConfiguration:
    applied = AppliedFile(configuration.state_dir)
    place, folder = str(path or "spork.yaml"), str(path.parent if path else ".")
    return LiveConfiguration(
        lambda: load(path, identity.environ, material_problems),
        lambda text: loads(text, place, identity.environ, folder, material_problems),
        configurator.apply_in_slices,
        RevisionFiles(configuration.state_dir),
        clock.unix,
        events,
        applied if board is None else KeptExchange(applied, board),
        reporter.revisions,
        reporter.beat,
        "api" if board is None else "fleet",
    )


def _revisions(clock: Clock, board: RedisNodes | None) -> Revisions:
    """Revisions of all gateways are of one clock: the fleet's."""
    return Revisions(clock.unix) if board is None else Revisions(clock.unix, lambda: board.skew)


def _settings(board: RedisNodes | None, state_dir: str) -> FleetSettings:
    """The settings that operators make, kept in what the fleet shares, else in a file of the gateway's."""
    if board is not None:
        from spork.adapters.redis.fleet.settings import RedisSettings

        return FleetSettings(RedisSettings(board.client))
    from spork.adapters.files.settings import FileSettings

    return FleetSettings(FileSettings(state_dir))


def _lifecycle(configuration: Configuration, live: Callable[[], LiveConfiguration]) -> Lifecycle:
    """`live` is asked only when readiness is."""

    def remarks() -> list[str]:
        found = [own] if (own := own_records(configuration)) else []
        problems = live().problems
        if errors(problems):
            return ["the configuration on disk is refused; the last good one serves", *found]
        if any("left out" in problem.suggestion for problem in problems):
            return ["parts of the configuration have errors and are left out", *found]
        return found

    return Lifecycle(remarks)


class FleetContainer(containers.DeclarativeContainer):
    """`overview` is the present of the whole fleet, `live` the configuration while the gateway runs."""

    configuration: providers.Dependency[Configuration] = providers.Dependency()
    config_path: providers.Dependency[Any] = providers.Dependency(default=None)
    clock: providers.Dependency[Any] = providers.Dependency()
    identity: providers.Dependency[ProcessIdentity] = providers.Dependency()
    current: providers.Dependency[Current] = providers.Dependency()
    events: providers.Dependency[EventLog] = providers.Dependency()
    nodes: providers.Dependency[Any] = providers.Dependency()
    board: providers.Dependency[Any] = providers.Dependency()
    count: providers.Dependency[NodeCount] = providers.Dependency()
    tally: providers.Dependency[RequestCounters] = providers.Dependency()
    usage: providers.Dependency[UsageMeter] = providers.Dependency()
    registry: providers.Dependency[UpstreamRegistry] = providers.Dependency()
    control: providers.Dependency[RegistryControl] = providers.Dependency()
    limit_report: providers.Dependency[Any] = providers.Dependency()
    configurator: providers.Dependency[Configurator] = providers.Dependency()

    lag = providers.Singleton(LoopLag)
    reporter = providers.Singleton(
        _reporter, identity, clock, tally, events, nodes, current, control, registry, usage, limit_report, count
    )
    revisions = providers.Singleton(_revisions, clock, board)
    settings = providers.Singleton(_settings, board, configuration.provided.state_dir)
    versions = providers.Singleton(ObjectVersions, revisions)
    overview = providers.Singleton(CurrentOverview, reporter, versions, clock)
    state_changes = providers.Singleton(StateChanges, overview.provided.states, events)
    live = providers.Singleton(
        _live, configuration, config_path, identity, configurator, clock, events, board, reporter
    )
    lifecycle = providers.Singleton(_lifecycle, configuration, live.provider)


class NodesContainer(containers.DeclarativeContainer):
    """Where the processes of a fleet hear of each other; `board` is None for one that serves alone."""

    configuration: providers.Dependency[Configuration] = providers.Dependency()

    kind = providers.Callable(store_kind, configuration.provided.shared)
    shared = providers.Singleton(_fleet_nodes, configuration.provided.shared)
    nodes = providers.Selector(kind, memory=providers.Singleton(SingleNodeRegistry), redis=shared)
    board = providers.Selector(kind, memory=providers.Object(None), redis=shared)
    count = providers.Singleton(NodeCount)
