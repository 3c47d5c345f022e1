"""Sessions seen on tokens, in SQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import RowMapping, Select, delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from spork.adapters.sqlalchemy.database import reading, writing
from spork.adapters.sqlalchemy.identity import upsert
from spork.adapters.sqlalchemy.identity_tables import SESSIONS
from spork.application.callers.ports import Session


class SqlSessions:
    """SessionRecords over SQLite or PostgreSQL."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def saw(self, sessions: Sequence[Session]) -> None:
        if not sessions:
            return
        async with writing(self._engine) as connection:
            for session in sorted(sessions, key=lambda s: (s.issuer, s.id)):
                row = {name: getattr(session, name) for name in SESSIONS.c.keys()}  # noqa: SIM118
                await connection.execute(upsert(self._engine, SESSIONS, row, keep=("started_at",)))

    async def of_subject(self, subject: str, issuer: str = "") -> list[Session]:
        query = select(SESSIONS).where(SESSIONS.c.subject == subject).order_by(SESSIONS.c.id)
        return await self._all(query.where(SESSIONS.c.issuer == issuer) if issuer else query)

    async def page(self, after: str = "", limit: int = 100) -> list[Session]:
        return await self._all(select(SESSIONS).where(SESSIONS.c.id > after).order_by(SESSIONS.c.id).limit(limit))

    async def find(self, session_id: str) -> Session | None:
        found = await self._all(select(SESSIONS).where(SESSIONS.c.id == session_id).limit(1))
        return found[0] if found else None

    async def ended(self, session_id: str, issuer: str = "") -> None:
        statement = delete(SESSIONS).where(SESSIONS.c.id == session_id)
        async with writing(self._engine) as connection:
            await connection.execute(statement.where(SESSIONS.c.issuer == issuer) if issuer else statement)

    async def forget(self, now: float) -> None:
        async with writing(self._engine) as connection:
            await connection.execute(delete(SESSIONS).where(SESSIONS.c.expires_at <= now))

    async def _all(self, query: Select[Any]) -> list[Session]:
        async with reading(self._engine) as connection:
            return [_session_of(row) for row in (await connection.execute(query)).mappings()]


def _session_of(row: RowMapping) -> Session:
    return Session(**{name: row[name] for name in SESSIONS.c.keys()})  # noqa: SIM118
