"""The hub of one process: who subscribed to what, and giving each event to them.

An event is encoded once a protocol; what a connection gets are the very same bytes. Everything of one turn of the event loop is
written to a connection by one call.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Protocol, TypeVar

from spork.application.channels.ports import Broker, Member
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.topics import Matcher

log = logging.getLogger("spork.channels")

T = TypeVar("T")


class Subscriber(Protocol):
    """One connection that hears events. Its methods must not raise or block."""

    front: str

    def hear(self, event: ChannelEvent, topic: str) -> bool:
        """An event that one of its matchers selects, by `topic`. True when something is to be written: `flush` is called later."""

    def flush(self) -> None:
        """Write what has come since the last flush."""

    def beat(self, now: float) -> None:
        """Time has passed: `now` in monotonic seconds."""


class ChannelCounts:
    """What the metrics say of channels. Fronts: mercure, pusher, personal."""

    def __init__(self) -> None:
        self.published: dict[str, int] = {}
        self.refused: dict[tuple[str, str], int] = {}
        self.delivered = 0
        self.slow: dict[str, int] = {}

    def publish(self, front: str) -> None:
        self.published[front] = self.published.get(front, 0) + 1

    def refuse(self, front: str, action: str) -> None:
        mark = (front, action)
        self.refused[mark] = self.refused.get(mark, 0) + 1

    def too_slow(self, front: str) -> None:
        self.slow[front] = self.slow.get(front, 0) + 1


class Hub:
    """Every subscriber of this process. Implements `ports.Listener`."""

    def __init__(self, broker: Broker) -> None:
        self.broker = broker
        self.counts = ChannelCounts()
        self.failures = 0
        self._exact: dict[str, dict[Subscriber, None]] = {}
        self._patterns: dict[Matcher, dict[Subscriber, None]] = {}
        self._all: dict[Subscriber, tuple[Matcher, ...]] = {}
        self._written: list[Subscriber] = []
        #: Called for members that a dead node left behind, by front.
        self.on_left_behind: list[Callable[[Member], None]] = []
        broker.attach(self)

    def __repr__(self) -> str:
        return f"<Hub {len(self._all)} subscribers, {len(self._exact)} topics, {len(self._patterns)} patterns>"

    def __len__(self) -> int:
        return len(self._all)

    # --------------------------------------------------------------------------------------------------- subscriptions

    def subscribe(self, subscriber: Subscriber, matchers: Iterable[Matcher]) -> None:
        """`subscriber` hears what any of `matchers` selects, beside what it heard before."""
        new = tuple(matchers)
        self._all[subscriber] = tuple(dict.fromkeys((*self._all.get(subscriber, ()), *new)))
        for each in new:
            if each.exact:
                self._exact.setdefault(each.text, {})[subscriber] = None
            else:
                self._patterns.setdefault(each, {})[subscriber] = None

    def unsubscribe(self, subscriber: Subscriber, matchers: Collection[Matcher] | None = None) -> None:
        """It does not hear these any more; None: it is gone."""
        known = self._all.get(subscriber, ())
        leaving = known if matchers is None else tuple(each for each in known if each in matchers)
        for each in leaving:
            if each.exact:
                _take_out(self._exact, each.text, subscriber)
            else:
                _take_out(self._patterns, each, subscriber)
        if matchers is None:
            self._all.pop(subscriber, None)
        elif subscriber in self._all:
            self._all[subscriber] = tuple(each for each in known if each not in matchers)

    def topics(self) -> Iterator[tuple[str, str, int]]:
        """Type, text and number of subscribers of everything that is subscribed to here."""
        for topic, group in self._exact.items():
            yield ("exact", topic, len(group))
        for each, group in self._patterns.items():
            yield (each.kind, each.text, len(group))

    def count_on(self, topic: str) -> int:
        """Subscribers of exactly this topic."""
        return len(self._exact.get(topic, ()))

    # -------------------------------------------------------------------------------------------------------- delivery

    def deliver(self, event: ChannelEvent) -> None:
        written = self._written
        waiting = bool(written)
        topics = event.topics
        if len(topics) == 1 and not self._patterns:
            topic = topics[0]
            group = self._exact.get(topic)
            if group is not None:
                written += [subscriber for subscriber in group if subscriber.hear(event, topic)]
        else:
            for subscriber, topic in self._audience(event).items():
                if subscriber.hear(event, topic):
                    written.append(subscriber)
        if written and not waiting:
            asyncio.get_running_loop().call_soon(self._flush)

    def _audience(self, event: ChannelEvent) -> dict[Subscriber, str]:
        """Who hears an event, each once, and by which topic: one it named exactly comes before one that a pattern selects."""
        found: dict[Subscriber, str] = {}
        for topic in event.topics:
            for subscriber in self._exact.get(topic, ()):
                found.setdefault(subscriber, topic)
        for each, group in self._patterns.items():
            for topic in event.topics:
                if each.matches(topic):
                    for subscriber in group:
                        found.setdefault(subscriber, topic)
                    break
        return found

    def _flush(self) -> None:
        written, self._written = self._written, []
        self.counts.delivered += len(written)
        for subscriber in written:
            subscriber.flush()

    def left_behind(self, member: Member) -> None:
        for told in self.on_left_behind:
            try:
                told(member)
            except Exception:
                log.exception("telling who was left behind")

    def beat(self, now: float) -> None:
        """Let every subscriber know that time has passed."""
        for subscriber in tuple(self._all):
            subscriber.beat(now)

    # ---------------------------------------------------------------------------------------------------------- counts

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        fronts: dict[str, int] = {}
        for subscriber in self._all:
            fronts[subscriber.front] = fronts.get(subscriber.front, 0) + 1
        for front, count in fronts.items():
            yield ("gateway_channel_subscribers", (front,), float(count))
        counts = self.counts
        for front, count in counts.published.items():
            yield ("gateway_channel_events_total", (front,), float(count))
        for mark, count in counts.refused.items():
            yield ("gateway_channel_refusals_total", mark, float(count))
        for front, count in counts.slow.items():
            yield ("gateway_channel_slow_total", (front,), float(count))
        yield ("gateway_channel_deliveries_total", (), float(counts.delivered))
        if self.failures:
            yield ("gateway_store_failures_total", ("channels",), float(self.failures))
        yield from self.broker.samples()


def _take_out(groups: dict[T, dict[Subscriber, None]], mark: T, subscriber: Subscriber) -> None:
    group = groups.get(mark)
    if group is not None:
        group.pop(subscriber, None)
        if not group:
            del groups[mark]
