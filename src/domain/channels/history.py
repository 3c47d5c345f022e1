"""The last events of a hub, bounded by number, age and bytes, and what a subscriber missed of them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from spork.domain.channels.events import ChannelEvent

#: Asks for everything there is; also the answer where what was asked for is not there.
EARLIEST: Final = "earliest"


@dataclass(frozen=True, slots=True)
class HistoryBounds:
    """`events` in number, `age` in seconds, `bytes` in all; the tightest holds."""

    events: int = 1000
    age: float = 600.0
    bytes: int = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Replay:
    """What came after an event. `after` is the event's id, or `earliest` where it is not known (any more): a gap."""

    after: str
    events: tuple[ChannelEvent, ...]


class History:
    """A ring of events, the oldest first."""

    def __init__(self, bounds: HistoryBounds) -> None:
        self.bounds = bounds
        self.size = 0
        self.last = ""
        self._events: deque[ChannelEvent] = deque()
        self._first = 0
        self._at: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._events)

    def add(self, event: ChannelEvent) -> None:
        """Keep an event; the oldest go as the bounds say."""
        self._events.append(event)
        self.last = event.id
        # Of several with one id the earliest counts.
        self._at.setdefault(event.id, self._first + len(self._events) - 1)
        self.size += event.size
        self.trim(event.at)

    def trim(self, now: float) -> None:
        bounds = self.bounds
        while self._events and (
            len(self._events) > bounds.events or self.size > bounds.bytes or self._events[0].at < now - bounds.age
        ):
            gone = self._events.popleft()
            self.size -= gone.size
            if self._at.get(gone.id) == self._first:
                del self._at[gone.id]
            self._first += 1

    def after(self, id: str) -> Replay:
        """Everything after the event of this id; everything there is, as a gap, where it is not here."""
        at = self._at.get(id)
        if at is None:
            return Replay(EARLIEST, tuple(self._events))
        skipped = at + 1 - self._first
        return Replay(id, tuple(self._events)[skipped:])

    def newest_on(self, topic: str) -> ChannelEvent | None:
        """The last public event of a topic."""
        return next((each for each in reversed(self._events) if topic in each.topics), None)
