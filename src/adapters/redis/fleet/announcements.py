"""Announcements over Redis: pub/sub at once, and a sorted set of revocations that late comers and new replicas read.

Pub/sub may lose a message, so an epoch and a revision stand beside the set and are read twice a second. When the
revision moved, the set is read again. When the epoch is another one or none, Redis was emptied, and every replica
writes back everything it knows to be revoked; so it does after an announcement that failed.
A store that is away costs nothing but the speed of the announcement; records carry every change too.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.exceptions import RedisError

from spork.application.callers.ports import Change, ChangeKind
from spork.domain.identity.revocation import Revocation, RevocationKind

_log = logging.getLogger("spork.identity")

#: Seconds between two looks at the revision.
LOOK_EVERY = 0.5
#: Seconds a single operation may take.
_OPERATION = 0.5


class _Wire(msgspec.Struct, omit_defaults=True, array_like=True):
    """A change as it travels. `revocation` is (kind, value, issuer, before, expires_at or None, reason, actor, at)."""

    node: str
    kind: str
    subject: str = ""
    revocation: tuple[str, str, str, float, float | None, str, str, float] | None = None


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Wire).decode


def _packed(r: Revocation) -> tuple[str, str, str, float, float | None, str, str, float]:
    expires_at = None if math.isinf(r.expires_at) else r.expires_at
    return (r.kind.value, r.value, r.issuer, r.before, expires_at, r.reason, r.actor, r.created_at)


def _revocation(packed: tuple[str, str, str, float, float | None, str, str, float]) -> Revocation:
    kind, value, issuer, before, expires_at, reason, actor, at = packed
    return Revocation(
        RevocationKind(kind), value, issuer, before, math.inf if expires_at is None else expires_at, reason, actor, at
    )


class RedisAnnouncements:
    """Announcements through one Redis. `prefix` separates deployments that share it."""

    def __init__(self, client: Redis, unix: Callable[[], float], prefix: str = "spork") -> None:
        self._redis = client
        self._unix = unix
        self._node = secrets.token_hex(8)
        self._channel = f"{prefix}:trust"
        self._set = f"{prefix}:{{trust}}:revocations"
        self._revision = f"{prefix}:{{trust}}:revision"
        self._epoch_key = f"{prefix}:{{trust}}:epoch"
        self._epoch: Any = None
        self._seen: Any = None
        self._unsaid = True
        self._hear: Callable[[Change], None] = lambda change: None
        self._recall: Callable[[], Iterable[Revocation]] = tuple
        self._tasks: list[asyncio.Task[None]] = []
        self.failure = ""

    def __repr__(self) -> str:
        return f"RedisAnnouncements({self._channel}, {self.failure or 'ok'})"

    async def open(self, hear: Callable[[Change], None], recall: Callable[[], Iterable[Revocation]]) -> None:
        self._hear, self._recall = hear, recall
        await self._attempt()
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._listen()), loop.create_task(self._look())]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def announce(self, change: Change) -> None:
        packed = _packed(change.revocation) if change.revocation is not None else None
        message = _encode(_Wire(self._node, change.kind.value, change.subject, packed))
        try:
            async with asyncio.timeout(_OPERATION):
                if change.revocation is not None:
                    await self._assert((change.revocation,))
                await self._redis.publish(self._channel, message)
        except (RedisError, OSError, TimeoutError) as error:
            self._unsaid = True
            self._failed(error)

    # ------------------------------------------------------------------------------------------ the set of revocations

    async def _assert(self, revocations: Iterable[Revocation]) -> None:
        """Write revocations and move the revision; what can cover nothing any more goes at the same time."""
        members = {_encode(_Wire("", "revocation", r.id, _packed(r))): r.expires_at for r in revocations}
        async with self._redis.pipeline(transaction=True) as pipe:
            if members:
                pipe.zadd(self._set, members)
            pipe.zremrangebyscore(self._set, "-inf", self._unix())
            pipe.incr(self._revision)
            await pipe.execute()

    async def catch_up(self) -> None:
        """Read what others wrote since the last look; write back everything when the store was emptied."""
        epoch, revision = await self._redis.mget(self._epoch_key, self._revision)
        if self._unsaid or epoch is None or epoch != self._epoch:
            await self._redis.set(self._epoch_key, secrets.token_bytes(8), nx=True)
            await self._assert(self._recall())
            self._unsaid = False
            self._epoch, revision = await self._redis.mget(self._epoch_key, self._revision)
        elif revision == self._seen:
            return
        members: list[Any] = await self._redis.zrangebyscore(self._set, self._unix(), "+inf")
        for member in members:
            packed = _decode(member).revocation
            if packed is not None:
                revocation = _revocation(packed)
                self._hear(Change(ChangeKind.REVOCATION, revocation.id, revocation))
        self._seen = revision

    async def _attempt(self) -> None:
        try:
            async with asyncio.timeout(_OPERATION):
                await self.catch_up()
            self.failure = ""
        except (RedisError, OSError, TimeoutError, msgspec.MsgspecError) as error:
            self._failed(error)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            await self._attempt()

    # ------------------------------------------------------------------------------------------------------- listening

    async def _listen(self) -> None:
        while True:
            try:
                async with self._redis.pubsub(ignore_subscribe_messages=True) as channel:
                    await channel.subscribe(self._channel)
                    # Nobody knows what was said while we were not listening.
                    self._hear(Change(ChangeKind.EVERYTHING))
                    while True:
                        message = await channel.get_message(timeout=5.0)
                        if message is not None:
                            self._take(message["data"])
            except (RedisError, OSError, TimeoutError) as error:
                self._failed(error)
                await asyncio.sleep(LOOK_EVERY)

    def _take(self, message: bytes) -> None:
        try:
            wire = _decode(message)
            if wire.node == self._node:
                return
            revocation = _revocation(wire.revocation) if wire.revocation is not None else None
            self._hear(Change(ChangeKind(wire.kind), wire.subject, revocation))
        except (msgspec.MsgspecError, ValueError) as error:
            _log.warning("an announcement was not understood: %s", error)

    def _failed(self, error: BaseException) -> None:
        if not self.failure:
            _log.warning("announcements are not heard or told: %s", error or type(error).__name__)
        self.failure = str(error) or type(error).__name__
