"""Signatures that a fleet has taken: one key each, set once, gone with its time to live."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

from redis.exceptions import RedisError

from spork.application.callers.shared_secrets import TakenSignatures

log = logging.getLogger("spork.identity")

_GONE = (RedisError, OSError, TimeoutError)


class RedisSignatures:
    """`spork.application.guards.shared_secrets.TakenSignatures` over a `redis.asyncio` client, which stays the caller's.

    `own` remembers in this process as well: what it knows needs no question, and while Redis is gone it alone decides.
    """

    def __init__(self, redis: Any, own: TakenSignatures, namespace: str = "spork") -> None:
        self._redis = redis
        self._own = own
        self._prefix = f"{namespace}:signature:"
        self._gone = False

    async def take(self, signature: bytes, now: float, keep: float) -> bool:
        if not self._own.take(signature, now, keep):
            return False
        name = self._prefix + hashlib.sha256(signature).hexdigest()
        try:
            first = bool(await self._redis.set(name, b"", nx=True, px=max(1, round(keep * 1000))))
        except _GONE as error:
            if not self._gone:
                log.warning("signatures are remembered by this process alone for now: %s", error)
            self._gone = True
            return True
        self._gone = False
        return first
