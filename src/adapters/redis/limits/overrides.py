"""Raised limits, shared by every replica: one hash, a field per window, read again every second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from hashlib import blake2b

import msgspec

from spork.adapters.redis.store.connection import RedisConnection
from spork.adapters.redis.store.scripts import StoreError
from spork.application.limits.overrides import Override

#: A field that tells a hash without overrides from a store that was emptied.
_MARK = b""


class RedisOverrides:
    """Implements `application.limits.overrides.OverrideStore`."""

    def __init__(
        self, connection: RedisConnection, prefix: bytes = b"spork", clock: Callable[[], float] = time.time
    ) -> None:
        self._client = connection.client
        self._key = b"%b:limit-overrides" % prefix
        self._clock = clock
        self._decode = msgspec.json.Decoder(Override).decode

    async def load(self) -> Iterable[Override] | None:
        """What has not expired; what has is removed. None: the hash is not there, and Redis may have lost it."""
        try:
            fields = await self._client.hgetall(self._key)
            if _MARK not in fields:
                return None
            found = {name: self._decode(text) for name, text in fields.items() if name != _MARK}
            stale = [name for name, override in found.items() if override.expires_at <= self._clock()]
            if stale:
                await self._client.hdel(self._key, *stale)
        except StoreError as error:
            raise OSError("the shared store did not answer") from error
        return [override for name, override in found.items() if name not in stale]

    async def put(self, override: Override) -> None:
        await self.found([override])

    async def found(self, overrides: Iterable[Override]) -> None:
        rows = {_field(*override.name): msgspec.json.encode(override) for override in overrides}
        try:
            await self._client.hset(self._key, mapping={_MARK: b"1", **rows})
        except StoreError as error:
            raise OSError("the shared store did not take it") from error


def _field(bucket: str, identity: str) -> bytes:
    return blake2b(f"{bucket}\0{identity}".encode("utf-8", "replace"), digest_size=16).digest()
