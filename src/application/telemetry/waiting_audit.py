"""Audit records that the records' store does not take now: they wait in a bounded, durable place, in order.

While that place is full or cannot be written, `ready` is False: what must be recorded is then not done at all.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Protocol

from spork.application.telemetry.audit import Anchor, AuditEntry, AuditRecord, AuditTrail, Finding

log = logging.getLogger("spork.audit")


class WaitingPlace(Protocol):
    """Entries with their ids, kept over a restart, oldest first. Called in a thread; raises OSError."""

    def put(self, id: str, entry: AuditEntry) -> None: ...

    def all(self) -> Sequence[tuple[str, AuditEntry]]: ...

    def drop(self, count: int) -> None:
        """Forget the oldest `count`."""

    def room(self) -> bool:
        """Whether one more can be put."""


class WaitingAuditTrail:
    """`AuditTrail` over another one; what that does not take waits in `place` until `settle` brings it there."""

    def __init__(self, inner: AuditTrail, place: WaitingPlace) -> None:
        self._inner = inner
        self._place = place
        #: Held while the place is read or written.
        self._turn = asyncio.Lock()
        #: How many wait, as far as this process knows, and how many were lost: neither store nor place took them.
        self.waiting = 0
        self.lost = 0

    async def ready(self) -> bool:
        """Whether a record made now is certain to be kept."""
        return await asyncio.to_thread(self._place.room)

    async def append(self, entry: AuditEntry, id: str = "") -> str:
        """The record's id once it is durable, in the trail or in the place where it waits. Raises OSError."""
        id = id or secrets.token_hex(12)
        if not self.waiting:
            try:
                return await self._inner.append(entry, id)
            except Exception as error:
                log.warning("an audit record of %s waits: %s", entry.action, type(error).__name__)
        async with self._turn:
            try:
                await asyncio.to_thread(self._place.put, id, entry)
            except OSError:
                self.lost += 1
                raise
            self.waiting += 1
        return id

    async def settle(self) -> None:
        """Bring what waits into the trail. Called each second, and at start; raises nothing."""
        try:
            async with self._turn:
                waiting = await asyncio.to_thread(self._place.all)
                self.waiting = len(waiting)
            for id, entry in waiting:
                await self._inner.append(entry, id)
                async with self._turn:
                    await asyncio.to_thread(self._place.drop, 1)
                    self.waiting -= 1
            if waiting:
                log.info("%d audit records that waited are in the trail", len(waiting))
        except Exception as error:
            log.debug("audit records wait on: %s", type(error).__name__)

    async def settling(self, every: float = 1.0) -> None:
        """`settle` again and again, until cancelled."""
        while True:
            await self.settle()
            await asyncio.sleep(every)

    def samples(self) -> list[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        return [("audit_records_waiting", (), float(self.waiting)), ("audit_records_lost_total", (), float(self.lost))]

    # ------------------------------------------------------------------------------------------- the rest of the port

    def find(
        self,
        after: int = 0,
        action: str = "",
        actor: str = "",
        text: str = "",
        since: float = 0.0,
        until: float = 0.0,
        limit: int = 200,
        before: int = 0,
        newest: bool = False,
    ) -> Awaitable[Sequence[AuditRecord]]:
        return self._inner.find(after, action, actor, text, since, until, limit, before, newest)

    def every(self) -> AsyncIterator[AuditRecord]:
        return self._inner.every()

    def verify(self, known_head: Anchor | None = None) -> Awaitable[list[Finding]]:
        return self._inner.verify(known_head)

    def head(self) -> Awaitable[Anchor]:
        return self._inner.head()

    def drop_before(self, at: float) -> Awaitable[int]:
        return self._inner.drop_before(at)

    def erase_subject(self, subject: str, at: float, by: str) -> Awaitable[int]:
        return self._inner.erase_subject(subject, at, by)
