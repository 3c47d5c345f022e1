"""Usage in SQL: added to with one upsert per flush, read in order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncEngine

from spork.adapters.sqlalchemy.database import insert_into, reading, writing
from spork.adapters.sqlalchemy.usage_tables import USAGE
from spork.application.telemetry.usage import UsageRow

_SUMS = ("requests", "errors", "refused", "units", "bytes_in", "bytes_out", "seconds")


class SqlUsage:
    """`usage.UsageStore` over an engine whose migrations have run."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, rows: Sequence[UsageRow]) -> None:
        """All or nothing. Rows in one order, so that replicas that flush at once do not deadlock."""
        if not rows:
            return
        statement = insert_into(self._engine, USAGE)
        statement = statement.on_conflict_do_update(
            index_elements=["hour", "consumer", "route"],
            set_={name: USAGE.c[name] + statement.excluded[name] for name in _SUMS},
        )
        ordered = sorted(rows, key=lambda row: (row.hour, row.consumer, row.route))
        async with writing(self._engine) as connection:
            await connection.execute(statement, [asdict(row) for row in ordered])

    async def rows(
        self, since: int, until: int, consumer: str = "", route: str = "", limit: int = 100_000
    ) -> Sequence[UsageRow]:
        query = select(USAGE).where(USAGE.c.hour >= since, USAGE.c.hour < until)
        if consumer:
            query = query.where(USAGE.c.consumer == consumer)
        if route:
            query = query.where(USAGE.c.route == route)
        query = query.order_by(USAGE.c.hour, USAGE.c.consumer, USAGE.c.route).limit(limit)
        async with reading(self._engine) as connection:
            return [UsageRow(**row._mapping) for row in await connection.execute(query)]

    async def drop_before(self, hour: int) -> int:
        """Remove hours before `hour`; how many rows."""
        async with writing(self._engine) as connection:
            return (await connection.execute(delete(USAGE).where(USAGE.c.hour < hour))).rowcount
