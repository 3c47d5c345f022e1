"""The fleet's settings in Redis: one hash, ends by the server's clock, a field that tells it from an empty store."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar

import msgspec
from redis.exceptions import RedisError

from spork.adapters.redis.store.shared_hash import SharedHash
from spork.application.fleet.settings import Setting

T = TypeVar("T")
_MARK: Final = b""


class RedisSettings:
    """`application.fleet.settings.SettingsStore` over a `redis.asyncio` client, which stays the caller's."""

    def __init__(self, redis: Any, fleet: str = "spork") -> None:
        self._redis = redis
        self._key = f"{{{fleet}:fleet}}:settings"
        self._rows = SharedHash(redis, self._key)

    async def load(self) -> Mapping[str, Setting] | None:
        rows, now = await _asked(self._rows.read())
        if _MARK not in rows:
            return None
        found = {name.decode(): msgspec.json.decode(text, type=Setting) for name, text in rows.items() if name != _MARK}
        over = [name for name, each in found.items() if each.until is not None and each.until <= now]
        if over:
            await _asked(self._redis.hdel(self._key, *over))
        return {name: each for name, each in found.items() if name not in over}

    async def put(self, name: str, setting: Setting | None, ttl: float | None) -> Setting | None:
        if setting is None:
            await _asked(self._redis.hdel(self._key, name))
            return None
        _, now = await _asked(self._rows.read())
        kept = replace(setting, at=now, until=None if ttl is None else now + ttl)
        await self.found({name: kept})
        return kept

    async def found(self, settings: Mapping[str, Setting]) -> None:
        rows: dict[bytes, bytes] = {name.encode(): msgspec.json.encode(each) for name, each in settings.items()}
        await _asked(self._redis.hset(self._key, mapping={_MARK: b"1"} | rows))


async def _asked(asked: Awaitable[T]) -> T:
    try:
        return await asked
    except (RedisError, TimeoutError) as error:
        raise OSError(f"Redis: {type(error).__name__}") from error
