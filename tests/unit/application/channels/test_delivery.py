"""Delivery: the same bytes for all, what waits for slow readers, and how connections end."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from spork.adapters.memory.broker import MemoryBroker
from spork.adapters.memory.front_door import MemorySink
from spork.application.channels.access import Access
from spork.application.channels.door import Ground
from spork.application.channels.hub import Hub
from spork.application.channels.queue import SendQueue
from spork.application.channels.socket import PusherSocket
from spork.application.channels.stream import EventStream
from spork.application.channels.talk import Talk
from spork.application.live.registry import LiveExchanges
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.rules import ChannelRule, ChannelRules, Demand
from spork.domain.channels.settings import DROP_OLDEST, ChannelSettings, SlowBounds
from spork.domain.channels.topics import EXACT, URL_PATTERN, matcher
from spork.domain.identity.revocation import RevocationSet

OPEN = ChannelRule("*", Demand(anonymous=True), Demand(anonymous=True))


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def unix(self) -> float:
        return self.now


class PacedSink(MemorySink):
    """A client that reads only when it is let to."""

    def __init__(self) -> None:
        super().__init__(status=200)
        self.pieces: list[bytes] = []
        self.reads = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.pieces.append(data)

    async def drain(self) -> None:
        if self.paused:
            await self.reads.wait()
            self.paused = False


class FakeTunnel:
    """A client's socket: what was written, and how it was ended."""

    drain_code = 0
    paused = False

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.goodbye: tuple[int, str] | None = None

    def write(self, data: bytes) -> None:
        self.written.append(data)

    async def read(self) -> bytes:
        return b""

    async def drain(self) -> None:
        return None

    def go_away(self, code: int = 0, text: str = "") -> None:
        self.goodbye = (code, text)

    def close(self) -> None:
        return None


class House:
    def __init__(self, **settings: Any) -> None:
        self.clock = Clock()
        self.settings = ChannelSettings(rules=(OPEN,), **settings)
        self.hub = Hub(MemoryBroker(self.settings.history, self.clock.unix))
        live = LiveExchanges(self.clock, RevocationSet(), lambda name: None)
        numbers = itertools.count()
        self.ground = Ground(self.settings, self.hub, live, self.clock, lambda: str(next(numbers)))

    def access(self) -> Access:
        return Access(ChannelRules(self.settings.rules), None, (), 0.0)

    def stream(self, *topics: str) -> tuple[EventStream, PacedSink, asyncio.Task[None]]:
        sink = PacedSink()
        stream = EventStream("urn:uuid:s", sink, self.access(), self.ground)
        matchers = [matcher(URL_PATTERN if ":" in topic else EXACT, topic, "/hub") for topic in topics]
        self.hub.subscribe(stream, matchers)
        return stream, sink, asyncio.ensure_future(stream.run(matchers, ()))

    def say(self, data: str = "x", *topics: str) -> ChannelEvent:
        event = ChannelEvent(topics or ("t",), data, "1", 0.0)
        self.hub.broker.publish(event)
        return event


async def turns(number: int = 4) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def test_everybody_gets_the_very_same_bytes_by_one_write_a_turn() -> None:
    house = House()
    streams = [house.stream("t") for _ in range(3)]
    await turns()
    event = house.say()
    await turns()
    assert all(sink.pieces == [event.sse] and sink.pieces[0] is event.sse for _, sink, _ in streams)
    house.say("a")
    house.say("b")
    await turns()
    assert [len(sink.pieces) for _, sink, _ in streams] == [2, 2, 2], "two events, one write"
    for stream, _, task in streams:
        house.hub.unsubscribe(stream)
        task.cancel()
    assert (len(house.hub), list(house.hub.topics())) == (0, [])


async def test_an_event_on_several_topics_is_heard_once() -> None:
    house = House()
    _, sink, task = house.stream("a", "b", "/:any")
    await turns()
    house.say("x", "a", "b", "/c")
    await turns()
    assert len(sink.pieces) == 1
    task.cancel()


async def test_a_slow_reader_gets_everything_once_it_reads_and_nobody_waits_for_it() -> None:
    house = House()
    _, slow, slow_task = house.stream("t")
    _, quick, quick_task = house.stream("t")
    await turns()
    slow.paused = True
    events = [house.say(str(number)) for number in range(10)]
    await turns()
    assert (slow.pieces, len(b"".join(quick.pieces))) == ([], sum(len(event.sse) for event in events))
    slow.reads.set()
    await turns()
    assert b"".join(slow.pieces) == b"".join(event.sse for event in events)
    for task in (slow_task, quick_task):
        task.cancel()


@pytest.mark.parametrize("bounds", [SlowBounds(queue_bytes=200), SlowBounds(events=5)])
async def test_a_reader_that_is_too_slow_is_ended_and_told_to_come_back(bounds: SlowBounds) -> None:
    house = House(slow=bounds)
    stream, sink, task = house.stream("t")
    await turns()
    sink.paused = True
    for number in range(20):
        house.say(str(number))
    await asyncio.wait_for(task, 5)
    assert stream.ending is not None
    assert (stream.ending.reason, stream.ending.orderly) == ("slow_consumer", True)
    assert house.hub.counts.slow == {"mercure": 1}


def test_a_queue_may_leave_out_the_oldest() -> None:
    queue = SendQueue(SlowBounds(queue_bytes=10, events=100, then=DROP_OLDEST))
    assert all(queue.add(str(number).encode() * 3) for number in range(5))
    assert (queue.take(), queue.dropped, len(queue), queue.size) == (b"222333444", 2, 0, 0)


async def test_a_slow_socket_is_closed_with_a_code_that_clients_know() -> None:
    house = House(slow=SlowBounds(events=3))
    tunnel = FakeTunnel()
    socket = PusherSocket("1.1", tunnel, house.access(), house.ground)
    talk = Talk(None, None, house.ground)  # type: ignore[arg-type]
    await talk.hear(socket, "pusher:subscribe", {"data": {"channel": "t"}})
    assert b"subscription_succeeded" in tunnel.written[-1]
    tunnel.paused = True
    for number in range(5):
        house.say(str(number))
    await turns()
    assert tunnel.goodbye == (4100, "too slow")
    assert tunnel.drain_code == 4200


async def test_a_silent_socket_is_asked_and_then_ended() -> None:
    house = House()
    tunnel = FakeTunnel()
    socket = PusherSocket("1.1", tunnel, house.access(), house.ground)
    house.hub.subscribe(socket, ())
    house.hub.beat(house.clock.now + 121)
    house.hub.beat(house.clock.now + 122)
    assert [b"pusher:ping" in frame for frame in tunnel.written] == [True]
    house.hub.beat(house.clock.now + 151)
    assert tunnel.goodbye == (4201, "idle")
