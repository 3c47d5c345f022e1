"""Who gets which connection: the decision as a table, and the pool that carries it out."""

from __future__ import annotations

import asyncio

import pytest

from spork.adapters.http1.connection import Connection
from spork.adapters.http1.pool import Assignment, TargetPool, assign
from spork.application.kernel.faults import FaultError
from spork.domain.outcomes import FaultKind
from spork.domain.upstreams.model import PoolPolicy

BOUNDS = PoolPolicy(connections=2, pending=1)


@pytest.mark.parametrize(
    ("idle", "taken", "waiting", "policy", "expected"),
    [
        (0, 0, 0, BOUNDS, Assignment.CONNECT),
        (0, 1, 0, BOUNDS, Assignment.CONNECT),
        (1, 1, 0, BOUNDS, Assignment.REUSE),
        (1, 2, 0, BOUNDS, Assignment.REUSE),
        (2, 2, 0, BOUNDS, Assignment.REUSE),
        (0, 2, 0, BOUNDS, Assignment.WAIT),
        (0, 2, 1, BOUNDS, Assignment.REFUSE),
        (0, 3, 5, BOUNDS, Assignment.REFUSE),
        (0, 0, 0, PoolPolicy(connections=0, pending=0), Assignment.REFUSE),
        (0, 0, 0, PoolPolicy(connections=0, pending=1), Assignment.WAIT),
        (0, 1, 0, PoolPolicy(connections=1, pending=0), Assignment.REFUSE),
    ],
)
def test_the_decision(idle, taken, waiting, policy, expected):
    assert assign(idle, taken, waiting, policy) is expected


class Wire:
    """As much of an asyncio transport as the pool touches."""

    def __init__(self) -> None:
        self.closed = False

    def close(self) -> None:
        self.closed = True

    abort = close

    def is_closing(self) -> bool:
        return self.closed


class Bench:
    """A pool with a clock of its own."""

    def __init__(self, policy: PoolPolicy) -> None:
        self.now = 100.0
        self.pool = TargetPool("t", policy, lambda: self.now)

    async def get(self) -> Connection:
        found = self.pool.reuse(self.now) or await self.pool.reserve(5)
        if found is None:
            found = Connection(self.pool, self.now)
            found.transport = Wire()  # type: ignore[assignment]
            self.pool.adopt(found)
        return found

    def state(self) -> str:
        return repr(self.pool)


async def test_the_one_used_last_is_used_first():
    bench = Bench(PoolPolicy())
    one, two = await bench.get(), await bench.get()
    bench.pool.release(one, None)
    bench.pool.release(two, None)
    assert bench.state() == "<TargetPool t idle=2 busy=0 connecting=0 pending=0>"
    assert await bench.get() is two
    assert await bench.get() is one


async def test_waiters_are_served_in_order_and_directly():
    bench = Bench(PoolPolicy(connections=1, pending=2))
    only = await bench.get()
    first, second = asyncio.ensure_future(bench.get()), asyncio.ensure_future(bench.get())
    await asyncio.sleep(0)
    assert bench.state() == "<TargetPool t idle=0 busy=1 connecting=0 pending=2>"
    with pytest.raises(FaultError) as caught:
        await bench.get()
    assert caught.value.fault.kind is FaultKind.CONNECTION_LIMIT_REACHED
    bench.pool.release(only, None)
    assert await first is only
    assert not second.done()
    bench.pool.retire(only)
    fresh = await second
    assert fresh is not only
    assert bench.state() == "<TargetPool t idle=0 busy=1 connecting=0 pending=0>"


async def test_a_slot_given_to_one_who_left_goes_to_the_next():
    bench = Bench(PoolPolicy(connections=1, pending=2))
    only = await bench.get()
    first, second = asyncio.ensure_future(bench.get()), asyncio.ensure_future(bench.get())
    await asyncio.sleep(0)
    bench.pool.retire(only)
    first.cancel()
    assert (await second).served == 0
    with pytest.raises(asyncio.CancelledError):
        await first
    assert bench.state() == "<TargetPool t idle=0 busy=1 connecting=0 pending=0>"


async def test_a_connection_given_to_one_who_left_goes_to_the_next():
    bench = Bench(PoolPolicy(connections=1, pending=2))
    only = await bench.get()
    first, second = asyncio.ensure_future(bench.get()), asyncio.ensure_future(bench.get())
    await asyncio.sleep(0)
    bench.pool.release(only, None)
    first.cancel()
    assert await second is only


async def test_a_failed_connect_gives_its_slot_to_the_next():
    bench = Bench(PoolPolicy(connections=1, pending=1))
    assert await bench.pool.reserve(5) is None
    waiting = asyncio.ensure_future(bench.get())
    await asyncio.sleep(0)
    bench.pool.forgo()
    await waiting
    assert bench.state() == "<TargetPool t idle=0 busy=1 connecting=0 pending=0>"


@pytest.mark.parametrize(
    ("idle", "lifetime", "hint", "age", "usable"),
    [
        (60, 3600, None, 59.9, True),
        (60, 3600, None, 60.0, False),
        (60, 50, None, 50.0, False),
        (60, 3600, 5.0, 3.9, True),
        (60, 3600, 5.0, 4.0, False),
        (3, 3600, 100.0, 3.0, False),
        (60, 3600, None, -1000.0, True),
    ],
)
async def test_expiry_of_idle_connections(idle, lifetime, hint, age, usable):
    bench = Bench(PoolPolicy(idle=idle, lifetime=lifetime))
    connection = await bench.get()
    bench.pool.release(connection, hint)
    bench.now += age
    swept = Bench(PoolPolicy(idle=idle, lifetime=lifetime))
    other = await swept.get()
    swept.pool.release(other, hint)
    swept.pool.sweep(swept.now + age)
    assert (bench.pool.reuse(bench.now) is connection) is usable
    assert other.transport.is_closing() is not usable
    assert connection.transport.is_closing() is not usable


async def test_a_connection_past_its_lifetime_is_not_taken_back():
    bench = Bench(PoolPolicy(lifetime=10))
    connection = await bench.get()
    bench.now += 10
    bench.pool.release(connection, None)
    assert bench.state() == "<TargetPool t idle=0 busy=0 connecting=0 pending=0>"
    stats = bench.pool.stats()
    assert (stats.opened, stats.closed) == (1, 1)


async def test_renewing_keeps_the_slot():
    bench = Bench(PoolPolicy(connections=1, pending=1))
    dead = await bench.get()
    waiting = asyncio.ensure_future(bench.get())
    await asyncio.sleep(0)
    bench.pool.renew(dead)
    assert bench.state() == "<TargetPool t idle=0 busy=0 connecting=1 pending=1>"
    bench.pool.forgo()
    await waiting


async def test_shutting_refuses_who_waits():
    bench = Bench(PoolPolicy(connections=1, pending=1))
    only = await bench.get()
    waiting = asyncio.ensure_future(bench.get())
    await asyncio.sleep(0)
    bench.pool.shut()
    with pytest.raises(FaultError):
        await waiting
    bench.pool.release(only, None)
    assert bench.pool.unused
