"""One gateway process from start to end: build the graph, put the configuration into force, serve, close everything.

Whatever has a lifecycle is opened here in one AsyncExitStack, in the order in which the graph needs it, and closed in
reverse whatever happened.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from adapters.container import GatewayContainer
from adapters.uvicorn.edge import Edge
from adapters.uvicorn.server import EdgeServer, Listener, run_until_done
from adapters.yaml.load import Loaded, load
from application.configuration import Configuration

log = logging.getLogger("spork")

#: Endpoints of the gateway's own on the data listener, by the name `expose:` uses.
EXPOSABLE = {"health": "/health", "ready": "/ready", "startup": "/health/startup"}


@dataclass(slots=True)
class Sockets:
    """The listening sockets of one process; workers share them."""

    data: socket.socket
    admin: socket.socket | None


class Reloader:
    """Reads the configuration file again and puts it into force if nothing is wrong with it."""

    def __init__(self, container: GatewayContainer, path: Path | None) -> None:
        self._container = container
        self._path = path

    def __call__(self) -> Loaded:
        loaded = load(self._path, os.environ)
        for problem in loaded.problems:
            log.log(logging.ERROR if problem.severity == "error" else logging.WARNING, "%s", problem)
        if loaded.configuration is None:
            log.error("the configuration in force stays: %s", self._container.current().snapshot.revision)
        else:
            self._container.configurator().apply(loaded.configuration)
        return loaded


async def serve(
    configuration: Configuration, path: Path | None, sockets: Sockets, on_started: Callable[[], None] | None = None
) -> None:
    """Serve `configuration` on `sockets` until a signal ends it."""
    container = GatewayContainer(configuration=configuration)
    lifecycle = container.lifecycle()
    async with AsyncExitStack() as stack:
        for transport in container.transports().values():
            stack.push_async_callback(transport.close)
        container.breakers().on_transition = container.registry().circuit_moved
        container.configurator().apply(configuration)
        reload = Reloader(container, path)
        server = _server(container, configuration, sockets, reload)
        serving = asyncio.ensure_future(server.run())
        starting = asyncio.ensure_future(server.started())
        await asyncio.wait((serving, starting), return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            lifecycle.became_ready(container.clock().unix())
            if on_started is not None:
                on_started()
        starting.cancel()
        await serving


def _server(
    container: GatewayContainer, configuration: Configuration, sockets: Sockets, reload: Callable[[], object]
) -> EdgeServer:
    own = [path for name, path in EXPOSABLE.items() if name in configuration.expose]
    edge = Edge(
        container.refusals(),
        gateway=container.gateway(),
        limits=configuration.edge,
        own_paths=own,
        hosts=configuration.hosts,
    )

    def follow(_before: object, after: object) -> None:
        changed = container.current().snapshot.configuration
        edge.reconfigure(changed.edge, changed.hosts)

    container.configurator().on_swap.append(follow)
    listeners = [Listener("data", sockets.data, edge, container.data_app(), configuration.tls, "off")]
    if sockets.admin is not None:
        admin_edge = Edge(container.refusals(), limits=configuration.edge)
        listeners.append(Listener("admin", sockets.admin, admin_edge, container.admin_app(), None, "off"))
    return EdgeServer(
        listeners,
        drain_delay=configuration.edge.drain_delay,
        grace=configuration.edge.grace,
        on_drain=container.lifecycle().drain,
        on_reload=lambda: _discard(reload()),
    )


def _discard(_: object) -> None:
    """What a signal asked for has no reader."""


def run(
    configuration: Configuration, path: Path | None, sockets: Sockets, on_started: Callable[[], None] | None
) -> None:
    """`serve` in an event loop of its own."""
    run_until_done(lambda: serve(configuration, path, sockets, on_started))
