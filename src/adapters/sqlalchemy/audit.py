"""The audit trail in SQL: appended one at a time in a chain, queried, verified, thinned out by age, cleared of persons.

Appending locks the chain's one row, so that replicas that share records continue one chain. The chain's hash covers
everything but personal values, which count by salted commitment (`spork.application.telemetry.audit`).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator, Sequence
from typing import Any

from sqlalchemy import and_, delete, func, insert, or_, select, update
from sqlalchemy.engine import Row
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from spork.adapters.sqlalchemy.audit_tables import CHAIN, RECORDS
from spork.adapters.sqlalchemy.database import reading, writing
from spork.application.telemetry.audit import (
    PERSONAL,
    Anchor,
    AuditEntry,
    AuditRecord,
    ErasureCheck,
    Finding,
    check_end,
    check_record,
    erased,
    erasures,
    fields_of,
    seal,
)

#: Records read at a time while all of them are looked at.
_PAGE = 1000
_ENTRY = ("at", "action", "actor", "role", "object", "outcome", "reason", "before", "after", "detail", "client",
          "subject", "node", "request_id")  # fmt: skip


class SqlAuditTrail:
    """`audit.AuditTrail` over an engine whose migrations have run."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def append(self, entry: AuditEntry, id: str = "") -> str:
        """Durable when it returns; the record's id. With an `id` that is there already nothing is added.

        Raises SQLAlchemyError.
        """
        async with writing(self._engine) as connection:
            head = await self._lock(connection)
            if id and await connection.scalar(select(RECORDS.c.number).where(RECORDS.c.id == id)) is not None:
                return id
            id = id or secrets.token_hex(12)
            await self._add(connection, entry, id, head)
        return id

    async def _add(self, connection: AsyncConnection, entry: AuditEntry, id: str, head: Anchor) -> Anchor:
        """Append under the lock; the new head."""
        salts = {name: secrets.token_hex(16) for name in PERSONAL}
        record = seal(entry, head.number + 1, id, head.hash, salts)
        await connection.execute(insert(RECORDS).values(**_columns(record)))
        await connection.execute(
            update(CHAIN).where(CHAIN.c.one == 1).values(head_number=record.number, head_hash=record.hash)
        )
        return Anchor(record.number, record.hash)

    async def _lock(self, connection: AsyncConnection) -> Anchor:
        # Writing first takes the row lock (the write lock on SQLite) before the head is read.
        await connection.execute(update(CHAIN).where(CHAIN.c.one == 1).values(one=1))
        row = (await connection.execute(select(CHAIN.c.head_number, CHAIN.c.head_hash))).one()
        return Anchor(row.head_number, row.head_hash)

    # ------------------------------------------------------------------------------------------------------- reading

    async def find(
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
    ) -> Sequence[AuditRecord]:
        """Records that fit with a number above `after`, and below `before` unless that is 0; oldest first, or `newest`.

        `action` fits its sub-actions too.
        """
        wanted: list[Any] = [RECORDS.c.number > after]
        if before:
            wanted.append(RECORDS.c.number < before)
        if action:
            wanted.append(or_(RECORDS.c.action == action, RECORDS.c.action.startswith(action + ".", autoescape=True)))
        if actor:
            wanted.append(RECORDS.c.actor == actor)
        if text:
            columns = (RECORDS.c.object, RECORDS.c.reason, RECORDS.c.detail, RECORDS.c.subject)
            wanted.append(or_(*(column.contains(text, autoescape=True) for column in columns)))
        if since:
            wanted.append(RECORDS.c.at >= since)
        if until:
            wanted.append(RECORDS.c.at < until)
        async with reading(self._engine) as connection:
            order = RECORDS.c.number.desc() if newest else RECORDS.c.number
            query = select(RECORDS).where(and_(*wanted)).order_by(order).limit(limit)
            return [_record(row) for row in await connection.execute(query)]

    async def every(self) -> AsyncIterator[AuditRecord]:
        """All records in the order of their numbers, a page at a time."""
        last = -1
        while True:
            async with reading(self._engine) as connection:
                query = select(RECORDS).where(RECORDS.c.number > last).order_by(RECORDS.c.number).limit(_PAGE)
                page = [_record(row) for row in await connection.execute(query)]
            for record in page:
                yield record
            if len(page) < _PAGE:
                return
            last = page[-1].number

    async def verify(self, known_head: Anchor | None = None) -> list[Finding]:
        """Everything wrong with the trail. `known_head`: a number and hash written down elsewhere, if there is one."""
        async with reading(self._engine) as connection:
            chain = (await connection.execute(select(CHAIN))).one()
        findings: list[Finding] = []
        number, previous = chain.anchor_number, chain.anchor_hash
        met = known_head is None or known_head.number <= number
        accounts = ErasureCheck()
        async for record in self.every():
            accounts.note(record)
            findings += check_record(record, number, previous)
            number, previous = max(number, record.number), record.hash
            if known_head is not None and record.number == known_head.number:
                met = True
                if record.hash != known_head.hash:
                    findings.append(Finding(record.number, "forged", "its hash is not the one written down elsewhere"))
        findings += accounts.findings()
        findings += check_end(number, previous, Anchor(chain.head_number, chain.head_hash))
        if not met and known_head is not None:
            findings.append(Finding(known_head.number, "truncated", f"record {known_head.number} was seen before"))
        return findings

    async def head(self) -> Anchor:
        """The last record's number and hash: to be written down elsewhere, for `verify`."""
        async with reading(self._engine) as connection:
            row = (await connection.execute(select(CHAIN.c.head_number, CHAIN.c.head_hash))).one()
        return Anchor(row.head_number, row.head_hash)

    # ------------------------------------------------------------------------------------------- retention and erasure

    async def drop_before(self, at: float) -> int:
        """Remove the records before the first that is not older than `at`; how many. The chain then begins there."""
        async with writing(self._engine) as connection:
            await self._lock(connection)
            first_kept = await connection.scalar(select(func.min(RECORDS.c.number)).where(RECORDS.c.at >= at))
            query = select(RECORDS.c.number, RECORDS.c.hash).order_by(RECORDS.c.number.desc()).limit(1)
            if first_kept is not None:
                query = query.where(RECORDS.c.number < first_kept)
            last = (await connection.execute(query)).first()
            if last is None:
                return 0
            gone = await connection.execute(delete(RECORDS).where(RECORDS.c.number <= last.number))
            await connection.execute(
                update(CHAIN).where(CHAIN.c.one == 1).values(anchor_number=last.number, anchor_hash=last.hash)
            )
            return gone.rowcount

    async def erase_subject(self, subject: str, at: float, by: str) -> int:
        """Forget a person's data in every record that is about or by them; how many. Commitments and chain stay.

        The erasure is recorded as done by `by` at `at` (Unix seconds), in the same step.
        """
        about = or_(RECORDS.c.subject == subject, RECORDS.c.actor == subject)
        async with writing(self._engine) as connection:
            head = await self._lock(connection)
            rows = (await connection.execute(select(RECORDS).where(about))).all()
            named: list[tuple[int, tuple[str, ...]]] = []
            for row in rows:
                record = _record(row)
                named.append((record.number, fields_of(record, subject)))
                cleared = _columns(erased(record, subject))
                await connection.execute(update(RECORDS).where(RECORDS.c.number == row.number).values(**cleared))
            for entry in erasures(named, at, by):
                head = await self._add(connection, entry, secrets.token_hex(12), head)
        return len(rows)


def _columns(record: AuditRecord) -> dict[str, object]:
    entry = {name: getattr(record.entry, name) for name in _ENTRY}
    return {
        **entry,
        "number": record.number,
        "id": record.id,
        "commitments": json.dumps(record.commitments, sort_keys=True),
        "salts": json.dumps(record.salts, sort_keys=True),
        "previous": record.previous,
        "hash": record.hash,
        "erased": record.erased,
    }


def _record(row: Row[Any]) -> AuditRecord:
    fields = row._mapping
    return AuditRecord(
        number=fields["number"],
        id=fields["id"],
        entry=AuditEntry(**{name: fields[name] for name in _ENTRY}),
        previous=fields["previous"],
        hash=fields["hash"],
        commitments=json.loads(fields["commitments"]),
        salts=json.loads(fields["salts"]),
        erased=bool(fields["erased"]),
    )
