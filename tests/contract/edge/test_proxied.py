"""A listener behind a balancer that speaks the PROXY protocol, on both event loops."""

from __future__ import annotations

import asyncio
import struct

import pytest

from spork.application.configuration.model import EdgeLimits
from spork.domain.http.proxy_protocol import SIGNATURE
from tests.edges import Recorder, serving, until

GET = b"GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n"
LINE = b"PROXY TCP4 192.0.2.7 10.0.0.1 4711 443\r\n"
BLOCK = (
    SIGNATURE + b"\x21\x11" + struct.pack("!H", 20) + bytes((192, 0, 2, 7, 10, 0, 0, 1)) + struct.pack("!HH", 4711, 443)
)
BLOCK += b"\x20\x00\x05\x01\0\0\0\0"


@pytest.mark.parametrize("header", [LINE, BLOCK], ids=["v1", "v2"])
@pytest.mark.parametrize("size", [None, 1, 7])
async def test_a_trusted_peer_says_whom_a_connection_is_for(header: bytes, size: int | None) -> None:
    async with serving(proxies=("127.0.0.0/8",)) as served:
        client = await served.client()
        await client.send(header + GET, size)
        assert (await client.answer()).status == 200
        head = served.gateway.heads[0]
        assert (head.peer, head.peer_port) == ("192.0.2.7", 4711)
        assert head.scheme == ("https" if header is BLOCK else "http")
        await client.send(GET)
        assert (await client.answer()).body == b"2", "the connection goes on"


async def test_a_balancers_own_connection_is_its_own() -> None:
    async with serving(proxies=("127.0.0.1",)) as served:
        for header in (b"PROXY UNKNOWN\r\n", SIGNATURE + b"\x20\x00\x00\x00"):
            client = await served.client()
            await client.send(header + GET)
            assert (await client.answer()).status == 200
        assert {head.peer for head in served.gateway.heads} == {"127.0.0.1"}


@pytest.mark.parametrize(
    "begun",
    [GET, b"PROXY TCP4 nonsense\r\n" + GET, b"PROXY " + b"x" * 200, SIGNATURE + b"\x21\x11\xff\xff", b"PROXY TC"],
)
async def test_a_trusted_peer_that_does_not_speak_it_is_closed(begun: bytes) -> None:
    async with serving(EdgeLimits(header_timeout=0.2), proxies=("127.0.0.1",)) as served:
        client = await served.client()
        await client.send(begun)
        async with asyncio.timeout(30):
            try:
                assert await client.reader.read() == b""
            except ConnectionResetError:
                pass
        assert served.gateway.heads == []


async def test_anybody_else_is_served_as_ever_and_cannot_speak_it() -> None:
    async with serving(proxies=("192.0.2.1",)) as served:
        client = await served.client()
        await client.send(GET)
        assert (await client.answer()).status == 200
        client = await served.client()
        await client.send(LINE + GET)
        assert (await client.answer()).status in (400, 501)
        assert [head.peer for head in served.gateway.heads] == ["127.0.0.1"]


async def test_it_accepts_no_more_once_it_drains_and_ends_what_waits() -> None:
    async with serving(gateway=Recorder(), proxies=("127.0.0.1",)) as served:
        waiting = await served.client()
        await waiting.send(b"PROXY ")
        served.server.stop()
        await until(lambda: served.running.done(), "the end of the server")
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", served.port)
