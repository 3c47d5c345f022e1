"""Each deadline ends what it is for, with its own fault, and frees the connection."""

from __future__ import annotations

import asyncio
import socket
import time

from spork.domain.outcomes import FaultKind, Side
from spork.domain.upstreams.model import PoolPolicy, Target, Timeouts
from tests.contract.upstream_transport.targets import Peer, answering, plain, scripted
from tests.contract.upstream_transport.transports import Pieces, ask, exchange, fault_of, having, read_all, until

#: Seconds by which a deadline of a fraction of a second has ended the wait on however busy a machine. All the other
#: deadlines of these requests are longer.
LATE = 4.0


async def silent(peer: Peer) -> None:
    await peer.gone()


def dripping(first: bytes, drop: bytes, every: float):
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(first)
        while True:
            await asyncio.sleep(every)
            peer.send(drop)
            await peer.flush()

    return script


@having()
async def test_connect(transport):
    """A listener whose backlog is full neither accepts nor refuses."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        await asyncio.sleep(0.05)
        began = time.monotonic()
        target = Target(f"http://127.0.0.1:{port}", "http", "127.0.0.1", port)
        fault = await fault_of(transport.send(target, ask(timeouts=Timeouts(connect=0.2))))
        assert fault.kind is FaultKind.CONNECTION_TIMEOUT
        assert fault.retry_safe
        assert 0.15 < time.monotonic() - began < LATE
        for filler in fillers:
            filler.close()


@having()
async def test_first_byte(transport):
    async with scripted(silent, answering(plain(b"other"))) as server:
        began = time.monotonic()
        fault = await fault_of(transport.send(server.target, ask(timeouts=Timeouts(first_byte=0.2))))
        assert 0.15 < time.monotonic() - began < LATE
        assert fault.kind is FaultKind.HTTP_RESPONSE_TIMEOUT
        assert fault.side is Side.UPSTREAM
        assert not fault.retry_safe
        await until(lambda: server.ended == 1, what="the connection's end")
        assert (await exchange(transport, server.target))[2] == b"other"


@having("duplex")
async def test_a_head_that_trickles_in_does_not_extend_the_first_byte(transport):
    async with scripted(dripping(b"HTTP/1.1 200 OK\r\nx: ", b"a", 0.05)) as server:
        fault = await fault_of(transport.send(server.target, ask(timeouts=Timeouts(first_byte=0.2))))
        assert fault.kind is FaultKind.HTTP_RESPONSE_TIMEOUT


@having("duplex")
async def test_the_first_byte_is_awaited_from_the_requests_end(transport):
    """A long upload does not use up the time in which the answer must begin."""
    body = Pieces([b"a"], None, hang=True)
    async with scripted(answering(plain(b"done"))) as server:
        call = asyncio.ensure_future(
            exchange(transport, server.target, ask("POST", body=body, timeouts=Timeouts(first_byte=0.2)))
        )
        await asyncio.sleep(0.4)
        body.more.set()
        assert (await call)[2] == b"done"


@having()
async def test_idle_between_two_pieces(transport):
    async with scripted(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\npart")) as server:
        response = await transport.send(server.target, ask(timeouts=Timeouts(idle=0.2)))
        began = time.monotonic()
        fault = await fault_of(read_all(response))
        assert fault.kind is FaultKind.CONNECTION_READ_TIMEOUT
        assert 0.1 < time.monotonic() - began < LATE
        response.close()
        await until(lambda: server.ended == 1, what="the connection's end")


@having()
async def test_pieces_within_the_idle_time_keep_an_answer_alive(transport):
    async with scripted(dripping(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n", b"a", 0.25)) as server:
        request = ask(timeouts=Timeouts(first_byte=1.0, idle=1.0))
        assert (await exchange(transport, server.target, request))[2] == b"aaaaaa"


@having()
async def test_a_reader_that_takes_its_time_is_no_silence_of_the_targets(transport):
    async with scripted(answering(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nall here")) as server:
        response = await transport.send(server.target, ask(timeouts=Timeouts(idle=0.1)))
        await asyncio.sleep(0.3)
        assert await read_all(response) == b"all here"
        response.close()


@having()
async def test_total_before_the_head(transport):
    async with scripted(silent) as server:
        began = time.monotonic()
        fault = await fault_of(transport.send(server.target, ask(within=0.2)))
        assert fault.kind is FaultKind.HTTP_RESPONSE_TIMEOUT
        assert time.monotonic() - began < LATE
        await until(lambda: server.ended == 1, what="the connection's end")


@having()
async def test_total_within_the_body_however_lively(transport):
    async with scripted(dripping(b"HTTP/1.1 200 OK\r\n\r\n", b"a", 0.02)) as server:
        response = await transport.send(server.target, ask(within=0.3))
        began = time.monotonic()
        fault = await fault_of(read_all(response))
        assert fault.kind is FaultKind.CONNECTION_READ_TIMEOUT
        assert time.monotonic() - began < LATE
        response.close()
        await until(lambda: server.ended == 1, what="the connection's end")


@having("duplex")
async def test_a_target_that_does_not_take_the_body(transport):
    async def deaf(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await asyncio.Event().wait()

    body = Pieces([b"x" * 1_000_000] * 40, 40_000_000)
    async with scripted(deaf) as server:
        fault = await fault_of(transport.send(server.target, ask("PUT", body=body, timeouts=Timeouts(idle=0.2))))
        assert fault.kind is FaultKind.CONNECTION_WRITE_TIMEOUT
        assert len(body.pieces) > 20, "backpressure stopped the pump"


@having()
async def test_no_deadline_is_no_deadline(transport):
    async with scripted(answering(plain(b"ok"))) as server:
        request = ask()
        request.deadline = float("inf")
        assert (await exchange(transport, server.target, request))[2] == b"ok"


@having("lifetime")
async def test_deadlines_are_kept_when_the_connection_is_an_old_one(transport):
    async def one_then_silent(peer: Peer) -> None:
        await peer.request()
        peer.send(plain(b"one"))
        await peer.gone()

    async with scripted(one_then_silent) as server:
        policy = PoolPolicy(connections=1)
        await exchange(transport, server.target, ask(pool=policy))
        await asyncio.sleep(0.1)
        began = time.monotonic()
        fault = await fault_of(transport.send(server.target, ask(pool=policy, timeouts=Timeouts(first_byte=0.2))))
        assert fault.kind is FaultKind.HTTP_RESPONSE_TIMEOUT
        assert time.monotonic() - began < LATE
