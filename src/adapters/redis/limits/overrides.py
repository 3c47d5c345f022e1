"""Raised limits, shared by every replica: one hash, a field per window, read again every second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from hashlib import blake2b

import msgspec

from spork.adapters.redis.store.connection import RedisConnection
from spork.adapters.redis.store.scripts import StoreError
from spork.application.limits.overrides import Override


class RedisOverrides:
    """Implements `application.limit_overrides.OverrideStore`."""

    def __init__(
        self, connection: RedisConnection, prefix: bytes = b"spork", clock: Callable[[], float] = time.time
    ) -> None:
        self._client = connection.client
        self._key = b"%b:limit-overrides" % prefix
        self._clock = clock
        self._decode = msgspec.json.Decoder(Override).decode

    async def load(self) -> Iterable[Override]:
        """What has not expired; what has is removed."""
        try:
            fields = await self._client.hgetall(self._key)
            found = {name: self._decode(text) for name, text in fields.items()}
            stale = [name for name, override in found.items() if override.expires_at <= self._clock()]
            if stale:
                await self._client.hdel(self._key, *stale)
        except StoreError as error:
            raise OSError("the shared store did not answer") from error
        return [override for name, override in found.items() if name not in stale]

    async def put(self, override: Override) -> None:
        try:
            await self._client.hset(
                self._key, _field(override.bucket, override.identity), msgspec.json.encode(override)
            )
            # The hash lives as long as its longest override, and a year at most.
            left = int(override.expires_at - self._clock()) + 60
            known = await self._client.ttl(self._key)
            await self._client.expire(self._key, min(max(left, known, 60), 366 * 86_400))
        except StoreError as error:
            raise OSError("the shared store did not take it") from error

    async def drop(self, bucket: str, identity: str) -> None:
        try:
            await self._client.hdel(self._key, _field(bucket, identity))
        except StoreError as error:
            raise OSError("the shared store did not take it") from error


def _field(bucket: str, identity: str) -> bytes:
    return blake2b(f"{bucket}\0{identity}".encode("utf-8", "replace"), digest_size=16).digest()
