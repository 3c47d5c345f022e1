"""What several gateways' admin listeners know together: failed attempts and idempotency keys, over every store."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import redis.asyncio

from spork.adapters.memory.idempotency import MemoryIdempotency
from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.adapters.redis.fleet.idempotency import RedisIdempotency
from spork.adapters.redis.limits.rate_limiter import RedisRateLimiter
from spork.adapters.redis.store.connection import connect
from spork.adapters.system.clock import SystemClock
from spork.application.admin.access import Locked, NotAnOperator, Operator, Operators
from spork.application.admin.commands import ObjectVersions, OperationRefused, Operations, Prepared, Write
from spork.application.admin.stream import Revisions
from spork.application.configuration.model import AdminToken
from spork.application.guards.idempotency import IdempotencyStore
from spork.application.telemetry.event_log import EventLog
from spork.domain.limits.limit import RateLimiter
from tests.servers import free_port

ALICE = Operator("alice", "admin")
CLOCK = SystemClock()
TOKEN = AdminToken("alice", hashlib.sha256(b"alpha").hexdigest(), "admin")


@pytest.fixture(params=["memory", "redis"])
async def limiters(request: pytest.FixtureRequest) -> AsyncIterator[list[RateLimiter]]:
    """The limiters of two gateways that share a store; for memory, of two workers that share the limiter itself."""
    if request.param == "memory":
        yield [MemoryRateLimiter()] * 2
        return
    prefix = uuid.uuid4().hex.encode()
    connections = [connect(request.getfixturevalue("redis_url"), operation=2.0) for _ in range(2)]
    found = [RedisRateLimiter(one, MemoryRateLimiter(), prefix=prefix, timeout=2.0) for one in connections]
    for limiter in found:
        await limiter.open()
    yield list(found)
    for limiter, connection in zip(found, connections, strict=True):
        await limiter.close()
        await connection.close()


async def attempt(operators: Operators, token: str, unix: float) -> Operator | NotAnOperator | Locked:
    """What the admin listener does."""
    verdict = operators.verify(f"Bearer {token}", "10.0.0.1", unix)
    return await operators.counted(verdict, "10.0.0.1", unix) if isinstance(verdict, NotAnOperator) else verdict


async def test_guesses_at_two_gateways_are_as_many_guesses(limiters: list[RateLimiter]) -> None:
    gateways = [Operators(lambda: (TOKEN,), attempts=6, limiter=limiter) for limiter in limiters]
    unix = CLOCK.unix()
    for turn in range(6):
        assert await attempt(gateways[turn % 2], "guess", unix) == NotAnOperator("invalid")
    for gateway in gateways:
        locked = await attempt(gateway, "guess", unix)
        assert isinstance(locked, Locked)
        assert 50 < locked.retry_after <= 60
        assert isinstance(await attempt(gateway, "alpha", unix), Locked), "locked is locked, whatever comes now"
        assert isinstance(gateway.verify("Bearer alpha", "10.0.0.2", unix), Operator)
        assert isinstance(gateway.verify("Bearer alpha", "10.0.0.1", unix + 61), Operator)


async def test_a_request_without_a_token_is_no_guess(limiters: list[RateLimiter]) -> None:
    operators = Operators(lambda: (TOKEN,), attempts=1, limiter=limiters[0])
    for _ in range(5):
        missing = operators.verify("", "10.0.0.1", CLOCK.unix())
        assert missing == NotAnOperator("missing")
        assert await operators.counted(missing, "10.0.0.1", CLOCK.unix()) == missing


# --------------------------------------------------------------------------------------------------- idempotency keys


@pytest.fixture(params=["memory", "redis"])
async def kept(request: pytest.FixtureRequest) -> AsyncIterator[list[IdempotencyStore]]:
    if request.param == "memory":
        yield [MemoryIdempotency(CLOCK.monotonic)] * 2
        return
    name = uuid.uuid4().hex
    async with redis.asyncio.Redis.from_url(request.getfixturevalue("redis_url")) as client:
        yield [RedisIdempotency(client, name), RedisIdempotency(client, name)]


class Gateway:
    """The writing part of a gateway, and how often it did something."""

    def __init__(self, name: str, kept: IdempotencyStore) -> None:
        revisions = Revisions(CLOCK.unix)
        self.operations = Operations(
            ObjectVersions(revisions),
            revisions,
            EventLog(name, CLOCK.unix),
            CLOCK.unix,
            name,
            kept=kept,
            remember_for=60.0,
        )
        self.name = name
        self.done = 0
        self.gate: Callable[[], Awaitable[object]] | None = None
        self.broken = False

    async def write(self, fingerprint: str = "f", by: Operator = ALICE):
        async def perform() -> str:
            if self.gate is not None:
                await self.gate()
            if self.broken:
                raise OperationRefused("conflict", "not now")
            self.done += 1
            return f"done by {self.name}"

        async def prepare() -> Prepared:
            return Prepared("key.issue", "keys", "-", "active", "", perform, warnings=("careful",), secrets=["s3cret"])

        return await self.operations.carry_out(Write(by, idempotency_key="k", fingerprint=fingerprint), prepare)


async def test_what_one_gateway_did_another_answers_without_its_secret(kept: list[IdempotencyStore]) -> None:
    one, two = Gateway("one", kept[0]), Gateway("two", kept[1])
    first, again = await one.write(), await two.write()
    assert (first.secret, again.secret) == ("s3cret", None)
    assert (again.after, again.revision, again.warnings) == ("done by one", first.revision, ("careful",))
    assert (one.done, two.done) == (1, 0)
    with pytest.raises(OperationRefused, match="another request"):
        await two.write("other")
    assert (await two.write("other", Operator("bob", "admin"))).after == "done by two", "keys are each operator's own"


async def test_while_one_is_at_it_the_other_says_so(kept: list[IdempotencyStore]) -> None:
    one, two = Gateway("one", kept[0]), Gateway("two", kept[1])
    begun, go = asyncio.Event(), asyncio.Event()

    async def gate() -> None:
        begun.set()
        await go.wait()

    one.gate = gate
    doing = asyncio.create_task(one.write())
    await begun.wait()
    with pytest.raises(OperationRefused) as refused:
        await two.write()
    assert (refused.value.word, refused.value.members) == ("conflict", {"current": "in_flight"})
    go.set()
    assert (await doing).after == (await two.write()).after == "done by one"


async def test_what_was_refused_may_be_tried_again_anywhere(kept: list[IdempotencyStore]) -> None:
    one, two = Gateway("one", kept[0]), Gateway("two", kept[1])
    one.broken = True
    with pytest.raises(OperationRefused, match="not now"):
        await one.write()
    assert (await two.write()).after == "done by two"


async def test_without_the_store_a_process_still_does_it_once() -> None:
    async with redis.asyncio.Redis(port=free_port()) as client:
        one = Gateway("one", RedisIdempotency(client))
        assert (await one.write()).after == (await one.write()).after
        assert one.done == 1
