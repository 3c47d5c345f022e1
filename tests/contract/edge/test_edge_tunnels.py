"""Upgrades at the edge: raw bytes both ways, and a goodbye that never lands inside a frame."""

from __future__ import annotations

import asyncio

import pytest

from spork.adapters.edge.tunnel import GOING_AWAY
from spork.application.kernel.streams import RequestBody, ResponseSink, Tunnel
from spork.domain.http.head import RequestHead
from tests.edges import Client, Recorder, serving, until

HANDSHAKE = (
    b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


class Chat:
    """Accepts the upgrade and hands the tunnel to the test; echoes until its end when `echo`."""

    def __init__(self, echo: bool = True) -> None:
        self.echo = echo
        self.tunnel: Tunnel | None = None
        self.ended = asyncio.Event()

    async def __call__(self, head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        assert head.upgrade
        sink.start(101, [(b"sec-websocket-accept", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")])
        self.tunnel = sink.tunnel()
        try:
            if self.echo:
                while data := await self.tunnel.read():
                    self.tunnel.write(data)
                    await self.tunnel.drain()
            else:
                await self.ended.wait()
        finally:
            self.tunnel.close()
            self.ended.set()


async def shaken(client: Client) -> None:
    answer = await client.answer()
    assert answer.status == 101
    assert (answer.header("connection"), answer.header("upgrade")) == ("Upgrade", "websocket")
    assert answer.header("content-length") is None
    assert answer.header("transfer-encoding") is None


@pytest.mark.parametrize("size", [None, 1])
async def test_bytes_pass_as_they_are(size: int | None) -> None:
    chat = Chat()
    async with serving(gateway=Recorder(chat)) as served:
        client = await served.client()
        early = bytes(range(256)) * (4 if size else 100)
        await client.send(HANDSHAKE + early, size)
        await shaken(client)
        assert await client.exactly(len(early)) == early
        await client.send(b"\r\n\r\nGET / HTTP/1.1\r\n\r\n")
        assert await client.exactly(22) == b"\r\n\r\nGET / HTTP/1.1\r\n\r\n"
        client.writer.write_eof()
        assert await client.closed()
        assert served.gateway.cancelled == 0
        await until(lambda: not served.edge.in_flight)


async def test_a_refused_upgrade_closes() -> None:
    async def refuse(head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        sink.start(403, [(b"content-length", b"2")])
        sink.write(b"no")
        sink.finish()

    async with serving(gateway=Recorder(refuse)) as served:
        client = await served.client()
        await client.send(HANDSHAKE + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await client.answer()
        assert (answer.status, answer.header("connection")) == (403, "close")
        assert await client.closed()
        assert served.gateway.seen == ["GET /chat"]


async def test_what_the_target_does_not_take_stays_with_the_client() -> None:
    chat = Chat(echo=False)
    async with serving(gateway=Recorder(chat)) as served:
        client = await served.client()
        await client.send(HANDSHAKE)
        await shaken(client)
        client.writer.write(b"a" * 20_000_000)
        await asyncio.sleep(0.2)
        tunnel = chat.tunnel
        assert tunnel is not None
        assert tunnel._size <= 1024 * 1024  # type: ignore[attr-defined]
        size = 0
        while size < 20_000_000:
            size += len(await asyncio.wait_for(tunnel.read(), 5))


async def test_a_client_that_vanishes_ends_the_tunnel() -> None:
    chat = Chat()
    async with serving(gateway=Recorder(chat)) as served:
        client = await served.client()
        await client.send(HANDSHAKE)
        await shaken(client)
        client.writer.transport.abort()
        await asyncio.wait_for(chat.ended.wait(), 5)
        await until(lambda: not served.edge.in_flight)


async def test_draining_says_1001_between_frames() -> None:
    chat = Chat()
    async with serving(gateway=Recorder(chat)) as served:
        client = await served.client()
        await client.send(HANDSHAKE)
        await shaken(client)
        served.server.stop()
        assert await client.rest() == GOING_AWAY
        await asyncio.wait_for(served.running, 5)
        assert served.gateway.cancelled == 0


async def test_draining_waits_for_the_end_of_a_frame() -> None:
    chat = Chat(echo=False)
    async with serving(gateway=Recorder(chat), server_options={"grace": 5.0}) as served:
        client = await served.client()
        await client.send(HANDSHAKE)
        await shaken(client)
        tunnel = chat.tunnel
        assert tunnel is not None
        frame = b"\x82\x7e\x01\x00" + b"x" * 256
        tunnel.write(frame[:3])
        served.server.stop()
        await until(lambda: tunnel._goodbye)  # type: ignore[attr-defined]
        tunnel.write(frame[3:200])
        assert not tunnel._ended  # type: ignore[attr-defined]
        tunnel.write(frame[200:] + b"\x81\x02no")
        assert await tunnel.read() == b""
        chat.ended.set()
        assert await client.rest() == frame + b"\x81\x02no" + GOING_AWAY
