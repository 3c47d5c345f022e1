"""Writes to one object take turns, over every store; If-Match is a compare-and-set for whoever shares it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio

from spork.adapters.files.turns import FileTurns
from spork.adapters.redis.fleet.turns import RedisTurns
from spork.adapters.system.clock import SystemClock
from spork.application.admin.access import Operator
from spork.application.admin.commands import ObjectVersions, OperationRefused, Operations, Prepared, Write
from spork.application.admin.stream import Revisions
from spork.application.admin.turns import Busy, ProcessTurns, StoreGone, Turns, turn_of
from spork.application.telemetry.event_log import EventLog
from tests.servers import free_port

ALICE = Operator("alice", "admin")
CLOCK = SystemClock()


@pytest.fixture(params=["memory", "files", "redis"])
async def shared(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[list[Turns]]:
    """The turns of two processes that share a store; in memory, of one process."""
    if request.param == "memory":
        yield [ProcessTurns(CLOCK.unix)] * 2
    elif request.param == "files":
        yield [FileTurns(tmp_path), FileTurns(tmp_path)]
    else:
        name = uuid.uuid4().hex
        async with redis.asyncio.Redis.from_url(request.getfixturevalue("redis_url")) as client:
            yield [RedisTurns(client, name), RedisTurns(client, name)]


async def test_one_has_the_turn_until_it_is_given_back(shared: list[Turns]) -> None:
    one, two = shared
    async with turn_of(one, "config") as turn:
        assert await two.take("config", 60) is None
        async with turn_of(two, "breaker users"):
            pass
        with pytest.raises(Busy):
            async with turn_of(two, "config", patience=0.05):
                pass
        turn.changed = True
    assert turn.version > 0
    async with turn_of(two, "config") as after:
        assert after.version == turn.version
        assert after.age < 30
    assert after.version == turn.version, "nothing was changed"
    async with turn_of(one, "breaker users") as other:
        assert other.version == 0


async def test_a_turn_that_is_cancelled_is_free_again(shared: list[Turns]) -> None:
    one, two = shared
    holding = asyncio.Event()

    async def hold() -> None:
        async with turn_of(one, "config"):
            holding.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await holding.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    async with turn_of(two, "config", patience=5):
        pass


async def test_versions_of_many_objects_are_each_their_own(shared: list[Turns]) -> None:
    one, two = shared
    versions = {}
    for number in range(40):
        async with turn_of(one, f"key {number}") as turn:
            turn.changed = number % 2 == 0
        versions[number] = turn.version
    for number, version in versions.items():
        async with turn_of(two, f"key {number}") as turn:
            pass
        assert (turn.version > 0) == (number % 2 == 0)
        assert turn.version == version


class Gateway:
    """The writing part of a gateway over an object that all share. What it knows of it is as old as its last look."""

    def __init__(self, name: str, world: list[str], turns: Turns) -> None:
        self.revisions = Revisions(CLOCK.unix)
        versions = ObjectVersions(self.revisions)
        events = EventLog(name, CLOCK.unix)
        self.operations = Operations(versions, self.revisions, events, CLOCK.unix, name, turns=turns, sync=[self.look])
        self.world = world
        self.seen = world[-1]

    async def look(self) -> None:
        self.seen = self.world[-1]

    async def write(self, value: str, if_match: int | None) -> int:
        async def perform() -> str:
            await asyncio.sleep(0)
            self.world.append(value)
            self.seen = value
            return value

        async def prepare() -> Prepared:
            return Prepared("config.apply", "config", self.seen, value, "", perform, substance=self.seen)

        result = await self.operations.carry_out(Write(ALICE, if_match=if_match), prepare)
        return result.revision


async def tried(gateway: Gateway, value: str, if_match: int | None) -> str:
    try:
        await gateway.write(value, if_match)
    except OperationRefused as refused:
        return refused.word
    return "done"


async def test_of_several_writes_with_one_revision_one_is_taken(shared: list[Turns]) -> None:
    world = ["v0"]
    gateways = [Gateway("one", world, shared[0]), Gateway("two", world, shared[1])]
    for turn in range(5):
        rev = max(gateway.revisions.next() for gateway in gateways)
        words = await asyncio.gather(*(tried(gateways[n % 2], f"{turn}-{n}", rev) for n in range(8)))
        assert sorted(words) == ["done"] + ["precondition_failed"] * 7
    assert len(world) == 6


async def test_a_revision_of_a_gateway_that_has_not_heard_yet_is_old(shared: list[Turns]) -> None:
    world = ["v0"]
    one, two = Gateway("one", world, shared[0]), Gateway("two", world, shared[1])
    await one.write("v1", None)
    assert two.seen == "v0"
    late = two.revisions.next()
    assert await tried(two, "v2", late) == "precondition_failed", "it showed v0"
    assert await tried(two, "v2", two.revisions.next()) == "done"


async def test_who_wrote_goes_on_with_the_revision_of_the_answer(shared: list[Turns]) -> None:
    world = ["v0"]
    one = Gateway("one", world, shared[0])
    rev = one.revisions.next()
    for number in range(4):
        rev = await one.write(f"v{number + 1}", rev)
    assert await tried(one, "v9", rev - 1_000_000) == "precondition_failed"


async def test_without_the_store_what_is_compared_is_refused_and_the_rest_is_done() -> None:
    async with redis.asyncio.Redis(port=free_port()) as client:
        with pytest.raises(StoreGone):
            await RedisTurns(client).take("config", 1)
        gateway = Gateway("one", ["v0"], RedisTurns(client))
        assert await tried(gateway, "v1", gateway.revisions.next()) == "unavailable"
        assert await tried(gateway, "v1", None) == "done"
