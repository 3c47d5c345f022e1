"""Upgrades to WebSocket: the 101, and the raw bytes both ways after it."""

from __future__ import annotations

import asyncio

import pytest

from spork.domain.outcomes import FaultKind
from tests.contract.upstream_transport.targets import Peer, answering, plain, scripted
from tests.contract.upstream_transport.transports import ask, exchange, fault_of, having, until

SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: abc\r\n\r\n"
)


async def echo(peer: Peer) -> None:
    await peer.request()
    peer.send(SWITCH + b"early")
    while data := await peer.reader.read(65536):
        peer.send(data)
        await peer.flush()


@having("tunnels")
async def test_bytes_flow_both_ways(transport):
    async with scripted(echo) as server:
        response = await transport.send(server.target, ask(upgrade=True, within=0.3))
        assert response.status == 101
        assert response.headers == [(b"sec-websocket-accept", b"abc")]
        tunnel = response.tunnel()
        assert await tunnel.read() == b"early"
        await asyncio.sleep(0.4)  # neither the total nor the idle deadline ends a tunnel
        for piece in (b"one", b"x" * 300_000, b"\r\n\r\n"):
            tunnel.write(piece)
            await tunnel.drain()
            got = b""
            while len(got) < len(piece):
                got += await tunnel.read()
            assert got == piece
        tunnel.close()
        response.close()
        await until(lambda: server.ended == 1, 1.0, "the connection's end")
    [received] = server.requests
    assert received.values(b"connection") == [b"Upgrade"]
    assert received.values(b"upgrade") == [b"websocket"]


@having("tunnels")
async def test_the_targets_end_is_read_as_an_end(transport):
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(SWITCH + b"bye")
        await peer.flush()
        peer.close()

    async with scripted(script, answering(plain(b"other"))) as server:
        response = await transport.send(server.target, ask(upgrade=True))
        tunnel = response.tunnel()
        assert await tunnel.read() == b"bye"
        assert await tunnel.read() == b""
        tunnel.write(b"into the void")
        response.close()
        assert (await exchange(transport, server.target))[2] == b"other"


@having("tunnels")
async def test_what_was_written_before_close_still_arrives(transport):
    got = bytearray()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(SWITCH)
        while data := await peer.reader.read(65536):
            got.extend(data)

    async with scripted(script) as server:
        response = await transport.send(server.target, ask(upgrade=True))
        tunnel = response.tunnel()
        tunnel.write(b"last words" * 1000)
        tunnel.close()
        await until(lambda: server.ended == 1, 1.0, "the connection's end")
        response.close()
    assert bytes(got) == b"last words" * 1000


@having("tunnels")
async def test_a_target_may_refuse_the_upgrade(transport):
    async with scripted(answering(plain(b"no", status=b"403 Forbidden"))) as server:
        assert (await exchange(transport, server.target, ask(upgrade=True)))[::2] == (403, b"no")


@having("tunnels")
@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 101 S\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\n\r\n",
        b"HTTP/1.1 101 S\r\n\r\n",
    ],
)
async def test_switching_to_anything_else_is_a_fault(transport, answer):
    async with scripted(answering(answer)) as server:
        fault = await fault_of(transport.send(server.target, ask(upgrade=True)))
        assert fault.kind is FaultKind.HTTP_UPGRADE_FAILED
        await until(lambda: server.ended == 1, 1.0, "the connection's end")


@having("tunnels")
async def test_an_upgrade_is_not_repeated_on_a_dead_connection(transport):
    async def dying(peer: Peer) -> None:
        await peer.request()
        peer.send(plain(b"first"))
        await peer.request()
        peer.close()

    async with scripted(dying) as server:
        await exchange(transport, server.target)
        fault = await fault_of(transport.send(server.target, ask(upgrade=True)))
        assert fault.kind is FaultKind.CONNECTION_TERMINATED
    assert len(server.requests) == 2


@having("tunnels")
async def test_a_slow_reader_of_a_tunnel_slows_the_target(transport):
    poured = [0]

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(SWITCH)
        while poured[0] < 1 << 28:
            peer.send(bytes(65536))
            await peer.flush()
            poured[0] += 65536

    async with scripted(script) as server:
        response = await transport.send(server.target, ask(upgrade=True))
        response.tunnel()
        seen = -1
        while seen != poured[0]:
            seen = poured[0]
            await asyncio.sleep(0.2)
        response.close()
    assert seen < 32 << 20
