"""The response cache of one gateway process: its stores, the stop in the pipeline, what operators do, and the upkeep."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from dependency_injector import containers, providers

from spork.adapters.memory.cache_store import MemoryCacheStore
from spork.application.admin.caching import CacheOperations
from spork.application.caching.ports import CacheStore
from spork.application.caching.response_cache import ResponseCache
from spork.application.configuration.model import Configuration
from spork.application.exchange.exchange import Current, Snapshot
from spork.application.kernel.clock import Clock
from spork.application.kernel.tasks import end
from spork.application.pipeline.cached import CacheStop
from spork.application.pipeline.delivering import Delivery
from spork.application.pipeline.sender import Sender
from spork.composition.stores import redis_connection

# A gateway that shares nothing does not import a Redis client.
if TYPE_CHECKING:
    from spork.adapters.redis.caching.cache_store import RedisCacheStore
    from spork.adapters.redis.store.connection import RedisConnection

log = logging.getLogger("spork.cache")

#: Seconds between two sweeps of the memory level.
UPKEEP_EVERY = 0.5


def _levels(configuration: Configuration) -> str:
    """`two` where answers are shared with the fleet, else `one`."""
    return "two" if configuration.shared != "memory" and configuration.cache.shared else "one"


def _patient_connection(url: str, quick: RedisConnection) -> RedisConnection:
    from spork.adapters.redis.caching.cache_store import PATIENCE
    from spork.adapters.redis.store.connection import connect

    return connect(url, operation=max(PATIENCE, quick.operation))


def _second_level(
    connection: RedisConnection, patient: RedisConnection, first: MemoryCacheStore, node: str, clock: Clock
) -> RedisCacheStore:
    from spork.adapters.redis.caching.cache_store import RedisCacheStore

    return RedisCacheStore(connection.client, first, node, clock.unix, clock.monotonic, patient=patient.client)


def _cache(store: CacheStore, clock: Clock, chance: Callable[[], float]) -> ResponseCache:
    return ResponseCache(store, clock.unix, chance)


def _stop(cache: ResponseCache, sender: Sender, clock: Clock) -> CacheStop:
    return CacheStop(cache, sender, clock, Delivery(clock))


def _operations(
    cache: ResponseCache, memory: MemoryCacheStore, second: RedisCacheStore | None, current: Current, node: str
) -> CacheOperations:
    state = (lambda: "none") if second is None else (lambda: second.state)
    return CacheOperations(cache, memory, lambda: current.snapshot, node, state)


class CacheInForce:
    """Follows the configuration in force: the memory's size, and the routes that are counted."""

    def __init__(self, memory: MemoryCacheStore, cache: ResponseCache) -> None:
        self._memory = memory
        self._cache = cache

    def swapped(self, before: Snapshot, after: Snapshot) -> None:
        """Another configuration is in force."""
        if after.configuration.cache.memory != self._memory.most:
            self._memory.resize(after.configuration.cache.memory)
        self._cache.counts.forget(frozenset(after.plans))


@contextlib.asynccontextmanager
async def _running(
    memory: MemoryCacheStore, second: RedisCacheStore | None, connections: list[RedisConnection | None], stop: CacheStop
) -> AsyncIterator[None]:
    """Keep the stores in order until the block ends."""
    if second is not None:
        await second.open()
    upkeep = asyncio.create_task(_sweep(memory))
    try:
        yield
    finally:
        await end([upkeep])
        await stop.close()
        if second is not None:
            await second.close()
        for connection in connections:
            if connection is not None:
                await connection.close()


async def _sweep(memory: MemoryCacheStore) -> None:
    while True:
        await asyncio.sleep(UPKEEP_EVERY)
        try:
            memory.sweep()
        except Exception:
            log.exception("upkeep of the cache")


class CachingContainer(containers.DeclarativeContainer):
    """`stop` is what the pipeline asks first; `operations` what operators see and purge."""

    configuration: providers.Dependency[Configuration] = providers.Dependency()
    clock: providers.Dependency[Any] = providers.Dependency()
    chance: providers.Dependency[Any] = providers.Dependency()
    current: providers.Dependency[Current] = providers.Dependency()
    sender: providers.Dependency[Sender] = providers.Dependency()
    node: providers.Dependency[str] = providers.Dependency()

    levels = providers.Callable(_levels, configuration)
    nothing: providers.Object[None] = providers.Object(None)
    memory = providers.Singleton(MemoryCacheStore, configuration.provided.cache.memory, clock.provided.unix)
    connection = providers.Selector(
        levels, one=nothing, two=providers.Singleton(redis_connection, configuration.provided.shared)
    )
    patient = providers.Selector(
        levels,
        one=nothing,
        two=providers.Singleton(_patient_connection, configuration.provided.shared, connection),
    )
    second = providers.Selector(
        levels, one=nothing, two=providers.Singleton(_second_level, connection, patient, memory, node, clock)
    )
    store = providers.Selector(levels, one=memory, two=second)
    cache = providers.Singleton(_cache, store, clock, chance.provided.random)
    stop = providers.Singleton(_stop, cache, sender, clock)
    operations = providers.Singleton(_operations, cache, memory, second, current, node)
    in_force = providers.Singleton(CacheInForce, memory, cache)
    running = providers.Callable(_running, memory, second, providers.List(connection, patient), stop)
