"""The edge of the real gateway process, in front of a real target that notes what reaches it."""

from __future__ import annotations

import http.server
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import GatewayProcess, gateway_process


class Target(http.server.ThreadingHTTPServer):
    """Answers 200 to all and keeps request lines, headers and bodies."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, list[tuple[str, str]], bytes]] = []
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        assert isinstance(self.server, Target)
        body = b""
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.seen.append((self.requestline, self.headers.items(), body))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    do_POST = do_GET

    def log_message(self, format: str, *args: object) -> None:
        """Says nothing."""


@pytest.fixture(scope="module")
def target() -> Iterator[Target]:
    server = Target()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module", params=["protocol", "mount"])
def gateway(
    request: pytest.FixtureRequest, target: Target, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    config = f"""
hosts: [api.example.com, "*.apps.example"]
edge: {{front_door: {request.param}, header_fields: 20, body_bytes: 1000, drain_delay: 0s}}
upstreams: {{all: {{targets: [http://127.0.0.1:{target.server_address[1]}]}}}}
routes: [{{name: all, match: {{path: /*}}, upstream: all}}]
"""
    with gateway_process(config, tmp_path_factory.mktemp("edge")) as running:
        yield running


def ask(gateway: GatewayProcess, data: bytes) -> bytes:
    """All that is answered to `data` on one connection that says `close` last, or is closed on us."""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as connection:
        connection.sendall(data)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        return answer


HEAD = b"Host: api.example.com\r\nConnection: close\r\n"


def test_the_canonical_path_goes_to_the_target(gateway: GatewayProcess, target: Target) -> None:
    target.seen.clear()
    assert ask(gateway, b"GET /%7ea/%c3%a4?b=%2f HTTP/1.1\r\n" + HEAD + b"\r\n").startswith(b"HTTP/1.1 200 ")
    assert [line for line, _, _ in target.seen] == ["GET /~a/%C3%A4?b=%2f HTTP/1.1"]


@pytest.mark.parametrize(
    ("path", "status"),
    [(b"/a/../b", 400), (b"/a/%2e%2e/b", 400), (b"/a%2fb", 400), (b"//a", 400), (b"/a\\b", 400), (b"/a%00", 400)],
)
def test_tricks_with_paths_never_reach_a_target(
    gateway: GatewayProcess, target: Target, path: bytes, status: int
) -> None:
    target.seen.clear()
    answer = ask(gateway, b"GET " + path + b" HTTP/1.1\r\n" + HEAD + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert b"application/problem+json" in answer
    assert target.seen == []


def test_unknown_hosts_never_reach_a_target(gateway: GatewayProcess, target: Target) -> None:
    target.seen.clear()
    assert ask(gateway, b"GET / HTTP/1.1\r\nHost: evil\r\nConnection: close\r\n\r\n").startswith(b"HTTP/1.1 421 ")
    assert target.seen == []


def test_forged_names_and_trailers_never_reach_a_target(gateway: GatewayProcess, target: Target) -> None:
    target.seen.clear()
    forged = ask(gateway, b"GET / HTTP/1.1\r\n" + HEAD + b"X_User_Id: admin\r\n\r\n")
    assert forged.startswith(b"HTTP/1.1 400 ")
    body = b"3\r\nabc\r\n0\r\nX-User-Id: admin\r\nX-Other: b\r\n\r\n"
    sent = b"POST / HTTP/1.1\r\n" + HEAD + b"X-USER-ID: admin\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    assert ask(gateway, sent).startswith(b"HTTP/1.1 200 ")
    (_, headers, received), *more = target.seen
    assert (received, more) == (b"abc", [])
    assert not {"x-user-id", "x-other", "x_user_id"} & {name.lower() for name, _ in headers}


def test_a_smuggled_request_is_never_a_second_one(gateway: GatewayProcess, target: Target) -> None:
    target.seen.clear()
    smuggled = b"0\r\n\r\nGET /admin HTTP/1.1\r\nHost: api.example.com\r\n\r\n"
    both = b"Content-Length: %d\r\nTransfer-Encoding: chunked\r\n\r\n" % len(smuggled)
    assert ask(gateway, b"POST / HTTP/1.1\r\n" + HEAD + both + smuggled).startswith(b"HTTP/1.1 400 ")
    assert target.seen == []
    length = b"Content-Length: %d\r\n\r\n" % len(smuggled)
    assert ask(gateway, b"POST / HTTP/1.1\r\n" + HEAD + length + smuggled).count(b"HTTP/1.1 ") == 1
    assert [(line, body) for line, _, body in target.seen] == [("POST / HTTP/1.1", smuggled)]


def test_a_body_too_large_is_a_413_that_can_be_read(gateway: GatewayProcess, target: Target) -> None:
    for framing, body in (
        (b"Content-Length: 500000\r\n", b"a" * 500_000),
        (b"Transfer-Encoding: chunked\r\n", b"3e8\r\n" + b"a" * 1000 + b"\r\n" + b"1\r\na\r\n" + b"0\r\n\r\n"),
    ):
        answer = ask(gateway, b"POST / HTTP/1.1\r\n" + HEAD + framing + b"\r\n" + body)
        assert answer.startswith(b"HTTP/1.1 413 ")


def test_pipelined_requests_in_order(gateway: GatewayProcess, target: Target) -> None:
    target.seen.clear()
    host = b"Host: x.apps.example\r\n"
    sent = b"".join(b"GET /%d HTTP/1.1\r\n" % n + host + b"\r\n" for n in range(10))
    answer = ask(gateway, sent + b"GET /health HTTP/1.1\r\n" + HEAD + b"\r\n")
    assert answer.count(b"HTTP/1.1 200 ") == 11
    assert [line for line, _, _ in target.seen] == [f"GET /{n} HTTP/1.1" for n in range(10)]


def test_how_long_a_body_may_be_slow_is_configured(target: Target, tmp_path: Path) -> None:
    route = f"upstreams: {{t: {{targets: ['http://127.0.0.1:{target.server_port}']}}}}\nroutes: [{{match: /*, upstream: t}}]\n"
    head = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n"

    def seconds(grace: str) -> tuple[float, bytes]:
        config = f"edge: {{body_min_rate: 1000B/s, body_grace: {grace}}}\n" + route
        with gateway_process(config, tmp_path / grace) as gateway:
            with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as client:
                began = time.monotonic()
                client.sendall(head)
                answer = client.recv(65536)
                return time.monotonic() - began, answer.split(b"\r\n")[0]

    for grace, least, most in (("300ms", 0.25, 1.2), ("2s", 1.9, 4.0)):
        took, line = seconds(grace)
        assert line == b"HTTP/1.1 408 Request Timeout"
        assert least < took < most
