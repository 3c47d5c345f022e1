"""Idempotency keys that a fleet shares: one hash per key, gone with its time to live.

Here the time to live is the lease itself: a key that has expired is free, and Redis decides when. Answers of the whole fleet
are bounded in bytes: a ledger beside them says which are the oldest, and those go first.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import msgspec
from redis.exceptions import RedisError

from spork.application.guards.idempotency import Begun, InFlight, KeptAnswer, Mismatch, StoreGone

_SCRIPT = (Path(__file__).parent / "lua" / "idempotency.lua").read_text()
_LEDGER = (Path(__file__).parent / "lua" / "idempotency_ledger.lua").read_text()
#: Bytes that all answers of a fleet may take; beyond, the oldest are forgotten.
MOST_BYTES = 256 << 20
_GONE = (RedisError, OSError, TimeoutError)


class RedisIdempotency:
    """`spork.application.guards.idempotency.IdempotencyStore` over a `redis.asyncio` client, which stays the caller's."""

    def __init__(self, redis: Any, namespace: str = "spork", most_bytes: int = MOST_BYTES) -> None:
        self._redis = redis
        self._most_bytes = most_bytes
        self._ledger = redis.register_script(_LEDGER)
        tag = f"{{{namespace}:idempotency}}"
        self._ledger_keys = [f"{tag}:ledger", f"{tag}:bytes"]
        self._script = redis.register_script(_SCRIPT)
        self._prefix = f"{namespace}:idempotency:"

    async def begin(self, key: str, fingerprint: str, lease: float) -> Begun | InFlight | Mismatch | KeptAnswer:
        token = secrets.token_hex(8)
        word, answer = await self._call(key, ["begin", fingerprint, token, max(1, round(lease * 1000))])
        if word == b"begun":
            return Begun(token)
        if word == b"kept":
            return msgspec.msgpack.decode(answer, type=KeptAnswer)
        return InFlight() if word == b"in_flight" else Mismatch()

    async def settle(self, key: str, token: str, answer: KeptAnswer | None, keep: float) -> None:
        packed = b"" if answer is None else msgspec.msgpack.encode(answer)
        if len(packed) > self._most_bytes:
            packed = b""
        milliseconds = max(1, round(keep * 1000))
        if await self._call(key, ["settle", token, packed, milliseconds]) and packed:
            await self._make_room(key, len(packed), milliseconds)

    async def _make_room(self, key: str, size: int, milliseconds: int) -> None:
        """Count a kept answer, and forget the oldest where all of them have become too large."""
        try:
            gone = await self._ledger(keys=self._ledger_keys, args=[key, size, milliseconds, self._most_bytes])
            for each in gone:
                await self._redis.delete(self._prefix + each.decode())
        except _GONE as error:
            raise StoreGone(str(error)) from error

    async def _call(self, key: str, args: list[Any]) -> Any:
        try:
            return await self._script(keys=[self._prefix + key], args=args)
        except _GONE as error:
            raise StoreGone(str(error)) from error
