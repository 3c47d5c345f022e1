"""How many connections there are, who waits for one, and when an idle one ends."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from spork.domain.outcomes import FaultKind
from spork.domain.upstreams.model import PoolPolicy, Timeouts
from tests.contract.upstream_transport.targets import Peer, answering, plain, scripted
from tests.contract.upstream_transport.transports import ADAPTERS, ask, exchange, fault_of, having, until


def gated(gate: asyncio.Event):
    """Answers only once `gate` is open, with its connection kept."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await gate.wait()
            peer.send(plain(b"ok"))

    return script


@having()
async def test_no_more_connections_than_allowed_and_the_others_wait_their_turn(transport):
    gate = asyncio.Event()
    policy = PoolPolicy(connections=2, pending=8)
    async with scripted(gated(gate)) as server:
        calls = [asyncio.ensure_future(exchange(transport, server.target, ask(pool=policy))) for _ in range(6)]
        await until(lambda: len(server.requests) == 2, what="two requests sent")
        await asyncio.sleep(0.05)
        assert (server.connections, len(server.requests)) == (2, 2)
        gate.set()
        assert [body for _, _, body in await asyncio.gather(*calls)] == [b"ok"] * 6
    assert server.connections == 2
    assert len(server.requests) == 6


@having()
async def test_no_more_may_wait_than_allowed(transport):
    gate = asyncio.Event()
    policy = PoolPolicy(connections=1, pending=1)
    async with scripted(gated(gate)) as server:
        calls = [asyncio.ensure_future(exchange(transport, server.target, ask(pool=policy))) for _ in range(2)]
        await until(lambda: len(server.requests) == 1, what="one request sent")
        fault = await fault_of(transport.send(server.target, ask(pool=policy)))
        assert fault.kind is FaultKind.CONNECTION_LIMIT_REACHED
        assert fault.retry_safe
        gate.set()
        await asyncio.gather(*calls)
        assert (await exchange(transport, server.target, ask(pool=policy)))[2] == b"ok"


@having()
async def test_nobody_may_wait_when_pending_is_zero(transport):
    gate = asyncio.Event()
    policy = PoolPolicy(connections=1, pending=0)
    async with scripted(gated(gate)) as server:
        call = asyncio.ensure_future(exchange(transport, server.target, ask(pool=policy)))
        await until(lambda: len(server.requests) == 1, what="one request sent")
        fault = await fault_of(transport.send(server.target, ask(pool=policy)))
        assert fault.kind is FaultKind.CONNECTION_LIMIT_REACHED
        gate.set()
        await call


@having()
async def test_waiting_ends_with_the_deadline(transport):
    gate = asyncio.Event()
    policy = PoolPolicy(connections=1, pending=1)
    async with scripted(gated(gate)) as server:
        call = asyncio.ensure_future(exchange(transport, server.target, ask(pool=policy)))
        await until(lambda: len(server.requests) == 1, what="one request sent")
        fault = await fault_of(transport.send(server.target, ask(pool=policy, within=0.1)))
        assert fault.kind in (FaultKind.CONNECTION_LIMIT_REACHED, FaultKind.HTTP_RESPONSE_TIMEOUT)
        assert fault.retry_safe
        gate.set()
        await call
    assert len(server.requests) == 1


@having()
async def test_who_waits_gets_a_new_connection_when_the_busy_one_breaks(transport):
    gate = asyncio.Event()
    policy = PoolPolicy(connections=1, pending=1)

    async def breaking(peer: Peer) -> None:
        await peer.request()
        await gate.wait()
        peer.close()

    async with scripted(breaking, answering(plain(b"second"))) as server:
        first = asyncio.ensure_future(exchange(transport, server.target, ask("POST", pool=policy, body=b"x")))
        await until(lambda: len(server.requests) == 1, what="one request sent")
        second = asyncio.ensure_future(exchange(transport, server.target, ask(pool=policy)))
        await asyncio.sleep(0.02)
        gate.set()
        assert (await fault_of(first)).kind is FaultKind.CONNECTION_TERMINATED
        assert (await second)[2] == b"second"


@having()
async def test_a_waiter_that_leaves_loses_nobodys_place(transport):
    gate = asyncio.Event()
    policy = PoolPolicy(connections=1, pending=4)
    async with scripted(gated(gate)) as server:
        calls = [asyncio.ensure_future(exchange(transport, server.target, ask(pool=policy))) for _ in range(4)]
        await until(lambda: len(server.requests) == 1, what="one request sent")
        await asyncio.sleep(0.02)
        calls[1].cancel()
        gate.set()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(d) for d in done] == [tuple, asyncio.CancelledError, tuple, tuple]
    assert len(server.requests) == 3


@having()
async def test_a_failed_connection_frees_its_place(transport):
    policy = PoolPolicy(connections=1, pending=0)
    async with scripted(answering(plain(b"ok"))) as server:
        refusing = server.target
        server_port = server.port
    for _ in range(3):
        fault = await fault_of(transport.send(refusing, ask(pool=policy)))
        assert fault.kind is FaultKind.CONNECTION_REFUSED, server_port
        assert fault.retry_safe


@having()
async def test_an_idle_connection_ends_after_its_time(transport):
    policy = PoolPolicy(idle=0.2)
    async with scripted(answering(plain(b"ok"))) as server:
        await exchange(transport, server.target, ask(pool=policy))
        await asyncio.sleep(0.3)
        await exchange(transport, server.target, ask(pool=policy))
    assert server.connections == 2


@having("lifetime")
async def test_an_idle_connection_is_closed_even_if_nothing_more_is_sent(transport):
    async with scripted(answering(plain(b"ok"))) as server:
        await exchange(transport, server.target, ask(pool=PoolPolicy(idle=0.1)))
        await until(lambda: server.ended == 1, 2.0, "the idle connection's end")


@having("lifetime")
async def test_a_connection_ends_after_its_lifetime_however_busy(transport):
    policy = PoolPolicy(lifetime=0.2)
    async with scripted(answering(plain(b"ok"))) as server:
        for _ in range(8):
            await exchange(transport, server.target, ask(pool=policy))
            await asyncio.sleep(0.05)
        assert 2 <= server.connections <= 4


@having("keep_alive_hint")
async def test_a_target_that_says_how_long_it_keeps_a_connection_is_believed(transport):
    async with scripted(answering(plain(b"ok", b"Keep-Alive: timeout=1"))) as server:
        await exchange(transport, server.target)
        await asyncio.sleep(0.6)
        await exchange(transport, server.target, ask("POST", body=b"x"))
    assert server.connections == 2


@having("lifetime")
async def test_the_connection_used_last_is_used_first(transport):
    gate = asyncio.Event()
    async with scripted(gated(gate)) as server:
        calls = [asyncio.ensure_future(exchange(transport, server.target)) for _ in range(3)]
        await until(lambda: len(server.requests) == 3, what="three requests sent")
        gate.set()
        await asyncio.gather(*calls)
        ports = set()
        for _ in range(5):
            await exchange(transport, server.target)
            [stats] = transport.stats().values()
            assert (stats.idle, stats.busy, stats.opened) == (3, 0, 3)
            ports.add(stats.idle)
    assert server.connections == 3


@having()
async def test_targets_of_different_policy_or_address_share_nothing(transport):
    async with scripted(answering(plain(b"one"))) as one, scripted(answering(plain(b"two"))) as two:
        for _ in range(2):
            assert (await exchange(transport, one.target))[2] == b"one"
            assert (await exchange(transport, two.target))[2] == b"two"
            assert (await exchange(transport, one.target, ask(pool=PoolPolicy(connections=3))))[2] == b"one"
    assert (one.connections, two.connections) == (2, 1)


@having()
async def test_equal_targets_of_another_revision_share_connections(transport):
    async with scripted(answering(plain(b"ok"))) as server:
        for _ in range(4):
            await exchange(transport, server.target)  # a new, equal Target each time
    assert server.connections == 1


@having("lifetime")
async def test_counts_tell_what_connections_do(transport):
    gate = asyncio.Event()
    policy = PoolPolicy(connections=1, pending=4)
    async with scripted(gated(gate)) as server:
        calls = [asyncio.ensure_future(exchange(transport, server.target, ask(pool=policy))) for _ in range(3)]
        await until(lambda: len(server.requests) == 1, what="one request sent")
        [stats] = transport.stats().values()
        assert (stats.idle, stats.busy, stats.pending, stats.opened, stats.closed) == (0, 1, 2, 1, 0)
        gate.set()
        await asyncio.gather(*calls)
        [stats] = transport.stats().values()
        assert (stats.idle, stats.busy, stats.pending, stats.opened, stats.closed) == (1, 0, 0, 1, 0)
        await transport.close()
        [stats] = transport.stats().values()
        assert (stats.idle, stats.opened, stats.closed) == (0, 1, 1)
        await until(lambda: server.ended == 1, 1.0, "the connection's end")


@having("lifetime")
async def test_a_closed_transport_lets_exchanges_finish_and_begins_none(transport):
    gate = asyncio.Event()
    async with scripted(gated(gate)) as server:
        call = asyncio.ensure_future(exchange(transport, server.target))
        await until(lambda: len(server.requests) == 1, what="one request sent")
        await transport.close()
        gate.set()
        assert (await call)[2] == b"ok"
        assert (await fault_of(transport.send(server.target, ask()))).kind is FaultKind.DESTINATION_UNAVAILABLE
        await until(lambda: server.ended == 1, 1.0, "the connection's end")


class Sim:
    """A clock the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("adapter", [a for a in ADAPTERS if "lifetime" in a.can], ids=lambda a: a.name)
@pytest.mark.parametrize(
    ("idle", "lifetime", "step", "connections"), [(60, 3600, 59, 1), (60, 3600, 60, 4), (600, 100, 50, 2)]
)
async def test_idle_and_lifetime_by_the_clock(adapter, idle, lifetime, step, connections):
    clock = Sim()
    transport = adapter.make(clock=clock)
    async with scripted(answering(plain(b"ok"))) as server:
        for turn in itertools.count():
            request = ask(pool=PoolPolicy(idle=idle, lifetime=lifetime), timeouts=Timeouts())
            request.deadline = float("inf")
            await exchange(transport, server.target, request)
            if turn == 3:
                break
            clock.now += step
        await transport.close()
    assert server.connections == connections
