"""Automatic persisted queries that a fleet shares: a text per key with its time to live, and an index that bounds their number."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from redis.exceptions import RedisError

_FOLDER = Path(__file__).parent / "lua"
_GONE = (RedisError, OSError, TimeoutError)
log = logging.getLogger("spork.graphql")


class RedisDocuments:
    """`spork.application.graphql.stored.DocumentStore` over a `redis.asyncio` client, which stays the caller's. While Redis is away
    nothing is known, and clients send their texts again."""

    def __init__(self, redis: Any, namespace: str = "spork") -> None:
        self._put = redis.register_script((_FOLDER / "document_put.lua").read_text())
        self._get = redis.register_script((_FOLDER / "document_get.lua").read_text())
        self._prefix = f"{namespace}:gql:"
        self._tasks: set[asyncio.Task[None]] = set()
        self.lost = 0

    def _keys(self, scope: str, digest: str) -> list[str]:
        """The index and the text: of one slot in a cluster."""
        tag = "{" + scope.replace("{", "(").replace("}", ")") + "}"
        return [f"{self._prefix}{tag}", f"{self._prefix}{tag}:{digest}"]

    def get(self, scope: str, digest: str) -> Awaitable[str | None]:
        return self._read(scope, digest)

    async def _read(self, scope: str, digest: str) -> str | None:
        try:
            text = await self._get(keys=self._keys(scope, digest), args=[digest])
        except _GONE:
            self.lost += 1
            return None
        return None if text is None else bytes(text).decode("utf-8", "replace")

    def put(self, scope: str, digest: str, text: str, ttl: float, most: int) -> None:
        task = asyncio.ensure_future(self._write(scope, digest, text, ttl, most))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _write(self, scope: str, digest: str, text: str, ttl: float, most: int) -> None:
        try:
            args = [digest, text, max(1, round(ttl * 1000)), most]
            await self._put(keys=self._keys(scope, digest), args=args)
        except _GONE as error:
            self.lost += 1
            log.debug("a persisted query was not kept: %s", error)

    async def settled(self) -> None:
        """Wait until everything that was put has been written or lost."""
        await asyncio.gather(*self._tasks, return_exceptions=True)
