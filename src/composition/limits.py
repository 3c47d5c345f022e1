"""Limits of one gateway process: the limiter and its store, the policies of routes that count, and the upkeep."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from dependency_injector import containers, providers

from spork.adapters.files.raises import FileOverrides
from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.application.configuration.model import Configuration
from spork.application.fleet.nodes import NodeCount
from spork.application.guards.limits import EarlyLimits, LateLimits, LimitGuards
from spork.application.guards.policy import Policy
from spork.application.guards.shedding import SheddingPolicy
from spork.application.kernel.clock import Clock
from spork.application.limits.heavy_hitters import HeavyHitters
from spork.application.limits.overrides import LimitOverrides, OverrideStore
from spork.application.limits.reports import LimitReport, identity_of, limit_report
from spork.application.limits.upkeep import LimitStores, LimitUpkeep
from spork.composition.stores import redis_connection, store_kind
from spork.domain.limits.limit import RateLimiter
from spork.plugins.hosting import PluginHost

# A gateway that shares nothing does not import a Redis client.
if TYPE_CHECKING:
    from spork.adapters.redis.limits.leases import LeasingRateLimiter
    from spork.adapters.redis.limits.rate_limiter import RedisRateLimiter
    from spork.adapters.redis.store.connection import RedisConnection


def _fleet_limiter(connection: RedisConnection, own: MemoryRateLimiter, nodes: NodeCount) -> RedisRateLimiter:
    from spork.adapters.redis.limits.rate_limiter import RedisRateLimiter

    return RedisRateLimiter(connection, own, nodes=nodes.live, timeout=connection.operation)


def _limiter(built_in: RateLimiter, plugins: PluginHost | None) -> RateLimiter:
    """What limits are counted with: a plugin's, where one brings a limiter."""
    return built_in if plugins is None else plugins.limiter(built_in)


def _leases(shared: RedisRateLimiter) -> LeasingRateLimiter:
    from spork.adapters.redis.limits.leases import LeasingRateLimiter

    return LeasingRateLimiter(shared)


def _shared_overrides(connection: RedisConnection) -> OverrideStore:
    from spork.adapters.redis.limits.overrides import RedisOverrides

    return RedisOverrides(connection)


def _overrides(store: OverrideStore, insight: HeavyHitters) -> LimitOverrides:
    return LimitOverrides(store, lambda bucket, id: identity_of(insight, bucket, id))


def _report(insight: HeavyHitters, clock: Clock) -> Callable[[], LimitReport]:
    """What this process tells the others of its limits."""

    def report() -> LimitReport:
        insight.fold(clock.unix())
        return limit_report(insight)

    return report


def _policies(guards: LimitGuards, shedding: SheddingPolicy) -> tuple[Policy, ...]:
    return EarlyLimits(guards), LateLimits(guards), shedding


@contextlib.asynccontextmanager
async def _running(upkeep: LimitUpkeep, connection: RedisConnection | None) -> AsyncIterator[None]:
    try:
        async with upkeep.running():
            yield
    finally:
        if connection is not None:
            await connection.close()


class LimitsContainer(containers.DeclarativeContainer):
    """`limiter` is what everything counts with, `policies` what routes get of it; `running` holds the store open."""

    configuration: providers.Dependency[Configuration] = providers.Dependency()
    clock: providers.Dependency[Any] = providers.Dependency()
    chance: providers.Dependency[Any] = providers.Dependency()
    nodes: providers.Dependency[NodeCount] = providers.Dependency()
    plugins: providers.Dependency[PluginHost | None] = providers.Dependency(default=None)

    kind = providers.Callable(store_kind, configuration.provided.shared)
    nothing: providers.Object[None] = providers.Object(None)
    own = providers.Singleton(MemoryRateLimiter, clock=clock.provided.unix)
    connection = providers.Selector(
        kind, memory=nothing, redis=providers.Singleton(redis_connection, configuration.provided.shared)
    )
    shared = providers.Selector(kind, memory=nothing, redis=providers.Singleton(_fleet_limiter, connection, own, nodes))
    leases = providers.Selector(kind, memory=nothing, redis=providers.Singleton(_leases, shared))
    limiter = providers.Singleton(_limiter, providers.Selector(kind, memory=own, redis=leases), plugins)
    insight = providers.Singleton(HeavyHitters)
    override_store = providers.Selector(
        kind,
        memory=providers.Singleton(FileOverrides, configuration.provided.state_dir),
        redis=providers.Singleton(_shared_overrides, connection),
    )
    limit_overrides = providers.Singleton(_overrides, override_store, insight)
    report = providers.Singleton(_report, insight, clock)
    guards = providers.Singleton(LimitGuards, limiter, insight, limit_overrides)
    shedding = providers.Singleton(SheddingPolicy, clock.provided.monotonic, chance.provided.random)
    policies = providers.Callable(_policies, guards, shedding)
    stores = providers.Singleton(LimitStores, own, shared, leases)
    upkeep = providers.Singleton(
        LimitUpkeep, stores, insight, limit_overrides, shedding.provided.own_delay.watch, clock.provided.unix
    )
    running = providers.Callable(_running, upkeep, connection)
