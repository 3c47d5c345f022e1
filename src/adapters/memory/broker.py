"""Channels of one process."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from spork.application.channels.ports import Listener, Member
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.history import History, HistoryBounds, Replay


class Present:
    """Who is where: members by place."""

    def __init__(self) -> None:
        self._places: dict[str, dict[tuple[str, str], Member]] = {}

    def __len__(self) -> int:
        return sum(map(len, self._places.values()))

    def enter(self, member: Member) -> bool:
        place = self._places.setdefault(member.place, {})
        first = all(user != member.user for user, _ in place)
        place[(member.user, member.connection)] = member
        return first

    def leave(self, member: Member) -> bool:
        place = self._places.get(member.place)
        if place is None or place.pop((member.user, member.connection), None) is None:
            return False
        if not place:
            del self._places[member.place]
        return all(user != member.user for user, _ in place)

    def members(self, place: str) -> list[Member]:
        return list(self._places.get(place, {}).values())

    def everybody(self, prefix: str = "") -> list[Member]:
        return [
            member for place, there in self._places.items() if place.startswith(prefix) for member in there.values()
        ]


class MemoryBroker:
    """`spork.application.channels.ports.Broker` in a process."""

    state = "memory"

    def __init__(self, history: HistoryBounds, unix: Callable[[], float]) -> None:
        self._history = History(history)
        self._unix = unix
        self._listeners: list[Listener] = []
        self._present = Present()

    def __repr__(self) -> str:
        return f"<MemoryBroker {len(self._history)} events, {len(self._present)} members>"

    @property
    def last(self) -> str:
        return self._history.last

    def attach(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def bound(self, history: HistoryBounds) -> None:
        self._history.bounds = history
        self._history.trim(self._unix())

    def publish(self, event: ChannelEvent) -> None:
        if not event.control:
            self._history.add(event)
        for listener in self._listeners:
            listener.deliver(event)

    publish_here = publish

    def after(self, id: str) -> Replay:
        self._history.trim(self._unix())
        return self._history.after(id)

    def newest_on(self, topic: str) -> ChannelEvent | None:
        self._history.trim(self._unix())
        return self._history.newest_on(topic)

    def enter(self, member: Member) -> bool:
        return self._present.enter(member)

    def leave(self, member: Member) -> bool:
        return self._present.leave(member)

    def members(self, place: str) -> Sequence[Member]:
        return self._present.members(place)

    def everybody(self, prefix: str) -> Sequence[Member]:
        return self._present.everybody(prefix)

    async def open(self) -> None:
        """There is nobody to follow."""

    async def close(self) -> None:
        """There is nothing to let go of."""

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        yield ("gateway_channel_history_events", (), float(len(self._history)))
        yield ("gateway_channel_history_bytes", (), float(self._history.size))
