"""The upstreams' side of one gateway process, put together: circuits, registry, probes, discovery, registration, events.

Part of the composition root, beside container.py. Building opens nothing; `running()` does, for as long as its block lasts.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from spork.adapters.dnspython.resolver import DnsResolver
from spork.adapters.files.drains import FileDrains
from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.adapters.memory.idempotency import MemoryIdempotency
from spork.adapters.memory.registrations import MemoryRegistrations
from spork.application.admin.upstream_views import UpstreamMoment
from spork.application.configuration.model import Configuration
from spork.application.exchange.exchange import Current
from spork.application.guards.idempotency import IdempotencyPolicy
from spork.application.guards.policy import Policy
from spork.application.guards.stale import StaleAnswers, StalePolicy
from spork.application.kernel.clock import Clock
from spork.application.pipeline.mirroring import Mirrors
from spork.application.telemetry.event_delivery import EventDelivery, EventLines, Hub
from spork.application.telemetry.event_log import EventLog
from spork.application.upstreams.discovery import Names, WatchedFile
from spork.application.upstreams.drains import DrainStore, FleetDrains
from spork.application.upstreams.probes import Probes
from spork.application.upstreams.registration import Registrations, RegistrationStore
from spork.application.upstreams.registry import UpstreamRegistry
from spork.composition.lazily import LazyProber

if TYPE_CHECKING:
    from spork.adapters.redis.fleet.circuit_breaker import RedisCircuitBreakers
    from spork.adapters.redis.store.connection import RedisConnection
    from spork.composition.admin import OperatorSide

#: What only background work asks of Redis may take this long, seconds.
BACKGROUND_SECONDS = 0.5


def hub_for(url: str) -> Hub | None:
    """The message hub behind a URL: a Redis stream (`?stream=NAME`), NATS (`?prefix=NAME`) or a webhook."""
    parts = urlsplit(url)
    options = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    bare = parts._replace(query="").geturl()
    if not url:
        return None
    if parts.scheme.startswith("redis"):
        from spork.adapters.redis.fleet.events import RedisHub
        from spork.adapters.redis.store.connection import connect

        return RedisHub(connect(bare, connections=1, operation=2.0).client, options.get("stream", "spork:events"))
    if parts.scheme in ("nats", "tls"):
        from spork.adapters.nats.events import NatsHub

        return NatsHub(bare, options.get("prefix", "spork.events"))
    from spork.adapters.httpx.webhook import WebhookHub

    return WebhookHub(url)


def _prober() -> Any:
    from spork.adapters.httpx.prober import HttpxProber

    return HttpxProber()


class UpstreamSide:
    """What lives between configurations on the way to targets. `registry` is what snapshots take upstreams from."""

    def __init__(
        self, configuration: Configuration, clock: Clock, events: EventLog, chance: random.Random, current: Current
    ) -> None:
        self._clock = clock
        self._redis: RedisConnection | None = None
        self._fleet: RedisCircuitBreakers | None = None
        self.breakers: MemoryCircuitBreakers | RedisCircuitBreakers
        board: DrainStore = FileDrains(configuration.state_dir)
        store: RegistrationStore
        if configuration.shared == "memory":
            self.breakers = MemoryCircuitBreakers(chance.random)
            self._idempotency = IdempotencyPolicy(MemoryIdempotency(clock.monotonic))
            store = MemoryRegistrations(clock.unix)
        else:
            from spork.adapters.redis.fleet.circuit_breaker import RedisCircuitBreakers
            from spork.adapters.redis.fleet.drains import RedisDrains
            from spork.adapters.redis.fleet.idempotency import RedisIdempotency
            from spork.adapters.redis.fleet.registrations import RedisRegistrations
            from spork.adapters.redis.store.connection import connect

            self._redis = connect(configuration.shared, operation=BACKGROUND_SECONDS)
            self.breakers = self._fleet = RedisCircuitBreakers(self._redis.client, chance.random, clock)
            self._idempotency = IdempotencyPolicy(RedisIdempotency(self._redis.client))
            store, board = RedisRegistrations(self._redis.client), RedisDrains(self._redis.client)
        self.registry = UpstreamRegistry(self.breakers, chance.random, events)
        self.stale = StaleAnswers()
        self.mirrors = Mirrors(clock, chance.random)
        self.probes = Probes(self.registry, LazyProber(_prober), clock, chance.random, events)
        resolver = DnsResolver(configuration.name_servers)
        self.names = Names(self.registry, resolver, clock, lambda: current.snapshot.configuration.upstreams)
        self.drains = FleetDrains(self.registry, board, clock)
        self.file: WatchedFile | None = None
        if configuration.discovery_file:
            self.file = WatchedFile(Path(configuration.discovery_file), self.registry, clock)
        self.registrations: Registrations | None = None
        self._registration = configuration.registration
        if configuration.registration != "off":
            self.registrations = Registrations(
                store,
                resolver,
                self.registry,
                clock,
                lambda: current.snapshot.configuration.registration_allow,
                events,
            )
        self.delivery: EventDelivery | None = None
        hub = hub_for(configuration.hub.url)
        if hub is not None:
            self.delivery = EventDelivery(hub, f"/spork/{events.node}", configuration.hub.kinds)
            events.listen(self.delivery.hear)
        events.listen(EventLines().hear)

    def policies(self) -> tuple[Policy, ...]:
        """The policies of routes that need something of upstreams."""
        return (self._idempotency, StalePolicy(self.stale))

    def join(self, operators: OperatorSide) -> None:
        """Let operators probe, and count what is counted here."""
        operators.upstreams.prober = self.probes
        self.probes.states = lambda: {view.name: view.state for view in operators.queries.overview().services()}
        operators.upstreams.drains = self.drains
        operators.operations.sync.append(self.drains.follow)
        operators.monitoring.add(self.mirrors)
        if self.delivery is not None:
            operators.monitoring.add(self.delivery)

    def routers(self, operators: OperatorSide) -> list[Any]:
        """Handlers for the admin listener. What only reads is open on a loopback listener, as monitoring is."""
        from spork.adapters.litestar.admin.access import Authenticated, role_guard
        from spork.adapters.litestar.discovery import DiscoveryQueries, discovery_router, registration_router

        token = [Authenticated(operators.operators, self._clock.unix, operators.record_security_event)]
        role = [role_guard(operators.record_security_event)]
        closed = not operators.open_to_readers
        sights = DiscoveryQueries(
            lambda: operators.queries.overview().services(),
            lambda: operators.queries.overview().targets(),
            lambda: operators.queries.overview().routes(),
            self._history,
        )
        routers = [discovery_router(self.registrations, sights, token if closed else (), role if closed else ())]
        if self.registrations is not None:
            closed = self._registration != "open"
            routers.append(registration_router(self.registrations, token if closed else (), role if closed else ()))
        return routers

    def _history(self, service: str) -> list[tuple[float, float, float]]:
        upstream, moment = self.registry.get(service), self._moment()
        if upstream is None:
            return []
        minutes = upstream.history.minutes(moment.monotonic)
        return [(moment.stamp(at) or 0.0, availability, seconds) for at, availability, seconds in minutes]

    def _moment(self) -> UpstreamMoment:
        return UpstreamMoment(self._clock.monotonic(), self._clock.unix())

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the fleet, probe, look names up and deliver events until the block ends."""
        async with contextlib.AsyncExitStack() as stack:
            if self._redis is not None:
                stack.push_async_callback(self._redis.close)
            parts: list[Any] = [self.delivery, self.registrations, self.names, self.file, self.drains, self.probes]
            parts.insert(1, self._fleet)
            for part in parts:
                if part is not None:
                    await part.open()
                    stack.push_async_callback(part.close)
            stack.push_async_callback(self.mirrors.close)
            yield
