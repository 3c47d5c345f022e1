"""A Redis Cluster that loses a node: limits go on as configured, and are shared again when it is back."""

from __future__ import annotations

import asyncio

from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.adapters.redis.limits.rate_limiter import RedisRateLimiter
from spork.adapters.redis.store.connection import connect
from spork.domain.limits.limit import Admitted, Charge, Limit, Throttled
from tests.redis_cluster import cluster_url, redis_cluster


async def admitted(limiter: RedisRateLimiter, rule: Limit, who: str, times: int) -> int:
    count = 0
    for _ in range(times):
        decision = limiter.acquire([Charge(rule, who), Charge(rule, f"other of {who}")])
        if not isinstance(decision, Admitted | Throttled):
            decision = await decision
        count += isinstance(decision, Admitted)
    return count


async def until(limiter: RedisRateLimiter, down: bool) -> None:
    number = 0
    async with asyncio.timeout(30):
        while limiter.health.down is not down:
            number += 1
            await admitted(limiter, Limit("traffic", 10, 3600.0, on_store_error="allow"), f"t{number}", 1)
            await asyncio.sleep(0.02)


async def test_a_node_that_dies_and_comes_back() -> None:
    rule = Limit("shared", 10, 3600.0)
    with redis_cluster() as nodes:
        connection = connect(cluster_url(nodes), operation=1.0)
        limiter = RedisRateLimiter(connection, MemoryRateLimiter(), nodes=lambda: 2, timeout=1.0)
        await limiter.open()
        assert not limiter.health.down, limiter.health.last_error
        # warm up: topology, scripts on every node
        await admitted(limiter, Limit("traffic", 10, 3600.0, on_store_error="allow"), "warm", 20)
        await until(limiter, down=False)
        nodes[1].kill()
        await until(limiter, down=True)
        assert await admitted(limiter, rule, "during", 30) == 5  # half of the quota: two live nodes
        nodes[1].start()
        await until(limiter, down=False)
        async with asyncio.timeout(30):
            number = 0
            while await admitted(limiter, rule, f"after {number}", 30) != 10:
                number += 1
                await asyncio.sleep(0.1)
        await limiter.close()
        await connection.close()
