"""Automatic persisted queries over every store: kept, bounded, for their time, and no error when the store is away."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable

import pytest
import redis.asyncio

from spork.adapters.memory.documents import MemoryDocuments
from spork.adapters.redis.fleet.documents import RedisDocuments
from spork.adapters.system.clock import SystemClock
from spork.application.graphql.stored import DocumentStore
from tests.servers import free_port


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[DocumentStore]:
    if request.param == "memory":
        yield MemoryDocuments(SystemClock().monotonic)
        return
    client = redis.asyncio.Redis.from_url(request.getfixturevalue("redis_url"))
    yield RedisDocuments(client, uuid.uuid4().hex)
    await client.aclose()


async def get(store: DocumentStore, digest: str, scope: str = "s") -> str | None:
    found = store.get(scope, digest)
    return await found if isinstance(found, Awaitable) else found


async def put(
    store: DocumentStore, digest: str, text: str, ttl: float = 60.0, most: int = 10, scope: str = "s"
) -> None:
    store.put(scope, digest, text, ttl, most)
    if isinstance(store, RedisDocuments):
        await store.settled()


async def test_what_was_put_is_there_in_its_scope_only(store: DocumentStore) -> None:
    assert await get(store, "a") is None
    await put(store, "a", "{ä}")
    assert await get(store, "a") == "{ä}"
    assert await get(store, "a", "other {scope}") is None
    await put(store, "a", "{b}", scope="other {scope}")
    assert (await get(store, "a"), await get(store, "a", "other {scope}")) == ("{ä}", "{b}")


async def test_the_ones_used_last_stay(store: DocumentStore) -> None:
    for n in range(5):
        await put(store, str(n), f"{{a{n}}}", most=3)
        await asyncio.sleep(0.003)  # the store's clock has milliseconds
        if n >= 2:
            assert await get(store, "2") == "{a2}"
            await asyncio.sleep(0.003)
    assert [await get(store, str(n)) for n in range(5)] == [None, None, "{a2}", "{a3}", "{a4}"]


async def test_a_flood_is_bounded(store: DocumentStore) -> None:
    for n in range(200):
        store.put("s", str(n), "{a}", 60.0, 20)
    if isinstance(store, RedisDocuments):
        await store.settled()
    found = [await get(store, str(n)) for n in range(200)]
    assert sum(each is not None for each in found) == 20


async def test_gone_with_its_time(store: DocumentStore) -> None:
    await put(store, "a", "{a}", ttl=0.05)
    await asyncio.sleep(0.1)
    assert await get(store, "a") is None


async def test_a_lost_store_knows_nothing_and_is_no_error() -> None:
    client = redis.asyncio.Redis(port=free_port(), socket_connect_timeout=0.2)
    store = RedisDocuments(client)
    await put(store, "a", "{a}")
    assert await get(store, "a") is None
    assert store.lost == 2
    await client.aclose()
