"""CPU that limits cost per request, in microseconds: two limits, in memory and in Redis at 64 at once.

usage: python -m bench.limits [SECONDS]
Needs a redis-server on PATH; starts its own. Figures are CPU of this process (guard and limiter and Redis client), not
wall-clock, and exclude the same loop without a guard; the first is the fastest tenth of rounds, as neighbours on a shared
machine only ever add.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any, cast

from tests.exchanges import NO_ROUTES

from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.adapters.redis.limits.rate_limiter import RedisRateLimiter
from spork.adapters.redis.store.connection import connect
from spork.application.exchange.exchange import Exchange
from spork.application.guards.limits import LimitGuard
from spork.application.limits.heavy_hitters import HeavyHitters
from spork.application.limits.overrides import LimitOverrides
from spork.domain.http.head import RequestHead
from spork.domain.limits.limit import Limit, RateLimiter
from spork.domain.outcomes import Denial

AT_ONCE = 64
LIMITS = (Limit("per-ip", 10**6, 60.0), Limit("all", 10**8, 60.0, by="global"))
HEAD = RequestHead("GET", b"/", None, (), "http", b"h", peer="10.0.0.1")


def guard(limiter: RateLimiter) -> LimitGuard:
    return LimitGuard(limiter, LIMITS, insight=HeavyHitters(), overrides=LimitOverrides())


def exchange(number: int) -> Exchange:
    made = Exchange(HEAD, cast(Any, None), cast(Any, None), NO_ROUTES, 0.0, time.time())
    made.client = f"10.0.{number >> 8 & 255}.{number & 255}"
    return made


def memory(seconds: float) -> float:
    made = guard(MemoryRateLimiter())
    exchanges = [exchange(number) for number in range(1000)]
    for each in exchanges:
        made.admit(each)
    rounds: list[float] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for each in exchanges:
            each.response_headers.clear()
        began = time.process_time()
        for each in exchanges:
            made.admit(each)
        rounds.append((time.process_time() - began) / len(exchanges) * 1e6)
    return statistics.quantiles(rounds, n=10)[0]


async def turns(limiter: RateLimiter | None, seconds: float) -> tuple[float, int]:
    """CPU per request of AT_ONCE callers that ask again as soon as they are answered."""
    made = None if limiter is None else guard(limiter)
    done = 0
    end = time.monotonic() + seconds

    async def caller(number: int) -> None:
        nonlocal done
        one = exchange(number)
        while time.monotonic() < end:
            one.response_headers.clear()
            if made is None:
                await asyncio.sleep(0)
            else:
                verdict = made.admit(one)
                if verdict is not None and not isinstance(verdict, Denial):
                    await cast(Any, verdict)
                else:
                    await asyncio.sleep(0)
            done += 1

    began = time.process_time()
    await asyncio.gather(*(caller(number) for number in range(AT_ONCE)))
    return (time.process_time() - began) / done * 1e6, done


async def redis(port: int, seconds: float) -> None:
    idle, _ = await turns(None, seconds / 2)
    near, _ = await turns(MemoryRateLimiter(), seconds / 2)
    connection = connect(f"redis://127.0.0.1:{port}", operation=1.0)
    limiter = RedisRateLimiter(connection, MemoryRateLimiter(), timeout=1.0)
    await limiter.open()
    far, _ = await turns(limiter, seconds)
    stats = limiter.stats()
    await limiter.close()
    await connection.close()
    print(f"two limits, memory, {AT_ONCE} at once: {near - idle:6.2f} us CPU per request")
    print(
        f"two limits, Redis,  {AT_ONCE} at once: {far - idle:6.2f} us CPU per request"
        f" ({stats['requests'] / max(stats['calls'], 1):.1f} requests per call,"
        f" {stats['errors'] + stats['timeouts'] + stats['local']} without the store)"
    )


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 4.0
    print(f"two limits, memory, one after the other: {memory(seconds / 2):5.2f} us CPU per request")
    binary = shutil.which("redis-server")
    if binary is None:
        raise SystemExit("redis-server is not on PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as directory:
        command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", directory]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 0.2).close()
                    break
                except OSError:
                    time.sleep(0.02)
            try:
                import uvloop

                uvloop.run(redis(port, seconds))
            except ImportError:
                asyncio.run(redis(port, seconds))
        finally:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
