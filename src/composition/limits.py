"""Limits of one gateway process, put together: the limiter, its guards, what operators see, and the upkeep.

Part of the composition root, beside container.py. Building opens nothing; `running()` does, for as long as its block
lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections.abc import AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

from spork.adapters.files.raises import FileOverrides
from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.application.admin.quotas import QuotaControl
from spork.application.configuration.model import Configuration
from spork.application.exchange.exchange import Current
from spork.application.guards.limits import EarlyLimits, LateLimits, LimitGuards, PlanOf
from spork.application.guards.policy import Policy
from spork.application.guards.shedding import SheddingPolicy
from spork.application.kernel.clock import Clock
from spork.application.limits.heavy_hitters import HeavyHitters
from spork.application.limits.overrides import LimitOverrides, OverrideStore
from spork.application.limits.reports import LimitReport, limit_report
from spork.application.views import ComponentHealth
from spork.domain.limits.limit import RateLimiter

if TYPE_CHECKING:
    from spork.adapters.redis.limits.leases import LeasingRateLimiter
    from spork.adapters.redis.limits.rate_limiter import RedisRateLimiter
    from spork.adapters.redis.store.connection import RedisConnection

log = logging.getLogger("spork.limits")

UPKEEP_EVERY = 1.0
#: Every how many rounds of upkeep the busiest windows are measured.
MEASURE_EVERY = 5


class LimitSide:
    """`policies()` are what it compiles for routes; `control` is what operators use. `nodes` counts live ones
    and may be set later; `plan_of` says which plan a principal is on, None for what its credential says."""

    def __init__(
        self,
        configuration: Configuration,
        clock: Clock,
        current: Current,
        chance: Callable[[], float] = random.random,
        plan_of: PlanOf | None = None,
        nodes: Callable[[], int] = lambda: 1,
    ) -> None:
        self._clock = clock
        self.nodes = nodes
        self.memory = MemoryRateLimiter(clock=clock.unix)
        self.redis: RedisRateLimiter | None = None
        self.leases: LeasingRateLimiter | None = None
        self._connection: RedisConnection | None = None
        self.limiter: RateLimiter = self.memory
        kept: OverrideStore = FileOverrides(configuration.state_dir)
        if configuration.shared != "memory":
            kept = self._share(configuration.shared)
        self.overrides = LimitOverrides(kept, lambda bucket, id: self.control.identity_of(bucket, id))
        self.insight = HeavyHitters()
        self.guards = LimitGuards(self.limiter, self.insight, self.overrides, plan_of)
        self.shedding = SheddingPolicy(clock.monotonic, chance)
        self.control = QuotaControl(
            self.limiter,
            self.insight,
            self.overrides,
            lambda: current.snapshot.configuration,
            self.store,
            clock.unix,
        )

    def _share(self, url: str) -> OverrideStore:
        """Count in Redis. Answers the overrides that all who count there have in common."""
        from spork.adapters.redis.limits.leases import LeasingRateLimiter
        from spork.adapters.redis.limits.overrides import RedisOverrides
        from spork.adapters.redis.limits.rate_limiter import RedisRateLimiter
        from spork.adapters.redis.store.connection import connect

        connection = self._connection = connect(url)
        self.redis = RedisRateLimiter(connection, self.memory, nodes=lambda: self.nodes(), timeout=connection.operation)
        self.limiter = self.leases = LeasingRateLimiter(self.redis)
        return RedisOverrides(connection)

    def policies(self) -> tuple[Policy, ...]:
        """The policies of routes that count or bound something."""
        return (EarlyLimits(self.guards), LateLimits(self.guards), self.shedding)

    def report(self) -> LimitReport:
        """What this process tells the others of its limits."""
        self.insight.fold(self._clock.unix())
        return limit_report(self.insight)

    def store(self) -> str:
        if self.redis is None:
            return "memory"
        return "degraded" if self.redis.health.down else "redis"

    def health(self) -> ComponentHealth:
        """For detailed health: losing the store degrades limits, never the gateway."""
        if self.redis is None:
            return ComponentHealth("limits", "ok", "counted in this process", facts=dict(self.memory.stats()))
        facts: dict[str, object] = {**self.redis.stats(), **(self.leases.stats() if self.leases is not None else {})}
        if trouble := self.redis.trouble:
            return ComponentHealth("limits", "degraded", trouble, facts=facts)
        return ComponentHealth("limits", "ok", "counted in the shared store", facts=facts)

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """For `metering`."""
        yield from self.control.samples()
        yield from self.shedding.samples()
        for (route, limit), units in self.guards.cost_units.items():
            yield "gateway_cost_units_total", (route, limit), float(units)
        if self.redis is not None:
            stats = self.redis.stats()
            yield "gateway_store_failures_total", ("limits",), float(stats["errors"] + stats["timeouts"])

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        if self.redis is not None:
            await self.redis.open()
        await self.overrides.refresh(self._clock.unix())
        tasks = [asyncio.create_task(self._upkeep()), asyncio.create_task(self.shedding.own_delay.watch())]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self.redis is not None:
                await self.redis.close()
            if self._connection is not None:
                await self._connection.close()

    async def _upkeep(self) -> None:
        """Each second: fold the counts, hear of raised limits, forget what means nothing any more."""
        turn = 0
        while True:
            await asyncio.sleep(UPKEEP_EVERY)
            turn += 1
            try:
                now = self._clock.unix()
                self.insight.fold(now)
                await self.overrides.refresh(now)
                self.memory.sweep(now, most=5000)
                if self.leases is not None:
                    self.leases.sweep()
                if turn % MEASURE_EVERY == 0:
                    await self.control.measure()
            except Exception:
                log.exception("upkeep of limits")
