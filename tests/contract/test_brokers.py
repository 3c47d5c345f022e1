"""Channels over every broker: one process, and two nodes over one Redis."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import redis.asyncio

from spork.adapters.memory.broker import MemoryBroker
from spork.adapters.redis.channels import broker as redis_broker
from spork.adapters.redis.channels.broker import RedisBroker
from spork.application.channels.ports import Broker, BrokerGone, Member
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.history import HistoryBounds
from tests.servers import free_port

BOUNDS = HistoryBounds(events=50, age=60.0, bytes=1 << 20)


class Heard:
    """Keeps what a node was told."""

    def __init__(self) -> None:
        self.events: list[ChannelEvent] = []
        self.left: list[Member] = []

    def deliver(self, event: ChannelEvent) -> None:
        self.events.append(event)

    def left_behind(self, member: Member) -> None:
        self.left.append(member)

    @property
    def data(self) -> list[str]:
        return [event.data for event in self.events]


async def got(answer: Any) -> Any:
    return await answer if isinstance(answer, Awaitable) else answer


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "it did not come"
        await asyncio.sleep(0.01)


def event(data: str, topic: str = "t", **fields: Any) -> ChannelEvent:
    return ChannelEvent((topic,), data, fields.pop("id", uuid.uuid4().hex), time.time(), **fields)


def over_redis(url: str, prefix: str, node: str) -> RedisBroker:
    return RedisBroker(redis.asyncio.Redis.from_url(url), BOUNDS, node, time.time, prefix)


@pytest.fixture(params=["memory", "redis"])
async def broker(request: pytest.FixtureRequest) -> AsyncIterator[Broker]:
    if request.param == "memory":
        yield MemoryBroker(BOUNDS, time.time)
        return
    made = over_redis(request.getfixturevalue("redis_url"), uuid.uuid4().hex, "one")
    await made.open()
    yield made
    await made.close()
    await made._redis.aclose()


@pytest.fixture
async def nodes(redis_url: str) -> AsyncIterator[tuple[RedisBroker, RedisBroker]]:
    prefix = uuid.uuid4().hex
    made = over_redis(redis_url, prefix, "one"), over_redis(redis_url, prefix, "two")
    for each in made:
        await each.open()
    yield made
    for each in made:
        await each.close()
        await each._redis.aclose()


async def test_events_come_in_order_and_are_kept_for_who_comes_back(broker: Broker) -> None:
    heard = Heard()
    broker.attach(heard)
    for number in range(5):
        await got(broker.publish(event(str(number), id=f"id-{number}", type="kind", retry=5, private=True, user="u")))
    await until(lambda: len(heard.events) == 5)
    assert heard.data == ["0", "1", "2", "3", "4"]
    first = heard.events[0]
    assert (first.topics, first.type, first.retry, first.private, first.user) == (("t",), "kind", 5, True, "u")
    replay = broker.after("id-2")
    assert (replay.after, [each.data for each in replay.events]) == ("id-2", ["3", "4"])
    assert broker.last == "id-4"
    lost = broker.after("never")
    assert (lost.after, len(lost.events)) == ("earliest", 5)
    newest = broker.newest_on("t")
    assert newest is not None
    assert newest.data == "4"


async def test_news_of_a_front_is_told_and_not_kept(broker: Broker) -> None:
    heard = Heard()
    broker.attach(heard)
    await got(broker.publish(event("news", control="pusher")))
    await until(lambda: heard.data == ["news"])
    assert broker.after("earliest").events == ()


async def test_the_history_is_bounded(broker: Broker) -> None:
    for number in range(60):
        await got(broker.publish(event(str(number))))
    await until(lambda: broker.newest_on("t") is not None and broker.newest_on("t").data == "59")  # type: ignore[union-attr]
    assert len(broker.after("earliest").events) == 50
    await got(broker.publish(event("x" * (1 << 20))))
    await until(lambda: broker.newest_on("t") is None)


async def test_a_user_is_present_until_its_last_connection_goes(broker: Broker) -> None:
    one, two = Member("room", "alice", "1", '{"name":"A"}'), Member("room", "alice", "2")
    assert await got(broker.enter(one))
    assert not await got(broker.enter(two))
    assert await got(broker.enter(Member("rooms", "bob", "3")))
    assert sorted(each.connection for each in await got(broker.members("room"))) == ["1", "2"]
    assert len(await got(broker.everybody("room"))) == 3
    assert not await got(broker.leave(one))
    assert await got(broker.leave(two))
    assert not await got(broker.leave(two)), "nobody leaves twice"
    assert await got(broker.members("room")) == []


async def test_what_one_node_publishes_every_node_hears_once(nodes: tuple[RedisBroker, RedisBroker]) -> None:
    heard = Heard(), Heard()
    for node, ear in zip(nodes, heard, strict=True):
        node.attach(ear)
    await asyncio.gather(*(nodes[number % 2].publish(event(str(number))) for number in range(40)))
    await until(lambda: all(len(ear.events) >= 40 for ear in heard))
    assert heard[0].data == heard[1].data
    assert sorted(map(int, heard[0].data)) == list(range(40))


async def test_a_node_that_starts_knows_what_was_published(nodes: tuple[RedisBroker, RedisBroker]) -> None:
    one, _ = nodes
    await one.publish(event("before", id="a"))
    late = RedisBroker(one._redis, BOUNDS, "late", time.time, one._stream.partition(":")[0])
    heard = Heard()
    late.attach(heard)
    await late.open()
    assert [each.data for each in late.after("earliest").events] == ["before"]
    assert heard.events == [], "nobody was here to hear it"
    await late.close()


async def test_presence_is_the_fleets_and_a_dead_node_leaves_nobody(
    nodes: tuple[RedisBroker, RedisBroker], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = nodes
    heard = Heard()
    one.attach(heard)
    await two.enter(Member("room", "bob", "9"))
    assert not await one.enter(Member("room", "bob", "1")), "he is there by the other node"
    await two.enter(Member("room", "carol", "10"))
    assert [each.user for each in await one.members("room")] == ["bob", "bob", "carol"]
    for task in two._tasks:
        task.cancel()
    monkeypatch.setattr(redis_broker, "DEAD_AFTER", 0.0)
    await one._redis.zadd(one._nodes, {"two": 1.0})
    await one._bury("two")
    assert [member.user for member in heard.left] == ["carol"], "bob has another connection"
    assert [each.user for each in await one.members("room")] == ["bob"]


async def test_without_redis_publishing_fails_and_this_node_can_still_be_told() -> None:
    away = over_redis(f"redis://127.0.0.1:{free_port()}", "p", "one")
    heard = Heard()
    away.attach(heard)
    await away.open()
    assert away.state == "away"
    with pytest.raises(BrokerGone):
        await away.publish(event("x"))
    away.publish_here(event("here"))
    assert heard.data == ["here"]
    await away.close()
    await away._redis.aclose()
