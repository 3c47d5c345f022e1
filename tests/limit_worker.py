"""One gateway process's worth of requests against a shared limit; prints how many were admitted, as JSON.

usage: limit_worker.py URL PREFIX ALGORITHM QUOTA PERIOD REQUESTS CLOCK_OFFSET
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.adapters.redis.limits.rate_limiter import RedisRateLimiter
from spork.adapters.redis.store.connection import connect
from spork.domain.limits.limit import Admitted, Charge, Limit, Throttled


async def main(url: str, prefix: str, algorithm: str, quota: int, period: float, requests: int, offset: float) -> None:
    connection = connect(url, operation=5.0)
    limiter = RedisRateLimiter(
        connection,
        MemoryRateLimiter(),
        prefix=prefix.encode(),
        timeout=5.0,
        clock=lambda: time.time() + offset,
    )
    await limiter.open()
    limit = Limit("shared", quota, period, algorithm=algorithm, period_name="month")

    async def one() -> bool:
        decision = limiter.acquire([Charge(limit, "bob")])
        if not isinstance(decision, Admitted | Throttled):
            decision = await decision
        return isinstance(decision, Admitted)

    print("ready", flush=True)
    sys.stdin.readline()
    admitted = sum(await asyncio.gather(*(one() for _ in range(requests))))
    stats = limiter.stats()
    await limiter.close()
    await connection.close()
    print(json.dumps({"admitted": admitted, "alone": stats["local"] + stats["errors"] + stats["timeouts"]}))


if __name__ == "__main__":
    url, prefix, algorithm, quota, period, requests, offset = sys.argv[1:]
    asyncio.run(main(url, prefix, algorithm, int(quota), float(period), int(requests), float(offset)))
