"""The RateLimiter port: one suite over the in-process limiter, one Redis, and a Redis Cluster of three nodes."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, cast

import pytest

from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.adapters.redis.limits.rate_limiter import RedisRateLimiter
from spork.adapters.redis.store.connection import connect
from spork.domain.limits.limit import Admitted, Charge, Decision, Limit, LimitState, RateLimiter, Throttled
from tests.limit_bounds import bound, most_in_any_interval
from tests.redis_cluster import cluster_url, redis_cluster

TIMED = ["gcra", "sliding_window", "sliding_log", "fixed_window", "calendar"]
ALL = [*TIMED, "concurrency"]
T0 = 1_700_000_000.0
_numbers = itertools.count()


@pytest.fixture(scope="session")
def cluster() -> Iterator[str]:
    with redis_cluster() as nodes:
        yield cluster_url(nodes)


@pytest.fixture(params=["memory", "redis", "cluster"])
async def limiter(request: pytest.FixtureRequest) -> AsyncIterator[RateLimiter]:
    if request.param == "memory":
        yield MemoryRateLimiter()
        return
    url = request.getfixturevalue("redis_url" if request.param == "redis" else "cluster")
    connection = connect(url, operation=2.0)
    prefix = f"t{os.getpid()}-{next(_numbers)}".encode()
    shared = RedisRateLimiter(connection, MemoryRateLimiter(), prefix=prefix, timeout=2.0)
    await shared.open()
    assert not shared.health.down, shared.health.last_error
    yield shared
    stats = shared.stats()
    await shared.close()
    await connection.close()
    assert stats["errors"] == stats["timeouts"] == stats["local"] == 0, (stats, shared.health.last_error)


async def ask(limiter: RateLimiter, *charges: Charge, now: float | None = T0) -> Decision:
    decision = limiter.acquire(charges, now)
    return decision if isinstance(decision, Admitted | Throttled) else await decision


async def take(limiter: RateLimiter, limit: Limit, who: str = "bob", cost: int = 1, now: float = T0) -> bool:
    return isinstance(await ask(limiter, Charge(limit, who, cost), now=now), Admitted)


async def peek(limiter: RateLimiter, limit: Limit, who: str = "bob", now: float = T0) -> LimitState:
    states = limiter.peek([Charge(limit, who)], now)
    return (states if isinstance(states, tuple) else await states)[0]


async def settled(check: Callable[[], Any]) -> None:
    """Until `check()` (async) is true: background work of an adapter has arrived."""
    async with asyncio.timeout(5):
        while not await check():
            await asyncio.sleep(0.005)


def limit(algorithm: str, quota: int, period: float = 60.0, **more: Any) -> Limit:
    return Limit(f"l-{algorithm}", quota, period, algorithm=algorithm, **more)


@pytest.mark.parametrize("algorithm", ALL)
async def test_a_quota_is_admitted_and_not_one_more(limiter: RateLimiter, algorithm: str) -> None:
    assert [await take(limiter, limit(algorithm, 3)) for _ in range(5)] == [True, True, True, False, False]


@pytest.mark.parametrize("algorithm", ALL)
async def test_identities_and_buckets_count_apart(limiter: RateLimiter, algorithm: str) -> None:
    users, items = limit(algorithm, 1, scope="users"), limit(algorithm, 1, scope="items")
    assert await take(limiter, users, "bob")
    assert not await take(limiter, users, "bob")
    assert await take(limiter, users, "ann")
    assert await take(limiter, items, "bob")


@pytest.mark.parametrize("algorithm", ALL)
async def test_the_same_bucket_compiled_anew_counts_on(limiter: RateLimiter, algorithm: str) -> None:
    assert await take(limiter, limit(algorithm, 1))
    assert not await take(limiter, limit(algorithm, 1))


@pytest.mark.parametrize("algorithm", ALL)
async def test_zero_refuses_all(limiter: RateLimiter, algorithm: str) -> None:
    for cost in (0, 1, 5, -3):
        decision = await ask(limiter, Charge(limit(algorithm, 0), "bob", cost))
        assert isinstance(decision, Throttled)
        assert decision.retry_after > 0
        assert not decision.unavailable


@pytest.mark.parametrize("algorithm", ALL)
async def test_a_cost_above_the_quota_is_refused_and_takes_nothing(limiter: RateLimiter, algorithm: str) -> None:
    for cost in (4, 10**9, 10**20):
        assert not await take(limiter, limit(algorithm, 3), cost=cost)
    assert await take(limiter, limit(algorithm, 3), cost=3)


@pytest.mark.parametrize("algorithm", ALL)
async def test_a_cost_of_nothing_or_less_only_asks(limiter: RateLimiter, algorithm: str) -> None:
    rule = limit(algorithm, 1)
    assert [await take(limiter, rule, cost=cost) for cost in (0, -1, -(10**12), 0)] == [True] * 4
    assert await take(limiter, rule)
    assert [await take(limiter, rule, cost=cost) for cost in (0, -1)] == [False] * 2


@pytest.mark.parametrize("algorithm", ALL)
async def test_huge_quotas_count_exactly(limiter: RateLimiter, algorithm: str) -> None:
    rule = limit(algorithm, 10**15, 1.0) if algorithm != "sliding_log" else limit(algorithm, 10**4, 10**9)
    before = (await peek(limiter, rule)).remaining
    assert before == rule.terms.quota
    assert await take(limiter, rule, cost=7)
    assert (await peek(limiter, rule)).remaining == before - 7


@pytest.mark.parametrize("algorithm", TIMED)
async def test_the_states_say_what_is_left_and_how_long(limiter: RateLimiter, algorithm: str) -> None:
    rule = limit(algorithm, 2, 10.0)
    first = await ask(limiter, Charge(rule, "bob"))
    assert isinstance(first, Admitted)
    assert first.states[0].limit is rule
    assert first.states[0].remaining == 1
    assert first.states[0].reset_after > 0
    assert first.at == pytest.approx(T0, abs=1e-6)
    await ask(limiter, Charge(rule, "bob"))
    refused = await ask(limiter, Charge(rule, "bob"))
    assert isinstance(refused, Throttled)
    assert refused.states[0].refused
    assert refused.states[0].remaining == 0
    assert refused.retry_after == refused.states[0].retry_after > 0
    assert await take(limiter, rule, now=T0 + refused.retry_after + 1e-6)


@pytest.mark.parametrize("algorithm", ALL)
async def test_all_limits_of_a_request_or_none(limiter: RateLimiter, algorithm: str) -> None:
    """In a cluster the two identities live in different slots: then nothing stays taken, after a moment."""
    wide, tight = limit(algorithm, 10, scope="wide"), limit(algorithm, 1, scope="tight")
    charges = [Charge(wide, "10.0.0.1", 2), Charge(tight, "bob")]
    assert isinstance(await ask(limiter, *charges), Admitted)
    for _ in range(5):
        decision = await ask(limiter, *charges)
        assert isinstance(decision, Throttled)
        assert [state.refused for state in decision.states] == [False, True]

        async def given_back() -> bool:
            return (await peek(limiter, wide, "10.0.0.1")).remaining == 8

        await settled(given_back)


@pytest.mark.parametrize("algorithm", ALL)
async def test_limits_of_one_identity_are_refused_together_without_a_trace(
    limiter: RateLimiter, algorithm: str
) -> None:
    wide, tight = limit(algorithm, 10, scope="wide"), limit(algorithm, 1, scope="tight")
    charges = [Charge(wide, "bob"), Charge(tight, "bob")]
    await ask(limiter, *charges)
    decision = await ask(limiter, *charges)
    assert isinstance(decision, Throttled)
    assert decision.states[0].remaining == 9
    assert (await peek(limiter, wide)).remaining == 9


@pytest.mark.parametrize("algorithm", TIMED)
async def test_a_refund_gives_back_what_came_to_nothing(limiter: RateLimiter, algorithm: str) -> None:
    rule = limit(algorithm, 5)
    charges = [Charge(rule, "bob", 2)]
    await ask(limiter, *charges)
    admitted = await ask(limiter, *charges, now=T0 + 0.25)
    assert isinstance(admitted, Admitted)
    limiter.refund(charges, admitted.at, T0 + 0.25)

    async def back() -> bool:
        return (await peek(limiter, rule, now=T0 + 0.25)).remaining == 3

    await settled(back)


@pytest.mark.parametrize("algorithm", TIMED)
async def test_reset_forgets_what_was_used(limiter: RateLimiter, algorithm: str) -> None:
    rule = limit(algorithm, 2)
    assert [await take(limiter, rule) for _ in range(3)] == [True, True, False]
    done = limiter.reset(rule, "bob")
    if done is not None:
        await done
    assert [await take(limiter, rule) for _ in range(3)] == [True, True, False]


async def test_permits_are_held_until_released_once(limiter: RateLimiter) -> None:
    rule = limit("concurrency", 2)
    held = [await ask(limiter, Charge(rule, "bob")) for _ in range(3)]
    assert [isinstance(each, Admitted) for each in held] == [True, True, False]
    limiter.release(cast(Admitted, held[0]).lease)
    limiter.release(cast(Admitted, held[0]).lease)

    async def one_free() -> bool:
        return (await peek(limiter, rule)).remaining == 1

    await settled(one_free)
    again = await ask(limiter, Charge(rule, "bob"))
    assert isinstance(again, Admitted)
    assert not await take(limiter, rule)
    limiter.release(again.lease)
    limiter.release(cast(Admitted, held[1]).lease)

    async def all_free() -> bool:
        return (await peek(limiter, rule)).remaining == 2

    await settled(all_free)


@pytest.mark.parametrize("algorithm", TIMED)
async def test_a_clock_that_steps_back_admits_nothing_more(limiter: RateLimiter, algorithm: str) -> None:
    rule = limit(algorithm, 3, 10.0)
    assert [await take(limiter, rule, now=T0) for _ in range(3)] == [True] * 3
    assert not await take(limiter, rule, now=T0 - 3600)
    if algorithm != "calendar":
        assert await take(limiter, rule, now=T0 - 3600 + 20)


async def test_many_at_once_share_one_allowance(limiter: RateLimiter) -> None:
    rules = [limit(algorithm, 50, 3600.0) for algorithm in TIMED]
    for rule in rules:
        decisions = await asyncio.gather(*(ask(limiter, Charge(rule, "bob"), Charge(rule, "all")) for _ in range(300)))
        assert sum(isinstance(each, Admitted) for each in decisions) == 50, rule


async def test_no_charges_are_admitted(limiter: RateLimiter) -> None:
    assert await ask(limiter) == Admitted((), None, pytest.approx(T0, abs=10**9))


async def test_by_its_own_clock_when_no_time_is_given(limiter: RateLimiter) -> None:
    rule = limit("gcra", 1, 3600.0)
    assert isinstance(await ask(limiter, Charge(rule, "bob"), now=None), Admitted)
    assert isinstance(await ask(limiter, Charge(rule, "bob"), now=None), Throttled)


@pytest.mark.parametrize("identity", ["", "ü" * 500, "a\r\nb\x00{x}", "{tag}", "*", "\ud800"])
async def test_any_text_is_an_identity(limiter: RateLimiter, identity: str) -> None:
    rule = limit("gcra", 1)
    assert [await take(limiter, rule, identity) for _ in range(2)] == [True, False]


async def test_both_windows_of_a_sliding_count_survive_a_clock_that_steps_back(limiter: RateLimiter) -> None:
    rule = limit("sliding_window", 4, 10.0)
    assert await take(limiter, rule, cost=2, now=T0)
    assert await take(limiter, rule, cost=2, now=T0 + 19.9)
    assert not await take(limiter, rule, now=T0 - 100)


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window", "sliding_log", "fixed_window"])
async def test_no_real_interval_holds_more_than_promised(limiter: RateLimiter, algorithm: str) -> None:
    """A randomized load by the limiter's own clock; every admission is dated by that clock, so the check is exact."""
    rule = limit(algorithm, 20, 0.3, burst=7 if algorithm == "gcra" else None)
    chance = random.Random(algorithm)
    admitted: list[tuple[int, int]] = []
    end = time.monotonic() + 1.2

    async def caller() -> None:
        while time.monotonic() < end:
            cost = chance.choice([1, 1, 1, 2, 3])
            decision = await ask(limiter, Charge(rule, "bob", cost), now=None)
            if isinstance(decision, Admitted):
                admitted.append((round(decision.at * 1e6), cost))
            await asyncio.sleep(chance.choice([0.0, 0.001, 0.02]))

    await asyncio.gather(*(caller() for _ in range(8)))
    admitted.sort()
    period = rule.terms.period
    assert len(admitted) > 20
    for length in (period // 10, period // 2, period, 2 * period, 3 * period):
        assert most_in_any_interval(admitted, length) <= bound(rule, length), length
