"""Channels of a fleet: one Redis stream that every node reads once, and who is present in hashes, one for each node.

Each node keeps the history itself, from the events that it reads: resuming costs Redis nothing. A node that starts reads what
the stream still has. The stream is bounded by number (`MAXLEN ~`); age and bytes bound what nodes keep and give.

Presence is written under the node that has the connection. Nodes say every few seconds that they live; when one has not for
`DEAD_AFTER`, the first other node to notice takes its members out and tells of each. Redis away: local delivery goes on, publish
raises, and a node reads what it missed when Redis is back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

import msgspec
from redis.exceptions import RedisError

from spork.application.channels.ports import BrokerGone, Listener, Member
from spork.application.kernel.tasks import end
from spork.domain.channels.events import ChannelEvent
from spork.domain.channels.history import History, HistoryBounds, Replay

log = logging.getLogger("spork.channels")

_GONE: Final = (RedisError, OSError, TimeoutError)
#: Seconds between two signs of life, and after which a node is taken for dead.
ALIVE_EVERY: Final = 3.0
DEAD_AFTER: Final = 12.0
#: Seconds that a read waits for events; less than an operation may take.
_READ_WAIT: Final = 0.25
_READ_MOST: Final = 500
#: Seconds for which what a node wrote stands at most.
_LIFE: Final = 86400


class _Wire(msgspec.Struct, array_like=True):
    """An event as it stands in the stream."""

    topics: tuple[str, ...]
    data: str
    id: str
    at: float
    type: str = ""
    retry: int | None = None
    private: bool = False
    control: str = ""
    sender: str = ""
    user: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Wire).decode
_encode_member = msgspec.json.Encoder().encode
_decode_member = msgspec.json.Decoder(tuple[str, str, str, str]).decode


class RedisBroker:
    """`spork.application.channels.ports.Broker` over a `redis.asyncio` client, which stays the caller's."""

    def __init__(
        self, redis: Any, history: HistoryBounds, node: str, unix: Callable[[], float], prefix: str = "spork"
    ) -> None:
        self._redis = redis
        self._history = History(history)
        self._node = node
        self._unix = unix
        self._listeners: list[Listener] = []
        self._stream = f"{prefix}:channels:events"
        self._nodes = f"{prefix}:channels:nodes"
        self._presence = f"{prefix}:channels:present:"
        self._position = b"0-0"
        self._away = False
        self._tasks: list[asyncio.Task[None]] = []
        #: Members of this node, written again after a loss of Redis.
        self._mine: dict[str, dict[bytes, bytes]] = {}

    def __repr__(self) -> str:
        return f"<RedisBroker {self.state}, {len(self._history)} events>"

    @property
    def state(self) -> str:
        return "away" if self._away else "redis"

    @property
    def last(self) -> str:
        return self._history.last

    def attach(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def bound(self, history: HistoryBounds) -> None:
        self._history.bounds = history
        self._history.trim(self._unix())

    # ---------------------------------------------------------------------------------------------------------- events

    async def publish(self, event: ChannelEvent) -> None:
        wire = _Wire(
            event.topics, event.data, event.id, event.at, event.type, event.retry, event.private, event.control,
            event.sender, event.user,
        )  # fmt: skip
        most = self._history.bounds.events
        await self._do(self._redis.xadd(self._stream, {"e": _encode(wire)}, maxlen=most, approximate=True))

    def publish_here(self, event: ChannelEvent) -> None:
        self._hear(event)

    def _hear(self, event: ChannelEvent) -> None:
        if not event.control:
            self._history.add(event)
        for listener in self._listeners:
            listener.deliver(event)

    def after(self, id: str) -> Replay:
        self._history.trim(self._unix())
        return self._history.after(id)

    def newest_on(self, topic: str) -> ChannelEvent | None:
        self._history.trim(self._unix())
        return self._history.newest_on(topic)

    async def _read(self) -> None:
        """Read the stream until cancelled; what was published while Redis was away from here is read after it."""
        while True:
            try:
                found = await self._redis.xread(
                    {self._stream: self._position}, count=_READ_MOST, block=int(_READ_WAIT * 1000)
                )
                for _, entries in found or ():
                    for position, fields in entries:
                        self._position = position
                        self._hear_of(fields)
                if self._away:
                    self._away = False
                    await self._say_again()
            except _GONE as error:
                if not self._away:
                    log.warning("events of the fleet cannot be read: %s", error)
                self._away = True
                await asyncio.sleep(_READ_WAIT)

    def _hear_of(self, fields: dict[bytes, bytes]) -> None:
        try:
            wire = _decode(fields[b"e"])
        except (msgspec.MsgspecError, KeyError):
            log.warning("an event of the fleet cannot be read")
            return
        self._hear(
            ChannelEvent(
                wire.topics,
                wire.data,
                wire.id,
                wire.at,
                wire.type,
                wire.retry,
                wire.private,
                wire.control,
                wire.sender,
                wire.user,
            )
        )

    async def _catch_up(self) -> None:
        """Take what the stream still has into the history; nobody here listens yet."""
        entries = await self._do(self._redis.xrange(self._stream))
        for position, fields in entries:
            self._position = position
            listeners, self._listeners = self._listeners, []
            try:
                self._hear_of(fields)
            finally:
                self._listeners = listeners

    # -------------------------------------------------------------------------------------------------------- presence

    async def enter(self, member: Member) -> bool:
        first = all(each.user != member.user for each in await self.members(member.place))
        value = _encode_member((member.place, member.user, member.connection, member.info))
        self._mine.setdefault(member.place, {})[_field(member)] = value
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hset(self._place(self._node, member.place), _field(member), value)
            pipe.expire(self._place(self._node, member.place), _LIFE)
            pipe.sadd(self._presence + self._node, member.place)
            pipe.expire(self._presence + self._node, _LIFE)
            await self._do(pipe.execute())
        return first

    async def leave(self, member: Member) -> bool:
        here = self._mine.get(member.place, {})
        here.pop(_field(member), None)
        if not here:
            self._mine.pop(member.place, None)
        async with self._redis.pipeline(transaction=False) as pipe:
            pipe.hdel(self._place(self._node, member.place), _field(member))
            if not here:
                pipe.srem(self._presence + self._node, member.place)
            gone = (await self._do(pipe.execute()))[0]
        if not gone:
            return False
        return all(each.user != member.user for each in await self.members(member.place))

    async def members(self, place: str) -> Sequence[Member]:
        found: list[Member] = []
        for node in await self._known():
            found += await self._there(node, place)
        return found

    async def everybody(self, prefix: str) -> Sequence[Member]:
        found: list[Member] = []
        for node in await self._known():
            for place in await self._places(node):
                if place.startswith(prefix):
                    found += await self._there(node, place)
        return found

    async def _known(self) -> list[str]:
        """The nodes of the fleet, this one first."""
        nodes = await self._do(self._redis.zrange(self._nodes, 0, -1))
        return list(dict.fromkeys((self._node, *(name.decode() for name in nodes))))

    async def _places(self, node: str) -> list[str]:
        return sorted(name.decode() for name in await self._do(self._redis.smembers(self._presence + node)))

    async def _there(self, node: str, place: str) -> list[Member]:
        return [_member(value) for value in await self._do(self._redis.hvals(self._place(node, place)))]

    def _place(self, node: str, place: str) -> str:
        return f"{self._presence}{node}:{place}"

    async def _live(self) -> None:
        """Say that this node lives, and look for nodes that do not, until cancelled."""
        while True:
            try:
                await self._say_alive()
                for name in await self._redis.zrangebyscore(self._nodes, 0, self._unix() - DEAD_AFTER):
                    await self._bury(name.decode())
            except _GONE:
                log.debug("no sign of life could be given")
            await asyncio.sleep(ALIVE_EVERY)

    async def _say_alive(self) -> None:
        await self._do(self._redis.zadd(self._nodes, {self._node: self._unix()}))

    async def _say_again(self) -> None:
        """Redis may have lost what this node wrote, or others may have taken it for dead."""
        await self._say_alive()
        for place, here in list(self._mine.items()):
            await self._do(self._redis.sadd(self._presence + self._node, place))
            await self._do(self._redis.hset(self._place(self._node, place), mapping=here))

    async def _bury(self, node: str) -> None:
        """Take a dead node's members out. Of all who notice, one does."""
        if node == self._node or not await self._do(self._redis.zrem(self._nodes, node)):
            return
        places = await self._places(node)
        left = {(each.place, each.user): each for place in places for each in await self._there(node, place)}
        await self._do(self._redis.delete(self._presence + node, *(self._place(node, place) for place in places)))
        there = {(each.place, each.user) for place in places for each in await self.members(place)}
        for mark, member in left.items():
            if mark not in there:
                for listener in self._listeners:
                    listener.left_behind(member)

    # --------------------------------------------------------------------------------------------------------- running

    async def open(self) -> None:
        try:
            await self._say_alive()
            await self._catch_up()
        except BrokerGone as error:
            self._away = True
            log.warning("the history of channels cannot be read: %s", error)
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._read()), loop.create_task(self._live())]

    async def close(self) -> None:
        await end(self._tasks)
        try:
            await self._redis.zrem(self._nodes, self._node)
            await self._redis.delete(
                self._presence + self._node, *(self._place(self._node, place) for place in self._mine)
            )
        except _GONE:
            log.debug("what this node wrote is left to the others")

    async def _do(self, operation: Any) -> Any:
        try:
            return await operation
        except _GONE as error:
            self._away = True
            raise BrokerGone(str(error) or type(error).__name__) from error

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        yield ("gateway_channel_history_events", (), float(len(self._history)))
        yield ("gateway_channel_history_bytes", (), float(self._history.size))


def _field(member: Member) -> bytes:
    return _encode_member((member.place, member.user, member.connection))


def _member(value: bytes) -> Member:
    return Member(*_decode_member(value))
