"""Usage in records: added to by several replicas at once, read by hour, consumer and route."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete

from spork.adapters.sqlalchemy.database import open_database
from spork.adapters.sqlalchemy.migrations import upgrade
from spork.adapters.sqlalchemy.usage import SqlUsage
from spork.adapters.sqlalchemy.usage_tables import USAGE
from spork.application.admin.exports import as_csv, as_json_lines, csv_head
from spork.application.telemetry.usage import UsageRow
from tests.servers import postgres_url


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[SqlUsage]:
    url = "sqlite" if request.param == "sqlite" else request.getfixturevalue("postgres")
    engine = open_database(url, str(tmp_path))
    await upgrade(engine)
    async with engine.begin() as connection:
        await connection.execute(delete(USAGE))
    yield SqlUsage(engine)
    await engine.dispose()


async def test_the_same_hour_consumer_and_route_add_up(store: SqlUsage) -> None:
    await store.add([UsageRow(1, "a", "r", 1, 0, 0, 2, 10, 20, 0.5), UsageRow(1, "b", "r", 1)])
    await store.add([UsageRow(1, "a", "r", 2, 1, 1, 3, 1, 2, 0.25)])
    await store.add([])
    assert await store.rows(0, 2) == [UsageRow(1, "a", "r", 3, 1, 1, 5, 11, 22, 0.75), UsageRow(1, "b", "r", 1)]


async def test_replicas_that_flush_at_once_lose_nothing(store: SqlUsage) -> None:
    rows = [UsageRow(5, f"c{n}", "r", 1, units=1) for n in range(20)]
    await asyncio.gather(*(store.add(rows if turn % 2 else rows[::-1]) for turn in range(8)))
    assert {row.requests for row in await store.rows(5, 6)} == {8}


async def test_rows_are_found_by_hour_consumer_and_route(store: SqlUsage) -> None:
    await store.add([UsageRow(h, c, r, 1) for h in (1, 2, 3) for c in ("a", "b") for r in ("x", "y")])
    assert len(await store.rows(1, 3)) == 8
    assert [r.hour for r in await store.rows(0, 9, consumer="a", route="x")] == [1, 2, 3]
    assert len(await store.rows(0, 9, limit=5)) == 5
    assert await store.drop_before(3) == 8
    assert {r.hour for r in await store.rows(0, 9)} == {3}


def test_exports_are_fit_for_other_programs() -> None:
    rows = [UsageRow(1, '=HYPERLINK("x")', 'a,"b"', 1)]
    assert csv_head(UsageRow).strip() == "hour,consumer,route,requests,errors,refused,units,bytes_in,bytes_out,seconds"
    assert next(as_csv(rows)).startswith('1,"\'=HYPERLINK(""x"")","a,""b""",1')
    assert '"consumer":"=HYPERLINK(\\"x\\")"' in next(as_json_lines(rows))
