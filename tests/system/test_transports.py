"""Each transport under the real gateway: `transport: httptools | httpx` in the configuration."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from tests.contract.upstream_transport.targets import answering, plain, scripted
from tests.servers import gateway_process


@pytest.mark.parametrize("transport", ["httptools", "httpx"])
async def test_a_configured_transport_carries_requests(transport: str, tmp_path: Path) -> None:
    answer = plain(b"hello", b"set-cookie: a=1", b"set-cookie: b=2")
    async with scripted(answering(answer)) as server:
        config = (
            f"upstreams:\n  one:\n    targets: [http://127.0.0.1:{server.port}]\n    transport: {transport}\n"
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
