"""Registrations of one process."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

from spork.application.upstreams.registration import Registration, renewed


class MemoryRegistrations:
    """`application.registration.RegistrationStore` in process. `unix` answers Unix seconds."""

    def __init__(self, unix: Callable[[], float]) -> None:
        self._unix = unix
        self._kept: dict[str, Registration] = {}
        self._news = asyncio.Event()

    async def keep(self, registration: Registration) -> Registration:
        now = self._unix()
        before = self._alive(registration.id, now)
        kept = self._kept[registration.id] = renewed(registration, now, before)
        self._news.set()
        return kept

    async def renew(self, id: str) -> Registration | None:
        now = self._unix()
        known = self._alive(id, now)
        if known is None:
            return None
        self._kept[id] = renewed(known, now, known)
        return self._kept[id]

    async def drop(self, id: str) -> Registration | None:
        known = self._alive(id, self._unix())
        self._kept.pop(id, None)
        self._news.set()
        return known

    async def current(self) -> list[Registration]:
        now = self._unix()
        self._kept = {id: kept for id, kept in self._kept.items() if kept.expires_at > now}
        return sorted(self._kept.values(), key=lambda kept: (kept.registered_at, kept.id))

    async def changed(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._news.wait(), seconds)
        self._news.clear()

    async def close(self) -> None:
        """Nothing is open."""

    def _alive(self, id: str, now: float) -> Registration | None:
        known = self._kept.get(id)
        return known if known is not None and known.expires_at > now else None
