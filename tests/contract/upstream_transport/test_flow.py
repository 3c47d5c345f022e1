"""Large bodies: bytes identical, memory flat, whoever is the slow one."""

from __future__ import annotations

import asyncio
import hashlib
import tracemalloc

from tests.contract.upstream_transport.targets import Peer, answering, plain, scripted
from tests.contract.upstream_transport.transports import ask, exchange, having, until

MIB = 1 << 20


def pouring(total: int, poured: list[int]):
    """Sends `total` bytes as fast as they are taken, and says how many were."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % total)
        piece = bytes(65536)
        for _ in range(total // 65536):
            peer.send(piece)
            await peer.flush()
            poured[0] += 65536
        await peer.gone()

    return script


@having()
async def test_a_slow_reader_slows_the_target(transport):
    poured = [0]
    async with scripted(pouring(256 * MIB, poured)) as server:
        tracemalloc.start()
        response = await transport.send(server.target, ask(within=30))
        seen = -1
        while seen != poured[0]:  # until nothing moves any more
            seen = poured[0]
            await asyncio.sleep(0.2)
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        response.close()
    assert seen < 32 * MIB, "the kernel's buffers, and no more"
    assert held < 4 * MIB


@having()
async def test_a_large_answer_is_identical_and_never_held_whole(transport):
    total = 64 * MIB
    piece = bytes(range(256)) * 256

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for _ in range(total // len(piece)):
            peer.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await peer.flush()
        peer.send(b"0\r\n\r\n")
        await peer.gone()

    async with scripted(script) as server:
        response = await transport.send(server.target, ask(within=30))
        digest, size, largest = hashlib.sha256(), 0, 0
        data, ended = response.take()
        while not ended:
            digest.update(data)
            size += len(data)
            largest = max(largest, len(data))
            data = await response.read()
            ended = not data
        response.close()
    assert size == total
    assert digest.digest() == hashlib.sha256(piece * (total // len(piece))).digest()
    assert largest <= MIB


class Fountain:
    """A request body of `total` bytes made as it is read (`application.ports.RequestBody`)."""

    def __init__(self, total: int, length: int | None) -> None:
        self.left = total
        self.length = length
        self.received = 0
        self.piece = bytes(range(256)) * 256

    def whole(self) -> bytes | None:
        return None

    async def read(self) -> bytes:
        if not self.left:
            return b""
        self.left -= len(self.piece)
        self.received += len(self.piece)
        return self.piece

    def limit(self, maximum: int) -> None:
        pass


@having()
async def test_a_large_request_is_identical(transport):
    total = 32 * MIB
    digest = hashlib.sha256()

    async def script(peer: Peer) -> None:
        received = await peer.head()
        left = int(received.values(b"content-length")[0])
        while left:
            data = await peer.reader.read(min(left, 65536))
            left -= len(data)
            digest.update(data)
        peer.send(plain(b"got it"))
        await peer.gone()

    async with scripted(script) as server:
        body = Fountain(total, total)
        assert (await exchange(transport, server.target, ask("PUT", body=body, within=30)))[2] == b"got it"
    assert digest.digest() == hashlib.sha256(Fountain(0, 0).piece * (total // 65536)).digest()


@having()
async def test_a_slow_target_slows_the_request_body(transport):
    async def deaf(peer: Peer) -> None:
        peer.writer.transport.pause_reading()
        await asyncio.Event().wait()

    body = Fountain(256 * MIB, 256 * MIB)
    async with scripted(deaf) as server:
        call = asyncio.ensure_future(transport.send(server.target, ask("PUT", body=body, within=30)))
        await until(lambda: server.connections == 1, what="a connection")
        seen = -1
        while seen != body.received:
            seen = body.received
            await asyncio.sleep(0.2)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    assert seen < 32 * MIB


@having()
async def test_many_exchanges_at_once_each_get_their_own_answer(transport):
    async def echo(peer: Peer) -> None:
        while True:
            received = await peer.request()
            peer.send(plain(received.line.split()[1]))

    async with scripted(echo) as server:

        async def one(number: int) -> None:
            path = b"/%d" % number
            assert (await exchange(transport, server.target, ask("GET", path)))[2] == path

        for _ in range(3):
            await asyncio.gather(*(one(number) for number in range(30)))


@having()
async def test_small_answers_need_no_second_wait(transport):
    """Where everything has arrived with the head, `take` has all of it (an adapter may still have to read)."""
    async with scripted(answering(plain(b""))) as server:
        response = await transport.send(server.target, ask())
        assert response.take() == (b"", True)
        response.close()
