"""The response cache of one gateway process, put together: its stores, the stop in the pipeline, and the upkeep.

Part of the composition root. Building opens nothing; `running()` does, while its block lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

from spork.adapters.memory.cache_store import MemoryCacheStore
from spork.application.admin.caching import CacheOperations
from spork.application.caching.ports import CacheStore
from spork.application.caching.response_cache import ResponseCache
from spork.application.configuration.model import Configuration
from spork.application.exchange.exchange import Snapshot
from spork.application.kernel.clock import Clock
from spork.application.pipeline.cached import CacheStop
from spork.application.pipeline.delivering import Delivery
from spork.application.pipeline.sender import Sender

if TYPE_CHECKING:
    from spork.adapters.redis.caching.cache_store import RedisCacheStore
    from spork.adapters.redis.store.connection import RedisConnection

log = logging.getLogger("spork.cache")

UPKEEP_EVERY = 0.5


class CacheSide:
    """Everything about stored answers in this process."""

    def __init__(
        self, configuration: Configuration, clock: Clock, chance: random.Random, sender: Sender, node: str = ""
    ) -> None:
        self.memory = MemoryCacheStore(configuration.cache.memory, clock.unix)
        self.store: CacheStore = self.memory
        self._redis: tuple[RedisConnection, ...] = ()
        self._second: RedisCacheStore | None = None
        if configuration.shared != "memory" and configuration.cache.shared:
            from spork.adapters.redis.caching.cache_store import PATIENCE, RedisCacheStore
            from spork.adapters.redis.store.connection import connect

            quick = connect(configuration.shared)
            patient = connect(configuration.shared, operation=max(PATIENCE, quick.operation))
            self._redis = (quick, patient)
            self.store = self._second = RedisCacheStore(
                quick.client, self.memory, node, clock.unix, clock.monotonic, patient=patient.client
            )
        self.cache = ResponseCache(self.store, clock.unix, chance.random)
        self.stop = CacheStop(self.cache, sender, clock, Delivery(clock))

    def operations(self, snapshot: Callable[[], Snapshot], node: str) -> CacheOperations:
        """What operators see and do."""
        second = self._second
        state = (lambda: "none") if second is None else (lambda: second.state)
        return CacheOperations(self.cache, self.memory, snapshot, node, state)

    def configuration_swapped(self, before: Snapshot, after: Snapshot) -> None:
        """A new configuration is in force."""
        if after.configuration.cache.memory != self.memory.most:
            self.memory.resize(after.configuration.cache.memory)
        self.cache.counts.forget(frozenset(after.plans))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the stores in order until the block ends."""
        if self._second is not None:
            await self._second.open()
        upkeep = asyncio.create_task(self._upkeep())
        try:
            yield
        finally:
            upkeep.cancel()
            await asyncio.gather(upkeep, return_exceptions=True)
            await self.stop.close()
            if self._second is not None:
                await self._second.close()
            for connection in self._redis:
                await connection.close()

    async def _upkeep(self) -> None:
        while True:
            await asyncio.sleep(UPKEEP_EVERY)
            try:
                self.memory.sweep()
            except Exception:
                log.exception("upkeep of the cache")
