"""Idempotency keys over every store."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import pytest
import redis.asyncio

from spork.adapters.memory.idempotency import MemoryIdempotency
from spork.adapters.redis.fleet.idempotency import RedisIdempotency
from spork.adapters.system.clock import SystemClock
from spork.application.guards.idempotency import Begun, IdempotencyStore, InFlight, KeptAnswer, Mismatch, StoreGone
from tests.servers import free_port

ANSWER = KeptAnswer(201, ((b"location", b"/orders/1"), (b"set-cookie", b"a"), (b"set-cookie", b"b")), b"\x00\xffbody")


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[IdempotencyStore]:
    if request.param == "memory":
        yield MemoryIdempotency(SystemClock().monotonic)
        return
    client = redis.asyncio.Redis.from_url(request.getfixturevalue("redis_url"))
    yield RedisIdempotency(client, uuid.uuid4().hex)
    await client.aclose()


async def test_the_first_takes_the_key_and_its_answer_is_given_again(store: IdempotencyStore) -> None:
    begun = await store.begin("k", "f", 60)
    assert isinstance(begun, Begun)
    assert await store.begin("k", "f", 60) == InFlight()
    assert await store.begin("k", "other", 60) == Mismatch()
    await store.settle("k", begun.token, ANSWER, 60)
    assert await store.begin("k", "f", 60) == ANSWER
    assert await store.begin("k", "other", 60) == Mismatch()


async def test_a_key_without_an_answer_is_free_again(store: IdempotencyStore) -> None:
    begun = await store.begin("k", "f", 60)
    assert isinstance(begun, Begun)
    await store.settle("k", begun.token, None, 60)
    assert isinstance(await store.begin("k", "other", 60), Begun)


async def test_only_the_holder_settles(store: IdempotencyStore) -> None:
    await store.begin("k", "f", 60)
    await store.settle("k", "somebody else", ANSWER, 60)
    assert await store.begin("k", "f", 60) == InFlight()


async def test_leases_and_answers_end(store: IdempotencyStore) -> None:
    lost = await store.begin("k", "f", 0.03)
    assert isinstance(lost, Begun)
    await asyncio.sleep(0.06)
    begun = await store.begin("k", "g", 60)
    assert isinstance(begun, Begun)
    await store.settle("k", lost.token, ANSWER, 60)
    assert await store.begin("k", "g", 60) == InFlight(), "a lease that ended settles nothing"
    await store.settle("k", begun.token, ANSWER, 0.03)
    await asyncio.sleep(0.06)
    assert isinstance(await store.begin("k", "g", 60), Begun)


async def test_of_many_at_once_one_begins(store: IdempotencyStore) -> None:
    answers = await asyncio.gather(*(store.begin("k", "f", 60) for _ in range(50)))
    assert sum(isinstance(answer, Begun) for answer in answers) == 1


async def test_memory_forgets_the_oldest_beyond_its_bound() -> None:
    store = MemoryIdempotency(SystemClock().monotonic, most=2)
    for key in ("a", "b", "c"):
        await store.begin(key, "f", 60)
    assert await store.begin("b", "f", 60) == InFlight()
    assert isinstance(await store.begin("a", "f", 60), Begun)


async def test_a_store_that_is_gone_says_so() -> None:
    client = redis.asyncio.Redis(port=free_port())
    with pytest.raises(StoreGone):
        await RedisIdempotency(client).begin("k", "f", 1)
    await client.aclose()


async def test_answers_of_a_fleet_are_bounded_in_bytes_and_the_oldest_go_first(redis_url: str) -> None:
    name = uuid.uuid4().hex
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        stores = [RedisIdempotency(client, name, most_bytes=100_000) for _ in range(2)]
        answer = KeptAnswer(200, (), b"x" * 30_000)

        async def keep(number: int, size: KeptAnswer = answer) -> None:
            begun = await stores[number % 2].begin(f"k{number}", "f", 60)
            assert isinstance(begun, Begun)
            await stores[number % 2].settle(f"k{number}", begun.token, size, 60)

        for number in range(10):
            await keep(number)
        held = [isinstance(await stores[0].begin(f"k{number}", "f", 0.001), KeptAnswer) for number in range(10)]
        assert held == [False] * 7 + [True] * 3
        await keep(10, KeptAnswer(200, (), b"x" * 200_000))
        assert isinstance(await stores[1].begin("k10", "f", 60), Begun), (
            "one that is larger than all may be is not kept"
        )
        assert int(await client.get(f"{{{name}:idempotency}}:bytes")) <= 100_000
