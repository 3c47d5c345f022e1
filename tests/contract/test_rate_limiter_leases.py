"""`accuracy: hybrid` over a real Redis: most requests never ask, the bound holds, nothing is lost for good."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator

import pytest

from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.adapters.redis.limits.leases import LEASE, SHARE, LeasingRateLimiter
from spork.adapters.redis.limits.rate_limiter import RedisRateLimiter
from spork.adapters.redis.store.connection import connect
from spork.domain.limits.limit import Admitted, Charge, Limit, Throttled

NODES = 2
QUOTA = 1000


@pytest.fixture
async def nodes(redis_url: str) -> AsyncIterator[list[LeasingRateLimiter]]:
    """Two processes' worth of limiters on one store."""
    prefix = uuid.uuid4().hex.encode()
    connections = [connect(redis_url, operation=2.0) for _ in range(NODES)]
    shared = [RedisRateLimiter(each, MemoryRateLimiter(), prefix=prefix, timeout=2.0) for each in connections]
    for limiter in shared:
        await limiter.open()
    yield [LeasingRateLimiter(limiter) for limiter in shared]
    for limiter, connection in zip(shared, connections, strict=True):
        stats = limiter.stats()
        await limiter.close()
        await connection.close()
        assert stats["errors"] == stats["timeouts"] == stats["local"] == 0


async def ask(limiter: LeasingRateLimiter, *charges: Charge) -> bool:
    decision = limiter.acquire(charges)
    if not isinstance(decision, Admitted | Throttled):
        decision = await decision
    return isinstance(decision, Admitted)


def limit(accuracy: str, period: float = 864_000.0, quota: int = QUOTA) -> Limit:
    return Limit(f"hot-{accuracy}", quota, period, accuracy=accuracy)


async def hammer(limiter: LeasingRateLimiter, rule: Limit, requests: int) -> int:
    return sum([await ask(limiter, Charge(rule, "bob")) for _ in range(requests)])


async def test_most_requests_of_a_hot_key_never_ask_and_never_more_than_the_quota_is_spent(
    nodes: list[LeasingRateLimiter],
) -> None:
    rule = limit("hybrid")
    admitted = sum(await asyncio.gather(*(hammer(node, rule, QUOTA) for node in nodes)))
    assert QUOTA - NODES * (QUOTA // SHARE) <= admitted <= QUOTA  # the bucket does not refill in this test
    assert sum(node.spent for node in nodes) > QUOTA / 2


@pytest.mark.alone
async def test_the_bound_holds_in_any_interval_while_the_bucket_refills(nodes: list[LeasingRateLimiter]) -> None:
    rule = limit("hybrid", period=1.0, quota=200)
    admitted: list[float] = []

    async def caller(node: LeasingRateLimiter) -> None:
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            if await ask(node, Charge(rule, "bob")):
                admitted.append(time.monotonic())
            await asyncio.sleep(0.0005)

    await asyncio.gather(*(caller(node) for node in nodes for _ in range(2)))
    share = rule.terms.burst // SHARE
    first = 0
    for last, at in enumerate(admitted):
        while admitted[first] < at - 0.5:
            first += 1
        elapsed = at - admitted[first] + 0.05  # an answer is seen a little after it was given
        assert last - first + 1 <= rule.terms.burst + elapsed * 1e6 / rule.terms.interval + NODES * share


async def test_keys_that_are_not_hot_and_limits_that_are_exact_always_ask(nodes: list[LeasingRateLimiter]) -> None:
    node = nodes[0]
    assert await hammer(node, limit("exact"), 50) == 50
    assert await hammer(node, limit("hybrid"), 4) == 4
    assert node.spent == 0


async def test_what_a_lease_leaves_over_is_given_back(nodes: list[LeasingRateLimiter]) -> None:
    node = nodes[0]
    rule = limit("hybrid")
    assert await hammer(node, rule, 8) == 8
    await asyncio.sleep(LEASE + 0.01)  # leases are by the real clock
    node.sweep()

    async def left() -> int:
        states = node.peek([Charge(rule, "bob")])
        assert not isinstance(states, tuple)
        return (await states)[0].remaining

    async with asyncio.timeout(5):
        while await left() != QUOTA - 8:
            await asyncio.sleep(0.01)


async def test_a_hybrid_and_an_exact_limit_on_one_request_both_hold(nodes: list[LeasingRateLimiter]) -> None:
    tight = Limit("tight", 10, 864_000.0)
    charges = [Charge(limit("hybrid"), "bob"), Charge(tight, "bob")]
    assert sum([await ask(nodes[0], *charges) for _ in range(30)]) == 10
    assert nodes[0].spent == 0


async def test_reset_also_forgets_what_was_leased(nodes: list[LeasingRateLimiter]) -> None:
    rule = limit("hybrid")
    await hammer(nodes[0], rule, 20)
    await nodes[0].reset(rule, "bob")
    assert nodes[0].stats()["leased_keys"] == 0
    assert await hammer(nodes[0], rule, QUOTA + 50) <= QUOTA
