"""A Sentinel failover under load: recovery by itself, and over-admission counted and within the documented bound.

The bound: what the master had admitted and not yet replicated, plus, with `on_store_error: local`, one local allowance.
"""

from __future__ import annotations

import asyncio

import pytest
import redis as redis_client

from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.adapters.redis.limits.rate_limiter import RedisRateLimiter
from spork.adapters.redis.store.connection import connect
from spork.domain.limits.limit import Admitted, Charge, Limit, Throttled
from tests.redis_sentinel import Watched, redis_watched_by_sentinel

QUOTA = 2000
NODES = 2


def used_on(port: int) -> int:
    """Units the only window on that server says were used."""
    with redis_client.Redis(port=port) as client:
        (key,) = [key for key in client.scan_iter() if b":limit:" in key]
        value = client.get(key)
        assert isinstance(value, bytes)
        return int(value.split(b":")[1])


class Load:
    """Callers that ask without pause; `admitted` by the store and in its absence."""

    def __init__(self, limiter: RedisRateLimiter, limit: Limit) -> None:
        self.limiter = limiter
        self.limit = limit
        self.admitted = self.refused = 0
        self.stop = False

    async def run(self, callers: int = 16) -> None:
        await asyncio.gather(*(self._caller() for _ in range(callers)))

    async def _caller(self) -> None:
        while not self.stop:
            decision = self.limiter.acquire([Charge(self.limit, "bob")])
            if not isinstance(decision, Admitted | Throttled):
                decision = await decision
            if isinstance(decision, Admitted):
                self.admitted += 1
            else:
                self.refused += 1
            await asyncio.sleep(0.002)


@pytest.mark.parametrize("mode", ["deny", "local"])
async def test_a_failover_under_load(mode: str) -> None:
    with redis_watched_by_sentinel() as watched:
        # A second for the store: this is about a master that dies, not about one that is slow on a busy machine.
        connection = connect(watched.url, operation=1.0)
        limiter = RedisRateLimiter(connection, MemoryRateLimiter(), nodes=lambda: NODES, timeout=1.0)
        await limiter.open()
        assert not limiter.health.down, limiter.health.last_error
        limit = Limit("shared", QUOTA, 864000.0, algorithm="fixed_window", on_store_error=mode)
        load = Load(limiter, limit)
        running = asyncio.create_task(load.run())
        try:
            await reached(lambda: load.admitted >= QUOTA // 4)
            watched.master.kill()
            before = load.admitted
            await reached(lambda: limiter.health.down)
            await reached(lambda: watched.current_master() == watched.replica.port)
            survived = used_on(watched.replica.port)
            await reached(lambda: not limiter.health.down)
            refused = load.refused
            await reached(lambda: used_on(watched.replica.port) >= QUOTA and load.refused > refused + 50)
        finally:
            load.stop = True
            await running
            await limiter.close()
            await connection.close()
    lost = max(before - survived, 0)
    allowance = QUOTA // NODES if mode == "local" else 0
    over = load.admitted - QUOTA
    print(f"{mode}: {load.admitted} admitted of {QUOTA}; {lost} not replicated; {over} over")
    assert over <= lost + allowance
    assert load.admitted >= QUOTA - 16 * 3  # calls cut by the kill may have been counted and not answered


async def reached(check) -> None:  # type: ignore[no-untyped-def]
    async with asyncio.timeout(60):
        while not check():
            await asyncio.sleep(0.01)


def test_the_harness_follows_the_master() -> None:
    with redis_watched_by_sentinel() as watched:
        assert isinstance(watched, Watched)
        assert watched.current_master() == watched.master.port
