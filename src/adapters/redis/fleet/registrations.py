"""Registrations that a fleet shares: one hash, the server's clock, changes announced on a channel and polled besides.

A mark in the hash tells one beginning of it from another: who finds a new one knows that the store was emptied, and puts
back what it knew and whose lease still lasts.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from pathlib import Path
from typing import Any

import msgspec
from redis.exceptions import RedisError

from spork.adapters.redis.store.shared_hash import SharedHash
from spork.application.upstreams.registration import Registration, StoreGone

_HERE = Path(__file__).parent / "lua"
_GONE = (RedisError, OSError, TimeoutError)
_MARK = b""


class RedisRegistrations:
    """`application.registration.RegistrationStore` over a `redis.asyncio` client, which stays the caller's."""

    def __init__(self, redis: Any, namespace: str = "spork") -> None:
        self._redis = redis
        self._key = f"{{{namespace}:registrations}}"
        self._channel = f"{namespace}:registrations"
        self._script = redis.register_script((_HERE / "registration_keep.lua").read_text())
        self._restoring = redis.register_script((_HERE / "registration_restore.lua").read_text())
        self._rows = SharedHash(redis, self._key)
        self._pubsub: Any = None
        self._mark = b""
        self._known: dict[str, Registration] = {}

    async def keep(self, registration: Registration) -> Registration:
        kept = await self._act("keep", registration.id, msgspec.json.encode(registration))
        assert kept is not None
        return kept

    async def renew(self, id: str) -> Registration | None:
        return await self._act("renew", id)

    async def drop(self, id: str) -> Registration | None:
        self._known.pop(id, None)
        return await self._act("drop", id)

    async def current(self) -> list[Registration]:
        try:
            rows, now = await self._rows.read()
            mark = rows.pop(_MARK, b"")
            if not mark or (self._mark and mark != self._mark):
                mark = await self._restore()
                rows, now = await self._rows.read()
                rows.pop(_MARK, b"")
        except _GONE as error:
            raise StoreGone(str(error)) from error
        self._mark = mark
        every = [_decode(text) for text in rows.values()]
        alive = [registration for registration in every if registration.expires_at > now]
        if len(alive) < len(every):
            await self._sweep([r.id for r in every if r.expires_at <= now])
        self._known = {registration.id: registration for registration in alive}
        return sorted(alive, key=lambda r: (r.registered_at, r.id))

    async def changed(self, seconds: float) -> None:
        try:
            if self._pubsub is None:
                self._pubsub = self._redis.pubsub()
                await self._pubsub.subscribe(self._channel)
            await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=seconds)
        except _GONE:
            await self._unsubscribe()
            await asyncio.sleep(seconds)

    async def close(self) -> None:
        await self._unsubscribe()

    async def _unsubscribe(self) -> None:
        pubsub, self._pubsub = self._pubsub, None
        if pubsub is not None:
            with contextlib.suppress(*_GONE):
                await pubsub.aclose()

    async def _act(self, act: str, id: str, text: bytes = b"") -> Registration | None:
        try:
            answer = await self._script(keys=[self._key], args=[act, id, text, self._channel])
        except _GONE as error:
            raise StoreGone(str(error)) from error
        return None if answer is None else _decode(answer)

    async def _restore(self) -> bytes:
        """Begin the hash, with what was known of the one before it; its mark."""
        known = [part for one in self._known.values() for part in (one.id, msgspec.json.encode(one))]
        mark = await self._restoring(keys=[self._key], args=[secrets.token_hex(8), self._channel, *known])
        return bytes(mark)

    async def _sweep(self, ids: list[str]) -> None:
        """Forget ended leases."""
        with contextlib.suppress(*_GONE):
            for id in ids:
                await self._script(keys=[self._key], args=["sweep", id, b"", self._channel])


def _decode(text: bytes | str) -> Registration:
    # cjson writes an empty object as an empty array
    document = msgspec.json.decode(text)
    if not document.get("metadata"):
        document["metadata"] = {}
    return msgspec.convert(document, Registration, strict=False)
