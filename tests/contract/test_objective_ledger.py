"""Counts of objectives, kept in a process, in records and in Redis: added up over gateways, found again after a restart,
never counted twice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis.asyncio
from sqlalchemy import delete

from spork.adapters.memory.objective_ledger import MemoryObjectives
from spork.adapters.redis.fleet.objective_ledger import RedisObjectives
from spork.adapters.sqlalchemy.database import open_database
from spork.adapters.sqlalchemy.migrations import upgrade
from spork.adapters.sqlalchemy.objective_ledger import SqlObjectives
from spork.adapters.sqlalchemy.objective_tables import METADATA
from spork.application.telemetry.objective_ledger import NAMED_FOR, Counted, ObjectiveLedger
from spork.application.telemetry.objectives import ObjectiveTracker
from spork.domain.objectives import Objective
from tests.closed_exchanges import closed_exchange
from tests.servers import RedisProcess, postgres_url, redis_process

FAST = Objective("fast", 0.99, route="users")
ALL = Objective("all", 0.9, period=7 * 86_400.0)
NOW = 1_790_000_000.0


@pytest.fixture(scope="module")
def server() -> Iterator[RedisProcess]:
    with redis_process() as process:
        yield process


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with postgres_url() as url:
        yield url


@pytest.fixture(params=["memory", "redis", "sqlite", "postgresql"])
async def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ObjectiveLedger]:
    if request.param == "memory":
        yield MemoryObjectives()
    elif request.param == "redis":
        client = redis.asyncio.Redis.from_url(request.getfixturevalue("server").url)
        await client.flushall()
        yield RedisObjectives(client)
        await client.aclose()
    else:
        url = "sqlite" if request.param == "sqlite" else request.getfixturevalue("postgres")
        engine = open_database(url, str(tmp_path))
        await upgrade(engine)
        async with engine.begin() as connection:
            for table in METADATA.sorted_tables:
                await connection.execute(delete(table))
        yield SqlObjectives(engine)
        await engine.dispose()


def counted(requests: int, bad: int = 0, objective: Objective = FAST, at: float = NOW) -> list[Counted]:
    return [Counted(objective, (width, int(at // width)), requests, bad) for width in objective.kept]


async def sums(ledger: ObjectiveLedger, objective: Objective = FAST, unix: float = NOW) -> set[tuple[int, int]]:
    """What the slices of each width come to: the same for all, while all are needed."""
    slices = (await ledger.read([objective], unix)).objectives[objective.key].slices
    by_width: dict[int, tuple[int, int]] = {}
    for (width, _), (requests, bad) in slices.items():
        had = by_width.get(width, (0, 0))
        by_width[width] = (had[0] + requests, had[1] + bad)
    return set(by_width.values())


async def test_nothing_is_kept_of_what_nobody_counted(ledger: ObjectiveLedger) -> None:
    reading = await ledger.read([FAST], NOW)
    assert (reading.objectives[FAST.key].since, reading.objectives[FAST.key].slices, reading.nodes) == (None, {}, ())


async def test_counts_of_several_nodes_add_up_and_objectives_stay_apart(ledger: ObjectiveLedger) -> None:
    await ledger.add("a", "1", counted(10, 1) + counted(3, 0, ALL), NOW)
    await ledger.add("b", "1", counted(5, 2), NOW + 1)
    await ledger.add("b", "2", counted(1, 0, at=NOW + 60), NOW + 60)
    assert await sums(ledger, unix=NOW + 60) == {(16, 3)}
    assert await sums(ledger, ALL, NOW + 60) == {(3, 0)}
    reading = await ledger.read([FAST, ALL], NOW + 60)
    assert reading.nodes == ("a", "b")
    assert reading.objectives[FAST.key].since == NOW


async def test_a_batch_that_is_told_again_is_not_added_again(ledger: ObjectiveLedger) -> None:
    await ledger.add("a", "run:1", counted(10, 1), NOW)
    await ledger.add("a", "run:1", counted(10, 1), NOW + 5)
    assert await sums(ledger) == {(10, 1)}
    await ledger.add("a", "run:2", counted(1), NOW + 6)
    await ledger.add("b", "run:2", counted(1), NOW + 6)
    assert await sums(ledger) == {(12, 1)}


async def test_gateways_that_add_at_once_lose_nothing(ledger: ObjectiveLedger) -> None:
    both = counted(1, 1) + counted(2, 0, ALL)
    await asyncio.gather(*(ledger.add(f"n{n}", "1", both if n % 2 else both[::-1], NOW) for n in range(8)))
    assert await sums(ledger) == {(8, 8)}
    assert await sums(ledger, ALL) == {(16, 0)}


async def test_slices_are_left_out_when_no_window_needs_them_any_more(ledger: ObjectiveLedger) -> None:
    await ledger.add("a", "1", counted(10), NOW)
    later = NOW + 2 * 3600
    await ledger.add("a", "2", counted(1, at=later), later)
    slices = (await ledger.read([FAST], later)).objectives[FAST.key].slices
    assert sum(count for (width, _), (count, _) in slices.items() if width == 60) == 1, "an hour back at most"
    assert sum(count for (width, _), (count, _) in slices.items() if width == 600) == 11
    assert sum(count for (width, _), (count, _) in slices.items() if width == 21_600) == 11
    after = NOW + FAST.period + 86_400
    assert (await ledger.read([FAST], after)).objectives[FAST.key].slices == {}


async def test_a_node_is_named_while_its_counts_are_recent_even_if_it_has_none(ledger: ObjectiveLedger) -> None:
    await ledger.add("idle", "1", [], NOW)
    await ledger.add("busy", "1", counted(1), NOW + NAMED_FOR - 5)
    assert (await ledger.read([FAST], NOW + NAMED_FOR - 5)).nodes == ("busy", "idle")
    assert (await ledger.read([FAST], NOW + NAMED_FOR + 5)).nodes == ("busy",)
    assert await sums(ledger, unix=NOW + 60) == {(1, 0)}


# ------------------------------------------------------------------------------------------- two processes, one ledger


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def __call__(self) -> float:
        return self.at


async def test_processes_that_share_a_ledger_see_each_others_requests(ledger: ObjectiveLedger) -> None:
    clock = Clock()
    one, two = (ObjectiveTracker([FAST], clock, ledger, name, f"run-{name}") for name in ("a", "b"))
    for _ in range(9):
        one.closed(closed_exchange())
    two.closed(closed_exchange(status=503, reason="destination_unavailable"))
    await two.tick()
    (view,) = await one.current()
    assert (view.requests, view.bad, view.nodes, view.since) == (10, 1, ("a", "b"), NOW)
    assert view.burn["5m"] == pytest.approx(10.0)
    assert (view.kept_in, view.read_at, view.remark) == (ledger.where, NOW, "")
    own = {labels: value for name, labels, value in one.samples() if name == "gateway_slo_requests_total"}
    assert own == {("fast", "all"): 9.0, ("fast", "bad"): 0.0}, "Prometheus adds up what each process counted"


async def test_a_process_that_starts_again_goes_on_where_it_was(ledger: ObjectiveLedger) -> None:
    clock = Clock()
    before = ObjectiveTracker([FAST], clock, ledger, "a", "run-1")
    for status in (200, 200, 200, 500):
        before.closed(closed_exchange(status=status, reason="proxy_internal_error" if status == 500 else ""))
    await before.flush()
    clock.at += 90
    after = ObjectiveTracker([FAST], clock, ledger, "a", "run-2")
    after.closed(closed_exchange())
    (view,) = await after.current()
    assert (view.requests, view.bad, view.since, view.nodes) == (5, 1, NOW, ("a",))


async def test_an_objective_that_was_changed_begins_anew(ledger: ObjectiveLedger) -> None:
    clock = Clock()
    levels = ObjectiveTracker([FAST], clock, ledger, "a", "run-1")
    levels.closed(closed_exchange())
    await levels.flush()
    levels.adopt([Objective("fast", 0.999, route="users"), ALL])
    levels.closed(closed_exchange())
    assert [view.requests for view in await levels.current()] == [1, 1]


async def test_redis_that_is_gone_loses_nothing_and_the_views_say_so() -> None:
    with redis_process() as server:
        client = redis.asyncio.Redis.from_url(server.url, socket_timeout=0.2, socket_connect_timeout=0.2)
        clock = Clock()
        levels, other = (ObjectiveTracker([FAST], clock, RedisObjectives(client), name, name) for name in ("a", "b"))
        other.closed(closed_exchange())
        await other.flush()
        levels.closed(closed_exchange())
        assert [view.requests for view in await levels.current()] == [2]
        server.kill()
        levels.closed(closed_exchange())
        clock.at += 40
        (view,) = await levels.current()
        assert (view.requests, view.read_at) == (3, NOW)
        assert view.remark == "redis has not answered for 40 s: what other processes counted since is not here"
        assert ("gateway_store_failures_total", ("objectives",), 1.0) in levels.samples()
        fresh = ObjectiveTracker([FAST], clock, RedisObjectives(client), "c", "c")
        fresh.closed(closed_exchange())
        (lone,) = await fresh.current()
        assert (lone.requests, lone.nodes, lone.since) == (1, ("c",), clock.at)
        assert lone.remark == "redis has not answered yet: only what this process counted is here"
        server.start()
        (view,) = await levels.current()
        assert (view.requests, view.remark) == (1, ""), "an empty Redis begins anew, with what was not handed over"
        await client.aclose()
