"""Migrations of the records: an ordered list of steps, each run once, all pending ones in one transaction.

To add a step, add a module with `name` and `upgrade(connection)` and append it to `STEPS`; never change or reorder
what was released. `spork records upgrade` runs them, and an SQLite file is upgraded whenever it is opened.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Column, Float, Integer, MetaData, String, Table, insert, inspect, select, text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from spork.adapters.sqlalchemy.migrations import audit, identity, objectives

_TABLE = Table(
    "spork_migrations",
    MetaData(),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("name", String(100), nullable=False),
    Column("applied_at", Float, nullable=False),
)

#: Any number, the same in every gateway: serialises upgrades of several replicas on PostgreSQL.
_LOCK = 0x53504F524B


class Step(Protocol):
    """One migration. `name` is its identity, `upgrade` its statements."""

    name: str

    def upgrade(self, connection: Connection) -> None: ...


#: Every step, oldest first.
STEPS: tuple[Step, ...] = (identity, audit, objectives)


class SchemaTooNew(RuntimeError):
    """The records were written by a newer version of the gateway."""


def applied(connection: Connection) -> list[str]:
    """Names of the steps these records have had."""
    if not inspect(connection).has_table(_TABLE.name):
        return []
    return list(connection.execute(select(_TABLE.c.name).order_by(_TABLE.c.number)).scalars())


def _upgrade(connection: Connection, steps: Sequence[Step], now: float) -> list[str]:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
    else:
        # Take the write lock before looking: two processes may open a new file at once.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
    _TABLE.create(connection, checkfirst=True)
    had = applied(connection)
    names = [step.name for step in steps]
    if had != names[: len(had)]:
        raise SchemaTooNew(f"the records have had {', '.join(had)}; this version knows {', '.join(names)}")
    for number, step in enumerate(steps[len(had) :], len(had) + 1):
        step.upgrade(connection)
        connection.execute(insert(_TABLE).values(number=number, name=step.name, applied_at=now))
    return names[len(had) :]


async def upgrade(engine: AsyncEngine, steps: Sequence[Step] = STEPS) -> list[str]:
    """Run every step these records lack; the names of those that ran. Raises SchemaTooNew."""
    async with engine.begin() as connection:
        return await connection.run_sync(_upgrade, steps, time.time())


async def pending(engine: AsyncEngine, steps: Sequence[Step] = STEPS) -> list[str]:
    """Names of the steps these records lack."""
    async with engine.connect() as connection:
        had = await connection.run_sync(applied)
    return [step.name for step in steps][len(had) :]
