"""The broker: what carries events between the nodes of a fleet, and knows who is present."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from spork.application.kernel.tasks import Soon
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.history import HistoryBounds, Replay


class BrokerGone(Exception):
    """The shared store does not answer."""


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody present in a place. A user may be there by several connections. `info` is JSON that others are told."""

    place: str
    user: str
    connection: str
    info: str = ""


class Listener(Protocol):
    """Hears of everything on this node. Must not raise or block."""

    def deliver(self, event: ChannelEvent) -> None:
        """An event of the fleet, in the order in which it was published."""

    def left_behind(self, member: Member) -> None:
        """A node died with this member on it, and this node is the one that tells the others. Called once a fleet."""


class Broker(Protocol):
    """Carries events to every node of the fleet: at least once within the history, in one order; and keeps who is present.

    Methods that may wait answer at once where they can. They raise BrokerGone when the shared store does not answer.
    """

    @property
    def state(self) -> str:
        """memory, redis, or away."""

    @property
    def last(self) -> str:
        """The id of the last event in the history, "" when there was none."""

    def attach(self, listener: Listener) -> None:
        """From now on `listener` hears of everything."""

    def bound(self, history: HistoryBounds) -> None:
        """Other bounds, from now on."""

    def publish(self, event: ChannelEvent) -> Soon[None]:
        """Give an event to every node, this one included. `control` events are kept in no history."""

    def publish_here(self, event: ChannelEvent) -> None:
        """Give an event to this node alone."""

    def after(self, id: str) -> Replay:
        """What was published after the event of this id."""

    def newest_on(self, topic: str) -> ChannelEvent | None:
        """The last event of a topic in the history."""

    def enter(self, member: Member) -> Soon[bool]:
        """`member` is present from now on; True when its user was not there before."""

    def leave(self, member: Member) -> Soon[bool]:
        """It has gone; True when its user has no other connection there."""

    def members(self, place: str) -> Soon[Sequence[Member]]:
        """Who is present in `place`, one for each connection."""

    def everybody(self, prefix: str) -> Soon[Sequence[Member]]:
        """Who is present in every place whose name begins with `prefix`."""

    async def open(self) -> None:
        """Begin to follow the fleet."""

    async def close(self) -> None: ...

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
