"""What keeps limits in order beside the requests: folding counts, raised limits, forgetting, and their health."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from typing import Any, Protocol

from spork.application.kernel.tasks import end
from spork.application.limits.heavy_hitters import HeavyHitters
from spork.application.limits.overrides import LimitOverrides
from spork.application.views import ComponentHealth

log = logging.getLogger("spork.limits")

#: Seconds between two rounds.
EVERY = 1.0
#: Windows of this process that one round looks at.
AT_ONCE = 5000


class OwnCounts(Protocol):
    """Counts in this process (`spork.adapters.memory.rate_limiter`)."""

    def stats(self) -> Mapping[str, object]: ...

    def sweep(self, now: float, most: int) -> object: ...


class SharedCounts(Protocol):
    """Counts in the fleet's store (`spork.adapters.redis.limits.rate_limiter`)."""

    @property
    def down(self) -> bool:
        """Whether the store is not answering, so that this process counts by itself."""

    @property
    def trouble(self) -> str:
        """What is wrong, as a sentence; empty when nothing is."""

    def stats(self) -> Mapping[str, Any]: ...

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class Leases(Protocol):
    """Shares of limits taken in advance (`spork.adapters.redis.limits.leases`)."""

    def stats(self) -> Mapping[str, object]: ...

    def sweep(self) -> object: ...


class LimitStores:
    """Where limits are counted: this process, or the fleet's store with leases before it."""

    def __init__(self, own: OwnCounts, shared: SharedCounts | None = None, leases: Leases | None = None) -> None:
        self.own = own
        self.shared = shared
        self.leases = leases

    def state(self) -> str:
        """memory, redis, or degraded while the fleet's store does not answer."""
        if self.shared is None:
            return "memory"
        return "degraded" if self.shared.down else "redis"

    def health(self) -> ComponentHealth:
        """For detailed health: losing the store degrades limits, never the gateway."""
        if self.shared is None:
            return ComponentHealth("limits", "ok", "counted in this process", facts=dict(self.own.stats()))
        facts: dict[str, object] = {**self.shared.stats(), **(self.leases.stats() if self.leases is not None else {})}
        if trouble := self.shared.trouble:
            return ComponentHealth("limits", "degraded", trouble, facts=facts)
        return ComponentHealth("limits", "ok", "counted in the shared store", facts=facts)

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        if self.shared is not None:
            stats = self.shared.stats()
            yield "gateway_store_failures_total", ("limits",), float(stats["errors"] + stats["timeouts"])


class LimitUpkeep:
    """Each second: fold the counts, hear of raised limits, forget what means nothing any more."""

    def __init__(
        self,
        stores: LimitStores,
        insight: HeavyHitters,
        overrides: LimitOverrides,
        watch_delay: Callable[[], Coroutine[Any, Any, None]],
        unix: Callable[[], float],
    ) -> None:
        """`watch_delay` measures this process's own delay, for shedding, until it is cancelled."""
        self._stores = stores
        self._insight = insight
        self._overrides = overrides
        self._watch_delay = watch_delay
        self._unix = unix

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """The store open, and rounds made, until the block ends."""
        shared = self._stores.shared
        if shared is not None:
            await shared.open()
        await self._overrides.refresh(self._unix())
        tasks = [asyncio.create_task(self._rounds()), asyncio.create_task(self._watch_delay())]
        try:
            yield
        finally:
            await end(tasks)
            if shared is not None:
                await shared.close()

    async def _rounds(self) -> None:
        while True:
            await asyncio.sleep(EVERY)
            try:
                now = self._unix()
                self._insight.fold(now)
                await self._overrides.refresh(now)
                self._stores.own.sweep(now, AT_ONCE)
                if self._stores.leases is not None:
                    self._stores.leases.sweep()
            except Exception:
                log.exception("upkeep of limits")
