"""Announcements between gateways in one process: an embedded gateway has nobody to tell but itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from spork.application.callers.ports import Change
from spork.domain.identity.revocation import Revocation


class MemoryHub:
    """What the replicas of one process share."""

    def __init__(self) -> None:
        self.listeners: list[Callable[[Change], None]] = []


class MemoryAnnouncements:
    """Announcements over a `MemoryHub`; delivered before `announce` returns."""

    def __init__(self, hub: MemoryHub | None = None) -> None:
        self._hub = hub if hub is not None else MemoryHub()
        self._hear: Callable[[Change], None] | None = None

    async def open(self, hear: Callable[[Change], None], recall: Callable[[], Iterable[Revocation]]) -> None:
        self._hear = hear
        self._hub.listeners.append(hear)

    async def announce(self, change: Change) -> None:
        for hear in tuple(self._hub.listeners):
            if hear is not self._hear:
                hear(change)

    async def close(self) -> None:
        if self._hear is not None:
            self._hub.listeners.remove(self._hear)
            self._hear = None
