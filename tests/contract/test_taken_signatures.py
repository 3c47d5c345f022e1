"""What remembers signed requests, over every store: each signature is taken once."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable

import pytest
import redis.asyncio

from spork.adapters.memory.signatures import MemorySignatures
from spork.adapters.redis.fleet.signatures import RedisSignatures
from spork.application.callers.shared_secrets import TakenSignatures
from tests.servers import free_port

NOW = 1_800_000_000.0


async def take(store: TakenSignatures, signature: bytes, now: float = NOW, keep: float = 60.0) -> bool:
    answer = store.take(signature, now, keep)
    return await answer if isinstance(answer, Awaitable) else answer


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[TakenSignatures]:
    if request.param == "memory":
        yield MemorySignatures()
        return
    client = redis.asyncio.Redis.from_url(request.getfixturevalue("redis_url"))
    yield RedisSignatures(client, MemorySignatures(), uuid.uuid4().hex)
    await client.aclose()


async def test_the_first_is_taken_and_no_other(store: TakenSignatures) -> None:
    assert await take(store, b"one")
    assert not await take(store, b"one")
    assert await take(store, b"two")


async def test_of_many_at_once_one_is_taken(store: TakenSignatures) -> None:
    assert sum(await asyncio.gather(*(take(store, b"one") for _ in range(50)))) == 1


async def test_it_is_forgotten_after_its_time(store: TakenSignatures) -> None:
    assert await take(store, b"one", NOW, 0.03)
    await asyncio.sleep(0.06)
    assert await take(store, b"one", NOW + 0.06, 0.03)


async def test_two_processes_of_a_fleet_take_it_once(redis_url: str) -> None:
    async with redis.asyncio.Redis.from_url(redis_url) as client:
        name = uuid.uuid4().hex
        one, two = (RedisSignatures(client, MemorySignatures(), name) for _ in range(2))
        assert await take(one, b"one")
        assert not await take(two, b"one")


async def test_without_redis_each_process_decides_alone() -> None:
    async with redis.asyncio.Redis(port=free_port()) as client:
        one, two = (RedisSignatures(client, MemorySignatures()) for _ in range(2))
        assert await take(one, b"one")
        assert not await take(one, b"one")
        assert await take(two, b"one")


async def test_memory_keeps_what_still_counts_when_it_is_full() -> None:
    store = MemorySignatures(most=2)
    assert await take(store, b"old", NOW, 1.0)
    assert await take(store, b"young", NOW, 60.0)
    assert await take(store, b"new", NOW + 2.0)
    assert not await take(store, b"young", NOW + 2.0)
    assert await take(store, b"old", NOW + 2.0)
