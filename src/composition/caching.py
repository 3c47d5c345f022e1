"""The response cache of one gateway process, put together: its stores, the stop in the pipeline, and the upkeep.

Part of the composition root. Building opens nothing; `running()` does, while its block lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator

from spork.adapters.memory.cache_store import MemoryCacheStore
from spork.application.caching.ports import CacheStore
from spork.application.caching.response_cache import ResponseCache
from spork.application.configuration.model import Configuration
from spork.application.exchange.exchange import Snapshot
from spork.application.kernel.clock import Clock
from spork.application.pipeline.cached import CacheStop
from spork.application.pipeline.delivering import Delivery
from spork.application.pipeline.sender import Sender

log = logging.getLogger("spork.cache")

UPKEEP_EVERY = 0.5


class CacheSide:
    """Everything about stored answers in this process."""

    def __init__(self, configuration: Configuration, clock: Clock, chance: random.Random, sender: Sender) -> None:
        self.memory = MemoryCacheStore(configuration.cache.memory, clock.unix)
        self.store: CacheStore = self.memory
        self.cache = ResponseCache(self.store, clock.unix, chance.random)
        self.stop = CacheStop(self.cache, sender, clock, Delivery(clock))

    def configuration_swapped(self, before: Snapshot, after: Snapshot) -> None:
        """A new configuration is in force."""
        if after.configuration.cache.memory != self.memory.most:
            self.memory.resize(after.configuration.cache.memory)
        self.cache.counts.forget(frozenset(after.plans))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the stores in order until the block ends."""
        upkeep = asyncio.create_task(self._upkeep())
        try:
            yield
        finally:
            upkeep.cancel()
            await asyncio.gather(upkeep, return_exceptions=True)
            await self.stop.close()

    async def _upkeep(self) -> None:
        while True:
            await asyncio.sleep(UPKEEP_EVERY)
            try:
                self.memory.sweep()
            except Exception:
                log.exception("upkeep of the cache")
