"""Costs told after the fact: the same in memory and in Redis, exactly once, whatever comes in between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.adapters.redis.limits.rate_limiter import RedisRateLimiter
from spork.adapters.redis.store.connection import connect
from spork.domain.limits.cost import CostSource
from spork.domain.limits.limit import Admitted, Charge, Limit, RateLimiter, Throttled
from tests.servers import RedisProcess, redis_process

PRICE = CostSource(fields=(("usage.total", 1),), reserve=10, most=100_000)
ALGORITHMS = ("gcra", "fixed_window", "sliding_window", "sliding_log", "calendar")


def limit(algorithm: str, quota: int = 1000) -> Limit:
    return Limit(
        f"tokens-{algorithm}-{random.getrandbits(48):x}", quota, 3600.0 * 24, "global", algorithm, price=PRICE,
        period_name="day" if algorithm == "calendar" else "",
    )  # fmt: skip


@pytest.fixture(params=["memory", "redis"])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[RateLimiter]:
    if request.param == "memory":
        yield MemoryRateLimiter()
        return
    connection = connect(request.getfixturevalue("redis_url"), operation=1.0)
    shared = RedisRateLimiter(connection, MemoryRateLimiter(), timeout=1.0)
    await shared.open()
    yield shared
    await shared.close()
    await connection.close()


async def ask(limiter: RateLimiter, charge: Charge) -> Admitted | Throttled:
    asked = limiter.acquire([charge])
    return asked if isinstance(asked, Admitted | Throttled) else await asked


async def left(limiter: RateLimiter, of: Limit) -> int:
    peeked = limiter.peek([Charge(of, "a")])
    states = peeked if isinstance(peeked, tuple) else await peeked
    return states[0].remaining


async def until(limiter: RateLimiter, of: Limit, remaining: int) -> None:
    async with asyncio.timeout(10):
        while await left(limiter, of) != remaining:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_what_is_settled_is_what_is_charged(limiter: RateLimiter, algorithm: str) -> None:
    tokens = limit(algorithm)
    decision = await ask(limiter, Charge(tokens, "a", 10))
    assert isinstance(decision, Admitted)
    limiter.settle([Charge(tokens, "a", 90)], decision.at)
    await until(limiter, tokens, 900)
    decision = await ask(limiter, Charge(tokens, "a", 10))
    assert isinstance(decision, Admitted)
    if algorithm != "sliding_log":  # a log takes whole entries back only
        limiter.settle([Charge(tokens, "a", -5)], decision.at)
        await until(limiter, tokens, 895)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
async def test_an_answer_may_overdraw_and_the_next_is_refused(limiter: RateLimiter, algorithm: str) -> None:
    tokens = limit(algorithm)
    decision = await ask(limiter, Charge(tokens, "a", 10))
    limiter.settle([Charge(tokens, "a", 5000)], decision.at if isinstance(decision, Admitted) else 0.0)
    await until(limiter, tokens, 0)
    refused = await ask(limiter, Charge(tokens, "a", 10))
    assert isinstance(refused, Throttled)
    if algorithm == "gcra":
        assert refused.retry_after > 4 * 86400, "four quotas above: the debt is paid in time"


async def test_the_sum_charged_is_the_sum_of_costs_over_interleavings(limiter: RateLimiter) -> None:
    chance = random.Random(11)
    tokens = limit("fixed_window", 10_000_000)
    total = 0

    async def answer() -> None:
        nonlocal total
        cost = chance.randrange(10, 5000)
        decision = await ask(limiter, Charge(tokens, "a", 10))
        assert isinstance(decision, Admitted)
        await asyncio.sleep(chance.random() / 50)
        total += cost
        limiter.settle([Charge(tokens, "a", cost - 10)], decision.at)

    await asyncio.gather(*(answer() for _ in range(300)))
    await until(limiter, tokens, 10_000_000 - total)


async def test_two_processes_and_a_store_that_was_away_charge_every_unit_once() -> None:
    """The store stops answering while answers end; what was settled meanwhile arrives, and only once."""
    with redis_process() as redis:
        connections = [connect(redis.url, operation=0.2) for _ in range(2)]
        limiters = [RedisRateLimiter(connection, MemoryRateLimiter(), timeout=0.2) for connection in connections]
        for limiter in limiters:
            await limiter.open()
        tokens = limit("fixed_window", 10_000_000)
        decisions = [await ask(limiters[turn % 2], Charge(tokens, "a", 10)) for turn in range(20)]
        assert all(isinstance(decision, Admitted) for decision in decisions)
        await _settle_while_paused(redis, limiters, tokens)
        expected = 10_000_000 - 20 * 10 - 20 * 90
        await until(limiters[0], tokens, expected)
        await asyncio.sleep(0.6)  # longer than a round is sent again after
        assert await left(limiters[1], tokens) == expected
        for limiter, connection in zip(limiters, connections, strict=True):
            assert limiter.stats()["settlements_lost"] == 0
            await limiter.close()
            await connection.close()


@pytest.mark.parametrize("algorithm", ["gcra", "fixed_window", "sliding_window", "calendar"])
async def test_what_is_given_back_while_the_store_is_away_arrives_once(algorithm: str) -> None:
    with redis_process() as redis:
        connection = connect(redis.url, operation=0.2)
        limiter = RedisRateLimiter(connection, MemoryRateLimiter(), timeout=0.2)
        await limiter.open()
        tokens = limit(algorithm)
        decision = await ask(limiter, Charge(tokens, "a", 100))
        assert isinstance(decision, Admitted)
        await until(limiter, tokens, 900)
        redis.pause()
        try:
            for _ in range(4):  # answered without the store
                local = await ask(limiter, Charge(tokens, "a", 100))
            assert isinstance(local, Admitted)
            limiter.settle([Charge(tokens, "a", -40)], decision.at)
            limiter.settle([Charge(tokens, "a", -99)], local.at)
            await asyncio.sleep(0.8)  # longer than a settlement waits: it is tried again later
        finally:
            redis.resume()
        # Calls that were on their way when the store stopped are carried out late: what they took stays taken.
        async with asyncio.timeout(20):
            while limiter.stats()["settlements_waiting"] or limiter.health.down:
                await asyncio.sleep(0.02)
        seen = await left(limiter, tokens)
        assert (seen - 940) % 100 == 0, "40 came back once, and nothing that the store had not taken"
        await asyncio.sleep(0.6)  # nothing may come afterwards: a second settlement would within this time
        assert await left(limiter, tokens) == seen
        await limiter.close()
        await connection.close()


async def _settle_while_paused(redis: RedisProcess, limiters: list[RedisRateLimiter], tokens: Limit) -> None:
    redis.pause()
    try:
        for turn in range(20):
            limiters[turn % 2].settle([Charge(tokens, "a", 90)], 0.0)
        await asyncio.sleep(1.5)  # the store stays away for longer than any settlement waits for it
    finally:
        redis.resume()
