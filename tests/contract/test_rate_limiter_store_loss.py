"""A shared store that is stopped, killed, hung, emptied, read-only or full: no exception, the behaviour each limit
asks for, bounded waiting, and recovery by itself."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator

import pytest
import redis as redis_client

from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.adapters.redis.limits.rate_limiter import RedisRateLimiter
from spork.adapters.redis.store.connection import connect
from spork.domain.limits.limit import Admitted, Charge, Decision, Limit, Throttled
from tests.servers import RedisProcess, redis_process

QUOTA = 10
#: Seconds a store is given where its slowness is not what a test is about: a busy machine is no lost store.
PATIENT = 2.0
#: What it is given in earnest.
PROMISED = 0.05


@pytest.fixture
def server() -> Iterator[RedisProcess]:
    with redis_process() as process:
        yield process


@contextlib.asynccontextmanager
async def limiter_on(
    server: RedisProcess, nodes: int = 2, timeout: float = PATIENT, permit_lease: float = 30.0
) -> AsyncIterator[RedisRateLimiter]:
    connection = connect(server.url, operation=timeout)
    limiter = RedisRateLimiter(
        connection, MemoryRateLimiter(), nodes=lambda: nodes, timeout=timeout, permit_lease=permit_lease
    )
    await limiter.open()
    try:
        yield limiter
    finally:
        await limiter.close()
        await connection.close()


def limit(mode: str, quota: int = QUOTA) -> Limit:
    return Limit(mode, quota, 3600.0, on_store_error=mode)


async def ask(limiter: RedisRateLimiter, *charges: Charge) -> Decision:
    decision = limiter.acquire(charges)
    return decision if isinstance(decision, Admitted | Throttled) else await decision


async def admitted(limiter: RedisRateLimiter, rule: Limit, times: int, who: str = "bob") -> int:
    return sum([isinstance(await ask(limiter, Charge(rule, who)), Admitted) for _ in range(times)])


async def until(limiter: RedisRateLimiter, down: bool) -> None:
    """Keep asking, as traffic would, until the store is given up, or taken back."""
    async with asyncio.timeout(30):
        while limiter.health.down is not down:
            await ask(limiter, Charge(limit("allow"), "traffic"))
            await asyncio.sleep(0.01)


async def behaves_as_configured(limiter: RedisRateLimiter) -> None:
    assert await admitted(limiter, limit("allow"), 3 * QUOTA, "during") == 3 * QUOTA
    denied = await ask(limiter, Charge(limit("deny"), "during"))
    assert isinstance(denied, Throttled)
    assert denied.unavailable
    assert denied.retry_after > 0
    assert await admitted(limiter, limit("local"), 3 * QUOTA, "during") == QUOTA // 2  # two live nodes


async def break_by_kill(server: RedisProcess) -> None:
    server.kill()


async def break_by_hanging(server: RedisProcess) -> None:
    server.pause()


async def break_by_read_only(server: RedisProcess) -> None:
    with redis_client.Redis(port=server.port) as client:
        client.execute_command("REPLICAOF", "127.0.0.1", "1")


async def break_by_filling(server: RedisProcess) -> None:
    with redis_client.Redis(port=server.port) as client:
        client.config_set("maxmemory", "1")


async def break_by_shutdown(server: RedisProcess) -> None:
    with redis_client.Redis(port=server.port) as client:
        client.shutdown(nosave=True)
    assert server.process is not None
    server.process.wait(5)


async def mend(server: RedisProcess) -> None:
    if server.process is None or server.process.poll() is not None:
        server.start()
        return
    server.resume()
    with redis_client.Redis(port=server.port) as client:
        client.execute_command("REPLICAOF", "NO", "ONE")
        client.config_set("maxmemory", "0")


@pytest.mark.parametrize(
    "break_it", [break_by_kill, break_by_hanging, break_by_read_only, break_by_filling, break_by_shutdown]
)
async def test_a_store_that_breaks_and_comes_back(  # type: ignore[no-untyped-def]
    server: RedisProcess, break_it, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "spork.limits")
    async with limiter_on(server) as limiter:
        assert await admitted(limiter, limit("local"), 3 * QUOTA, "before") == QUOTA
        await break_it(server)
        await until(limiter, down=True)
        await behaves_as_configured(limiter)
        assert limiter.stats()["outages"] == 1
        await mend(server)
        await until(limiter, down=False)
        assert await admitted(limiter, limit("local"), 3 * QUOTA, "after") == QUOTA
        assert await admitted(limiter, limit("deny"), 3 * QUOTA, "after") == QUOTA
        said = [line for line in caplog.messages if "the shared store" in line]
        assert [line.partition(",")[0] for line in said] == [
            "limits: the shared store is gone",
            "limits: the shared store answers again",
        ]


@pytest.mark.alone
async def test_nobody_waits_longer_than_the_timeout_and_soon_nobody_waits_at_all(server: RedisProcess) -> None:
    async with limiter_on(server, timeout=PROMISED) as limiter:
        await ask(limiter, Charge(limit("allow"), "warm"))
        server.pause()
        began = time.monotonic()
        await asyncio.gather(*(ask(limiter, Charge(limit("allow"), f"w{n}")) for n in range(100)))
        assert time.monotonic() - began < PROMISED + 0.2  # the deadline, and the work of a hundred answers
        await until(limiter, down=True)
        decision = limiter.acquire([Charge(limit("allow"), "bob")])
        assert isinstance(decision, Admitted), "an answer without waiting"


async def test_a_limiter_that_starts_without_its_store_finds_it_later() -> None:
    with redis_process() as server:
        server.kill()
        async with limiter_on(server) as limiter:
            await until(limiter, down=True)
            await behaves_as_configured(limiter)
            server.start()
            await until(limiter, down=False)
            assert await admitted(limiter, limit("local"), 3 * QUOTA, "after") == QUOTA


async def test_an_emptied_store_forgets_and_scripts_are_loaded_again(server: RedisProcess) -> None:
    async with limiter_on(server) as limiter:
        assert await admitted(limiter, limit("local"), 3 * QUOTA) == QUOTA
        with redis_client.Redis(port=server.port) as client:
            client.flushall()
            client.script_flush()
        assert await admitted(limiter, limit("local"), 3 * QUOTA) == QUOTA
        assert limiter.stats()["errors"] == 0


async def test_a_restart_between_two_requests_is_not_even_noticed(server: RedisProcess) -> None:
    async with limiter_on(server) as limiter:
        await ask(limiter, Charge(limit("deny"), "bob"))
        server.kill()
        server.start()
        assert isinstance(await ask(limiter, Charge(limit("deny"), "bob")), Admitted)
        assert not limiter.health.down


async def test_a_loss_in_the_middle_admits_at_most_one_local_allowance_more(server: RedisProcess) -> None:
    async with limiter_on(server, nodes=1) as limiter:
        total = await admitted(limiter, limit("local"), 5)
        server.kill()
        total += await admitted(limiter, limit("local"), 3 * QUOTA)
        assert QUOTA <= total <= 2 * QUOTA


async def test_limits_that_disagree_about_loss_deny_together_and_take_nothing(server: RedisProcess) -> None:
    async with limiter_on(server, nodes=1) as limiter:
        server.kill()
        await until(limiter, down=True)
        for _ in range(3):
            refused = await ask(limiter, Charge(limit("local"), "bob"), Charge(limit("deny"), "bob"))
            assert isinstance(refused, Throttled)
            assert [state.refused for state in refused.states] == [False, True]
        assert await admitted(limiter, limit("local"), 3 * QUOTA) == QUOTA


async def test_permits_of_a_lost_store_are_counted_locally_and_released(server: RedisProcess) -> None:
    rule = Limit("at-once", 2, 0, algorithm="concurrency")
    async with limiter_on(server, nodes=1) as limiter:
        server.kill()
        await until(limiter, down=True)
        held = [await ask(limiter, Charge(rule, "bob")) for _ in range(3)]
        assert [isinstance(each, Admitted) for each in held] == [True, True, False]
        assert isinstance(held[0], Admitted)
        limiter.release(held[0].lease)
        assert isinstance(await ask(limiter, Charge(rule, "bob")), Admitted)


@pytest.mark.alone
async def test_permits_are_renewed_while_held_and_lapse_with_a_process_that_dies(server: RedisProcess) -> None:
    rule = Limit("at-once", 1, 0, algorithm="concurrency")
    async with limiter_on(server, permit_lease=0.6) as other:
        async with limiter_on(server, permit_lease=0.6) as holder:
            assert isinstance(await ask(holder, Charge(rule, "bob")), Admitted)
            held_until = time.monotonic() + 2.0
            while time.monotonic() < held_until:
                assert isinstance(await ask(other, Charge(rule, "bob")), Throttled)
                await asyncio.sleep(0.05)
        # the holder is gone without giving its permit back
        async with asyncio.timeout(10):
            while isinstance(await ask(other, Charge(rule, "bob")), Throttled):
                await asyncio.sleep(0.05)


async def test_a_client_that_leaves_while_redis_decides_holds_no_permit_and_no_units(server: RedisProcess) -> None:
    at_once = Limit("at-once", 1, 0, algorithm="concurrency")
    rate = limit("local")
    async with limiter_on(server) as limiter:
        for _ in range(5):
            waited = limiter.acquire([Charge(at_once, "bob"), Charge(rate, "bob")])
            assert isinstance(waited, asyncio.Future)
            await asyncio.sleep(0)  # the batch is under way
            waited.cancel()
            async with asyncio.timeout(5):
                while limiter.stats()["requests"] < 1 or limiter.stats()["permits"]:
                    await asyncio.sleep(0.005)

        async def whole() -> bool:
            states = await limiter.peek([Charge(at_once, "bob"), Charge(rate, "bob")])
            return [state.remaining for state in states] == [1, QUOTA]

        async with asyncio.timeout(5):
            while not await whole():
                await asyncio.sleep(0.005)


async def test_identities_leave_nothing_behind(server: RedisProcess) -> None:
    """100 000 identities under three limits: keys are gone soon after their periods, in Redis and in this process."""
    rules = [Limit(a, 5, 0.5, algorithm=a) for a in ("gcra", "sliding_window", "sliding_log")]
    async with limiter_on(server) as limiter:
        with redis_client.Redis(port=server.port) as client:
            for start in range(0, 100_000, 5000):
                await asyncio.gather(
                    *(ask(limiter, Charge(rules[n % 3], f"id-{n}")) for n in range(start, start + 5000))
                )
            assert limiter.stats()["errors"] == 0
            assert all(client.pttl(key) != -1 for key in client.scan_iter(count=1000))
            async with asyncio.timeout(60):
                while client.dbsize():
                    await asyncio.sleep(0.1)
        assert len(limiter._wire._keys) <= 16384
