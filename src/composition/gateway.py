"""The only composition root: which adapter stands behind which port, a container per room.

Nothing here opens a socket or a file; `composition/process.py` enters each room's `running()` in one AsyncExitStack, in the
order in which they need each other. Tests build the system from these containers too, with overrides where they
need a part of their own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

from dependency_injector import containers, providers

from spork.adapters.litestar.problems import JsonProblemResponses
from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.adapters.msgspec.json_values import MsgspecJson
from spork.adapters.sqlalchemy.database import open_database
from spork.adapters.system.clock import SystemClock
from spork.adapters.system.process import descriptor_limit
from spork.application.admin.explain import Explainer
from spork.application.callers.consumers import Consumers
from spork.application.catalog.contracts import Contracts
from spork.application.configuration.model import Configuration
from spork.application.exchange.exchange import Current, Observer, Snapshot
from spork.application.guards.order import in_order
from spork.application.guards.plugins import EarlyPlugins, LatePlugins
from spork.application.guards.policy import Policy
from spork.application.guards.transform import TransformingPolicy
from spork.application.guards.validate import ValidatePolicy
from spork.application.guards.version import VersionPolicy
from spork.application.kernel.clock import Clock
from spork.application.kernel.descriptors import Descriptors
from spork.application.live.registry import LiveExchanges
from spork.application.pipeline.admission import Admission, go_on
from spork.application.pipeline.client_address import ClientAddress
from spork.application.pipeline.configurator import Configurator
from spork.application.pipeline.forwarder import Forwarder
from spork.application.pipeline.overlay import RouteOverlay
from spork.application.pipeline.sender import Sender
from spork.application.telemetry.event_delivery import EventLines
from spork.application.telemetry.event_log import EventLog
from spork.composition.admin import AdminContainer
from spork.composition.admin_api import data_application
from spork.composition.answers import answer_maker
from spork.composition.caching import CachingContainer
from spork.composition.callers import CallersContainer
from spork.composition.catalog import CatalogContainer, contracts_of_upstreams
from spork.composition.channels import ChannelsContainer
from spork.composition.codings import codings
from spork.composition.decisions import Deciding
from spork.composition.fleet import FleetContainer, NodesContainer
from spork.composition.graphql import GraphQLContainer
from spork.composition.identity import read_identity
from spork.composition.limits import LimitsContainer
from spork.composition.live import LiveContainer
from spork.composition.signals import Signals
from spork.composition.telemetry import TelemetryContainer
from spork.composition.upstreams import UpstreamsContainer
from spork.domain.identity.revocation import RevocationSet
from spork.domain.routing.table import RouteTable
from spork.plugins.hosting import PluginHost


def empty_snapshot() -> Snapshot:
    """What is in force before the first configuration: no routes at all."""
    return Snapshot("", Configuration(), RouteTable(()), {}, {})


def _policies(plugins: PluginHost, contracts: Contracts, *rooms: tuple[Policy, ...]) -> tuple[Policy, ...]:
    """Every policy of routes, in the order of admission."""
    own = (
        VersionPolicy(go_on),
        TransformingPolicy(codings(), MsgspecJson()),
        EarlyPlugins(plugins.guards("before_credentials")),
        LatePlugins(plugins.guards("after_limits")),
        ValidatePolicy(contracts, codings()),
    )
    return in_order((*own, *(policy for room in rooms for policy in room)))


def _observers(own: Sequence[Observer], plugins: PluginHost) -> Sequence[Observer]:
    """Plugins hear last of what is over."""
    return (*own, plugins) if plugins.plugins else own


def _live_exchanges(clock: Clock, revoked: RevocationSet, consumers: Consumers, node: str) -> LiveExchanges:
    return LiveExchanges(clock, revoked, consumers.named, node)


def _key_set(signer: Callable[[], Any]) -> Callable[[], Any]:
    return lambda: signer().key_set()


class GatewayContainer(containers.DeclarativeContainer):
    """The object graph of one gateway process: its rooms, and the pipeline through them."""

    configuration: providers.Dependency[Configuration] = providers.Dependency(instance_of=Configuration)
    config_path: providers.Dependency[Any] = providers.Dependency(default=None)

    identity = providers.Singleton(read_identity, configuration.provided.port)
    clock = providers.Singleton(SystemClock)
    chance = providers.Singleton(random.Random)
    signals = providers.Singleton(Signals)
    descriptors = providers.Singleton(Descriptors, providers.Object(descriptor_limit))
    current = providers.Singleton(Current, snapshot=providers.Callable(empty_snapshot))
    events = providers.Singleton(EventLog, identity.provided.node, clock.provided.unix)
    database = providers.Singleton(open_database, configuration.provided.records, configuration.provided.state_dir)
    plugins = providers.Singleton(PluginHost, configuration, clock)
    refusals = providers.Singleton(JsonProblemResponses, plugged=plugins.provided.reasons.call())
    clients = providers.Singleton(ClientAddress, trusted=configuration.provided.trusted_proxies)

    #: By what routes check requests and answers: the catalog follows the documents they come from.
    contracts = providers.Singleton(contracts_of_upstreams)

    nodes = providers.Container(NodesContainer, configuration=configuration)
    limits = providers.Container(
        LimitsContainer, configuration=configuration, clock=clock, chance=chance, nodes=nodes.count, plugins=plugins
    )
    callers = providers.Container(
        CallersContainer,
        configuration=configuration,
        clock=clock,
        current=current,
        engine=database,
        limiter=limits.limiter,
        events=events,
        plugins=plugins,
    )
    upstreams = providers.Container(
        UpstreamsContainer,
        configuration=configuration,
        clock=clock,
        chance=chance,
        current=current,
        events=events,
        signals=signals,
        plugins=plugins,
        descriptors=descriptors,
    )
    telemetry = providers.Container(
        TelemetryContainer,
        configuration=configuration,
        clock=clock,
        identity=identity,
        events=events,
        engine=database,
        board=nodes.board,
        consumers=callers.consumers,
    )

    graphql = providers.Container(GraphQLContainer, configuration=configuration, clock=clock, limiter=limits.limiter)
    overlay = providers.Singleton(RouteOverlay)
    policies = providers.Callable(
        _policies, plugins, contracts, callers.policies, limits.policies, upstreams.policies, graphql.policies
    )
    configurator = providers.Singleton(
        Configurator,
        current=current,
        registry=upstreams.registry,
        policies=policies,
        clock=clock,
        answer_maker=providers.Singleton(answer_maker, contracts),
        swapped=signals.provided.swapped,
        overlay=overlay,
    )
    live = providers.Singleton(_live_exchanges, clock, callers.revoked, callers.consumers, identity.provided.node)
    fleet_live = providers.Container(LiveContainer, configuration=configuration, live=live, node=identity.provided.node)
    admission = providers.Singleton(Admission, current=current, clock=clock, chance=chance, clients=clients)
    sender = providers.Singleton(
        Sender,
        transports=upstreams.transports,
        clock=clock,
        clients=clients,
        chance=chance,
        mirrors=upstreams.mirrors,
        stale=upstreams.stale,
        credentials=upstreams.credentials,
        quotas=limits.limiter,
    )
    caching = providers.Container(
        CachingContainer,
        configuration=configuration,
        clock=clock,
        chance=chance,
        current=current,
        sender=sender,
        node=identity.provided.node,
    )
    channels = providers.Container(
        ChannelsContainer,
        configuration=configuration,
        clock=clock,
        chance=chance,
        live=live,
        node=identity.provided.node,
    )
    catalog = providers.Container(
        CatalogContainer,
        contracts=contracts,
        configuration=configuration,
        clock=clock,
        current=current,
        events=events,
        sender=sender,
        refusals=refusals,
        clients=clients,
    )
    gateway = providers.Singleton(
        Forwarder,
        admission=admission,
        refusals=refusals,
        clock=clock,
        observers=providers.Callable(_observers, telemetry.observers, plugins),
        sender=sender,
        live=live,
        cached=caching.stop,
        channels=channels.service,
        messages=providers.Singleton(MemoryRateLimiter, 50_000),
        values=providers.Singleton(MsgspecJson),
    )
    deciding = providers.Singleton(Deciding, admission=admission, forwarder=gateway, refusals=refusals, current=current)
    data_gateway = deciding.provided.beside.call(gateway, configuration.provided.decisions)
    explainer = providers.Singleton(Explainer, admission=admission, sender=sender, cache=caching.cache)

    fleet = providers.Container(
        FleetContainer,
        configuration=configuration,
        config_path=config_path,
        clock=clock,
        identity=identity,
        current=current,
        events=events,
        nodes=nodes.nodes,
        board=nodes.board,
        count=nodes.count,
        tally=telemetry.tally,
        usage=telemetry.usage,
        registry=upstreams.registry,
        control=upstreams.control,
        limit_report=limits.report,
        configurator=configurator,
    )
    admin = providers.Container(
        AdminContainer,
        descriptors=descriptors,
        overlay=overlay,
        configuration=configuration,
        clock=clock,
        identity=identity,
        current=current,
        events=events,
        engine=database,
        nodes=nodes.nodes,
        board=nodes.board,
        live_exchanges=live,
        connections=fleet_live.control,
        channels=channels.service,
        mirrors=upstreams.mirrors,
        explainer=explainer,
        decisions=deciding.provided.counts,
        plugins=plugins,
        limits=limits,
        callers=callers,
        upstreams=upstreams,
        telemetry=telemetry,
        caching=caching,
        catalog=catalog,
        graphql=graphql,
        fleet=fleet,
    )

    lifecycle = fleet.lifecycle
    data_app = providers.Singleton(
        data_application,
        configuration.provided.exposed,
        data_gateway,
        refusals,
        lifecycle,
        callers.desk.provider,
        providers.Callable(_key_set, callers.signer.provider),
        clients,
        admin.monitoring,
        admin.discovery,
        catalog.pages,
    )
    admin_app = admin.application


def subscribe(container: GatewayContainer) -> None:
    """Who hears of what, said once, before the first configuration is put into force.

    Those who follow the configuration hear of it in this order.
    """
    signals, events, telemetry = container.signals(), container.events(), container.telemetry
    export, live = telemetry.export(), container.live()
    for follower in (
        export.swapped,
        telemetry.in_force().swapped,
        container.callers.in_force().swapped,
        container.caching.in_force().swapped,
        container.channels.in_force().swapped,
        container.catalog.catalog().configured,
        lambda before, after: live.consumers_changed(),
    ):
        signals.swapped.subscribe(follower)
    control = container.upstreams.control()
    signals.circuit_moved.subscribe(container.upstreams.registry().circuit_moved)
    signals.circuit_moved.subscribe(control.circuit_moved)
    events.listen(export.heard)
    if (delivery := telemetry.delivery()) is not None:
        events.listen(delivery.hear)
    events.listen(EventLines().hear)
