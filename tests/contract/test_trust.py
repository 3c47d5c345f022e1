"""Two replicas: what one revokes or changes, the other honours within a second, over every means of sharing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis

from spork.adapters.memory.announcements import MemoryAnnouncements, MemoryHub
from spork.adapters.memory.records import MemoryRecords
from spork.adapters.redis.fleet.announcements import RedisAnnouncements
from spork.adapters.sqlalchemy.database import open_database
from spork.adapters.sqlalchemy.identity import SqlRecords
from spork.adapters.sqlalchemy.migrations import upgrade
from spork.application.callers.consumers import Consumers
from spork.application.callers.keys import KeyRequest, KeyRing, Keys
from spork.application.callers.ports import Announcements
from spork.application.callers.trust import RevocationSync
from spork.application.callers.verdicts import TokenCache
from spork.domain.identity.consumers import Consumer
from spork.domain.identity.revocation import Revocation, RevocationKind, RevocationSet
from spork.domain.identity.subjects import NameSpaces
from spork.domain.identity.tokens import Principal, Refused, TokenOutcome, Verified
from tests import servers
from tests.tokens import NOW

Records = MemoryRecords | SqlRecords


class Always:
    """A verifier that takes every token, and reads `mark` into what it says: records outlive a test."""

    def __init__(self, mark: str) -> None:
        self._principal = Principal(
            f"alice{mark}", "jwt", "idp", token_id=f"t1{mark}", session=f"s1{mark}", issued_at=NOW - 9,
            expires_at=NOW + 900,
        )  # fmt: skip

    def verify(self, token: bytes, now: float) -> TokenOutcome:
        return Verified(self._principal)


class Replica:
    """One gateway's memory of callers over these records and announcements."""

    def __init__(self, records: Records, announcements: Announcements, mark: str = "") -> None:
        self.mark = mark
        self.consumer = f"acme{mark}"
        self.records = records
        self.revoked = RevocationSet()
        self.consumers = Consumers(
            [Consumer(self.consumer, "basic", (f"alice{mark}",))], records, NameSpaces(issuers=("idp",))
        )
        self.ring = KeyRing(records, b"pepper", self.revoked, self.consumers.named)
        self.trust = RevocationSync(
            records, records, announcements, self.revoked, self.ring, self.consumers, lambda: NOW
        )
        self.keys = Keys(records, b"pepper", self.trust.key_changed, revoke_everywhere=self.trust.revoke)
        self.verdicts = self.trust.watch(TokenCache(Always(mark), self.revoked, self.consumers.of))

    def token(self) -> str:
        found = self.verdicts.verify(b"token", NOW)
        assert isinstance(found, Verified | Refused)
        return found.reason if isinstance(found, Refused) else f"good on {found.principal.plan}"

    async def key(self, text: bytes) -> str:
        found = self.ring.check(text, "users", "192.0.2.1", NOW)
        outcome = await found if asyncio.iscoroutine(found) else found
        return outcome.reason if isinstance(outcome, Refused) else "good"


async def eventually(check: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, f"not within {seconds} s"
        await asyncio.sleep(0.01)


async def within_a_second(check: Callable[[], object]) -> None:
    """Within the promised second."""
    await eventually(check, 1.0)


@pytest.fixture(params=["memory", "sqlite", "postgresql", "redis", "redis+postgresql"])
async def replicas(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[tuple[Replica, Replica]]:
    """Two replicas that share: a hub in process; one SQLite file; one PostgreSQL; only a Redis; or both."""
    kind: str = request.param
    async with AsyncExitStack() as stack:
        hub = MemoryHub()
        made: list[Replica] = []
        mark = f"-{time.monotonic_ns()}"
        shared = MemoryRecords()
        for index in range(2):
            records: Records = shared if kind == "memory" else MemoryRecords()
            if "sql" in kind:
                url = "sqlite" if kind == "sqlite" else request.getfixturevalue("postgres_url")
                engine = open_database(url, str(tmp_path))
                stack.push_async_callback(engine.dispose)
                await upgrade(engine)
                records = SqlRecords(engine)
            announcements: Announcements = MemoryAnnouncements(hub if kind == "memory" else None)
            if "redis" in kind:
                client = Redis.from_url(request.getfixturevalue("redis_url"))
                stack.push_async_callback(client.aclose)
                announcements = RedisAnnouncements(client, lambda: NOW, f"test{mark}")
            replica = Replica(records, announcements, mark)
            await replica.trust.open()
            stack.push_async_callback(replica.trust.close)
            made.append(replica)
        yield made[0], made[1]


@pytest.mark.alone
@pytest.mark.parametrize(
    ("revocation", "reason"),
    [
        (Revocation(RevocationKind.TOKEN, "t1", "idp"), "token_revoked"),
        (Revocation(RevocationKind.SESSION, "s1", reason="logout"), "session_revoked"),
        (Revocation(RevocationKind.SUBJECT, "alice", before=NOW), "subject_revoked"),
    ],
)
async def test_a_revocation_is_seen_by_the_other_within_a_second(
    replicas: tuple[Replica, Replica], revocation: Revocation, reason: str
) -> None:
    one, other = replicas
    assert (one.token(), other.token()) == ("good on basic", "good on basic")
    await one.trust.revoke(replace(revocation, value=revocation.value + one.mark))
    assert one.token() == reason
    await within_a_second(lambda: other.token() == reason)


@pytest.mark.alone
async def test_a_revoked_key_is_refused_by_the_other_within_a_second(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    issued = await one.keys.issue(KeyRequest(one.consumer), NOW)
    if await other.records.find(issued.key.id) is None:
        await other.records.add(issued.key)  # records of their own, which only share a Redis
    text = str(issued.text).encode()
    assert (await one.key(text), await other.key(text)) == ("good", "good")
    await one.keys.revoke(issued.key.id, NOW)
    await within_a_second(lambda: any(r.value == issued.key.id for r in other.revoked))
    assert await one.key(text) == "key_revoked"
    deadline = time.monotonic() + 1.0
    while await other.key(text) != "key_revoked":
        assert time.monotonic() < deadline, "not within a second"
        await asyncio.sleep(0.01)


@pytest.mark.alone
@pytest.mark.parametrize("replicas", ["memory", "sqlite", "postgresql", "redis+postgresql"], indirect=True)
async def test_a_plan_changed_by_one_counts_at_the_other(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    assert other.token() == "good on basic"
    await one.consumers.assign(one.consumer, "premium")
    await one.trust.consumer_changed(one.consumer)
    assert one.token() == "good on premium"
    await within_a_second(lambda: other.token() == "good on premium")


async def test_what_was_heard_is_in_our_own_records_too(replicas: tuple[Replica, Replica]) -> None:
    one, other = replicas
    revocation = Revocation(RevocationKind.SESSION, f"s-{time.monotonic_ns()}", created_at=NOW)
    await one.trust.revoke(revocation)
    await eventually(lambda: revocation in set(other.revoked))
    deadline = time.monotonic() + 10.0
    while revocation not in await other.records.in_force(NOW):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)


# ---------------------------------------------------------------------------------------------------------- Redis itself


async def test_an_emptied_redis_gets_its_revocations_back() -> None:
    """No revoked token is accepted afterwards: not by those who knew, not by a replica that starts with nothing."""
    with servers.redis_process() as server:
        async with AsyncExitStack() as stack:

            async def replica() -> Replica:
                client = Redis.from_url(server.url, socket_timeout=0.5, socket_connect_timeout=0.5)
                stack.push_async_callback(client.aclose)
                made = Replica(MemoryRecords(), RedisAnnouncements(client, lambda: NOW))
                await made.trust.open()
                stack.push_async_callback(made.trust.close)
                return made

            one, two = await replica(), await replica()
            await one.trust.revoke(Revocation(RevocationKind.TOKEN, "t1"))
            await eventually(lambda: two.token() == "token_revoked")
            server.kill()
            await two.trust.revoke(Revocation(RevocationKind.SESSION, "other"))  # while nobody listens
            server.start()  # comes back empty
            assert (one.token(), two.token()) == ("token_revoked", "token_revoked")
            probe = Redis.from_url(server.url)
            stack.push_async_callback(probe.aclose)
            deadline = time.monotonic() + 10
            while await probe.zcard("spork:{trust}:revocations") < 2:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            third = await replica()
            assert third.token() == "token_revoked"
            await eventually(lambda: len(one.revoked) == 2)


async def test_revocations_work_without_redis() -> None:
    with servers.redis_process() as server:
        server.kill()
        client = Redis.from_url(server.url, socket_timeout=0.2, socket_connect_timeout=0.2)
        alone = Replica(MemoryRecords(), RedisAnnouncements(client, lambda: NOW))
        await alone.trust.open()
        try:
            await alone.trust.revoke(Revocation(RevocationKind.TOKEN, "t1"))
            assert alone.token() == "token_revoked"
        finally:
            await alone.trust.close()
            await client.aclose()


async def test_a_replica_that_starts_knows_what_was_revoked_before(tmp_path: Path) -> None:
    engine = open_database("sqlite", str(tmp_path))
    await upgrade(engine)
    await SqlRecords(engine).record(Revocation(RevocationKind.TOKEN, "t1"))
    replica = Replica(SqlRecords(engine), MemoryAnnouncements())
    await replica.trust.open()
    try:
        assert replica.token() == "token_revoked"
    finally:
        await replica.trust.close()
        await engine.dispose()
