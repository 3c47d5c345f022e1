"""Keeps a Store current from one gateway, for as long as the console runs.

    identify -> snapshot -> stream (or poll) -> something breaks -> wait -> again, forever

The stream is preferred. A gateway without one, or a proxy that swallows it, is polled instead, for the visible
screen's topics only, never with two requests in flight, and the interval doubles while answers are slow. After a 401
nothing is asked until the operator acts (no lock-out hammering); Retry-After is obeyed; a stream that breaks is
resumed with Last-Event-ID, and a gap costs one snapshot.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from typing import Any

from spork.application.views import EventView, Nodes, PulseView, TrafficView
from spork.console.gateway.client import ConsoleClient, ConsoleSnapshot, convert, decode
from spork.console.gateway.faults import (
    Absent,
    AccessDenied,
    BadData,
    Broken,
    LinkFault,
    TooManyRequests,
    Unauthenticated,
    Unreachable,
)
from spork.console.gateway.sse import ServerEvent
from spork.console.gateway.topics import LIVE, TOPICS
from spork.console.session.store import Store
from spork.console.text.sanitize import clean

BACKOFF_FIRST, BACKOFF_MOST = 0.5, 30.0
POLL_DEFAULT, POLL_MOST = 2.0, 30.0
STREAM_AGAIN = 60.0
"""While polling because the stream was no use, seconds until it is tried again."""
NODES_EVERY = 10.0
"""Seconds between looks at the fleet, when the stream's ticks do not say which nodes answer."""
TICK = 1.0


class Feed:
    """See the module. `topics` is what the visible screen needs (polling); `poll` forces polling at that interval."""

    def __init__(
        self,
        store: Store,
        client: ConsoleClient,
        *,
        poll: float | None = None,
        mono: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        chance: random.Random | None = None,
    ) -> None:
        self.store = store
        self.client = client
        self.topics: tuple[str, ...] = LIVE
        self._poll = poll
        self._mono, self._wall = mono, wall
        self._chance = chance or random.Random()
        self._nudge = asyncio.Event()
        self._last_id = ""
        self._etag: str | None = None
        self._stream_dead_until = 0.0
        self._silent_streams = 0
        self._side: set[asyncio.Task[None]] = set()
        self._nodes_at = 0.0

    def nudge(self) -> None:
        """The operator wants it now: end the waiting."""
        self._nudge.set()

    async def run(self) -> None:
        """Until cancelled. Faults end up in the store, never here."""
        while True:
            try:
                await self._once()
            except LinkFault as fault:
                await self._lost(fault)
            except Exception as error:  # a defect of ours must not end the console; it is shown as what it is
                await self._lost(Broken(f"console defect: {clean(repr(error), 120)}"))

    async def _once(self) -> None:
        self.store.who = await self.client.whoami()
        await self.read(LIVE, first=True)
        self._aside(self._look_for_restart())
        if self._poll is not None or self._mono() < self._stream_dead_until:
            await self._polling()
        else:
            await self._streaming()

    async def _lost(self, fault: LinkFault) -> None:
        link = self.store.link
        pause: float | None = self._pause(link.attempt)
        if isinstance(fault, (Unauthenticated, AccessDenied)):
            pause = None
        elif isinstance(fault, TooManyRequests):
            pause = fault.retry_after
        link.lost(fault, self._mono(), pause)
        for shelf in self.store.shelves.values():
            shelf.reading = False
        self.store.changes += 1
        await self._wait(pause)

    def _pause(self, attempt: int) -> float:
        ceiling = min(BACKOFF_MOST, BACKOFF_FIRST * 2 ** min(attempt, 10))
        return float(ceiling * (0.5 + 0.5 * self._chance.random()))

    async def _wait(self, seconds: float | None) -> None:
        self._nudge.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._nudge.wait()
        except TimeoutError:
            pass

    # ------------------------------------------------------------------------------------------------------ snapshots

    async def read(self, topics: Iterable[str], *, first: bool = False) -> None:
        """One snapshot of `topics` into the store. A topic that is denied or malformed fails alone."""
        names = tuple(topics)
        for name in names:
            self.store.shelves[name].reading = True
        try:
            found = await self.client.snapshot(names, None if first else self._etag)
        except AccessDenied as fault:
            if len(names) == 1:
                raise
            await self._one_by_one(names, fault, first)
            return
        self._take(found, names, first)

    async def _one_by_one(self, names: tuple[str, ...], fault: AccessDenied, first: bool) -> None:
        readable = 0
        for name in names:
            try:
                found = await self.client.snapshot((name,))
            except AccessDenied as refusal:
                self.store.fail((name,), refusal)
                continue
            readable += 1
            self._take(found, (name,), first and readable == 1)
        if not readable:
            raise fault

    def _take(self, found: ConsoleSnapshot | None, names: tuple[str, ...], first: bool) -> None:
        now, wall, store = self._mono(), self._wall(), self.store
        if found is None:
            store.renew(names, now)
            return
        if first:
            store.new_link()
        self._etag = found.etag
        store.nodes = found.nodes or store.nodes
        self._nodes_at = now
        for name, rows in found.rows.items():
            store.replace(name, rows, found.rev, total=found.totals.get(name))
        for name, fault in found.faults.items():
            store.fail((name,), fault)
        store.renew(found.rows, now, as_of=found.as_of, wall=wall)
        store.settle(found.rev, tuple(found.rows))

    def _take_one(self, topic: str, found: ConsoleSnapshot | None) -> None:
        """A snapshot of one topic. The ETag of all of them stays good."""
        etag = self._etag
        self._take(found, (topic,), first=False)
        self._etag = etag

    async def refresh(self, topic: str, **params: str | int) -> None:
        """Read one topic through its own call (topics that no stream carries, searches). Raises a Fault."""
        shelf = self.store.shelves[topic]
        shelf.reading = True
        try:
            if shelf.topic.named_only:
                self._take_one(topic, await self.client.snapshot((topic,)))
                return
            page = await self.client.page(topic, **params)
        except LinkFault as fault:
            self.store.fail((topic,), fault)
            raise
        self.store.replace(topic, page.items, page.rev, total=page.total)
        self.store.renew((topic,), self._mono(), as_of=page.as_of or None, wall=self._wall())

    # -------------------------------------------------------------------------------------------------------- polling

    async def _polling(self) -> None:
        interval = base = self._poll or POLL_DEFAULT
        self.store.link.up("poll")
        until = self._stream_dead_until if self._poll is None else float("inf")
        while self._mono() < until:
            self._interval(interval)
            await self._wait(interval)
            started = self._mono()
            await self.read(dict.fromkeys(("pulse", *(name for name in self.topics if name in LIVE))))
            took = self._mono() - started
            interval = min(POLL_MOST, interval * 2) if took > interval else max(base, interval / 2)

    def _interval(self, seconds: float) -> None:
        for name in LIVE:
            self.store.shelves[name].interval = seconds

    # ------------------------------------------------------------------------------------------------------ streaming

    async def _streaming(self) -> None:
        self._interval(TICK)
        events = 0
        resume, self._last_id = self._last_id, ""
        try:
            async for event in self.client.stream(LIVE, self.store.rev, resume):
                if not events:
                    self.store.link.up("sse")
                    self.store.changes += 1
                events += 1
                self._silent_streams = 0
                if not event.comment:
                    self._last_id = event.id
                    self._event(event)
        except Absent:
            self._stream_dead_until = self._mono() + STREAM_AGAIN
            return
        except TooManyRequests as fault:  # too many streams already: ask like everybody else meanwhile
            self._stream_dead_until = self._mono() + max(POLL_MOST, fault.retry_after)
            return
        except Unreachable as fault:
            self._no_use(events, fault)
            raise
        raise Unreachable("the gateway ended the stream")

    def _no_use(self, events: int, fault: LinkFault) -> None:
        """A stream that connects and never says anything, twice in a row, is being buffered away: poll for a while."""
        if events == 0 and (isinstance(fault, Broken) or "heartbeat" in str(fault)):
            self._silent_streams += 1
            if self._silent_streams >= 2 or isinstance(fault, Broken):
                self._stream_dead_until = self._mono() + STREAM_AGAIN

    def _event(self, event: ServerEvent) -> None:
        try:
            body = decode(event.data, event.name)
            if not isinstance(body, dict):
                raise BadData(f"{event.name}: not an object")
            rev = int(event.id) if event.id.isascii() and event.id.isdigit() else self.store.rev
            self._dispatch(event.name, body, rev)
        except BadData as fault:
            topic = _topic_of(event, fault)
            self.store.fail((topic,), fault)

    def _dispatch(self, name: str, body: dict[str, Any], rev: int) -> None:
        store = self.store
        if name == "delta":
            topic = TOPICS.get(str(body.get("topic")))
            if topic is not None and topic.named_only:
                self._read_again(topic.name)
            elif topic is not None:
                rows = convert(body.get("rows") or [], list[topic.row], topic.name)  # type: ignore[name-defined]
                store.delta(topic.name, rows, [str(key) for key in body.get("gone") or ()], rev)
                self._heal(topic.name)
                if topic.name == "events":
                    self._hear(rows)
        elif name == "tick":
            self._tick(body, rev)
        elif name == "sample":
            store.sample(convert(body.get("rows") or [], list[TrafficView], "traffic"), int(body.get("rate") or 1))
        elif name == "audit":
            rows = convert(body.get("rows") or [], list[EventView], "events")
            store.audit(rows)
            self._hear(rows)
        elif name == "gap":
            lost = body.get("lost")
            store.gap(lost if isinstance(lost, int) else None, str(body.get("since", "")), self._wall())
            self._aside(self.read(LIVE, first=True))

    def _hear(self, rows: list[EventView]) -> None:
        """A reload that was refused changes the configuration's problems, not its revision: only the event tells."""
        if any(row.kind.startswith("config.") for row in rows):
            self._read_again("config")

    def _read_again(self, topic: str) -> None:
        if not self.store.shelves[topic].reading:
            self._aside(self.refresh(topic))

    def _tick(self, body: dict[str, Any], rev: int) -> None:
        store, now = self.store, self._mono()
        if body.get("pulse") is not None:
            store.delta("pulse", [convert(body["pulse"], PulseView, "pulse")], (), rev)
            self._heal("pulse")
        if body.get("nodes") is not None:
            store.nodes = convert(body["nodes"], Nodes, "nodes")
            self._nodes_at = now
        as_of = body.get("as_of")
        healthy = [name for name, shelf in store.shelves.items() if shelf.topic.ticking and shelf.fault is None]
        store.renew(healthy, now, as_of=as_of if isinstance(as_of, (int, float)) else None, wall=self._wall())
        if now - self._nodes_at > NODES_EVERY:
            self._nodes_at = now
            self._aside(self._look_at_nodes())

    async def _look_for_restart(self) -> None:
        """A new link may lead to a new process: its counts and lines begin anew, which the operator is told."""
        page = await self.client.page("nodes")
        started = next((row.started_at for row in page.items if row.answers), None)
        if self.store.told_start(started, self._wall()):
            self.store.changes += 1

    async def _look_at_nodes(self) -> None:
        found = await self.client.snapshot(("pulse",))
        if found is not None and found.nodes is not None:
            self.store.nodes = found.nodes
            self.store.changes += 1

    def _heal(self, topic: str) -> None:
        """A well-formed delta after a malformed one: the topic reads again, holes are filled by a snapshot."""
        if isinstance(self.store.shelves[topic].fault, BadData):
            self.store.shelves[topic].fault = None
            self._aside(self.read((topic,), first=False))

    def _aside(self, work: Any) -> None:
        """Run a read beside the stream; its fault is the topics' age, which shows."""

        async def quiet() -> None:
            try:
                await work
            except LinkFault:
                pass

        task = asyncio.ensure_future(quiet())
        self._side.add(task)
        task.add_done_callback(self._side.discard)


def _topic_of(event: ServerEvent, fault: BadData) -> str:
    """The topic a malformed event speaks for: BadData messages begin with it."""
    name = str(fault).partition(":")[0]
    return (
        name if name in TOPICS else {"tick": "pulse", "sample": "traffic", "audit": "events"}.get(event.name, "pulse")
    )
