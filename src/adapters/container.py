"""The only composition root: which adapter stands behind which port. Synchronous providers only, built once.

Nothing here opens a socket or a file; what has a lifecycle is opened and closed by `adapters/main.py` in one
AsyncExitStack, in the order in which the graph needs it.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from dependency_injector import containers, providers

from adapters.caller_side import CallerSide
from adapters.clock import SystemClock
from adapters.first_use import FirstSend
from adapters.httptools.transport import HttptoolsTransport
from adapters.limit_side import LimitSide
from adapters.litestar.problems import Problems
from adapters.operator_side import OperatorSide, node_name
from adapters.sqlalchemy.database import open_database
from adapters.upstream_side import UpstreamSide
from application.clients import ClientFinder
from application.configuration import Configuration
from application.configure import Configurator
from application.events import EventLog
from application.explain import Explainer
from application.forward import Current, Forwarder
from application.lifecycle import Lifecycle
from application.nodes import LoneNode, NodeRegistry
from application.plan import GuardMaker, Snapshot
from application.ports import Clock, Gateway, Refusals, UpstreamTransport
from application.sending import Sender
from domain.routing import RouteTable

# The web framework is imported where an application is built, so that `spork explain` does without.
if TYPE_CHECKING:
    from litestar import Litestar


def empty_snapshot() -> Snapshot:
    """What is in force before the first configuration: no routes at all."""
    return Snapshot("", Configuration(), RouteTable(()), {}, {})


def data_application(
    gateway: Gateway,
    refusals: Refusals,
    lifecycle: Lifecycle,
    expose: tuple[str, ...],
    callers: CallerSide,
    clients: ClientFinder,
    operators: OperatorSide,
    upstreams: UpstreamSide,
) -> Litestar:
    """The data listener's application: the proxy and the endpoints it exposes."""
    from adapters.litestar.applications import application
    from adapters.litestar.auth import auth_router, jwks_handler
    from adapters.litestar.health import health_handlers
    from adapters.litestar.proxy import proxy_mount

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


def httpx_transport() -> UpstreamTransport:
    from adapters.httpx.transport import HttpxTransport

    return HttpxTransport()


def fleet(shared: str) -> NodeRegistry:
    """Where the processes of a fleet hear of each other."""
    if shared == "memory":
        return LoneNode()
    from adapters.redis.connection import connect
    from adapters.redis.nodes import RedisNodes

    # Reports are larger than what the request path asks for; they may take a little longer.
    return RedisNodes(connect(shared, connections=4, operation=1.0).client)


def admission(callers: CallerSide, limits: LimitSide, upstreams: UpstreamSide) -> list[GuardMaker]:
    """Every guard maker, in the order in which a request meets them."""
    return [
        *callers.makers([limits.guards.before], [limits.guards.after]),
        upstreams.idempotency_guard,
        upstreams.stale_guard,
        limits.shedding,
    ]


class GatewayContainer(containers.DeclarativeContainer):
    """The object graph of one gateway process."""

    configuration: providers.Dependency[Configuration] = providers.Dependency(instance_of=Configuration)
    config_path: providers.Dependency[Any] = providers.Dependency(default=None)

    clock = providers.Singleton(SystemClock)
    lifecycle = providers.Singleton(Lifecycle)
    refusals = providers.Singleton(Problems)
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
        httpx=providers.Singleton(FirstSend, httpx_transport),
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
    guard_makers = providers.Callable(admission, callers=callers, limits=limits, upstreams=upstream_side)
    clients = providers.Singleton(ClientFinder, trusted=configuration.provided.trusted_proxies)

    configurator = providers.Singleton(
        Configurator, current=current, registry=registry, guard_makers=guard_makers, clock=clock
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
    sender = providers.Singleton(
        Sender,
        transports=transports,
        clock=clock,
        clients=clients,
        chance=random_numbers,
        mirrors=upstream_side.provided.mirrors,
        stale=upstream_side.provided.stale,
    )
    gateway = providers.Singleton(
        Forwarder,
        current=current,
        refusals=refusals,
        clock=clock,
        observers=operators.provided.observers,
        chance=random_numbers,
        clients=clients,
        sender=sender,
    )
    data_app = providers.Singleton(
        data_application,
        gateway,
        refusals,
        lifecycle,
        configuration.provided.expose,
        callers,
        clients,
        operators,
        upstream_side,
    )
    explainer = providers.Singleton(Explainer, forwarder=gateway, sender=sender)
    admin_app = providers.Singleton(admin_application, operators, explainer, upstream_side)
