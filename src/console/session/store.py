"""Everything the console knows about one gateway, and how old it is. Plain Python: no screen, no sockets, no clock.

Rules, whatever order things arrive in:

1. Each row remembers the revision that wrote it; an older revision never overwrites a newer one, and a row that went
   away stays away until something newer names it. So duplicates and reordering change nothing (the end state is that
   of the sorted history), and only a gap needs a new snapshot.
2. A snapshot at revision R replaces all rows that R or older wrote. After `new_link` the next snapshot replaces
   everything: a restarted gateway counts its revisions from the start again.
3. Data is renewed when the server's `as_of` moves or its stream ticks, not when bytes arrive.
4. Memory is bounded: rings for traffic, events and notices, a ceiling for rows, and counters for what was let go.

Times called `now` are monotonic seconds, times called `wall` Unix seconds; both are passed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spork.console.gateway.faults import AccessDenied, LinkFault
from spork.console.gateway.link_state import UNAUTHENTICATED, UP, Link
from spork.console.gateway.topics import LIVE, TOPICS, Topic
from spork.console.text import freshness
from spork.console.text.freshness import Freshness
from spork.console.text.ring_buffer import Ring

if TYPE_CHECKING:
    from spork.application.views import EventView, Nodes, TrafficView, Whoami

TRAFFIC_RING = 5_000
EVENTS_RING = 10_000
NOTICES_RING = 200
GAPS_RING = 100
MAX_ROWS = 50_000
"""Ceiling of rows per topic; rows beyond it are counted in `overflow`, never shown as if they were all."""

PENDING_SECONDS = 20.0
STEPS = 128
"""Versions of a topic whose changed keys are remembered; who looks less often sorts anew."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One line from the console to its operator: the outcome of an action, a warning. `copy` is worth copying."""

    wall: float
    text: str
    tone: str
    copy: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """Events the stream lost, as the server counts them (None: it cannot say)."""

    wall: float
    lost: int | None
    since: str


@dataclass(slots=True)
class Pending:
    """An action the gateway accepted and the stream has not confirmed yet."""

    action: str
    revision: int
    since: float


@dataclass(slots=True)
class Shelf:
    """One topic's rows by key, with what is known about their age and completeness."""

    topic: Topic
    rows: dict[str, Any] = field(default_factory=dict)
    written: dict[str, int] = field(default_factory=dict)
    version: int = 0
    renewed: float | None = None
    as_of: float | None = None
    fault: LinkFault | None = None
    failures: int = 0
    total: int | None = None
    overflow: int = 0
    interval: float = 1.0
    reading: bool = False
    steps: deque[tuple[int, tuple[str, ...] | None]] = field(default_factory=lambda: deque(maxlen=STEPS))
    """The last versions with the keys each changed; None where all rows were replaced."""


class Store:
    """See the module. Screens read `rows`, `freshness` and `version`; the feed writes."""

    def __init__(self) -> None:
        self.shelves = {name: Shelf(topic) for name, topic in TOPICS.items()}
        self.link = Link()
        self.url = ""
        """Which gateway, for what is said of a lost link."""
        self.who: Whoami | None = None
        self.nodes: Nodes | None = None
        self.started_at: float | None = None
        """When the process that answers began."""
        self.restarted_at: float | None = None
        """When it began, if it began while this console was looking."""
        self.rev = 0
        self.skew = 0.0
        self.server_offset: float | None = None
        self.traffic: Ring[TrafficView] = Ring(TRAFFIC_RING)
        self.events: Ring[EventView] = Ring(EVENTS_RING)
        self.notices: Ring[Notice] = Ring(NOTICES_RING)
        self.gaps: Ring[Gap] = Ring(GAPS_RING)
        self.sample_rate = 1
        self.pending: dict[tuple[str, str], Pending] = {}
        self.changes = 0
        self._derived: dict[tuple[str, str], tuple[int, Any]] = {}
        self._fresh_link = True
        self._event_ids: set[str] = set()
        self._traffic_ids: set[str] = set()

    # ------------------------------------------------------------------------------------------------------- reading

    def rows(self, topic: str) -> Sequence[Any]:
        """The topic's rows, in no order. Traffic and events come newest first from their rings."""
        if topic == "traffic":
            return self.traffic.newest(TRAFFIC_RING)
        if topic == "events":
            return self.events.newest(EVENTS_RING)
        return list(self.shelves[topic].rows.values())

    def row(self, topic: str, key: str) -> Any | None:
        if topic == "traffic":
            return next((row for row in self.traffic if row.request_id == key), None)
        if topic == "events":
            return next((row for row in self.events if row.id == key), None)
        return self.shelves[topic].rows.get(key)

    def one(self, topic: str) -> Any | None:
        """The row of a single topic (pulse, config)."""
        return self.shelves[topic].rows.get("")

    def known(self, topic: str) -> bool:
        """Has the gateway ever told this topic's rows, and not refused them since?"""
        shelf = self.shelves[topic]
        return shelf.renewed is not None and not isinstance(shelf.fault, AccessDenied)

    def why_unknown(self, topic: str) -> str:
        """What keeps a topic from being known, in words for the operator."""
        fault = self.shelves[topic].fault or self.link.fault
        if fault is None:
            return "reading…" if self.link.state == UP else "connecting…"
        more = "; :login fetches the token again" if self.link.state == UNAUTHENTICATED else ""
        return f"{fault.word} {fault}{more}"

    def version(self, topic: str) -> int:
        """Changes whenever anything a screen shows of the topic may have changed."""
        return self.shelves[topic].version

    def changed_since(self, topic: str, version: int) -> set[str] | None:
        """Keys of rows that changed or went after `version`; None if that is no longer known, or all were replaced."""
        shelf, found = self.shelves[topic], set[str]()
        if shelf.version - version > len(shelf.steps):
            return None
        for at, keys in reversed(shelf.steps):
            if at <= version:
                break
            if keys is None:
                return None
            found.update(keys)
        return found

    def derived(self, topic: str, name: str, make: Callable[[], Any]) -> Any:
        """What `make` finds in the topic's rows, found once per version of them. `name` tells such findings apart."""
        version = self.shelves[topic].version
        known = self._derived.get((topic, name))
        if known is None or known[0] != version:
            known = self._derived[topic, name] = (version, make())
        return known[1]

    def freshness(self, topic: str, now: float) -> Freshness:
        shelf = self.shelves[topic]
        seconds = None if shelf.renewed is None else max(0.0, now - shelf.renewed)
        failures = max(shelf.failures, self.link.attempt if shelf.topic.live else 0)
        return freshness.judge(seconds, shelf.interval, failures)

    def server_now(self, now: float, wall: float) -> float:
        """The server's clock, as far as we can tell: it turns its times into 'ago' and 'in'."""
        return wall if self.server_offset is None else now + self.server_offset

    @property
    def partial(self) -> bool:
        """Are sums lower bounds, because nodes are silent?"""
        return self.nodes is not None and self.nodes.seen < self.nodes.total

    # ------------------------------------------------------------------------------------------------------- writing

    def told_start(self, started: float | None, wall: float) -> bool:
        """The process that answers says since when it runs. True if it is another than before."""
        if started is None:
            return False
        before, self.started_at = self.started_at, started
        if before is None or started - before < 1.0:
            return False
        self.restarted_at = started
        self.notice("the gateway was started anew: counts and lines begin again", "warn", wall)
        return True

    def new_link(self) -> None:
        """A connection was made anew: take the next snapshot as the whole truth."""
        self._fresh_link = True

    def renew(
        self, topics: Iterable[str], now: float, *, as_of: float | None = None, wall: float | None = None
    ) -> None:
        """The server vouched for these topics just now. An `as_of` that stands still renews nothing."""
        lag = 0.0
        if as_of is not None and wall is not None:
            self.skew = wall - as_of
            self.server_offset = as_of - now
            lag = freshness.lag_on_arrival(as_of, wall)
        for name in topics:
            shelf = self.shelves[name]
            shelf.failures = 0
            shelf.reading = False
            if as_of is None or as_of != shelf.as_of:
                shelf.renewed = now - lag
            if as_of is not None:
                shelf.as_of = as_of
        self.changes += 1

    def replace(self, name: str, rows: Sequence[Any], rev: int, *, total: int | None = None) -> None:
        """A snapshot's rows of one topic at revision `rev` (rule 2)."""
        shelf = self.shelves[name]
        shelf.fault = None
        if name == "traffic":
            self._merge_traffic(rows)
        elif name == "events":
            self._merge_events(rows)
        else:
            self._replace_rows(shelf, rows, rev)
        shelf.total = total
        self._touch(shelf, None)

    def _replace_rows(self, shelf: Shelf, rows: Sequence[Any], rev: int) -> None:
        key = shelf.topic.key
        fresh = {key(row): row for row in rows[:MAX_ROWS]}
        shelf.overflow = max(0, len(rows) - MAX_ROWS)
        written = dict.fromkeys(fresh, rev)
        if not self._fresh_link:
            for name, at in shelf.written.items():
                if at > rev:
                    written[name] = at
                    if name in shelf.rows:
                        fresh[name] = shelf.rows[name]
                    else:
                        fresh.pop(name, None)
        shelf.rows, shelf.written = fresh, written

    def settle(self, rev: int, topics: Iterable[str] = LIVE) -> None:
        """The snapshot of `topics` at `rev` is complete: later ones are ordinary again."""
        self.rev = rev if self._fresh_link else max(rev, self.rev)
        self._fresh_link = False
        for spot in [spot for spot, wait in self.pending.items() if spot[0] in topics and wait.revision <= rev]:
            del self.pending[spot]

    def delta(self, name: str, rows: Sequence[Any], gone: Sequence[str], rev: int) -> None:
        """Changed and vanished rows at `rev` (rule 1)."""
        shelf = self.shelves.get(name)
        if shelf is None:
            return
        self.rev = max(self.rev, rev)
        if name == "traffic":
            self._merge_traffic(rows)
        elif name == "events":
            self._merge_events(rows)
        else:
            changed = self._apply(shelf, rows, gone, rev)
            if changed:
                self._touch(shelf, tuple(changed))
            return
        self._touch(shelf)

    def _apply(self, shelf: Shelf, rows: Sequence[Any], gone: Sequence[str], rev: int) -> list[str]:
        """Answers the keys of rows that look different now; the same row told again changes nothing."""
        written, changed = shelf.written, list[str]()
        for row in rows:
            key = shelf.topic.key(row)
            if rev < written.get(key, -1):
                continue
            if key not in shelf.rows and len(shelf.rows) >= MAX_ROWS:
                shelf.overflow += 1
                continue
            if shelf.rows.get(key) != row:
                shelf.rows[key] = row
                changed.append(key)
            written[key] = rev
            wait = self.pending.get((shelf.topic.name, key))
            if wait is not None and rev >= wait.revision:
                del self.pending[shelf.topic.name, key]
                changed.append(key)
        for key in gone:
            if rev >= written.get(key, -1):
                shelf.rows.pop(key, None)
                written[key] = rev
                changed.append(key)
        return changed

    def sample(self, rows: Sequence[TrafficView], rate: int) -> None:
        """Finished exchanges, one in `rate` of all."""
        self.sample_rate = max(1, rate)
        self._merge_traffic(rows)
        self._touch(self.shelves["traffic"])

    def audit(self, rows: Sequence[EventView]) -> None:
        self._merge_events(rows)
        self._touch(self.shelves["events"])

    def gap(self, lost: int | None, since: str, wall: float) -> None:
        """The stream skipped something; the feed takes a snapshot next."""
        self.gaps.add(Gap(wall, lost, since))
        for name in ("traffic", "events"):
            self._touch(self.shelves[name])

    def fail(self, topics: Iterable[str], fault: LinkFault) -> None:
        """An attempt to read these topics failed; what they hold stays, and grows old."""
        for name in topics:
            shelf = self.shelves[name]
            shelf.fault = fault
            shelf.failures += 1
            shelf.reading = False
            self._touch(shelf)

    def notice(self, text: str, tone: str, wall: float, copy: str = "") -> None:
        self.notices.add(Notice(wall, text, tone, copy))
        self.changes += 1

    def wait_for(self, topic: str, key: str, pending: Pending) -> None:
        """Mark a row PENDING until a revision at or after the action's arrives."""
        shelf = self.shelves[topic]
        if shelf.topic.live and shelf.written.get(key, -1) < pending.revision:
            self.pending[topic, key] = pending
            self._touch(shelf)

    def give_up(self, now: float) -> list[tuple[str, str]]:
        """Spots that waited longer than PENDING_SECONDS; they are no longer pending, and not confirmed either."""
        late = [spot for spot, wait in self.pending.items() if now - wait.since > PENDING_SECONDS]
        for spot in late:
            del self.pending[spot]
            self._touch(self.shelves[spot[0]])
        return late

    def _merge_traffic(self, rows: Sequence[TrafficView]) -> None:
        fresh = [row for row in rows if row.request_id not in self._traffic_ids]
        for row in sorted(fresh, key=lambda row: row.at):
            self.traffic.add(row)
            self._traffic_ids.add(row.request_id)
        if len(self._traffic_ids) > 2 * TRAFFIC_RING:
            self._traffic_ids = {row.request_id for row in self.traffic}

    def _merge_events(self, rows: Sequence[EventView]) -> None:
        fresh = [row for row in rows if row.id not in self._event_ids]
        for row in sorted(fresh, key=lambda row: row.at):
            self.events.add(row)
            self._event_ids.add(row.id)
        if len(self._event_ids) > 2 * EVENTS_RING:
            self._event_ids = {row.id for row in self.events}

    def _touch(self, shelf: Shelf, keys: tuple[str, ...] | None = ()) -> None:
        shelf.version += 1
        shelf.steps.append((shelf.version, keys))
        self.changes += 1


def partial_sum(text: str, partial: bool) -> str:
    """A sum over a fleet with silent nodes is a lower bound, and looks like one."""
    return f"≥{text}" if partial else text


__all__ = ["LIVE", "Gap", "Notice", "Pending", "Shelf", "Store", "partial_sum"]
