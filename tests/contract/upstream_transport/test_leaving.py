"""A task that is cancelled at each place where it can wait: its connection ends, and its place in the pool is free."""

from __future__ import annotations

import asyncio

import pytest

from spork.domain.upstreams.model import PoolPolicy, TlsToTarget
from tests.contract.upstream_transport.targets import Peer, answering, plain, scripted
from tests.contract.upstream_transport.transports import Pieces, ask, exchange, having, read_all, settled, until

ONE = PoolPolicy(connections=1, pending=0)
PARTIAL = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart"


async def leave(call: asyncio.Future) -> None:
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call


async def silent(peer: Peer) -> None:
    await peer.gone()


@having()
@pytest.mark.alone
async def test_while_the_head_is_awaited(transport):
    async with scripted(silent, answering(plain(b"next"))) as server:
        call = asyncio.ensure_future(transport.send(server.target, ask(pool=ONE)))
        await until(lambda: server.connections == 1, what="a connection")
        await asyncio.sleep(0.05)
        await leave(call)
        await until(lambda: server.ended == 1, 1.0, "the upstream connection's end, within the promised second,")
        assert (await exchange(transport, server.target, ask(pool=ONE)))[2] == b"next"


@having()
async def test_while_the_body_is_awaited(transport):
    async with scripted(answering(PARTIAL), answering(plain(b"next"))) as server:
        response = await transport.send(server.target, ask(pool=ONE))

        async def relay() -> None:
            try:
                await read_all(response)
            finally:
                response.close()

        call = asyncio.ensure_future(relay())
        await asyncio.sleep(0.05)
        await leave(call)
        await until(lambda: server.ended == 1, what="the upstream connection's end")
        assert (await exchange(transport, server.target, ask(pool=ONE)))[2] == b"next"


@having()
async def test_while_the_request_body_is_awaited(transport):
    body = Pieces([b"abc"], None, hang=True)
    async with scripted(silent, answering(plain(b"next"))) as server:
        call = asyncio.ensure_future(transport.send(server.target, ask("POST", body=body, pool=ONE)))
        await until(lambda: body.reads == 2, what="the body being read")
        await leave(call)
        await until(lambda: server.ended == 1 and body.cancelled, what="pump and connection ended")
        assert (await exchange(transport, server.target, ask(pool=ONE)))[2] == b"next"


@having()
async def test_while_the_target_does_not_take_the_request_body(transport):
    async def deaf(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await gone.wait()
        peer.reset()

    gone = asyncio.Event()
    body = Pieces([b"x" * 1_000_000] * 40, 40_000_000)
    async with scripted(deaf, answering(plain(b"next"))) as server:
        call = asyncio.ensure_future(transport.send(server.target, ask("POST", body=body, pool=ONE)))
        await until(lambda: server.connections == 1 and body.reads > 2, what="the body being sent")
        await settled(lambda: len(body.pieces))
        left = len(body.pieces)
        assert left > 20
        await leave(call)
        assert (await exchange(transport, server.target, ask(pool=ONE)))[2] == b"next"
        assert len(body.pieces) == left
        gone.set()


@having()
async def test_while_tls_is_agreed(transport):
    async with scripted(silent, trust=TlsToTarget(verify=False)) as server:
        call = asyncio.ensure_future(transport.send(server.target, ask(pool=ONE)))
        await until(lambda: server.connections == 1, what="a connection")
        await leave(call)
        await until(lambda: server.ended == 1, what="the upstream connection's end")


@having()
async def test_while_a_connection_is_waited_for(transport):
    policy = PoolPolicy(connections=1, pending=1)
    gate = asyncio.Event()

    async def gated(peer: Peer) -> None:
        for _ in range(2):
            await peer.request()
            await gate.wait()
            peer.send(plain(b"ok"))
        await peer.gone()

    async with scripted(gated) as server:
        busy = asyncio.ensure_future(exchange(transport, server.target, ask(pool=policy)))
        await until(lambda: len(server.requests) == 1, what="the first request")
        for _ in range(3):
            call = asyncio.ensure_future(transport.send(server.target, ask(pool=policy)))
            await asyncio.sleep(0.02)
            await leave(call)
        gate.set()
        assert (await busy)[2] == b"ok"
        assert (await exchange(transport, server.target, ask(pool=policy)))[2] == b"ok"
    assert len(server.requests) == 2


@having()
async def test_in_the_very_turn_in_which_a_connection_comes_free(transport):
    """Cancelled after it was given the connection and before it could run."""
    policy = PoolPolicy(connections=1, pending=1)
    async with scripted(answering(plain(b"ok"))) as server:
        response = await transport.send(server.target, ask(pool=policy))
        await read_all(response)
        call = asyncio.ensure_future(transport.send(server.target, ask(pool=policy)))
        await asyncio.sleep(0.02)
        response.close()
        call.cancel()
        done = (await asyncio.gather(call, return_exceptions=True))[0]
        if not isinstance(done, asyncio.CancelledError):  # it had been given a connection at once
            await read_all(done)
            done.close()
        assert (await exchange(transport, server.target, ask(pool=policy)))[2] == b"ok"


@having()
@pytest.mark.parametrize("turns", range(12))
async def test_at_any_turn_of_the_loop(transport, turns):
    """Wherever the task stands when it is cancelled, the next request finds its place free and its own answer."""
    async with scripted(answering(plain(b"one"), plain(b"one"))) as server:
        call = asyncio.ensure_future(transport.send(server.target, ask("POST", b"/first", body=b"x", pool=ONE)))
        for _ in range(turns):
            await asyncio.sleep(0)
        call.cancel()
        done = (await asyncio.gather(call, return_exceptions=True))[0]
        if not isinstance(done, asyncio.CancelledError):
            done.close()
        assert (await exchange(transport, server.target, ask("GET", b"/second", pool=ONE)))[2] == b"one"
        await until(lambda: server.ended >= server.connections - 1, what="the first connection's end")


@having("duplex")
async def test_while_a_dead_pooled_connection_is_replaced(transport):
    blocked = asyncio.Event()

    async def dying(peer: Peer) -> None:
        await peer.request()
        peer.send(plain(b"first"))
        await peer.request()
        peer.close()

    async def slow(peer: Peer) -> None:
        await peer.request()
        blocked.set()
        await peer.gone()

    async with scripted(dying, slow, answering(plain(b"next"))) as server:
        await exchange(transport, server.target, ask(pool=ONE))
        call = asyncio.ensure_future(transport.send(server.target, ask(pool=ONE)))
        await asyncio.wait_for(blocked.wait(), 10)
        await leave(call)
        await until(lambda: server.ended == 2, what="the connections' end")
        assert (await exchange(transport, server.target, ask(pool=ONE)))[2] == b"next"
