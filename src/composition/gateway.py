"""The only composition root: which adapter stands behind which port. Synchronous providers only, built once.

Nothing here opens a socket or a file; what has a lifecycle is opened and closed by `composition/process.py` in one
AsyncExitStack, in the order in which the graph needs it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from dependency_injector import containers, providers

from spork.adapters.http1.transport import HttptoolsTransport
from spork.adapters.litestar.problems import JsonProblemResponses
from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.adapters.msgspec.json_values import MsgspecJson
from spork.adapters.sqlalchemy.database import open_database
from spork.adapters.system.clock import SystemClock
from spork.application.admin.explain import Explainer
from spork.application.configuration.model import Configuration
from spork.application.exchange.answers import Gateway, ProblemResponses
from spork.application.exchange.exchange import Current, Snapshot
from spork.application.fleet.lifecycle import Lifecycle
from spork.application.fleet.nodes import NodeRegistry, SingleNodeRegistry
from spork.application.guards.order import in_order
from spork.application.guards.policy import Policy
from spork.application.guards.transform import TransformingPolicy
from spork.application.guards.version import VersionPolicy
from spork.application.kernel.clock import Clock
from spork.application.live.registry import LiveExchanges
from spork.application.pipeline.admission import Admission, go_on
from spork.application.pipeline.client_address import ClientAddress
from spork.application.pipeline.configurator import Configurator
from spork.application.pipeline.forwarder import Forwarder
from spork.application.pipeline.sender import Sender
from spork.application.telemetry.event_log import EventLog
from spork.application.upstreams.credentials import CredentialStore, TokenEndpoint
from spork.application.upstreams.transport import UpstreamTransport
from spork.composition.admin import OperatorSide, node_name
from spork.composition.answers import answer_stages
from spork.composition.caching import CacheSide
from spork.composition.callers import CallerSide
from spork.composition.codings import codings
from spork.composition.decisions import Deciding
from spork.composition.lazily import LazyTokenEndpoint, LazyTransport
from spork.composition.limits import LimitSide
from spork.composition.upstreams import UpstreamSide
from spork.domain.routing.table import RouteTable

# The web framework is imported where an application is built, so that `spork explain` does without.
if TYPE_CHECKING:
    from litestar import Litestar


def empty_snapshot() -> Snapshot:
    """What is in force before the first configuration: no routes at all."""
    return Snapshot("", Configuration(), RouteTable(()), {}, {})


def data_application(
    gateway: Gateway,
    refusals: ProblemResponses,
    lifecycle: Lifecycle,
    expose: tuple[str, ...],
    callers: CallerSide,
    clients: ClientAddress,
    operators: OperatorSide,
    upstreams: UpstreamSide,
) -> Litestar:
    """The data listener's application: the proxy and the endpoints it exposes."""
    from spork.adapters.litestar.applications import application
    from spork.adapters.litestar.auth import auth_router, jwks_handler
    from spork.adapters.litestar.health import health_handlers
    from spork.adapters.litestar.proxy import proxy_mount

    operators.know_consumers(callers.consumers.named)
    handlers: list[Any] = [proxy_mount(gateway, refusals), *health_handlers(lifecycle, frozenset(expose))]
    if "auth" in expose:
        handlers.append(auth_router(callers.desk(), refusals, clients))
    if "jwks" in expose:
        handlers.append(jwks_handler(lambda: callers.signer.key_set()))
    if "metrics" in expose:
        handlers += operators.exposed_metrics()
    if "discovery" in expose:
        handlers += upstreams.routers(operators)
    return application(handlers)


def admin_application(operators: OperatorSide, explainer: Explainer, upstreams: UpstreamSide) -> Any:
    """The admin listener's application."""
    return operators.admin_app(explainer, upstreams.routers(operators))


def event_log(configuration: Configuration, clock: Clock) -> EventLog:
    return EventLog(node_name(configuration), clock.unix)


def token_endpoint() -> TokenEndpoint:
    """Where tokens for external APIs come from; imports and opens nothing before the first one."""
    return LazyTokenEndpoint()


def httpx_transport() -> UpstreamTransport:
    from spork.adapters.httpx.transport import HttpxTransport

    return HttpxTransport()


def fleet(shared: str) -> NodeRegistry:
    """Where the processes of a fleet hear of each other."""
    if shared == "memory":
        return SingleNodeRegistry()
    from spork.adapters.redis.fleet.nodes import RedisNodes
    from spork.adapters.redis.store.connection import connect

    # Reports are larger than what the request path asks for; they may take a little longer.
    return RedisNodes(connect(shared, connections=4, operation=1.0).client)


def admission_policies(callers: CallerSide, limits: LimitSide, upstreams: UpstreamSide) -> tuple[Policy, ...]:
    """Every policy of routes, in the order of admission."""
    return in_order(
        (
            *callers.policies(),
            *limits.policies(),
            *upstreams.policies(),
            VersionPolicy(go_on),
            TransformingPolicy(codings(), MsgspecJson()),
        )
    )


class GatewayContainer(containers.DeclarativeContainer):
    """The object graph of one gateway process."""

    configuration: providers.Dependency[Configuration] = providers.Dependency(instance_of=Configuration)
    config_path: providers.Dependency[Any] = providers.Dependency(default=None)

    clock = providers.Singleton(SystemClock)
    lifecycle = providers.Singleton(Lifecycle)
    refusals = providers.Singleton(JsonProblemResponses)
    current = providers.Singleton(Current, snapshot=providers.Callable(empty_snapshot))
    random_numbers = providers.Singleton(random.Random)
    events = providers.Singleton(event_log, configuration, clock)
    upstream_side = providers.Singleton(
        UpstreamSide, configuration=configuration, clock=clock, events=events, chance=random_numbers, current=current
    )
    breakers = upstream_side.provided.breakers
    registry = upstream_side.provided.registry

    pooled = providers.Singleton(HttptoolsTransport)
    transports = providers.Dict(
        httptools=pooled,
        httpx=providers.Singleton(LazyTransport, httpx_transport),
    )
    database = providers.Singleton(open_database, configuration.provided.records, configuration.provided.state_dir)
    limits = providers.Singleton(
        LimitSide, configuration=configuration, clock=clock, current=current, chance=random_numbers.provided.random
    )
    callers = providers.Singleton(
        CallerSide,
        configuration=configuration,
        clock=clock,
        engine=database,
        limiter=limits.provided.limiter,
        events=events,
    )
    policies = providers.Callable(admission_policies, callers=callers, limits=limits, upstreams=upstream_side)
    clients = providers.Singleton(ClientAddress, trusted=configuration.provided.trusted_proxies)

    configurator = providers.Singleton(
        Configurator,
        current=current,
        registry=registry,
        policies=policies,
        clock=clock,
        answer_maker=providers.Object(answer_stages),
    )
    operators = providers.Singleton(
        OperatorSide,
        configuration=configuration,
        clock=clock,
        current=current,
        registry=registry,
        configurator=configurator,
        lifecycle=lifecycle,
        events=events,
        path=config_path,
        limits=limits,
        nodes=providers.Singleton(fleet, configuration.provided.shared),
        engine=database,
        connections=pooled.provided.connections,
    )
    live = providers.Singleton(
        LiveExchanges,
        clock,
        callers.provided.revoked,
        callers.provided.consumers.named,
        events.provided.node,
    )
    sender = providers.Singleton(
        Sender,
        transports=transports,
        clock=clock,
        clients=clients,
        chance=random_numbers,
        mirrors=upstream_side.provided.mirrors,
        stale=upstream_side.provided.stale,
        credentials=providers.Singleton(
            CredentialStore,
            endpoint=providers.Singleton(token_endpoint),
            monotonic=clock.provided.monotonic,
            unix=clock.provided.unix,
        ),
        quotas=limits.provided.limiter,
    )
    admission = providers.Singleton(Admission, current=current, clock=clock, chance=random_numbers, clients=clients)
    caching = providers.Singleton(
        CacheSide,
        configuration=configuration,
        clock=clock,
        chance=random_numbers,
        sender=sender,
        node=events.provided.node,
    )
    gateway = providers.Singleton(
        Forwarder,
        admission=admission,
        refusals=refusals,
        clock=clock,
        observers=operators.provided.observers,
        sender=sender,
        live=live,
        cached=caching.provided.stop,
        messages=providers.Singleton(MemoryRateLimiter, 50_000),
    )
    deciding = providers.Singleton(
        Deciding,
        admission=admission,
        forwarder=gateway,
        refusals=refusals,
        current=current,
    )
    data_gateway = deciding.provided.beside.call(gateway, configuration.provided.decisions)
    data_app = providers.Singleton(
        data_application,
        data_gateway,
        refusals,
        lifecycle,
        configuration.provided.expose,
        callers,
        clients,
        operators,
        upstream_side,
    )
    explainer = providers.Singleton(Explainer, admission=admission, sender=sender, cache=caching.provided.cache)
    admin_app = providers.Singleton(admin_application, operators, explainer, upstream_side)
