"""The audit trail over SQLite and PostgreSQL: appending in a chain, tampering found, retention, erasure."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncEngine

from spork.adapters.sqlalchemy.audit import SqlAuditTrail
from spork.adapters.sqlalchemy.audit_tables import CHAIN, RECORDS
from spork.adapters.sqlalchemy.database import open_database
from spork.adapters.sqlalchemy.migrations import upgrade
from spork.application.telemetry.audit import AuditEntry
from tests.servers import postgres_url


@pytest.fixture(scope="module")
def postgres() -> AsyncIterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
async def engine(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[AsyncEngine]:
    url = "sqlite" if request.param == "sqlite" else request.getfixturevalue("postgres")
    engine = open_database(url, str(tmp_path))
    await upgrade(engine)
    async with engine.begin() as connection:
        await connection.execute(delete(RECORDS))
        await connection.execute(
            update(CHAIN).values(anchor_number=0, anchor_hash="0" * 64, head_number=0, head_hash="0" * 64)
        )
    yield engine
    await engine.dispose()


@pytest.fixture
def trail(engine: AsyncEngine) -> SqlAuditTrail:
    return SqlAuditTrail(engine)


def entry(number: int, **more: str) -> AuditEntry:
    facts = {"actor": "alice", "role": "operator", "object": f"breaker b{number}", "client": "192.0.2.1"} | more
    return AuditEntry(at=1000.0 + number, action="breaker.trip", **facts)


async def fill(trail: SqlAuditTrail, count: int = 6) -> None:
    for number in range(1, count + 1):
        await trail.append(entry(number))


async def test_a_whole_trail_verifies_and_is_found_in_order(trail: SqlAuditTrail) -> None:
    await fill(trail)
    assert await trail.verify() == []
    found = await trail.find(action="breaker", actor="alice", after=2, limit=3)
    assert [r.number for r in found] == [3, 4, 5]
    assert await trail.find(action="break") == []
    assert [r.number for r in await trail.find(newest=True, limit=2)] == [6, 5]
    assert [r.number for r in await trail.find(newest=True, before=5, limit=2)] == [4, 3]
    assert [r.number for r in await trail.find(text="b4")] == [4]
    assert [r.number for r in await trail.find(since=1002.0, until=1004.0)] == [2, 3]


async def test_replicas_that_append_at_once_make_one_chain(trail: SqlAuditTrail) -> None:
    await asyncio.gather(*(trail.append(entry(n)) for n in range(20)))
    assert [r.number for r in await trail.find()] == list(range(1, 21))
    assert await trail.verify() == []


@pytest.mark.parametrize(
    ("column", "value"),
    [("actor", "mallory"), ("object", "breaker other"), ("after", "open"), ("outcome", "refused"), ("at", 1.0),
     ("detail", "x"), ("hash", "0" * 64), ("reason", "because")],
)  # fmt: skip
async def test_a_changed_record_is_found(trail: SqlAuditTrail, engine: AsyncEngine, column: str, value: object) -> None:
    await fill(trail)
    async with engine.begin() as connection:
        await connection.execute(update(RECORDS).where(RECORDS.c.number == 3).values(**{column: value}))
    findings = await trail.verify()
    assert (3, "changed") in {(f.number, f.kind) for f in findings}


@pytest.mark.parametrize("number", [1, 3])
async def test_a_removed_record_is_found(trail: SqlAuditTrail, engine: AsyncEngine, number: int) -> None:
    await fill(trail)
    async with engine.begin() as connection:
        await connection.execute(delete(RECORDS).where(RECORDS.c.number == number))
    assert [(f.number, f.kind) for f in await trail.verify()] == [(number, "missing")]


async def test_records_cut_from_the_end_are_found(trail: SqlAuditTrail, engine: AsyncEngine) -> None:
    await fill(trail)
    written_down = await trail.head()
    async with engine.begin() as connection:
        await connection.execute(delete(RECORDS).where(RECORDS.c.number >= 5))
    assert [f.kind for f in await trail.verify()] == ["truncated"]
    async with engine.begin() as connection:
        last = (await trail.find())[-1]
        await connection.execute(update(CHAIN).values(head_number=last.number, head_hash=last.hash))
    assert await trail.verify() == [], "the head was changed with it, so only what was written down elsewhere can tell"
    assert [f.kind for f in await trail.verify(written_down)] == ["truncated"]


async def test_reordered_records_are_found(trail: SqlAuditTrail, engine: AsyncEngine) -> None:
    await fill(trail)
    async with engine.begin() as connection:
        for before, after in ((3, 99), (4, 3), (99, 4)):
            await connection.execute(update(RECORDS).where(RECORDS.c.number == before).values(number=after))
    findings = await trail.verify()
    assert {f.number for f in findings} >= {3, 4}


async def test_a_forged_record_put_in_between_is_found(trail: SqlAuditTrail, engine: AsyncEngine) -> None:
    await fill(trail, 3)
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE audit_records SET number = number + 1 WHERE number = 3"))
        await connection.execute(
            text("INSERT INTO audit_records SELECT 3, 'forged', at, action, 'mallory', role, object, outcome, reason,"
                 " before, after, detail, client, subject, node, request_id, commitments, salts, previous, 'f', erased"
                 " FROM audit_records WHERE number = 2")
        )  # fmt: skip
    assert {f.number for f in await trail.verify()} >= {3, 4}


async def test_retention_keeps_the_rest_verifiable(trail: SqlAuditTrail, engine: AsyncEngine) -> None:
    await fill(trail)
    assert await trail.drop_before(1003.5) == 3
    assert [r.number for r in await trail.find()] == [4, 5, 6]
    assert await trail.verify() == []
    assert await trail.drop_before(9999.0) == 3
    await trail.append(entry(7))
    assert [r.number for r in await trail.find()] == [7]
    assert await trail.verify() == []


async def test_erasure_forgets_the_person_and_keeps_the_chain(trail: SqlAuditTrail) -> None:
    await fill(trail, 2)
    await trail.append(entry(3, subject="carol", object="key of carol", reason="carol left"))
    await trail.append(entry(4, actor="carol"))
    assert await trail.erase_subject("carol", 1000.0, "root") == 2
    records = await trail.find()
    assert "carol" not in repr(records)
    assert records[2].entry.actor == "alice"
    assert records[3].entry.object == "breaker b4"
    assert await trail.verify() == []


async def test_an_erased_mark_hides_no_change(trail: SqlAuditTrail, engine: AsyncEngine) -> None:
    await fill(trail, 3)
    async with engine.begin() as connection:
        await connection.execute(
            update(RECORDS).where(RECORDS.c.number == 2).values(erased=True, salts="{}", actor="eve")
        )
    assert next((f.number, f.kind) for f in await trail.verify()) == (2, "changed")


async def test_fields_blanked_without_an_erasure_are_found_and_an_erasure_is_none(
    trail: SqlAuditTrail, engine: AsyncEngine
) -> None:
    """Actor and reason emptied, their salts dropped, the mark set: as an erasure would look, and none was recorded."""
    await fill(trail)
    async with engine.begin() as connection:
        row = (await connection.execute(select(RECORDS).where(RECORDS.c.number == 2))).one()
        salts = {k: v for k, v in json.loads(row.salts).items() if k not in ("actor", "client", "reason")}
        blank = {"actor": "", "client": "", "reason": "", "salts": json.dumps(salts), "erased": True}
        await connection.execute(update(RECORDS).where(RECORDS.c.number == 2).values(**blank))
    found = [finding for finding in await trail.verify(await trail.head())]
    assert [(finding.number, finding.kind) for finding in found] == [(2, "changed")]
    assert "actor, client, reason" in found[0].detail


async def test_an_append_with_an_id_that_is_there_adds_nothing(trail: SqlAuditTrail) -> None:
    entry = AuditEntry(1.0, "key.revoke", "alice")
    assert await trail.append(entry, "an-id") == await trail.append(entry, "an-id") == "an-id"
    assert len(await trail.find()) == 1
    assert await trail.verify() == []
