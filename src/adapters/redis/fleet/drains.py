"""Drained targets that a fleet shares: one hash, ends by the server's clock, a field that tells it from an empty store."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from typing import Any, TypeVar

import msgspec
from redis.exceptions import RedisError

from spork.adapters.redis.store.shared_hash import SharedHash
from spork.application.upstreams.drains import Drain, Name, StoreGone

T = TypeVar("T")
_MARK = b""


class RedisDrains:
    """`application.drains.DrainStore` over a `redis.asyncio` client, which stays the caller's."""

    def __init__(self, redis: Any, namespace: str = "spork") -> None:
        self._redis = redis
        self._key = f"{{{namespace}:drains}}"
        self._rows = SharedHash(redis, self._key)

    async def put(self, name: Name, drain: Drain) -> None:
        await self._asked(self._write({name: drain}))

    async def remove(self, name: Name) -> None:
        await self._asked(self._redis.hdel(self._key, _field(name)))

    async def found(self, drains: Mapping[Name, Drain]) -> None:
        await self._asked(self._write(drains))

    async def current(self) -> Mapping[Name, Drain] | None:
        rows, now = await self._asked(self._rows.read())
        if _MARK not in rows:
            return None
        drains: dict[Name, Drain] = {}
        over: list[bytes] = []
        for field, text in rows.items():
            if field != _MARK:
                reason, ends = msgspec.json.decode(text, type=tuple[str, float | None])
                if ends is None or ends > now:
                    upstream, target = msgspec.json.decode(field, type=tuple[str, str])
                    drains[upstream, target] = Drain(reason, None if ends is None else ends - now)
                else:
                    over.append(field)
        if over:
            await self._asked(self._redis.hdel(self._key, *over))
        return drains

    async def _write(self, drains: Mapping[Name, Drain]) -> None:
        _, now = await self._rows.read()
        rows: dict[bytes, bytes] = {_MARK: b"1"}
        for name, drain in drains.items():
            ends = None if drain.remaining is None else now + drain.remaining
            rows[_field(name)] = msgspec.json.encode((drain.reason, ends))
        await self._redis.hset(self._key, mapping=rows)

    @staticmethod
    async def _asked(asked: Awaitable[T]) -> T:
        try:
            return await asked
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreGone(str(error)) from error


def _field(name: Name) -> bytes:
    return msgspec.json.encode(name)
