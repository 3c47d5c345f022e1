"""Channels of one process: the ways in, and what stands behind them while the configuration changes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Coroutine

from spork.application.channels.door import Door, Ground
from spork.application.channels.hub import Hub
from spork.application.channels.mercure import MercureFront
from spork.application.channels.ports import Broker, Member
from spork.application.channels.pusher_api import PusherApi
from spork.application.channels.pushing import PusherFront
from spork.application.channels.subscriptions import PLACE as SUBSCRIPTION
from spork.application.channels.subscriptions import Subscriptions
from spork.application.channels.talk import PLACE as CHANNEL
from spork.application.channels.talk import member_news
from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.application.kernel.clock import Clock
from spork.application.kernel.tasks import end, now_or_later
from spork.application.live.registry import LiveExchanges
from spork.application.views import ChannelsView, ChannelTopicView
from spork.domain.channels.settings import MERCURE, PERSONAL, PUSHER_API, ChannelSettings

#: Seconds between two looks at who has been silent.
BEAT_EVERY = 1.0


class Channels:
    """Serves the routes of channels. One per process; `running` while it lives."""

    def __init__(
        self,
        broker: Broker,
        live: LiveExchanges,
        clock: Clock,
        chance: random.Random,
        number: Callable[[], str],
        node: str = "",
    ) -> None:
        self.hub = Hub(broker)
        self.hub.on_left_behind.append(self._left_behind)
        self._live = live
        self._clock = clock
        self._number = number
        self._node = node
        self._mercure = MercureFront(chance)
        self._pusher = PusherFront(chance)
        self._api = PusherApi()
        self._ground = self._on(ChannelSettings())
        self._tasks: list[asyncio.Task[None]] = []
        self._telling: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Channels {self.hub!r} {self.hub.broker!r}>"

    def _on(self, settings: ChannelSettings) -> Ground:
        return Ground(settings, self.hub, self._live, self._clock, self._number)

    def configured(self, settings: ChannelSettings | None) -> None:
        """Other settings are in force; connections keep those they began with."""
        if settings is not None and settings != self._ground.settings:
            self._ground = self._on(settings)
            self.hub.broker.bound(settings.history)

    def serve(self, door: Door, exchange: Exchange, plan: RoutePlan) -> Coroutine[None, None, None]:
        """What answers a request of a route of channels; it raises FaultError for the request's body.

        No coroutine more than is needed: one that waits for hours keeps its frame.
        """
        front, ground = plan.front, self._ground
        if front == MERCURE:
            return self._mercure.serve(door, exchange, plan, ground)
        if front == PUSHER_API:
            return self._api.serve(door, exchange, ground)
        if front == PERSONAL:
            return self._pusher.serve_personal(door, exchange, plan, ground)
        return self._pusher.serve(door, exchange, plan, ground)

    # -------------------------------------------------------------------------------------------------------- presence

    def _left_behind(self, member: Member) -> None:
        """A node died: those whom it left behind are told of as gone."""
        task = asyncio.get_running_loop().create_task(self._tell(member))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _tell(self, member: Member) -> None:
        ground = self._ground
        if member.place.startswith(SUBSCRIPTION):
            event = Subscriptions(ground).news(member, False)
        else:
            channel = member.place[len(CHANNEL) :]
            event = member_news(channel, "pusher_internal:member_removed", member, ground.unix())
        await now_or_later(self.hub.broker.publish(event))

    # --------------------------------------------------------------------------------------------------------- running

    async def open(self) -> None:
        await self.hub.broker.open()
        self._tasks = [asyncio.get_running_loop().create_task(self._beat())]

    async def close(self) -> None:
        await end([*self._tasks, *self._telling])
        await self.hub.broker.close()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT_EVERY)
            self.hub.beat(self._clock.monotonic())

    # --------------------------------------------------------------------------------------------------------- looking

    def view(self, top: int = 1000) -> ChannelsView:
        """What this node's channels are doing."""
        counts = self.hub.counts
        rows = sorted(self.hub.topics(), key=lambda row: (-row[2], row[1]))
        return ChannelsView(
            node=self._node,
            broker=self.hub.broker.state,
            subscribers=len(self.hub),
            published=dict(counts.published),
            deliveries=counts.delivered,
            slow=sum(counts.slow.values()),
            topics=tuple(ChannelTopicView(topic, kind, count) for kind, topic, count in rows[:top]),
        )

    async def present(self, topic: str) -> list[str]:
        """Users present on a topic, fleet-wide. Raises BrokerGone."""
        broker = self.hub.broker
        members = [
            *await now_or_later(broker.members(CHANNEL + topic)),
            *await now_or_later(broker.members(f"{SUBSCRIPTION}exact:{topic}")),
        ]
        return list(dict.fromkeys(member.user for member in members))
