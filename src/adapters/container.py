"""The only composition root: which adapter stands behind which port. Synchronous providers only, built once.

Nothing here opens a socket or a file; what has a lifecycle is opened and closed by `adapters/main.py` in one
AsyncExitStack, in the order in which the graph needs it.
"""

from __future__ import annotations

import random

from dependency_injector import containers, providers
from litestar import Litestar

from adapters.clock import SystemClock
from adapters.httptools.transport import HttptoolsTransport
from adapters.httpx.transport import HttpxTransport
from adapters.litestar.applications import application
from adapters.litestar.health import health_handlers
from adapters.litestar.problems import Problems
from adapters.litestar.proxy import proxy_mount
from adapters.memory.circuit_breaker import MemoryCircuitBreakers
from application.clients import ClientFinder
from application.configuration import Configuration
from application.configure import Configurator
from application.forward import Current, Forwarder
from application.lifecycle import Lifecycle
from application.plan import Snapshot
from application.ports import Gateway, Refusals
from application.registry import UpstreamRegistry
from application.sending import Sender
from domain.routing import RouteTable


def empty_snapshot() -> Snapshot:
    """What is in force before the first configuration: no routes at all."""
    return Snapshot("", Configuration(), RouteTable(()), {}, {})


def data_application(gateway: Gateway, refusals: Refusals, lifecycle: Lifecycle, expose: tuple[str, ...]) -> Litestar:
    """The data listener's application: the proxy and the endpoints it exposes."""
    return application([proxy_mount(gateway, refusals), *health_handlers(lifecycle, frozenset(expose))])


def admin_application(lifecycle: Lifecycle) -> Litestar:
    """The admin listener's application."""
    return application(health_handlers(lifecycle, frozenset({"health", "ready", "startup"})))


class GatewayContainer(containers.DeclarativeContainer):
    """The object graph of one gateway process."""

    configuration: providers.Dependency[Configuration] = providers.Dependency(instance_of=Configuration)

    clock = providers.Singleton(SystemClock)
    lifecycle = providers.Singleton(Lifecycle)
    refusals = providers.Singleton(Problems)
    current = providers.Singleton(Current, snapshot=providers.Callable(empty_snapshot))
    random_numbers = providers.Singleton(random.Random)
    breakers = providers.Singleton(MemoryCircuitBreakers, chance=random_numbers.provided.random)
    registry = providers.Singleton(UpstreamRegistry, breakers=breakers, chance=random_numbers.provided.random)

    transports = providers.Dict(
        httptools=providers.Singleton(HttptoolsTransport),
        httpx=providers.Singleton(HttpxTransport),
    )
    observers: providers.List = providers.List()
    guard_makers: providers.List = providers.List()
    clients = providers.Singleton(ClientFinder, trusted=configuration.provided.trusted_proxies)

    sender = providers.Singleton(Sender, transports=transports, clock=clock, clients=clients, chance=random_numbers)
    gateway = providers.Singleton(
        Forwarder,
        current=current,
        refusals=refusals,
        clock=clock,
        observers=observers,
        chance=random_numbers,
        clients=clients,
        sender=sender,
    )
    configurator = providers.Singleton(
        Configurator, current=current, registry=registry, guard_makers=guard_makers, clock=clock
    )

    data_app = providers.Singleton(data_application, gateway, refusals, lifecycle, configuration.provided.expose)
    admin_app = providers.Singleton(admin_application, lifecycle)
