"""Identity records in SQL: keys, revocations, consumers, sessions, and the change feed that replicas follow.

Every change of trust writes its row and its number in `identity_changes` in one transaction, so that a replica which
follows the numbers misses nothing whatever happens to announcements.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, Table, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from spork.adapters.sqlalchemy.database import insert_into, reading, writing
from spork.adapters.sqlalchemy.identity_tables import API_KEYS, CHANGES, CONSUMERS, FACTS, REVOCATIONS
from spork.application.callers.ports import Change, ChangeKind, Conflict
from spork.domain.identity.consumers import ApiKey, Consumer, KeySecret
from spork.domain.identity.revocation import Revocation, RevocationKind, stricter

#: Changes kept for followers; one that lags further behind is told to ask for everything again.
CHANGES_KEPT = 10_000
#: PostgreSQL hands out numbers before commit, so a lower number may appear after a higher one; numbers are therefore
#: looked at again for this many below the latest.
_LATECOMERS = 64


def upsert(engine: AsyncEngine, table: Table, values: Mapping[str, Any], keep: Iterable[str] = ()) -> Any:
    """INSERT ... ON CONFLICT DO UPDATE of every column but the primary key and those in `keep`."""
    statement = insert_into(engine, table).values(**values)
    keys = [column.name for column in table.primary_key]
    changed = {name: statement.excluded[name] for name in values if name not in keys and name not in set(keep)}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


class SqlRecords:
    """KeyRecords, RevocationRecords, ConsumerRecords and ChangeFeed over SQLite or PostgreSQL."""

    def __init__(self, engine: AsyncEngine, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._clock = clock
        self._told: set[int] = set()

    def __repr__(self) -> str:
        return f"SqlRecords({self._engine.dialect.name})"

    async def _changed(self, connection: AsyncConnection, kind: ChangeKind, subject: str) -> None:
        await connection.execute(insert(CHANGES).values(kind=kind.value, subject=subject, at=self._clock()))

    # ------------------------------------------------------------------------------------------------------------ keys

    async def add(self, key: ApiKey) -> None:
        try:
            async with writing(self._engine) as connection:
                await connection.execute(insert(API_KEYS).values(**key_row(key)))
                await self._changed(connection, ChangeKind.KEY, key.id)
        except IntegrityError as error:
            raise Conflict(f"key {key.id} exists") from error

    async def add_all(self, keys: Sequence[ApiKey]) -> int:
        added = 0
        async with writing(self._engine) as connection:
            for key in keys:
                wanted = insert_into(self._engine, API_KEYS).values(**key_row(key)).on_conflict_do_nothing()
                added += (await connection.execute(wanted)).rowcount
            if added:
                # Followers read all of it again: cheaper than as many changes.
                await self._changed(connection, ChangeKind.EVERYTHING, "")
        return added

    async def find(self, key_id: str) -> ApiKey | None:
        async with reading(self._engine) as connection:
            row = (await connection.execute(_FIND_KEY, {"key_id": key_id})).mappings().first()
        return key_of(row) if row is not None else None

    async def replace(self, before: ApiKey, after: ApiKey) -> None:
        row = key_row(after)
        del row["last_used_at"]
        unchanged = [
            API_KEYS.c[name].is_(None) if value is None else API_KEYS.c[name] == value
            for name, value in key_row(before).items()
            if name != "last_used_at"
        ]
        async with writing(self._engine) as connection:
            done = await connection.execute(update(API_KEYS).where(*unchanged).values(**row))
            if done.rowcount != 1:
                raise Conflict(f"key {before.id} was changed meanwhile")
            await self._changed(connection, ChangeKind.KEY, before.id)

    async def page(self, consumer: str = "", after: str = "", limit: int = 100) -> list[ApiKey]:
        query = select(API_KEYS).where(API_KEYS.c.id > after).order_by(API_KEYS.c.id).limit(limit)
        if consumer:
            query = query.where(API_KEYS.c.consumer == consumer)
        async with reading(self._engine) as connection:
            return [key_of(row) for row in (await connection.execute(query)).mappings()]

    async def used(self, at: Mapping[str, float]) -> None:
        if not at:
            return
        statement = (
            update(API_KEYS)
            .where(API_KEYS.c.id == bindparam("key"), func.coalesce(API_KEYS.c.last_used_at, 0.0) < bindparam("when"))
            .values(last_used_at=bindparam("when"))
        )
        async with writing(self._engine) as connection:
            # In one order, so that two replicas writing at once cannot wait for each other.
            await connection.execute(statement, [{"key": key, "when": at[key]} for key in sorted(at)])

    # ----------------------------------------------------------------------------------------------------- revocations

    async def record(self, revocation: Revocation) -> None:
        async with writing(self._engine) as connection:
            query = select(REVOCATIONS).where(REVOCATIONS.c.id == revocation.id)
            known = (await connection.execute(query)).mappings().first()
            kept = stricter(revocation_of(known), revocation) if known is not None else revocation
            await connection.execute(upsert(self._engine, REVOCATIONS, revocation_row(kept)))
            await self._changed(connection, ChangeKind.REVOCATION, revocation.id)

    async def in_force(self, now: float) -> list[Revocation]:
        live = REVOCATIONS.c.expires_at.is_(None) | (REVOCATIONS.c.expires_at > now)
        async with reading(self._engine) as connection:
            return [
                revocation_of(row) for row in (await connection.execute(select(REVOCATIONS).where(live))).mappings()
            ]

    async def forget(self, now: float) -> None:
        async with writing(self._engine) as connection:
            await connection.execute(delete(REVOCATIONS).where(REVOCATIONS.c.expires_at <= now))
            latest = (await connection.execute(select(func.max(CHANGES.c.number)))).scalar() or 0
            await connection.execute(delete(CHANGES).where(CHANGES.c.number <= latest - CHANGES_KEPT))

    # ------------------------------------------------------------------------------------------------------- consumers

    async def assign(self, consumer: Consumer) -> None:
        async with writing(self._engine) as connection:
            await connection.execute(upsert(self._engine, CONSUMERS, consumer_row(consumer, self._clock())))
            await self._changed(connection, ChangeKind.CONSUMER, consumer.name)

    async def consumers(self) -> list[Consumer]:
        async with reading(self._engine) as connection:
            rows = (await connection.execute(select(CONSUMERS).order_by(CONSUMERS.c.name))).mappings()
            return [consumer_of(row) for row in rows]

    # ----------------------------------------------------------------------------------------------------------- facts

    async def fact(self, name: str, value: str) -> str:
        """The value that was said first under `name`: `value` itself when nobody had said any."""
        async with writing(self._engine) as connection:
            wanted = insert_into(self._engine, FACTS).values(name=name, value=value)
            await connection.execute(wanted.on_conflict_do_nothing())
            return str((await connection.execute(select(FACTS.c.value).where(FACTS.c.name == name))).scalar_one())

    async def noted(self, name: str) -> str | None:
        """What was said first under `name`, if anything was."""
        async with reading(self._engine) as connection:
            found = (await connection.execute(select(FACTS.c.value).where(FACTS.c.name == name))).scalar_one_or_none()
        return None if found is None else str(found)

    # --------------------------------------------------------------------------------------------------------- changes

    async def changes_since(self, number: int) -> tuple[int, list[Change]]:
        async with reading(self._engine) as connection:
            low, high = (await connection.execute(select(func.min(CHANGES.c.number), func.max(CHANGES.c.number)))).one()
            if high is None:
                return 0, [Change(ChangeKind.EVERYTHING)] if number > 0 else []
            lost = high < number or low > max(number, 0) + 1  # other records than before, or too far behind
            from_here = number if 0 <= number <= high else high
            since = select(CHANGES).where(CHANGES.c.number > from_here - _LATECOMERS).order_by(CHANGES.c.number)
            rows = list((await connection.execute(since)).mappings())
            fresh = [row for row in rows if row["number"] > number or row["number"] not in self._told]
            self._told = {row["number"] for row in rows}
            if number < 0:
                return high, []
            return high, [Change(ChangeKind.EVERYTHING)] if lost else [await self._change(connection, r) for r in fresh]

    async def _change(self, connection: AsyncConnection, row: RowMapping) -> Change:
        kind = ChangeKind(row["kind"])
        if kind is not ChangeKind.REVOCATION:
            return Change(kind, row["subject"])
        query = select(REVOCATIONS).where(REVOCATIONS.c.id == row["subject"])
        found = (await connection.execute(query)).mappings().first()
        return Change(kind, row["subject"], revocation_of(found) if found is not None else None)


# ------------------------------------------------------------------------------------------- rows and domain types

_FIND_KEY = select(API_KEYS).where(API_KEYS.c.id == bindparam("key_id"))


def _listed(words: Iterable[str]) -> str:
    return json.dumps(sorted(words))


def key_row(key: ApiKey) -> dict[str, Any]:
    newest = key.secrets[0]
    older = key.secrets[1] if len(key.secrets) > 1 else None
    return {
        "id": key.id,
        "consumer": key.consumer,
        "owner": key.owner,
        "plan": key.plan,
        "tenant": key.tenant,
        "scopes": _listed(key.scopes),
        "roles": _listed(key.roles),
        "routes": _listed(key.routes),
        "cidrs": json.dumps(key.cidrs),
        "digest": newest.digest,
        "digest_created_at": newest.created_at,
        "digest_not_after": newest.not_after,
        "older_digest": older.digest if older else None,
        "older_created_at": older.created_at if older else None,
        "older_not_after": older.not_after if older else None,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "revoked_at": key.revoked_at,
        "last_used_at": key.last_used_at,
    }


def key_of(row: RowMapping) -> ApiKey:
    secrets = [KeySecret(bytes(row["digest"]), row["digest_created_at"], row["digest_not_after"])]
    if row["older_digest"] is not None:
        secrets.append(KeySecret(bytes(row["older_digest"]), row["older_created_at"], row["older_not_after"]))
    return ApiKey(
        id=row["id"],
        consumer=row["consumer"],
        secrets=tuple(secrets),
        created_at=row["created_at"],
        owner=row["owner"],
        plan=row["plan"],
        tenant=row["tenant"],
        scopes=frozenset(json.loads(row["scopes"])),
        roles=frozenset(json.loads(row["roles"])),
        routes=frozenset(json.loads(row["routes"])),
        cidrs=tuple(json.loads(row["cidrs"])),
        expires_at=row["expires_at"],
        revoked_at=row["revoked_at"],
        last_used_at=row["last_used_at"],
    )


def revocation_row(revocation: Revocation) -> dict[str, Any]:
    return {
        "id": revocation.id,
        "kind": revocation.kind.value,
        "value": revocation.value,
        "issuer": revocation.issuer,
        "before": revocation.before,
        "expires_at": None if math.isinf(revocation.expires_at) else revocation.expires_at,
        "reason": revocation.reason,
        "actor": revocation.actor,
        "created_at": revocation.created_at,
    }


def revocation_of(row: RowMapping) -> Revocation:
    expires_at = row["expires_at"]
    return Revocation(
        kind=RevocationKind(row["kind"]),
        value=row["value"],
        issuer=row["issuer"],
        before=row["before"],
        expires_at=math.inf if expires_at is None else expires_at,
        reason=row["reason"],
        actor=row["actor"],
        created_at=row["created_at"],
    )


def consumer_row(consumer: Consumer, now: float) -> dict[str, Any]:
    return {
        "name": consumer.name,
        "plan": consumer.plan,
        "owner": consumer.owner,
        "tenant": consumer.tenant,
        "subjects": json.dumps(consumer.subjects),
        "roles": json.dumps(consumer.roles),
        "scopes": json.dumps(consumer.scopes),
        "basic_password_hash": consumer.basic_password_hash,
        "updated_at": now,
    }


def consumer_of(row: RowMapping) -> Consumer:
    return Consumer(
        name=row["name"],
        plan=row["plan"],
        owner=row["owner"],
        tenant=row["tenant"],
        subjects=tuple(json.loads(row["subjects"])),
        roles=tuple(json.loads(row["roles"])),
        scopes=tuple(json.loads(row["scopes"])),
        basic_password_hash=row["basic_password_hash"],
    )
