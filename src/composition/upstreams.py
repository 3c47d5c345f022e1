"""Upstreams of one gateway process: circuits, the registry, probes, discovery, registration, drains."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dependency_injector import containers, providers

from spork.adapters.asgi.transport import AsgiTransport
from spork.adapters.dnspython.resolver import DnsResolver
from spork.adapters.files.drains import FileDrains
from spork.adapters.http1.transport import HttptoolsTransport
from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.adapters.memory.idempotency import MemoryIdempotency
from spork.adapters.memory.registrations import MemoryRegistrations
from spork.application.admin.upstreams import RegistryControl
from spork.application.configuration.model import Configuration
from spork.application.exchange.exchange import Current
from spork.application.guards.idempotency import IdempotencyPolicy
from spork.application.guards.policy import Policy
from spork.application.guards.stale import StaleAnswers, StalePolicy
from spork.application.kernel.clock import Clock
from spork.application.kernel.descriptors import Descriptors
from spork.application.pipeline.mirroring import Mirrors
from spork.application.telemetry.event_log import EventLog
from spork.application.upstreams.credentials import CredentialStore, TokenEndpoint
from spork.application.upstreams.discovery import Names, WatchedFile
from spork.application.upstreams.drains import FleetDrains
from spork.application.upstreams.probes import Probes
from spork.application.upstreams.registration import Registrations, RegistrationStore
from spork.application.upstreams.registry import UpstreamRegistry
from spork.application.upstreams.transport import UpstreamTransport
from spork.composition.lazily import LazyProber, LazyTokenEndpoint, LazyTransport
from spork.composition.signals import Signals
from spork.composition.stores import background_connection, store_kind
from spork.domain.upstreams.model import Target
from spork.plugins.hosting import PluginHost

# A gateway that shares nothing does not import a Redis client.
if TYPE_CHECKING:
    from spork.adapters.redis.fleet.circuit_breaker import RedisCircuitBreakers
    from spork.adapters.redis.fleet.drains import RedisDrains
    from spork.adapters.redis.fleet.idempotency import RedisIdempotency
    from spork.adapters.redis.fleet.registrations import RedisRegistrations
    from spork.adapters.redis.store.connection import RedisConnection


def _httpx_transport() -> UpstreamTransport:
    from spork.adapters.httpx.transport import HttpxTransport

    return HttpxTransport()


def _prober() -> Any:
    from spork.adapters.httpx.prober import HttpxProber

    return HttpxProber()


def _token_endpoint() -> TokenEndpoint:
    return LazyTokenEndpoint()


def _fleet_breakers(
    connection: RedisConnection, chance: random.Random, clock: Clock, signals: Signals
) -> RedisCircuitBreakers:
    from spork.adapters.redis.fleet.circuit_breaker import RedisCircuitBreakers

    return RedisCircuitBreakers(connection.client, chance.random, clock, on_transition=signals.circuit_moved)


def _fleet_idempotency(connection: RedisConnection) -> RedisIdempotency:
    from spork.adapters.redis.fleet.idempotency import RedisIdempotency

    return RedisIdempotency(connection.client)


def _fleet_registrations(connection: RedisConnection) -> RedisRegistrations:
    from spork.adapters.redis.fleet.registrations import RedisRegistrations

    return RedisRegistrations(connection.client)


def _fleet_drains(connection: RedisConnection) -> RedisDrains:
    from spork.adapters.redis.fleet.drains import RedisDrains

    return RedisDrains(connection.client)


def _names(registry: UpstreamRegistry, resolver: DnsResolver, clock: Clock, current: Current) -> Names:
    return Names(registry, resolver, clock, lambda: current.snapshot.configuration.upstreams)


def _watched_file(path: str, registry: UpstreamRegistry, clock: Clock) -> WatchedFile | None:
    return WatchedFile(Path(path), registry, clock) if path else None


def _registrations(
    mode: str,
    store: RegistrationStore,
    resolver: DnsResolver,
    registry: UpstreamRegistry,
    clock: Clock,
    current: Current,
    events: EventLog,
) -> Registrations | None:
    if mode == "off":
        return None
    allowed = lambda: current.snapshot.configuration.registration_allow  # noqa: E731
    return Registrations(store, resolver, registry, clock, allowed, events)


def _control(
    registry: UpstreamRegistry, clock: Clock, prober: Probes, connections: Callable[[Target], int], drains: FleetDrains
) -> RegistryControl:
    return RegistryControl(
        registry, clock.monotonic, prober, connections=lambda live: connections(live.declared), drains=drains
    )


def _policies(idempotency: IdempotencyPolicy, stale: StaleAnswers) -> tuple[Policy, ...]:
    return idempotency, StalePolicy(stale)


def _transports(
    pooled: UpstreamTransport, httpx: UpstreamTransport, plugins: PluginHost | None
) -> dict[str, UpstreamTransport]:
    """Every transport, by what upstreams call it."""
    plugged = {} if plugins is None else plugins.transports()
    return {"httptools": pooled, "httpx": httpx, "asgi": AsgiTransport(), **plugged}


@contextlib.asynccontextmanager
async def _running(
    connection: RedisConnection | None, parts: Sequence[Any], mirrors: Mirrors, transports: dict[str, Any]
) -> AsyncIterator[None]:
    async with contextlib.AsyncExitStack() as stack:
        for transport in transports.values():
            stack.push_async_callback(transport.close)
        if connection is not None:
            stack.push_async_callback(connection.close)
        for part in parts:
            if part is not None:
                await part.open()
                stack.push_async_callback(part.close)
        stack.push_async_callback(mirrors.close)
        yield


class UpstreamsContainer(containers.DeclarativeContainer):
    """What lives between configurations on the way to targets. `registry` is what snapshots take upstreams from."""

    configuration: providers.Dependency[Configuration] = providers.Dependency()
    clock: providers.Dependency[Any] = providers.Dependency()
    chance: providers.Dependency[Any] = providers.Dependency()
    current: providers.Dependency[Current] = providers.Dependency()
    events: providers.Dependency[EventLog] = providers.Dependency()
    signals: providers.Dependency[Signals] = providers.Dependency()
    plugins: providers.Dependency[PluginHost | None] = providers.Dependency(default=None)
    descriptors: providers.Dependency[Descriptors] = providers.Dependency()

    kind = providers.Callable(store_kind, configuration.provided.shared)
    nothing: providers.Object[None] = providers.Object(None)
    connection = providers.Selector(
        kind, memory=nothing, redis=providers.Singleton(background_connection, configuration.provided.shared, 16)
    )
    fleet_breakers = providers.Selector(
        kind, memory=nothing, redis=providers.Singleton(_fleet_breakers, connection, chance, clock, signals)
    )
    breakers = providers.Selector(
        kind,
        memory=providers.Singleton(MemoryCircuitBreakers, chance.provided.random, signals.provided.circuit_moved),
        redis=fleet_breakers,
    )
    idempotency_store = providers.Selector(
        kind,
        memory=providers.Singleton(MemoryIdempotency, clock.provided.monotonic),
        redis=providers.Singleton(_fleet_idempotency, connection),
    )
    registration_store = providers.Selector(
        kind,
        memory=providers.Singleton(MemoryRegistrations, clock.provided.unix),
        redis=providers.Singleton(_fleet_registrations, connection),
    )
    drain_store = providers.Selector(
        kind,
        memory=providers.Singleton(FileDrains, configuration.provided.state_dir),
        redis=providers.Singleton(_fleet_drains, connection),
    )
    registry = providers.Singleton(UpstreamRegistry, breakers, chance.provided.random, events)
    pooled = providers.Singleton(HttptoolsTransport, descriptors=descriptors)
    transports = providers.Singleton(_transports, pooled, providers.Singleton(LazyTransport, _httpx_transport), plugins)
    credentials = providers.Singleton(
        CredentialStore,
        endpoint=providers.Singleton(_token_endpoint),
        monotonic=clock.provided.monotonic,
        unix=clock.provided.unix,
    )
    stale = providers.Singleton(StaleAnswers)
    mirrors = providers.Singleton(Mirrors, clock, chance.provided.random)
    probes = providers.Singleton(
        Probes, registry, providers.Singleton(LazyProber, _prober), clock, chance.provided.random, events
    )
    resolver = providers.Singleton(DnsResolver, configuration.provided.name_servers)
    names = providers.Singleton(_names, registry, resolver, clock, current)
    drains = providers.Singleton(FleetDrains, registry, drain_store, clock)
    file = providers.Singleton(_watched_file, configuration.provided.discovery_file, registry, clock)
    registrations = providers.Singleton(
        _registrations,
        configuration.provided.registration,
        registration_store,
        resolver,
        registry,
        clock,
        current,
        events,
    )
    control = providers.Singleton(_control, registry, clock, probes, pooled.provided.connections, drains)
    policies = providers.Callable(_policies, providers.Singleton(IdempotencyPolicy, idempotency_store), stale)
    running = providers.Callable(
        _running,
        connection,
        providers.List(fleet_breakers, registrations, names, file, drains, probes),
        mirrors,
        transports,
    )
