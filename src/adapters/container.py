"""The only composition root: which adapter stands behind which port. Synchronous providers only, built once.

Nothing here opens a socket or a file; what has a lifecycle is opened and closed by `adapters/main.py` in one
AsyncExitStack, in the order in which the graph needs it.
"""

from __future__ import annotations

import random
from typing import Any

from dependency_injector import containers, providers

from adapters.clock import SystemClock
from adapters.httptools.transport import HttptoolsTransport
from adapters.httpx.transport import HttpxTransport
from adapters.litestar.problems import Problems
from application.clients import ClientFinder
from application.configuration import Configuration
from application.configure import Configurator, Upstreams
from application.forward import Current, Forwarder
from application.lifecycle import Lifecycle
from application.plan import Snapshot
from domain.routing import RouteTable


def empty_snapshot() -> Snapshot:
    """What is in force before the first configuration: no routes at all."""
    return Snapshot("", Configuration(), RouteTable(()), {}, {})


class GatewayContainer(containers.DeclarativeContainer):
    """The object graph of one gateway process."""

    configuration: providers.Dependency[Configuration] = providers.Dependency(instance_of=Configuration)

    clock = providers.Singleton(SystemClock)
    chance = providers.Singleton(random.SystemRandom)
    lifecycle = providers.Singleton(Lifecycle)
    refusals = providers.Singleton(Problems)
    current = providers.Singleton(Current, snapshot=providers.Callable(empty_snapshot))
    upstreams = providers.Singleton(Upstreams)

    transports = providers.Dict(
        httptools=providers.Singleton(HttptoolsTransport),
        httpx=providers.Singleton(HttpxTransport),
    )
    observers: providers.List[Any] = providers.List()
    guard_makers: providers.List[Any] = providers.List()
    clients = providers.Singleton(ClientFinder, trusted=configuration.provided.trusted_proxies)

    gateway = providers.Singleton(
        Forwarder,
        current=current,
        transports=transports,
        refusals=refusals,
        clock=clock,
        observers=observers,
        chance=providers.Singleton(random.Random),
        client_of=clients,
    )
    configurator = providers.Singleton(Configurator, current=current, upstreams=upstreams, guard_makers=guard_makers)
