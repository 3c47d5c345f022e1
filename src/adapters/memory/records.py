"""Identity records in process: for an embedded gateway and for tests. Gone when the process ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from spork.application.callers.ports import Change, ChangeKind, Conflict, Session
from spork.domain.identity.consumers import ApiKey, Consumer
from spork.domain.identity.revocation import Revocation, stricter

#: How many changes are kept for `changes_since`.
_CHANGES_KEPT = 10_000


class MemoryRecords:
    """KeyRecords, RevocationRecords, SessionRecords, ConsumerRecords and ChangeFeed in dictionaries."""

    def __init__(self) -> None:
        self._keys: dict[str, ApiKey] = {}
        self._revocations: dict[str, Revocation] = {}
        self._consumers: dict[str, Consumer] = {}
        self._changes: list[tuple[int, Change]] = []
        self._number = 0

    def __repr__(self) -> str:
        return f"MemoryRecords({len(self._keys)} keys, {len(self._revocations)} revocations)"

    def _changed(self, change: Change) -> None:
        self._number += 1
        self._changes.append((self._number, change))
        del self._changes[:-_CHANGES_KEPT]

    # ------------------------------------------------------------------------------------------------------------ keys

    async def add(self, key: ApiKey) -> None:
        if key.id in self._keys:
            raise Conflict(f"key {key.id} exists")
        self._keys[key.id] = key
        self._changed(Change(ChangeKind.KEY, key.id))

    async def add_all(self, keys: Sequence[ApiKey]) -> int:
        fresh = [key for key in keys if key.id not in self._keys]
        self._keys.update({key.id: key for key in fresh})
        if fresh:
            self._changed(Change(ChangeKind.EVERYTHING))
        return len(fresh)

    async def find(self, key_id: str) -> ApiKey | None:
        return self._keys.get(key_id)

    async def replace(self, before: ApiKey, after: ApiKey) -> None:
        stored = self._keys.get(before.id)
        if stored is None or replace(stored, last_used_at=None) != replace(before, last_used_at=None):
            raise Conflict(f"key {before.id} was changed meanwhile")
        self._keys[before.id] = replace(after, last_used_at=stored.last_used_at)
        self._changed(Change(ChangeKind.KEY, before.id))

    async def page(self, consumer: str = "", after: str = "", limit: int = 100) -> list[ApiKey]:
        ids = sorted(i for i, key in self._keys.items() if i > after and consumer in ("", key.consumer))
        return [self._keys[i] for i in ids[:limit]]

    async def used(self, at: Mapping[str, float]) -> None:
        for key_id, when in at.items():
            key = self._keys.get(key_id)
            if key is not None:
                self._keys[key_id] = replace(key, last_used_at=max(when, key.last_used_at or 0.0))

    # ----------------------------------------------------------------------------------------------------- revocations

    async def record(self, revocation: Revocation) -> None:
        known = self._revocations.get(revocation.id)
        self._revocations[revocation.id] = stricter(known, revocation) if known else revocation
        self._changed(Change(ChangeKind.REVOCATION, revocation.id, self._revocations[revocation.id]))

    async def in_force(self, now: float) -> list[Revocation]:
        return [r for r in self._revocations.values() if r.expires_at > now]

    async def forget(self, now: float) -> None:
        self._revocations = {i: r for i, r in self._revocations.items() if r.expires_at > now}

    # ------------------------------------------------------------------------------------------- consumers and changes

    async def assign(self, consumer: Consumer) -> None:
        self._consumers[consumer.name] = consumer
        self._changed(Change(ChangeKind.CONSUMER, consumer.name))

    async def consumers(self) -> list[Consumer]:
        return [self._consumers[name] for name in sorted(self._consumers)]

    async def changes_since(self, number: int) -> tuple[int, list[Change]]:
        if number < 0:
            return self._number, []
        if self._changes and self._changes[0][0] > number + 1:
            return self._number, [Change(ChangeKind.EVERYTHING)]
        return self._number, [change for at, change in self._changes if at > number]


class MemorySessions:
    """SessionRecords in a dictionary."""

    def __init__(self) -> None:
        self._sessions: dict[tuple[str, str], Session] = {}

    async def saw(self, sessions: Sequence[Session]) -> None:
        for session in sessions:
            mark = (session.issuer, session.id)
            known = self._sessions.get(mark)
            started = min(session.started_at, known.started_at) if known else session.started_at
            self._sessions[mark] = replace(session, started_at=started)

    async def of_subject(self, subject: str, issuer: str = "") -> list[Session]:
        return sorted(
            (s for s in self._sessions.values() if s.subject == subject and issuer in ("", s.issuer)),
            key=lambda s: s.id,
        )

    async def page(self, after: str = "", limit: int = 100) -> list[Session]:
        return sorted((s for s in self._sessions.values() if s.id > after), key=lambda s: s.id)[:limit]

    async def find(self, session_id: str) -> Session | None:
        return next((s for s in self._sessions.values() if s.id == session_id), None)

    async def ended(self, session_id: str, issuer: str = "") -> None:
        for mark in [m for m in self._sessions if m[1] == session_id and issuer in ("", m[0])]:
            del self._sessions[mark]

    async def forget(self, now: float) -> None:
        over = [m for m, s in self._sessions.items() if s.expires_at is not None and s.expires_at <= now]
        for mark in over:
            del self._sessions[mark]
