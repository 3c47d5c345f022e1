"""The operators' live stream: what changed since a moment, encoded once for everybody who watches.

Every frame has a revision, which is a clock in microseconds that never repeats: it orders the frames of all nodes, so a
console that reconnects to another replica still resumes by time. A ring keeps recent frames; who asks for more than it
holds is told so with `gap` and takes a new snapshot. A watcher that reads slower than we write loses its queue, is
told with `gap`, and never slows anybody else down.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

TOPICS = ("pulse", "services", "targets", "breakers", "quotas", "routes", "traffic", "events", "config", "concerns")

#: Beats without a watcher after which nothing is computed any more.
_IDLE = 60
#: Rows of a topic that are looked at in one beat: a topic that has more is gone through in turns.
AT_ONCE = 500
#: Rows that are looked at before requests have their turn again.
_PIECE = 50

#: Microseconds by which the clocks of gateways may differ once they follow the fleet's.
CLOCKS_APART = 100_000

#: Rows of one topic by key.
Rows = Mapping[str, object]
Encode = Callable[[object], bytes]


@dataclass(frozen=True, slots=True)
class Frame:
    """One event of the stream, encoded. `topic` decides who gets it."""

    rev: int
    topic: str
    wire: bytes


class Revisions:
    """Revisions: microseconds since the epoch, but always later than the last one (a hybrid logical clock)."""

    def __init__(self, unix: Callable[[], float], skew: Callable[[], float] = lambda: 0.0) -> None:
        """`skew()` answers the seconds by which the fleet's clock is ahead of this process's."""
        self._unix = unix
        self._skew = skew
        self._last = 0

    def next(self) -> int:
        self._last = max(self._last + 1, int((self._unix() + self._skew()) * 1_000_000))
        return self._last

    def ahead(self) -> int:
        """A revision that is later than any a gateway has given out, though clocks are not quite one."""
        self._last = self.next() + CLOCKS_APART
        return self._last

    @property
    def last(self) -> int:
        return self._last or self.next()


@dataclass(slots=True, eq=False)
class Watcher:
    """One open stream. `lost` counts frames dropped because it read too slowly; `good` says whether its operator is
    still one."""

    topics: frozenset[str]
    queue: asyncio.Queue[Frame | None]
    lost: int = 0
    since: int = 0
    good: Callable[[], bool] | None = None


class TooManyStreams(Exception):
    """The bound on open streams is reached."""


class Stream:
    """Finds what changed between beats and hands it to the watchers.

    `rows(topics)` answers each topic's present rows by key; a long topic may build each when it is asked for. `tick` is
    what is told each second whether it changed or not. While nobody watches (and for a while nobody did), nothing is
    computed.
    """

    def __init__(
        self,
        revisions: Revisions,
        encode: Encode,
        rows: Callable[[Sequence[str]], Mapping[str, Rows]],
        tick: Callable[[], object],
        traffic: Callable[[int], tuple[Sequence[object], int]],
        traffic_rate: Callable[[], int],
        most: int = 64,
        ring: int = 4096,
        queue: int = 512,
    ) -> None:
        self.revisions = revisions
        self._encode = encode
        self._rows = rows
        self._tick = tick
        self._traffic = traffic
        self._traffic_rate = traffic_rate
        self._most = most
        self._queue = queue
        self._ring: deque[Frame] = deque(maxlen=ring)
        self._ring_from = revisions.next()
        self._watchers: set[Watcher] = set()
        self._known: dict[str, dict[str, object]] = {}
        #: Where the next turn of a long topic begins.
        self._turns: dict[str, int] = {}
        self._traffic_seen = 0
        # Nothing is computed before somebody has come, and a minute after the last one left.
        self._idle_beats = _IDLE + 1
        self._wanted: frozenset[str] = frozenset()
        self._ended = False

    # ---------------------------------------------------------------------------------------------------- watching

    @property
    def watchers(self) -> int:
        return len(self._watchers)

    def watch(self, topics: frozenset[str], since: int | None, good: Callable[[], bool] | None = None) -> Watcher:
        """Start a stream of `topics`, after revision `since` if the ring still holds what followed it.

        Raises TooManyStreams.
        """
        if len(self._watchers) >= self._most or self._ended:
            raise TooManyStreams
        watcher = Watcher(topics, asyncio.Queue(), since=since or self.revisions.last, good=good)
        if since is not None:
            self._resume(watcher, since)
        self._watchers.add(watcher)
        return watcher

    def _resume(self, watcher: Watcher, since: int) -> None:
        # Before the first beat there is nothing to compare with, so a gap is the only honest answer.
        if since < self._ring_from or not self._known or since > self.revisions.last:
            watcher.queue.put_nowait(self._gap(None, since))
            return
        for frame in self._ring:
            if frame.rev > since and frame.topic in watcher.topics:
                watcher.queue.put_nowait(frame)

    def leave(self, watcher: Watcher) -> None:
        self._watchers.discard(watcher)

    def look(self) -> None:
        """End the streams of those who are no operators any more."""
        for watcher in list(self._watchers):
            if watcher.good is not None and not watcher.good():
                self.leave(watcher)
                watcher.queue.put_nowait(None)

    def end(self) -> None:
        """End every stream and take no more: the gateway is going."""
        self._ended = True
        for watcher in list(self._watchers):
            watcher.queue.put_nowait(None)

    async def frames(self, watcher: Watcher, heartbeat: float = 5.0) -> AsyncIterator[bytes]:
        """What goes on the wire, until the stream is ended or the reader leaves."""
        try:
            yield b"retry: 1000\n\n"
            while True:
                try:
                    frame = await asyncio.wait_for(watcher.queue.get(), heartbeat)
                except TimeoutError:
                    yield b": heartbeat\n\n"
                    continue
                # What one beat told goes out in one piece: a console costs a write a second, not one per topic.
                wires = [] if frame is None else [frame.wire]
                while frame is not None and not watcher.queue.empty():
                    frame = watcher.queue.get_nowait()
                    wires += [] if frame is None else [frame.wire]
                if wires:
                    yield b"".join(wires)
                if frame is None:
                    return
        finally:
            self.leave(watcher)

    def prime(self, topics: Iterable[str] = TOPICS) -> None:
        """Somebody has taken a snapshot of `topics`: from this revision on, what follows can be asked for."""
        self._idle_beats = 0
        if not self._known:
            self._ring_from = self.revisions.next()
        if not self._known or not self._wanted >= frozenset(topics):
            self._wanted |= frozenset(topics)
            for _ in self._telling_changes():
                pass

    # ----------------------------------------------------------------------------------------------------- telling

    async def beat(self) -> None:
        """Once a second, after the node reports are in. Requests go on meanwhile."""
        if not self._watchers:
            self._idle_beats += 1
            if self._idle_beats > _IDLE:
                if self._known:
                    self._known = {}
                    self._wanted = frozenset()
                    self._ring.clear()
                return
        else:
            self._idle_beats = 0
        if not self._known:
            self._ring_from = self.revisions.next()
        for _ in self._telling_changes():
            await asyncio.sleep(0)
        self._tell("pulse", "tick", self._tick())
        rows, self._traffic_seen = self._traffic(self._traffic_seen)
        if rows:
            self._tell("traffic", "sample", {"rows": rows, "rate": self._traffic_rate()})

    def _telling_changes(self) -> Iterator[None]:
        """Tell what changed, in steps."""
        for watcher in self._watchers:
            self._wanted |= watcher.topics
        wanted = [topic for topic in TOPICS if topic in self._wanted and topic not in ("pulse", "traffic")]
        for topic in wanted:
            rows = self._rows([topic]).get(topic)
            yield
            if rows is None:
                continue
            known = self._known.get(topic)
            first, before = known is None, known or {}
            changed: list[object] = []
            after = {key: before[key] for key in rows if key in before} if len(rows) > AT_ONCE else {}
            for at, key in enumerate(self._turn(topic, list(rows)), 1):
                row = after[key] = rows[key]
                if before.get(key) != row:
                    changed.append(row)
                if at % _PIECE == 0:
                    yield
            self._known[topic] = after
            if first:
                continue
            gone = [key for key in before if key not in rows] if topic != "events" else []
            if changed or gone:
                self._tell(topic, "delta", {"topic": topic, "rows": changed, "gone": gone})

    def _turn(self, topic: str, keys: list[str]) -> list[str]:
        """The keys to look at now: all, or the next of many."""
        if len(keys) <= AT_ONCE:
            return keys
        start = self._turns.get(topic, 0)
        if start >= len(keys):
            start = 0
        self._turns[topic] = start + AT_ONCE
        return keys[start : start + AT_ONCE]

    def audit(self, event: object) -> None:
        """An operator has done something: told at once."""
        self._tell("events", "audit", {"rows": [event]})

    def _tell(self, topic: str, event: str, data: object) -> None:
        rev = self.revisions.next()
        wire = b"id: %d\nevent: %b\ndata: %b\n\n" % (rev, event.encode("ascii"), self._encode(data))
        frame = Frame(rev, topic, wire)
        self._ring.append(frame)
        if len(self._ring) == self._ring.maxlen:
            self._ring_from = self._ring[0].rev
        for watcher in self._watchers:
            if topic in watcher.topics:
                self._hand(watcher, frame)

    def _hand(self, watcher: Watcher, frame: Frame) -> None:
        queue = watcher.queue
        if queue.qsize() >= self._queue:
            watcher.lost += queue.qsize()
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait(self._gap(watcher.lost, watcher.since))
            watcher.since = frame.rev
        queue.put_nowait(frame)

    def _gap(self, lost: int | None, since: int) -> Frame:
        rev = self.revisions.next()
        data = self._encode({"lost": lost, "since": since})
        return Frame(rev, "", b"id: %d\nevent: gap\ndata: %b\n\n" % (rev, data))

    def samples(self) -> list[tuple[str, tuple[str, ...], float]]:
        return [("gateway_admin_streams", (), float(len(self._watchers)))]
