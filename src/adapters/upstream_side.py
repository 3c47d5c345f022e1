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

from adapters.dnspython.resolver import DnsResolver
from adapters.first_use import FirstProbe
from adapters.memory.circuit_breaker import MemoryCircuitBreakers
from adapters.memory.idempotency import MemoryIdempotency
from adapters.memory.registrations import MemoryRegistrations
from application import upstream_views
from application.configuration import Configuration, RouteConfig
from application.discovery import Names, WatchedFile
from application.drains import FleetDrains
from application.event_delivery import EventDelivery, EventLines, Hub
from application.events import EventLog
from application.forward import Current
from application.guards.idempotency import IdempotencyGuard
from application.mirroring import Mirrors
from application.ports import Clock, Guard
from application.probe import Probes
from application.registration import Registrations, RegistrationStore
from application.registry import UpstreamRegistry
from application.stale_answers import StaleAnswers
from application.upstream_views import Moment

if TYPE_CHECKING:
    from adapters.operator_side import OperatorSide
    from adapters.redis.circuit_breaker import RedisCircuitBreakers
    from adapters.redis.connection import RedisConnection
    from adapters.redis.drains import RedisDrains

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
        from adapters.redis.connection import connect
        from adapters.redis.events import RedisHub

        return RedisHub(connect(bare, connections=1, operation=2.0).client, options.get("stream", "spork:events"))
    if parts.scheme in ("nats", "tls"):
        from adapters.nats.events import NatsHub

        return NatsHub(bare, options.get("prefix", "spork.events"))
    from adapters.httpx.webhook import WebhookHub

    return WebhookHub(url)


def _prober() -> Any:
    from adapters.httpx.prober import HttpxProber

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
        board: RedisDrains | None = None
        store: RegistrationStore
        if configuration.shared == "memory":
            self.breakers = MemoryCircuitBreakers(chance.random)
            self._idempotency = IdempotencyGuard(MemoryIdempotency(clock.monotonic))
            store = MemoryRegistrations(clock.unix)
        else:
            from adapters.redis.circuit_breaker import RedisCircuitBreakers
            from adapters.redis.connection import connect
            from adapters.redis.drains import RedisDrains
            from adapters.redis.idempotency import RedisIdempotency
            from adapters.redis.registrations import RedisRegistrations

            self._redis = connect(configuration.shared, operation=BACKGROUND_SECONDS)
            self.breakers = self._fleet = RedisCircuitBreakers(self._redis.client, chance.random, clock)
            self._idempotency = IdempotencyGuard(RedisIdempotency(self._redis.client))
            store, board = RedisRegistrations(self._redis.client), RedisDrains(self._redis.client)
        self.registry = UpstreamRegistry(self.breakers, chance.random, events)
        self.stale = StaleAnswers()
        self.mirrors = Mirrors(clock, chance.random)
        self.probes = Probes(self.registry, FirstProbe(_prober), clock, chance.random, events)
        resolver = DnsResolver(configuration.name_servers)
        self.names = Names(self.registry, resolver, clock, lambda: current.snapshot.configuration.upstreams)
        self.drains = FleetDrains(self.registry, board, clock) if board is not None else None
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

    def idempotency_guard(self, route: RouteConfig, configuration: Configuration) -> Guard | None:
        """A guard maker: for routes whose upstream takes Idempotency-Keys (`retries: {idempotency_key: true}`)."""
        upstream = next((u for u in configuration.upstreams if u.name == route.upstream), None)
        wanted = upstream is not None and upstream.retries is not None and upstream.retries.idempotency_key
        return self._idempotency if wanted else None

    def stale_guard(self, route: RouteConfig, configuration: Configuration) -> Guard | None:
        """A guard maker: for routes whose upstream falls back to its last good answers."""
        return self.stale.guard(route, configuration)

    def join(self, operators: OperatorSide) -> None:
        """Let operators probe, and count what is counted here."""
        operators.upstreams.prober = self.probes
        operators.monitoring.add(self.mirrors)
        if self.delivery is not None:
            operators.monitoring.add(self.delivery)

    def routers(self, operators: OperatorSide) -> list[Any]:
        """Handlers for the admin listener. What only reads is open on a loopback listener, as monitoring is."""
        from adapters.litestar.admin.access import Authenticated, role_guard
        from adapters.litestar.discovery import Sights, discovery_router, registration_router

        token = [Authenticated(operators.operators, self._clock.unix, operators.witness)]
        role = [role_guard(operators.witness)]
        closed = not operators.open_to_readers
        sights = Sights(
            lambda: upstream_views.services(self.registry, self._moment()),
            lambda: upstream_views.targets(self.registry, self._moment()),
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

    def _moment(self) -> Moment:
        return Moment(self._clock.monotonic(), self._clock.unix())

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
