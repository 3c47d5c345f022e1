"""Security events of the admin listener: published, and written to the audit trail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from spork.application.admin.commands import Operations
from spork.application.telemetry.audit import AuditEntry
from spork.application.telemetry.event_log import EventLog


class SecurityNotes:
    """Notes who was refused on the admin listener, and who looked into the process."""

    def __init__(self, operations: Operations, events: EventLog, unix: Callable[[], float], node: str) -> None:
        self._operations = operations
        self._events = events
        self._unix = unix
        self._node = node
        self._waiting: set[asyncio.Future[Any]] = set()

    def refused(self, kind: str, who: str, client: str, detail: str) -> None:
        """`who` was refused: an event now, and an audit record as soon as the records take it."""
        self._events.publish(kind, "admin", {"actor": who, "outcome": "refused", "detail": detail})
        entry = AuditEntry(
            self._unix(),
            kind,
            actor=who,
            object="admin",
            outcome="refused",
            detail=detail,
            client=client,
            node=self._node,
        )
        task = asyncio.ensure_future(self._operations.note(entry))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)

    async def profiled(self, actor: str, client: str, words: str, reason: str) -> None:
        """`actor` took a profile of this node."""
        entry = AuditEntry(
            self._unix(),
            "profile.take",
            actor=actor,
            object=self._node,
            outcome="done",
            detail=words,
            reason=reason,
            client=client,
            node=self._node,
        )
        await self._operations.note(entry)

    async def settle(self, seconds: float) -> None:
        """Wait until what was noted is written, for at most so many seconds."""
        if self._waiting:
            await asyncio.wait(self._waiting, timeout=seconds)
