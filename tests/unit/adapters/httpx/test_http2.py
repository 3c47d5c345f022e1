"""HTTP/2 targets and forward proxies: what the httpx transport is for."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import h2.config
import h2.connection
import h2.events
import pytest

from spork.adapters.httpx.transport import HttpxTransport
from spork.domain.outcomes import FaultKind
from spork.domain.upstreams.model import PoolPolicy, Target, TlsToTarget
from tests.contract.upstream_transport.certificates import Authority
from tests.contract.upstream_transport.targets import Peer, answering, plain, scripted
from tests.contract.upstream_transport.transports import Pieces, ask, exchange, fault_of, read_all, until


class Http2Target(asyncio.Protocol):
    """Answers each stream with its path and body; `/cut` is reset within its body, `/hang` never answered."""

    def __init__(self, log: list[Http2Target]) -> None:
        log.append(self)
        self.heads: dict[int, list[tuple[bytes, bytes]]] = {}
        self.bodies: dict[int, bytes] = {}
        self.resets: list[int] = []
        self.lost = False
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding=None))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.conn.initiate_connection()
        self.flush()

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True

    def flush(self) -> None:
        self.transport.write(self.conn.data_to_send())  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        for event in self.conn.receive_data(data):
            if isinstance(event, h2.events.RequestReceived):
                self.heads[event.stream_id] = event.headers
                self.bodies[event.stream_id] = b""
            elif isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] += event.data
                self.conn.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.resets.append(event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.answer(event.stream_id)
        self.flush()

    def answer(self, stream: int) -> None:
        path = dict(self.heads[stream])[b":path"]
        if path == b"/hang":
            return
        body = path + b" " + self.bodies[stream]
        self.conn.send_headers(stream, [(b":status", b"200"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")])
        if path == b"/cut":
            self.conn.send_data(stream, b"part")
            self.conn.reset_stream(stream)
        else:
            self.conn.send_data(stream, body, end_stream=True)


@contextlib.asynccontextmanager
async def http2(
    tls: ssl.SSLContext | None, trust: TlsToTarget | None
) -> AsyncIterator[tuple[Target, list[Http2Target]]]:
    log: list[Http2Target] = []
    server = await asyncio.get_running_loop().create_server(lambda: Http2Target(log), "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    scheme = "https" if tls else "http"
    try:
        yield Target(f"{scheme}://127.0.0.1:{port}", scheme, "127.0.0.1", port, tls=trust), log
    finally:
        server.close()


@pytest.fixture
async def over_tls(tmp_path: Path) -> AsyncIterator[tuple[HttpxTransport, Target, list[Http2Target]]]:
    authority = Authority(tmp_path)
    context = authority.issue("127.0.0.1").context()
    context.set_alpn_protocols(["h2"])
    transport = HttpxTransport()
    async with http2(context, TlsToTarget(ca=authority.ca)) as (target, log):
        yield transport, target, log
        await transport.close()


async def test_agreed_by_alpn_and_shared_by_many_requests(over_tls):
    transport, target, log = over_tls
    await exchange(transport, target)
    bodies = await asyncio.gather(
        *(exchange(transport, target, ask("POST", b"/%d" % n, body=b"b%d" % n)) for n in range(20))
    )
    assert [body for _, _, body in bodies] == [b"/%d b%d" % (n, n) for n in range(20)]
    assert len(log) == 1
    assert [h for h in bodies[0][1] if h[0] == b"set-cookie"] == [(b"set-cookie", b"a=1"), (b"set-cookie", b"b=2")]


async def test_no_field_of_one_connection_reaches_an_http2_target(over_tls):
    transport, target, log = over_tls
    smuggled = [(b"connection", b"x"), (b"keep-alive", b"1"), (b"transfer-encoding", b"chunked"), (b"te", b"gzip")]
    request = ask("PUT", b"/a/../b?c", *smuggled, body=Pieces([b"abc", b"def"], None))
    assert (await exchange(transport, target, request))[2] == b"/a/../b?c abcdef"
    [head] = log[0].heads.values()
    assert dict(head)[b":authority"] == b"target.test"
    assert not {b"connection", b"keep-alive", b"transfer-encoding", b"te", b"host"} & {name for name, _ in head}


async def test_a_stream_that_is_reset_is_a_cut_body(over_tls):
    transport, target, _ = over_tls
    response = await transport.send(target, ask("GET", b"/cut"))
    fault = await fault_of(read_all(response))
    assert fault.kind in (FaultKind.HTTP_RESPONSE_INCOMPLETE, FaultKind.HTTP_PROTOCOL_ERROR)
    response.close()


async def test_leaving_one_stream_leaves_the_others(over_tls):
    transport, target, log = over_tls
    await exchange(transport, target)
    hanging = asyncio.ensure_future(transport.send(target, ask("GET", b"/hang")))
    await until(lambda: len(log[0].heads) == 2, what="the second stream")
    hanging.cancel()
    with pytest.raises(asyncio.CancelledError):
        await hanging
    assert (await exchange(transport, target, ask("GET", b"/next")))[2] == b"/next "


async def test_clear_text_by_prior_knowledge():
    transport = HttpxTransport(http1=False)
    async with http2(None, None) as (target, log):
        assert (await exchange(transport, target, ask("POST", b"/x", body=b"y")))[2] == b"/x y"
        assert (await exchange(transport, target, ask("GET", b"/z")))[2] == b"/z "
        await transport.close()
        await until(lambda: log[0].lost, 1.0, "the connection's end")
    assert len(log) == 1


async def test_a_tls_target_without_http2_is_spoken_to_in_http1(tmp_path):
    authority = Authority(tmp_path)
    transport = HttpxTransport()
    pair = authority.issue("127.0.0.1")
    async with scripted(answering(plain(b"ok")), tls=pair.context(), trust=TlsToTarget(ca=authority.ca)) as server:
        assert (await exchange(transport, server.target))[2] == b"ok"
        assert server.requests[0].line == b"GET / HTTP/1.1"
    await transport.close()


async def test_through_a_forward_proxy():
    async with scripted(answering(plain(b"from the proxy"))) as proxy:
        transport, policy = HttpxTransport(), PoolPolicy(proxy=f"http://127.0.0.1:{proxy.port}")
        target = Target("http://inner.test:81", "http", "inner.test", 81)
        assert (await exchange(transport, target, ask("GET", b"/a?b", pool=policy)))[2] == b"from the proxy"
        await transport.close()
    assert proxy.requests[0].line == b"GET http://inner.test:81/a?b HTTP/1.1"
    assert proxy.requests[0].values(b"host") == [b"target.test"]


async def test_through_a_tunnelling_proxy(tmp_path):
    authority = Authority(tmp_path)
    pair = authority.issue("inner.test")

    async with scripted(answering(plain(b"inside")), tls=pair.context(), trust=TlsToTarget(ca=authority.ca)) as inner:

        async def connect(peer: Peer) -> None:
            await peer.head()
            reader, writer = await asyncio.open_connection("127.0.0.1", inner.port)
            peer.send(b"HTTP/1.1 200 Connected\r\n\r\n")

            async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                while data := await source.read(65536):
                    sink.write(data)
                sink.close()

            await asyncio.gather(copy(peer.reader, writer), copy(reader, peer.writer))

        async with scripted(connect) as proxy:
            transport, policy = HttpxTransport(), PoolPolicy(proxy=f"http://127.0.0.1:{proxy.port}")
            target = Target("https://inner.test:444", "https", "inner.test", 444, tls=inner.target.tls)
            assert (await exchange(transport, target, ask(pool=policy)))[2] == b"inside"
            await transport.close()
    assert proxy.requests[0].line == b"CONNECT inner.test:444 HTTP/1.1"


async def test_more_may_be_in_flight_on_http2_than_there_are_connections(over_tls):
    transport, target, log = over_tls
    policy = PoolPolicy(connections=1, pending=0)
    await exchange(transport, target, ask(pool=policy))
    done = await asyncio.gather(*(exchange(transport, target, ask(pool=policy)) for _ in range(30)))
    assert [status for status, _, _ in done] == [200] * 30
    assert len(log) == 1
