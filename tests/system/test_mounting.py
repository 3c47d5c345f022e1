"""The gateway mounted in applications under uvicorn: paths, bodies, streams, WebSockets, and targets in process."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import importlib.util
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from spork.asgi import gateway as mounted
from tests.servers import ROOT, free_port, listening, missing, python_env, wait_until
from tests.system.raw import Client, Visit, raw_target

HOSTS = {
    "plain": "",
    "middleware": "",
    "litestar": "litestar",
    "starlette": "starlette",
    "fastapi": "fastapi",
    "django": "django",
}
#: Hosts in which the gateway is not mounted below a path, but stands around the application.
AROUND = ("middleware", "django")
PROMISED = ("plain", "middleware", "litestar")


@dataclass
class Host:
    name: str
    port: int
    base: str

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}{self.base}"


def target(visit: Visit) -> None:
    """Echoes requests, and the text of WebSockets; /stream sends one event and waits for the gateway to leave."""
    while (request := visit.read_request()) is not None:
        if b" /stream " in request[:40]:
            visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
            visit.send(b"9\r\ndata: 1\n\n\r\n")
            return
        if b"\r\nupgrade: websocket" in request.lower():
            visit.send(b"HTTP/1.1 101 Switching Protocols\r\n" + agreed(request) + b"\r\n")
            while len(frame := visit.sock.recv(65536)) > 6 and frame[0] & 0xF == 1:
                mask, masked = frame[2:6], frame[6:]
                text = bytes(byte ^ mask[at % 4] for at, byte in enumerate(masked))
                visit.send(bytes((0x81, len(text))) + text)
            return
        body = b"" if request.startswith(b"HEAD ") else b"reached " + request
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(request) + 8, body))


def agreed(request: bytes) -> bytes:
    """The fields of an answer that agrees to a handshake."""
    key = re.search(rb"(?i)\r\nsec-websocket-key: *(\S+)", request)
    assert key is not None
    accept = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
    chosen = b"Sec-WebSocket-Protocol: chat\r\n" if b"chat" in request else b""
    return b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n%b" % (accept, chosen)


@pytest.fixture(scope="module", params=HOSTS)
def host(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    name = request.param
    if HOSTS[name] and importlib.util.find_spec(HOSTS[name]) is None:
        missing(f"the package {HOSTS[name]}", name in PROMISED)
    folder = tmp_path_factory.mktemp(name)
    with raw_target(target) as behind:
        config = folder / "spork.yaml"
        config.write_text(f"""
access_log: "off"
environment_services: false
state_dir: {folder}/state
upstreams:
  echo: {{targets: ["{behind.url}"]}}
  here: {{targets: ["asgi:tests.hosts:echo_app"]}}
routes:
  - {{name: echo, match: /echo/*, upstream: echo}}
  - {{name: ws, match: /ws, upstream: echo}}
  - {{name: stream, match: /stream, upstream: echo}}
  - {{name: here, match: /here/*, upstream: here}}
  - {{name: closed, match: /closed, upstream: echo, auth: api_key}}
""")
        port = free_port()
        with (folder / "host.log").open("w") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "--factory", f"tests.hosts:{name}", "--port", str(port), "--log-level", "warning"],
                cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, text=True, env=python_env(HOST_CONFIG=str(config)),
            )  # fmt: skip
            try:
                wait_until(lambda: process.poll() is not None or listening(port), 60, name)
                assert process.poll() is None, (folder / "host.log").read_text()
                yield Host(name, port, "" if name in AROUND else "/gw")
                assert process.poll() is None, (folder / "host.log").read_text()
            finally:
                process.terminate()
                process.wait(20)


def test_paths_queries_and_methods_are_those_below_the_mount(host: Host) -> None:
    for method in ("GET", "POST", "PUT", "DELETE"):
        answer = httpx.request(method, host.url + "/echo/a%20b?x=1&y", timeout=20)
        assert answer.text.startswith(f"reached {method} /echo/a%20b?x=1&y "), answer.text[:200]
    head = httpx.head(host.url + "/echo/x", timeout=20)
    assert (head.status_code, head.content) == (200, b"")
    assert "x-request-id" in head.headers
    assert httpx.get(host.url + "/closed", timeout=20).status_code == 401
    if host.name not in ("plain",):
        assert "own" in httpx.get(f"http://127.0.0.1:{host.port}/own", timeout=20).text
    if host.base:
        assert httpx.get(host.url + "/nowhere", timeout=20).json()["type"].endswith("no_route")
        assert httpx.get(f"http://127.0.0.1:{host.port}/gwx/echo/x", timeout=20).status_code == 404


def test_a_path_that_is_not_canonical_does_not_reach_a_target(host: Host) -> None:
    for raw in (b"/echo/%2e%2e/closed", b"/echo/..%2fclosed", b"/echo/../closed", b"/echo/x%00"):
        with Client(host.port, 20) as client:
            client.send(b"GET %b%b HTTP/1.1\r\nHost: h.test\r\nConnection: close\r\n\r\n" % (host.base.encode(), raw))
            assert b"reached" not in client.read_to_end(), raw


def test_bodies_stream_both_ways(host: Host) -> None:
    body = b"0123456789" * 50_000
    answer = httpx.post(host.url + "/echo/large", content=body, timeout=30)
    assert answer.content.endswith(body)

    def pieces() -> Iterator[bytes]:
        for _ in range(5):
            yield b"piece " * 100

    assert httpx.post(host.url + "/echo/chunked", content=pieces(), timeout=20).text.count("piece ") == 500
    answer = httpx.post(host.url + "/here/large", content=body, timeout=30)
    assert answer.text.startswith("POST /here/large yes\n")
    assert answer.content.endswith(body + b"end")
    with httpx.stream("GET", host.url + "/here/slow", timeout=20) as slow:
        began = time.monotonic()
        first = next(slow.iter_raw())
        assert first.startswith(b"GET /here/slow yes")
        assert time.monotonic() - began < 15
    failed = httpx.get(host.url + "/here/raise", timeout=20)
    assert failed.status_code in (500, 502)
    assert "boom" not in failed.text


def test_an_event_stream_passes_as_it_comes_and_ends_with_its_target(host: Host) -> None:
    with httpx.stream("GET", host.url + "/stream", timeout=20) as stream:
        pieces = stream.iter_raw()
        assert next(pieces) == b"data: 1\n\n"
        with pytest.raises(httpx.RemoteProtocolError):  # cut by its target, and never a clean end
            list(pieces)


def test_a_client_that_leaves_ends_what_answers_it(host: Host) -> None:
    """Without being cancelled the application would go on for ever."""
    with httpx.stream("GET", host.url + "/here/endless", timeout=20) as stream:
        next(stream.iter_raw())
    wait_until(lambda: httpx.get(host.url + "/here/ended", timeout=20).headers["x-ended"] == "1", 20, "its end")


def test_websockets(host: Host) -> None:
    address = f"ws://127.0.0.1:{host.port}{host.base}"
    with connect(f"{address}/ws", open_timeout=20, close_timeout=5, subprotocols=["chat"]) as socket:
        assert socket.subprotocol == "chat"
        for text in ("hello", "w\u00f6rld"):
            socket.send(text)
            assert socket.recv(timeout=20) == text
    with pytest.raises(InvalidStatus) as refused:
        connect(f"{address}/closed", open_timeout=20)
    assert refused.value.response.status_code in (401, 403)


def test_a_gateway_whose_lifespan_was_not_entered_says_so() -> None:
    async def ask() -> None:
        await mounted("spork.yaml")({"type": "http"}, None, None)  # type: ignore[arg-type]

    with pytest.raises(RuntimeError, match=r"lifespan=gateway\.lifespan"):
        asyncio.run(ask())


def test_a_configuration_with_errors_fails_the_start(tmp_path: Path) -> None:
    (tmp_path / "bad.yaml").write_text("routes: [{match: /a, upstream: nowhere}]\n")

    async def start() -> None:
        async with mounted(tmp_path / "bad.yaml").lifespan():
            pass

    with pytest.raises(ValueError, match=r"bad.yaml:1:\d+: error: routes\[0\].upstream"):
        asyncio.run(start())
