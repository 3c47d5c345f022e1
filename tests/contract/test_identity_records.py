"""Identity records: one suite over memory, SQLite and PostgreSQL."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from spork.adapters.memory.records import MemoryRecords, MemorySessions
from spork.adapters.sqlalchemy.database import open_database
from spork.adapters.sqlalchemy.identity import SqlRecords
from spork.adapters.sqlalchemy.migrations import pending, upgrade
from spork.adapters.sqlalchemy.sessions import SqlSessions
from spork.application.callers.keys import KeyRequest, Keys, UnknownKey
from spork.application.callers.ports import Change, ChangeKind, Conflict, Session, SessionRecords
from spork.domain.identity.consumers import ApiKey, Consumer, KeySecret, KeyState, secret_digest
from spork.domain.identity.revocation import Revocation, RevocationKind
from tests.tokens import NOW

Records = MemoryRecords | SqlRecords


@dataclass
class Store:
    records: Records
    sessions: SessionRecords
    #: A second view of the same records, as another process has it.
    other: Records


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "memory":
        records = MemoryRecords()
        yield Store(records, MemorySessions(), records)
        return
    url = "sqlite" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    one, two = open_database(url, str(tmp_path)), open_database(url, str(tmp_path))
    try:
        await asyncio.gather(upgrade(one), upgrade(two))
        assert await pending(one) == []
        yield Store(SqlRecords(one), SqlSessions(one), SqlRecords(two))
    finally:
        await one.dispose()
        await two.dispose()


def name(prefix: str = "k") -> str:
    return prefix + uuid.uuid4().hex[:11]


def a_key(**more: object) -> ApiKey:
    key = ApiKey(name(), "acme", (KeySecret(secret_digest(b"p", "s"), NOW),), NOW, owner="ops", plan="basic")
    return replace(key, **more)  # type: ignore[arg-type]


FULL = {
    "scopes": frozenset(("b", "a")), "roles": frozenset(("r",)), "routes": frozenset(("users",)), "tenant": "t",
    "cidrs": ("10.0.0.0/8", "2001:db8::/32"), "expires_at": NOW + 5.25, "revoked_at": NOW + 1, "last_used_at": NOW + 2,
    "secrets": (KeySecret(b"\x00" * 32, NOW), KeySecret(b"\xff" * 32, NOW - 9, NOW + 100)),
}  # fmt: skip


@pytest.mark.parametrize("more", [{}, FULL])
async def test_a_key_comes_back_as_it_was(store: Store, more: dict[str, object]) -> None:
    key = a_key(**more)
    await store.records.add(key)
    assert await store.records.find(key.id) == key
    assert await store.other.find(key.id) == key
    assert await store.records.find(name("none")) is None


async def test_an_id_is_taken_once(store: Store) -> None:
    key = a_key()
    await store.records.add(key)
    with pytest.raises(Conflict):
        await store.records.add(replace(key, owner="mallory"))
    found = await store.records.find(key.id)
    assert found is not None
    assert found.owner == "ops"


async def test_a_change_over_a_change_is_refused(store: Store) -> None:
    """Two operators change the same key: the second is told, and does not undo the first."""
    key = a_key()
    await store.records.add(key)
    await store.records.replace(key, replace(key, revoked_at=NOW + 1))
    with pytest.raises(Conflict):
        await store.other.replace(key, replace(key, plan="premium"))
    found = await store.records.find(key.id)
    assert found is not None
    assert (found.revoked_at, found.plan) == (NOW + 1, "basic")


async def test_last_use_goes_forward_and_disturbs_no_change(store: Store) -> None:
    key = a_key()
    await store.records.add(key)
    await store.records.used({key.id: NOW + 10, name("none"): NOW})
    await store.records.used({key.id: NOW + 5})
    await store.records.replace(key, replace(key, plan="premium"))
    found = await store.records.find(key.id)
    assert found is not None
    assert (found.last_used_at, found.plan) == (NOW + 10, "premium")
    await store.records.used({})


async def test_keys_are_paged_in_order(store: Store) -> None:
    consumer = name("c")
    keys = sorted((a_key(consumer=consumer) for _ in range(5)), key=lambda key: key.id)
    for key in (keys[3], keys[0], keys[4], keys[2], keys[1]):
        await store.records.add(key)
    first = await store.records.page(consumer, limit=2)
    rest = await store.records.page(consumer, after=first[-1].id)
    assert [*first, *rest] == keys
    assert await store.records.page(name("nobody")) == []


async def test_revocations_stay_in_force_until_they_can_cover_nothing(store: Store) -> None:
    short = Revocation(
        RevocationKind.TOKEN, name("t"), "idp", expires_at=NOW + 10, reason="lost", actor="ops", created_at=NOW
    )
    endless = Revocation(RevocationKind.SUBJECT, name("s"), before=NOW, created_at=NOW)
    await store.records.record(short)
    await store.records.record(endless)
    assert {short, endless} <= set(await store.other.in_force(NOW))
    later = set(await store.other.in_force(NOW + 10))
    assert short not in later
    assert endless in later
    await store.records.forget(NOW + 10)
    assert short not in set(await store.other.in_force(NOW))
    assert endless in set(await store.other.in_force(NOW + 1e9))


async def test_the_stricter_of_two_revocations_is_kept(store: Store) -> None:
    subject = name("s")
    await store.records.record(Revocation(RevocationKind.SUBJECT, subject, before=NOW, expires_at=NOW + 50))
    await store.other.record(Revocation(RevocationKind.SUBJECT, subject, before=NOW - 100, expires_at=NOW + 90))
    kept = [r for r in await store.records.in_force(NOW) if r.value == subject]
    assert [(r.before, r.expires_at) for r in kept] == [(NOW, NOW + 90)]


async def test_consumers_are_assigned_and_reassigned(store: Store) -> None:
    consumer = Consumer(name("c"), "basic", ("alice", "bob"), "ops", ("r",), ("s",), "$argon2id$x", tenant="t")
    await store.records.assign(consumer)
    await store.records.assign(replace(consumer, plan="premium"))
    assert [c for c in await store.other.consumers() if c.name == consumer.name] == [replace(consumer, plan="premium")]


async def test_changes_are_numbered_and_follow_on(store: Store) -> None:
    """A replica that follows the numbers hears of each change once, in whatever process it was made."""
    number, none = await store.other.changes_since(-1)
    assert none == []
    key, revocation = a_key(), Revocation(RevocationKind.SESSION, name("s"), before=0.0)
    await store.records.add(key)
    await store.records.record(revocation)
    await store.records.assign(Consumer(name("c")))
    number, changes = await store.other.changes_since(number)
    mine = [change for change in changes if change.subject in (key.id, revocation.id)]
    assert mine == [Change(ChangeKind.KEY, key.id), Change(ChangeKind.REVOCATION, revocation.id, revocation)]
    assert ChangeKind.CONSUMER in {change.kind for change in changes}
    assert (await store.other.changes_since(number))[1] == []
    await store.records.replace(key, replace(key, plan="p"))
    assert Change(ChangeKind.KEY, key.id) in (await store.other.changes_since(number))[1]


async def test_last_use_is_no_change(store: Store) -> None:
    key = a_key()
    await store.records.add(key)
    number, _ = await store.other.changes_since(-1)
    await store.records.used({key.id: NOW})
    assert (await store.other.changes_since(number))[1] == []


async def test_concurrent_writers_lose_nothing(store: Store) -> None:
    consumer = name("c")
    keys = [a_key(consumer=consumer) for _ in range(20)]
    number, _ = await store.records.changes_since(-1)
    await asyncio.gather(*((store.records, store.other)[n % 2].add(key) for n, key in enumerate(keys)))
    heard: set[str] = set()
    for _ in range(3):
        number, changes = await store.records.changes_since(number)
        heard |= {change.subject for change in changes}
    assert {key.id for key in keys} <= heard
    assert len(await store.other.page(consumer)) == 20


async def test_sessions_are_seen_refreshed_and_ended(store: Store) -> None:
    subject, session_id = name("s"), name("sid")
    session = Session(session_id, subject, "idp", NOW, NOW, NOW + 100, "192.0.2.1")
    await store.sessions.saw([session])
    await store.sessions.saw([replace(session, started_at=NOW + 5, last_seen=NOW + 5, client="192.0.2.2")])
    assert await store.sessions.of_subject(subject) == [replace(session, last_seen=NOW + 5, client="192.0.2.2")]
    assert await store.sessions.of_subject(subject, "other") == []
    assert await store.sessions.find(session_id) is not None
    assert session_id in {s.id for s in await store.sessions.page(limit=1000)}
    await store.sessions.ended(session_id, "idp")
    assert await store.sessions.find(session_id) is None
    await store.sessions.saw([session])
    await store.sessions.forget(NOW + 100)
    assert await store.sessions.of_subject(subject) == []


# ------------------------------------------------------------------------------------------------- the use cases of keys


async def test_a_key_is_issued_rotated_and_revoked(store: Store) -> None:
    keys = Keys(store.records, b"pepper")
    issued = await keys.issue(KeyRequest("acme", scopes=frozenset(("a",)), cidrs=("10.0.0.0/8",), lifetime=1000), NOW)
    assert str(issued.text).startswith(f"spk_{issued.key.id}_")
    assert issued.key.state(NOW) is KeyState.ACTIVE
    rotated = await keys.rotate(issued.key.id, NOW + 1, overlap=60)
    assert rotated.text.secret != issued.text.secret
    assert rotated.key.state(NOW + 2) is KeyState.ROTATING
    assert rotated.key.state(NOW + 62) is KeyState.ACTIVE
    revoked = await keys.revoke(issued.key.id, NOW + 3)
    assert revoked.state(NOW + 4) is KeyState.REVOKED
    assert await keys.revoke(issued.key.id, NOW + 9) == revoked
    with pytest.raises(Conflict):
        await keys.rotate(issued.key.id, NOW + 5)
    with pytest.raises(UnknownKey):
        await keys.revoke(name("none"), NOW)


async def test_nothing_of_a_secret_is_kept(store: Store) -> None:
    issued = await Keys(store.records, b"pepper").issue(KeyRequest("acme"), NOW)
    stored = await store.records.find(issued.key.id)
    assert issued.text.secret not in repr(stored)
    assert issued.text.secret not in repr(issued)


async def test_a_key_needs_a_consumer_and_networks_that_are_some(store: Store) -> None:
    keys = Keys(store.records, b"pepper")
    for bad in (KeyRequest(""), KeyRequest("a\nb"), KeyRequest("acme", cidrs=("10.0.0.0/99",))):
        with pytest.raises(ValueError, match=r"."):
            await keys.issue(bad, NOW)


async def test_many_keys_are_added_in_one_go_and_those_that_are_there_stay(store: Store) -> None:
    keys = Keys(store.records, b"p")
    mine = f"acme-{uuid.uuid4().hex}"  # the database may hold the keys of other tests
    rows = [{"consumer": mine, "sha256": uuid.uuid4().hex * 2} for _ in range(300)]
    wanted, wrong = keys.read_rows(rows, NOW)
    assert wrong == []
    number, _ = await store.other.changes_since(-1)
    assert (await keys.bring(wanted[:200])).added == 200
    again = await keys.bring([replace(key, consumer="other") for key in wanted])
    assert (again.added, again.there) == (100, 200)
    assert len(await store.records.page(mine, limit=1000)) == 200
    _, changes = await store.other.changes_since(number)
    assert {change.kind for change in changes} == {ChangeKind.EVERYTHING}


async def test_records_are_their_owners_in_whatever_directory(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "records.db").touch(0o644)
    engine = open_database("sqlite", str(tmp_path))
    try:
        await upgrade(engine)
        await SqlRecords(engine).assign(Consumer("acme", plan="pro"))
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
    finally:
        await engine.dispose()
    assert modes == {"records.db": 0o600, "records.db-wal": 0o600, "records.db-shm": 0o600}
