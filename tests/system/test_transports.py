"""Each transport under the real gateway: `transport: httptools | httpx` in the configuration."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from spork.domain.upstreams.model import TlsToTarget
from tests.contract.upstream_transport.certificates import Authority
from tests.contract.upstream_transport.targets import Peer, answering, plain, scripted
from tests.servers import gateway_process


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("transport", ["httptools", "httpx"])
async def test_a_configured_transport_carries_requests(transport: str, scheme: str, tmp_path: Path) -> None:
    answer = plain(b"hello", b"set-cookie: a=1", b"set-cookie: b=2")
    authority = Authority(tmp_path)
    tls = authority.issue("127.0.0.1").context() if scheme == "https" else None
    async with scripted(answering(answer), tls=tls) as server:
        config = (
            f"upstreams:\n  one:\n    targets: [{scheme}://127.0.0.1:{server.port}]\n    transport: {transport}\n"
            f"    tls: {{ca: {authority.ca}}}\n"
            "routes:\n  - {name: one, match: {path: /*}, upstream: one}\n"
        )

        def ask(url: str) -> list[httpx.Response]:
            with httpx.Client(trust_env=False) as client:
                return [client.get(f"{url}/a?b=1"), client.post(f"{url}/c", content=b"abc")]

        def run() -> list[httpx.Response]:
            with gateway_process(config, tmp_path / transport) as gateway:
                return ask(gateway.url)

        answers = await asyncio.to_thread(run)
    assert [(a.status_code, a.content) for a in answers] == [(200, b"hello")] * 2
    assert answers[0].headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert [r.line for r in server.requests] == [b"GET /a?b=1 HTTP/1.1", b"POST /c HTTP/1.1"]
    assert server.requests[1].body == b"abc"
    assert server.connections == 1


async def forward(peer: Peer) -> None:
    """A forward proxy, as far as one request needs: absolute-form requests and CONNECT tunnels."""
    head = await peer.head()
    method, where, _ = head.line.split(b" ")
    if method == b"CONNECT":
        host, _, port = where.decode().rpartition(":")
        first = b""
    else:
        address = httpx.URL(where.decode())
        host, port = address.host, str(address.port)
        fields = [row for row in head.head.split(b"\r\n")[1:-2] if not row.lower().startswith(b"proxy-")]
        first = b"\r\n".join([b"%s %s HTTP/1.1" % (method, address.raw_path), *fields, b"", b""])
    reader, writer = await asyncio.open_connection(host, int(port))
    if not first:
        peer.send(b"HTTP/1.1 200 Connected\r\n\r\n")
    writer.write(first)

    async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(65536):
            sink.write(data)
        sink.close()

    await asyncio.gather(copy(peer.reader, writer), copy(reader, peer.writer))


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_upstream_behind_a_forward_proxy(scheme: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = authority.issue("127.0.0.1").context() if scheme == "https" else None
    async with scripted(answering(plain(b"inside")), tls=tls, trust=TlsToTarget(ca=authority.ca)) as server:
        async with scripted(forward) as proxy:
            config = (
                f"upstreams:\n  one:\n    targets: [{scheme}://127.0.0.1:{server.port}]\n    transport: httpx\n"
                f"    proxy: http://me:s3cret@127.0.0.1:{proxy.port}\n    tls: {{ca: {authority.ca}}}\n"
                "routes:\n  - {name: one, match: {path: /*}, upstream: one}\n"
            )

            def run() -> tuple[httpx.Response, str]:
                with gateway_process(config, tmp_path / "gateway") as gateway, httpx.Client(trust_env=False) as client:
                    answer = client.get(f"{gateway.url}/a;x/b?c=%2F")
                    token = {"authorization": f"Bearer {gateway.admin_token}"}
                    return answer, client.get(f"{gateway.admin_url}/admin/v1/config", headers=token).json()["running"]

            answer, shown = await asyncio.to_thread(run)
    assert (answer.status_code, answer.content) == (200, b"inside")
    wanted = b"CONNECT 127.0.0.1:%d" if scheme == "https" else b"GET http://127.0.0.1:%d/a;x/b?c=%%2F"
    assert proxy.requests[0].line == wanted % server.port + b" HTTP/1.1"
    assert proxy.requests[0].values(b"proxy-authorization") == [b"Basic bWU6czNjcmV0"]
    assert server.requests[0].line == b"GET /a;x/b?c=%2F HTTP/1.1"
    assert server.requests[0].values(b"proxy-authorization") == []
    assert "s3cret" not in shown
