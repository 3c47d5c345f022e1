"""Idempotency keys that a fleet shares: one hash per key, gone with its time to live.

Here the time to live is the lease itself: a key that has expired is free, and Redis decides when.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import msgspec
from redis.exceptions import RedisError

from spork.application.guards.idempotency import Begun, InFlight, KeptAnswer, Mismatch, StoreGone

_SCRIPT = (Path(__file__).parent / "lua" / "idempotency.lua").read_text()
_GONE = (RedisError, OSError, TimeoutError)


class RedisIdempotency:
    """`spork.application.guards.idempotency.IdempotencyStore` over a `redis.asyncio` client, which stays the caller's."""

    def __init__(self, redis: Any, namespace: str = "spork") -> None:
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
        await self._call(key, ["settle", token, packed, max(1, round(keep * 1000))])

    async def _call(self, key: str, args: list[Any]) -> Any:
        try:
            return await self._script(keys=[self._prefix + key], args=args)
        except _GONE as error:
            raise StoreGone(str(error)) from error
