"""Stored answers over every store: one process, and two nodes over one Redis."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
import redis.asyncio

from spork.adapters.memory.cache_store import MemoryCacheStore
from spork.adapters.redis.caching.cache_store import RedisCacheStore
from spork.application.caching.ports import CacheStore, CacheStoreGone
from spork.domain.http.caching.keys import CacheKey
from spork.domain.http.caching.stored import StoredResponse
from tests.servers import free_port

KEY: CacheKey = (b"section", "http", b"h", b"/x", b"", b"")


def entry(store: CacheStore, body: bytes = b"ok", **fields: Any) -> StoredResponse:
    now = time.time()
    fields.setdefault("tags", (b"url", b"route", b"everything"))
    fields.setdefault("began", store.journal.position)
    headers = ((b"content-type", b"text/plain"),)
    return StoredResponse(200, headers, body, born=now, stored_at=now, fresh_until=now + 60, **fields)


async def got(answer: Any) -> Any:
    return await answer if isinstance(answer, Awaitable) else answer


async def bodies(store: CacheStore, key: CacheKey = KEY) -> list[bytes]:
    return [each.body for each in await got(store.find(key))]


def over_redis(url: str, prefix: str, node: str) -> RedisCacheStore:
    client = redis.asyncio.Redis.from_url(url)
    return RedisCacheStore(client, MemoryCacheStore(1 << 20, time.time), node, time.time, time.monotonic, prefix)


@pytest.fixture(params=["memory", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[CacheStore]:
    if request.param == "memory":
        yield MemoryCacheStore(1 << 20, time.time)
        return
    made = over_redis(request.getfixturevalue("redis_url"), uuid.uuid4().hex, "one")
    await made.open()
    yield made
    await made.close()
    await made._redis.aclose()


@pytest.fixture
async def nodes(redis_url: str) -> AsyncIterator[tuple[RedisCacheStore, RedisCacheStore]]:
    prefix = uuid.uuid4().hex
    one, two = over_redis(redis_url, prefix, "one"), over_redis(redis_url, prefix, "two")
    await one.open()
    await two.open()
    yield one, two
    for each in (one, two):
        await each.close()
        await each._redis.aclose()


async def test_what_is_kept_is_found_and_a_newer_one_takes_its_place(store: CacheStore) -> None:
    assert await bodies(store) == []
    assert await got(store.keep(KEY, entry(store, b"one")))
    assert await got(store.keep(KEY, entry(store, b"two")))
    assert await bodies(store) == [b"two"]
    assert await bodies(store, (*KEY[:4], b"?page=2", b"")) == []


async def test_variants_stand_beside_each_other(store: CacheStore) -> None:
    for value in (b"=de", b"=en"):
        await got(store.keep(KEY, entry(store, value, vary=(b"accept-language",), variant=(value,))))
    assert sorted(await bodies(store)) == [b"=de", b"=en"]


@pytest.mark.parametrize("tag", [b"url", b"route", b"everything"])
async def test_a_purge_leaves_nothing_behind(store: CacheStore, tag: bytes) -> None:
    await got(store.keep(KEY, entry(store)))
    await got(store.purge([tag], False))
    assert await bodies(store) == []
    await got(store.keep(KEY, entry(store, b"new")))
    assert await bodies(store) == [b"new"], "what is stored after a purge is not covered by it"


async def test_what_began_before_a_purge_is_not_kept_after_it(store: CacheStore) -> None:
    begun = entry(store)
    await got(store.purge([b"route"], False))
    assert not await got(store.keep(KEY, begun))
    assert await bodies(store) == []


async def test_a_soft_purge_leaves_it_as_stale(store: CacheStore) -> None:
    await got(store.keep(KEY, entry(store)))
    await got(store.purge([b"url"], True))
    found = await got(store.find(KEY))
    assert [each.soft_at is not None for each in found] == [True]


async def test_a_purge_of_one_tag_leaves_the_others(store: CacheStore) -> None:
    await got(store.keep(KEY, entry(store)))
    await got(store.purge([b"another"], False))
    assert await bodies(store) == [b"ok"]


async def test_the_second_node_finds_what_the_first_has_stored(nodes: tuple[RedisCacheStore, RedisCacheStore]) -> None:
    one, two = nodes
    await got(one.keep(KEY, entry(one, b"\x00\xff")))
    assert await bodies(two) == [b"\x00\xff"]
    assert await bodies(two) == [b"\x00\xff"]


async def test_a_purge_reaches_the_other_node_within_a_second(nodes: tuple[RedisCacheStore, RedisCacheStore]) -> None:
    one, two = nodes
    await got(one.keep(KEY, entry(one)))
    assert await bodies(two) == [b"ok"]
    receipt = await one.purge([b"route"], False)
    assert receipt.told
    began = time.monotonic()
    while await bodies(two):
        assert time.monotonic() - began < 1.0
        await asyncio.sleep(0.01)
    while not all((await one.confirmations(receipt.position)).values()):
        assert time.monotonic() - began < 1.5
        await asyncio.sleep(0.01)


async def test_only_one_node_fetches(nodes: tuple[RedisCacheStore, RedisCacheStore]) -> None:
    one, two = nodes
    assert await one.claim(KEY, b"", 5)
    assert not await two.claim(KEY, b"", 5)
    await two.release(KEY, b"")
    assert not await two.claim(KEY, b"", 5), "only the holder gives it back"
    await one.release(KEY, b"")
    assert await two.claim(KEY, b"", 5)


async def test_an_emptied_redis_is_a_new_life(nodes: tuple[RedisCacheStore, RedisCacheStore]) -> None:
    one, _ = nodes
    await got(one.keep(KEY, entry(one)))
    await one._redis.delete(one._journal_key)
    await one.follow()
    assert await bodies(one) == []


async def test_a_store_that_is_away_costs_the_second_level_and_nothing_else() -> None:
    away = over_redis(f"redis://127.0.0.1:{free_port()}", "p", "one")
    await away.open()
    await got(away.keep(KEY, entry(away)))
    assert await bodies(away) == [b"ok"]
    receipt = await away.purge([b"url"], False)
    assert not receipt.told
    assert await bodies(away) == []
    assert await got(away.claim(KEY, b"", 5))
    await away.close()
    await away._redis.aclose()


async def test_a_newer_answer_of_the_fleet_is_seen_where_an_old_one_stands(
    nodes: tuple[RedisCacheStore, RedisCacheStore],
) -> None:
    one, two = nodes
    await got(two.keep(KEY, entry(two, b"old")))
    await got(one.keep(KEY, entry(one, b"new")))
    assert await bodies(two) == [b"old"]
    assert [each.body for each in await two.look(KEY)] == [b"new"]
    assert await bodies(two) == [b"new"]


async def test_a_large_answer_of_the_fleet_is_given_although_it_is_not_kept_here_yet(
    nodes: tuple[RedisCacheStore, RedisCacheStore],
) -> None:
    one, two = nodes
    large = b"x" * 300_000
    await got(one.keep(KEY, entry(one, large)))
    assert await bodies(two) == [large]


async def test_one_slow_look_does_not_give_up_the_fleet_and_all_who_look_share_it(
    nodes: tuple[RedisCacheStore, RedisCacheStore],
) -> None:
    one, two = nodes
    asked = 0

    class Slow:
        async def get(self, name: str) -> bytes:
            nonlocal asked
            asked += 1
            await asyncio.sleep(0)
            raise redis.exceptions.TimeoutError("busy")

    two._patient, two._redis = two._redis, Slow()
    try:
        assert await one.claim(KEY, b"", 5)
        looked = await asyncio.gather(*(two.find(KEY) for _ in range(100)), return_exceptions=True)
        assert asked == 1
        assert {type(each) for each in looked} == {CacheStoreGone}
        assert not await two.claim(KEY, b"", 5), "the other node's claim still counts"
        await got(one.keep(KEY, entry(one)))
        assert [each.body for each in await two.look(KEY)] == [b"ok"]
    finally:
        two._redis = two._patient


async def test_a_redis_that_is_back_is_asked_again_once_its_journal_was_read(
    nodes: tuple[RedisCacheStore, RedisCacheStore],
) -> None:
    one, two = nodes
    two._rest_until = time.monotonic() + 60
    assert two.state == "away"
    assert two.claim(KEY, b"", 5) is True
    await two.follow()
    assert two.state == "redis"
    assert await two.claim(KEY, b"", 5)
    assert not await one.claim(KEY, b"", 5)
