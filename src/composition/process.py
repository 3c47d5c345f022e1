"""One gateway process from start to end: build the graph, put the configuration into force, serve, close everything.

Whatever has a lifecycle is opened here in one AsyncExitStack, in the order in which the graph needs it, and closed in
reverse whatever happened.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from spork.adapters.cryptography.certificates import names_of
from spork.adapters.edge.edge import Edge
from spork.adapters.edge.server import EdgeServer, Listener, run_until_done
from spork.application.configuration.checks.routes import EXPOSED, PROBED
from spork.application.configuration.live import LiveConfiguration, NotApplied
from spork.application.configuration.model import Configuration
from spork.application.configuration.reading import Reading, reading_of
from spork.application.fleet.lifecycle import Lifecycle
from spork.application.kernel.tasks import end
from spork.application.live.registry import LiveExchanges
from spork.composition.gateway import GatewayContainer, subscribe
from spork.composition.listeners import further_listeners, redirecting_edges, show_certificates
from spork.domain.decisions.fronts import DECIDE

log = logging.getLogger("spork")


#: Seconds between two beats of a worker's loop.
BEAT_EVERY = 0.5


@dataclass(slots=True)
class Sockets:
    """The listening sockets of one process; workers share them."""

    data: socket.socket
    admin: socket.socket | None
    decisions: socket.socket | None = None
    #: Of `listeners`, in their order.
    further: tuple[socket.socket, ...] = ()

    def named(self) -> dict[str, socket.socket]:
        """Those that there are, by what they are for."""
        found = {"data": self.data, "admin": self.admin, "decisions": self.decisions}
        found |= {f"listener-{index}": sock for index, sock in enumerate(self.further)}
        return {name: sock for name, sock in found.items() if sock is not None}

    def close(self) -> None:
        self.data.close()
        for sock in self.further:
            sock.close()
        if self.decisions is not None:
            self.decisions.close()
        if self.admin is not None:
            self.admin.close()


async def serve(
    configuration: Configuration,
    path: Path | None,
    sockets: Sockets,
    on_started: Callable[[], None] | None = None,
    beat: Callable[[], None] | None = None,
) -> None:
    """Serve `configuration` on `sockets` until a signal ends it. `beat` is called as long as the event loop turns."""
    beating = None if beat is None else asyncio.ensure_future(_beat_on(beat))
    container = GatewayContainer(configuration=configuration, config_path=path)
    lifecycle = container.lifecycle()
    async with running(container, configuration):
        server = _server(container, configuration, sockets)
        serving = asyncio.ensure_future(server.run())
        starting = asyncio.ensure_future(server.started())
        await asyncio.wait((serving, starting), return_when=asyncio.FIRST_COMPLETED)
        if not serving.done():
            _settle_memory()
            lifecycle.became_ready(container.clock().unix())
            if on_started is not None:
                on_started()
        starting.cancel()
        await serving
    if beating is not None:
        beating.cancel()
    log.info("ended")


@asynccontextmanager
async def running(container: GatewayContainer, configuration: Configuration) -> AsyncIterator[None]:
    """Everything of a gateway but its listeners: `configuration` in force and every part at work until the block ends."""
    lifecycle = container.lifecycle()
    subscribe(container)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(container.database().dispose)
        await stack.enter_async_context(container.limits.running())
        container.configurator().apply(configuration)
        await stack.enter_async_context(container.telemetry.running())
        await stack.enter_async_context(container.upstreams.running())
        await stack.enter_async_context(container.caching.running())
        await stack.enter_async_context(container.channels.running())
        await stack.enter_async_context(container.fleet_live.running())
        await stack.enter_async_context(container.catalog.running())
        await stack.enter_async_context(container.callers.running())
        await stack.enter_async_context(container.graphql.running())
        await stack.enter_async_context(container.admin.running())
        await stack.enter_async_context(watching(container.live(), lifecycle))
        yield


async def _beat_on(beat: Callable[[], None]) -> None:
    while True:
        beat()
        await asyncio.sleep(BEAT_EVERY)


def _server(container: GatewayContainer, configuration: Configuration, sockets: Sockets) -> EdgeServer:
    own = [path for name in configuration.exposed for path in EXPOSED.get(name, ())]
    edge = Edge(
        container.refusals(),
        gateway=container.data_gateway(),
        limits=configuration.edge,
        own_paths=own,
        any_host_paths=[path for name in configuration.expose if name in PROBED for path in EXPOSED[name]],
        hosts=configuration.hosts,
        on_refused=container.gateway().refused,
        reading=reading_of(configuration),
        exact_below=DECIDE if configuration.decisions is not None else b"",
        descriptors=container.descriptors(),
    )

    redirecting = redirecting_edges(configuration, container.refusals(), container.gateway())

    def follow(_before: object, after: object) -> None:
        changed = container.current().snapshot.configuration
        edge.reconfigure(changed.edge, changed.hosts, reading_of(changed))
        for each in redirecting:
            each.reconfigure(changed.edge, changed.hosts)

    swapped = container.signals().swapped
    swapped.subscribe(follow)
    app = container.data_app()
    listeners = [Listener("data", sockets.data, edge, app, configuration.tls, "off", configuration.proxy_protocol)]
    listeners += further_listeners(configuration.listeners, sockets.further, edge, redirecting, app)
    if sockets.admin is not None:
        admin_edge = Edge(container.refusals(), limits=configuration.edge, reading=Reading(slashes=True))
        listeners.append(Listener("admin", sockets.admin, admin_edge, container.admin_app(), None, "off"))
    if sockets.decisions is not None:
        decision_edge = container.deciding().edge(configuration)
        listeners.append(Listener("decisions", sockets.decisions, decision_edge, container.data_app(), None, "off"))
    server = EdgeServer(
        listeners,
        drain_delay=configuration.edge.drain_delay,
        grace=configuration.edge.grace,
        on_drain=container.lifecycle().drain,
        on_reload=lambda: reload(container.fleet.live()),
        on_reopen=container.telemetry.access_log().sink.reopen,
        names_of=names_of,
        supervised=bool(container.identity().worker),
        named=sockets.named(),
    )

    def certificates(_before: object, _after: object) -> None:
        show_certificates(container.current().snapshot.configuration, configuration, listeners)
        server.certificates_may_have_changed()

    swapped.subscribe(certificates)
    return server


async def reload(live: LiveConfiguration) -> None:
    """Read the configuration file again, as SIGHUP asks; with errors the configuration in force stays."""
    try:
        await live.reload("SIGHUP")
    except NotApplied as refused:
        for problem in refused.problems:
            log.log(logging.ERROR if problem.severity == "error" else logging.WARNING, "%s", problem)
        log.error("the configuration in force stays: %s", live.revision)


def _settle_memory() -> None:
    """Take everything that start-up made out of the garbage collector's sight, and let it look less often.

    Requests make next to no reference cycles; walking the whole object graph every 700 allocations finds nothing.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@asynccontextmanager
async def watching(live: LiveExchanges, lifecycle: Lifecycle) -> AsyncIterator[None]:
    """Live exchanges are looked at until the block ends, and event streams ended once shutdown has begun."""

    async def drain() -> None:
        await lifecycle.draining()
        live.drain()

    tasks = [asyncio.create_task(live.watch()), asyncio.create_task(drain())]
    try:
        yield
    finally:
        await end(tasks)


def run(
    configuration: Configuration,
    path: Path | None,
    sockets: Sockets,
    on_started: Callable[[], None] | None,
    beat: Callable[[], None] | None = None,
) -> None:
    """`serve` in an event loop of its own."""
    run_until_done(lambda: serve(configuration, path, sockets, on_started, beat))
