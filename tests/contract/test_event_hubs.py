"""Event hubs over real servers: every event arrives once, in order, as CloudEvents 1.0; a hub that is gone costs nothing
but loss that is counted."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import nats
import pytest
import redis.asyncio

from spork.adapters.httpx.webhook import WebhookHub
from spork.adapters.nats.events import NatsHub
from spork.adapters.redis.fleet.events import RedisHub
from spork.application.telemetry.event_delivery import CloudEvent, EventDelivery, Hub, HubGone
from spork.application.telemetry.event_log import EventLog
from tests import servers
from tests.servers import free_port

Read = Callable[[int], Awaitable[list[dict[str, Any]]]]


@dataclass
class Receiver:
    """A webhook's receiver that answers `statuses` in turn, then 204."""

    port: int = field(default_factory=free_port)
    statuses: list[int] = field(default_factory=list)
    requests: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
                body = await reader.readexactly(length)
                status = self.statuses.pop(0) if self.statuses else 204
                if 200 <= status < 300:
                    self.requests.append((head, json.loads(body)))
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\nlocation: http://10.0.0.1/\r\n\r\n".encode())
                await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self, "127.0.0.1", self.port)
        try:
            yield f"http://127.0.0.1:{self.port}/events"
        finally:
            server.close()


@pytest.fixture(params=["redis", "nats", "webhook"])
async def hub(request: pytest.FixtureRequest) -> AsyncIterator[tuple[Hub, Read]]:
    """A hub, and a reader of the first N events it received."""
    if request.param == "redis":
        client = redis.asyncio.Redis.from_url(request.getfixturevalue("redis_url"))
        stream = uuid.uuid4().hex

        async def from_stream(count: int) -> list[dict[str, Any]]:
            async with asyncio.timeout(5):
                while len(rows := await client.xrange(stream)) < count:
                    await asyncio.sleep(0.005)
            return [json.loads(row[b"event"]) for _, row in rows]

        yield RedisHub(client, stream), from_stream
    elif request.param == "nats":
        with servers.nats_url() as url:
            reader = await nats.connect(url)
            subscription = await reader.subscribe("spork.events.>")
            await reader.flush()

            async def from_subject(count: int) -> list[dict[str, Any]]:
                return [json.loads((await subscription.next_msg(timeout=5)).data) for _ in range(count)]

            yield NatsHub(url), from_subject
            await reader.close()
    else:
        receiver = Receiver()
        async with receiver.up() as url:

            async def from_requests(count: int) -> list[dict[str, Any]]:
                async with asyncio.timeout(5):
                    while len(receiver.requests) < count:
                        await asyncio.sleep(0.005)
                assert all("content-type: application/cloudevents+json" in head for head, _ in receiver.requests)
                return [body for _, body in receiver.requests]

            yield WebhookHub(url), from_requests


def event_log() -> EventLog:
    return EventLog("node-1", lambda: 1_790_000_000.25)


async def test_every_event_arrives_once_and_in_order(hub: tuple[Hub, Read]) -> None:
    events, delivery = event_log(), EventDelivery(hub[0], "/spork/test")
    events.listen(delivery.hear)
    await delivery.open()
    for number in range(250):
        events.publish("breaker.opened", f"users-{number}", {"detail": "5 of 10 calls failed", "odd": b"\xff"})
    received = await hub[1](250)
    await delivery.close()
    assert [event["subject"] for event in received] == [f"users-{n}" for n in range(250)]
    assert len({event["id"] for event in received}) == 250
    assert (delivery.delivered, delivery.lost) == (250, 0)
    first = received[0]
    assert first["specversion"] == "1.0"
    assert first["type"] == "spork.breaker.opened"
    assert first["source"] == "/spork/test"
    assert first["time"] == "2026-09-21T14:13:20.250Z"
    assert first["datacontenttype"] == "application/json"
    assert first["data"]["detail"] == "5 of 10 calls failed"


async def test_closing_delivers_what_waits(hub: tuple[Hub, Read]) -> None:
    events, delivery = event_log(), EventDelivery(hub[0], "/spork/test")
    events.listen(delivery.hear)
    await delivery.open()
    events.publish("config.applied", "r1", {})
    received = asyncio.ensure_future(hub[1](1))
    await delivery.close()
    assert delivery.delivered == 1
    if isinstance(hub[0], RedisHub):
        received.cancel()  # its client is closed with the hub
    else:
        assert (await received)[0]["type"] == "spork.config.applied"


@pytest.mark.parametrize(
    "gone",
    [
        lambda: RedisHub(redis.asyncio.Redis(port=free_port())),
        lambda: NatsHub(f"nats://127.0.0.1:{free_port()}", timeout=0.2),
        lambda: WebhookHub(f"http://127.0.0.1:{free_port()}/"),
    ],
    ids=["redis", "nats", "webhook"],
)
async def test_a_hub_that_is_gone_says_so(gone: Callable[[], Hub]) -> None:
    hub = gone()
    with pytest.raises(HubGone):
        await hub.deliver([{"id": "1", "type": "spork.x"}])
    await hub.close()


class Wall:
    """A hub that takes nothing until `open` is set."""

    def __init__(self) -> None:
        self.taken: list[CloudEvent] = []
        self.open = False

    async def deliver(self, events: Sequence[CloudEvent]) -> None:
        if not self.open:
            raise HubGone("closed")
        self.taken += events

    async def close(self) -> None:
        """Nothing is open."""


async def test_beyond_the_bound_events_are_lost_counted_and_confessed() -> None:
    wall, events = Wall(), event_log()
    delivery = EventDelivery(wall, "/spork", bound=10, pause=0.01)
    events.listen(delivery.hear)
    await delivery.open()
    for number in range(25):
        events.publish("target.ejected", str(number), {})
    assert delivery.lost == 15
    wall.open = True
    async with asyncio.timeout(5):
        while delivery.delivered < 10:
            await asyncio.sleep(0.005)
    events.publish("target.returned", "x", {})
    async with asyncio.timeout(5):
        while delivery.delivered < 11:
            await asyncio.sleep(0.005)
    assert wall.taken[-1]["lostbefore"] == 15
    assert [e["subject"] for e in wall.taken[:10]] == [str(n) for n in range(10)]
    samples = {name: value for name, _, value in delivery.samples()}
    assert samples == {
        "gateway_events_lost_total": 15,
        "gateway_events_delivered_total": 11,
        "gateway_events_waiting": 0,
    }
    await delivery.close()


async def test_what_cannot_be_delivered_in_the_grace_is_counted_as_lost() -> None:
    events = event_log()
    delivery = EventDelivery(Wall(), "/spork", grace=0.05, pause=0.01)
    events.listen(delivery.hear)
    await delivery.open()
    events.publish("target.ejected", "x", {})
    await delivery.close()
    assert delivery.lost == 1


async def test_kinds_select() -> None:
    wall, events = Wall(), event_log()
    wall.open = True
    delivery = EventDelivery(wall, "/spork", ("breaker.opened", "target.*"))
    events.listen(delivery.hear)
    await delivery.open()
    for kind in ("breaker.opened", "breaker.closed", "target.ejected", "targets.x", "config.applied"):
        events.publish(kind, "x", {})
    await delivery.close()
    assert [e["type"] for e in wall.taken] == ["spork.breaker.opened", "spork.target.ejected"]


async def test_a_webhook_is_tried_again_refusals_are_final_and_redirects_not_followed() -> None:
    receiver = Receiver(statuses=[204, 500, 302, 400])
    async with receiver.up() as url:
        hub, events = WebhookHub(url), event_log()
        delivery = EventDelivery(hub, "/spork", pause=0.01)
        events.listen(delivery.hear)
        await delivery.open()
        for number in range(3):
            events.publish("config.applied", str(number), {})
        await delivery.close()
    assert [body["subject"] for _, body in receiver.requests] == ["0", "2"], "0 once, 1 refused with 400"
    assert hub.refused == 1
