"""Counts of objectives in SQL: a restarted process, and whoever shares the records, finds them again."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from spork.adapters.sqlalchemy.database import insert_into
from spork.adapters.sqlalchemy.objective_tables import BEGINNINGS, COUNTS, TELLERS
from spork.application.telemetry.objective_ledger import NAMED_FOR, Counted, Kept, Reading, Slice, needed
from spork.domain.objectives import Objective


class SqlObjectives:
    """`application.objective_ledger.ObjectiveLedger` over an engine whose migrations have run."""

    where = "records"

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def add(self, node: str, batch: str, counted: Sequence[Counted], unix: float) -> None:
        """In one order, so that gateways that add at once do not deadlock."""
        try:
            async with self._engine.begin() as connection:
                if await self._told(connection, node, batch, unix):
                    await self._add(connection, counted, unix)
        except (SQLAlchemyError, OSError) as error:
            raise OSError(f"records: {type(error).__name__}") from error

    async def _told(self, connection: AsyncConnection, node: str, batch: str, unix: float) -> bool:
        """Note that the node told `batch`; whether that is news."""
        statement = insert_into(self._engine, TELLERS).values(node=node, told_at=unix, batch=batch)
        known = (await connection.execute(select(TELLERS.c.batch).where(TELLERS.c.node == node))).scalar()
        await connection.execute(
            statement.on_conflict_do_update(index_elements=["node"], set_={"told_at": unix, "batch": batch})
        )
        return known != batch

    async def _add(self, connection: AsyncConnection, counted: Sequence[Counted], unix: float) -> None:
        if not counted:
            return
        beginnings = insert_into(self._engine, BEGINNINGS).on_conflict_do_nothing(index_elements=["objective"])
        keys = sorted({row.objective.key for row in counted})
        await connection.execute(beginnings, [{"objective": key, "since": unix} for key in keys])
        statement = insert_into(self._engine, COUNTS)
        statement = statement.on_conflict_do_update(
            index_elements=["objective", "width", "slice"],
            set_={name: COUNTS.c[name] + statement.excluded[name] for name in ("requests", "bad")},
        )
        await connection.execute(statement, [_row(row) for row in sorted(counted, key=_place)])
        await connection.execute(delete(COUNTS).where(COUNTS.c.needed_until < unix))
        await connection.execute(delete(TELLERS).where(TELLERS.c.told_at < unix - NAMED_FOR))

    async def read(self, objectives: Sequence[Objective], unix: float) -> Reading:
        by_key = {objective.key: objective for objective in objectives}
        counts = select(COUNTS).where(COUNTS.c.objective.in_(by_key))
        beginnings = select(BEGINNINGS).where(BEGINNINGS.c.objective.in_(by_key))
        tellers = select(TELLERS.c.node).where(TELLERS.c.told_at > unix - NAMED_FOR).order_by(TELLERS.c.node)
        try:
            async with self._engine.connect() as connection:
                rows = (await connection.execute(counts)).all()
                since = {row.objective: row.since for row in await connection.execute(beginnings)}
                nodes = tuple((await connection.execute(tellers)).scalars())
        except (SQLAlchemyError, OSError) as error:
            raise OSError(f"records: {type(error).__name__}") from error
        slices: dict[str, dict[Slice, tuple[int, int]]] = {key: {} for key in by_key}
        for row in rows:
            if needed(by_key[row.objective], (row.width, row.slice), unix):
                slices[row.objective][row.width, row.slice] = (row.requests, row.bad)
        return Reading({key: Kept(since.get(key), slices[key]) for key in by_key}, nodes)


def _place(row: Counted) -> tuple[str, int, int]:
    return (row.objective.key, *row.slice)


def _row(row: Counted) -> dict[str, object]:
    width, number = row.slice
    return {
        "objective": row.objective.key,
        "width": width,
        "slice": number,
        "requests": row.requests,
        "bad": row.bad,
        "needed_until": (number + 2) * width + row.objective.kept[width],
    }
