"""One subscriber over an event stream."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence

from spork.application.channels.access import Access
from spork.application.channels.door import Ground
from spork.application.channels.queue import SendQueue
from spork.application.kernel.streams import ResponseSink
from spork.application.live.endings import SLOW_CONSUMER, Ending
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.settings import MERCURE
from spork.domain.channels.topics import Matcher
from spork.domain.http.event_stream import HEARTBEAT


class EventStream:
    """Writes events to a sink as they come, and says goodbye. Implements `hub.Subscriber`."""

    __slots__ = ("_beat_at", "_queue", "_replaying", "_sink", "_wake", "access", "ending", "front", "ground", "id")

    def __init__(self, id: str, sink: ResponseSink, access: Access, ground: Ground) -> None:
        self.id = id
        self.front = MERCURE
        self.ending: Ending | None = None
        self._sink = sink
        self.access = access
        self.ground = ground
        self._queue = SendQueue(ground.settings.slow)
        self._replaying = True
        self._beat_at = ground.monotonic()
        self._wake: asyncio.Future[None] | None = None

    def hear(self, event: ChannelEvent, topic: str) -> bool:
        if event.control or self.ending is not None or not self.access.may_hear(event):
            return False
        queue = self._queue
        first = not len(queue)
        if not queue.add(event.sse):
            self.ground.hub.counts.too_slow(self.front)
            self.end(SLOW_CONSUMER)
            return False
        return first and not self._replaying

    def flush(self) -> None:
        if self._sink.paused:
            self._notify()
        elif self.ending is None and len(self._queue):
            self._beat_at = self.ground.monotonic()
            self._sink.write(self._queue.take())

    def beat(self, now: float) -> None:
        every = self.ground.settings.heartbeat
        if every and now - self._beat_at >= every and not self._sink.paused and self.ending is None:
            self._beat_at = now
            self._sink.write(HEARTBEAT)

    def end(self, ending: Ending) -> None:
        """It has to go; the first ending holds."""
        if self.ending is None:
            self.ending = ending
            self._notify()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def run(self, matchers: Sequence[Matcher], missed: Iterable[ChannelEvent]) -> None:
        """Tell what was missed, then what comes, until it has to end or the client leaves (cancellation).

        It subscribed before: what comes meanwhile waits until what was missed is told.
        """
        sink = self._sink
        await self._replay(matchers, missed)
        self._replaying = False
        loop = asyncio.get_running_loop()
        while self.ending is None:
            if len(self._queue):
                await sink.drain()
                self.flush()
            self._wake = loop.create_future()
            if self.ending is None and not len(self._queue):
                await self._wake

    async def _replay(self, matchers: Sequence[Matcher], missed: Iterable[ChannelEvent]) -> None:
        for event in missed:
            if self.ending is not None:
                return
            if not event.control and self.access.may_hear(event) and _selects(matchers, event):
                self._sink.write(event.sse)
                if self._sink.paused:
                    await self._sink.drain()


def _selects(matchers: Sequence[Matcher], event: ChannelEvent) -> bool:
    return any(each.matches(topic) for each in matchers for topic in event.topics)
