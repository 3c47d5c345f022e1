"""Decisions for real proxies in front, each with the configuration that `spork export` makes for it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher

from spork.domain.http.head import canonical_path
from tests.fronts import FRONTS, PROMISED, Front, found_program, front
from tests.servers import GatewayProcess, free_port, gateway_process, wait_until
from tests.system.raw import Client, Visit, raw_target

SECRET = "between-you-and-me-1234"
ACME = "Basic " + base64.b64encode(b"acme:secret").decode()
#: Targets fuzzed per front; `SPORK_TEST_FUZZ=10000` for the whole bar.
FUZZED = int(os.environ.get("SPORK_TEST_FUZZ", "300"))
CANARY = b"reached"


def echo(visit: Visit) -> None:
    """Answers with the request as it arrived; a WebSocket handshake is agreed to."""
    while (request := visit.read_request()) is not None:
        if b"\r\nupgrade: websocket" in request.lower():
            key = re.search(rb"(?i)\r\nsec-websocket-key: *(\S+)", request)
            assert key is not None
            accept = base64.b64encode(hashlib.sha1(key[1] + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
            visit.send(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
            )
            while data := visit.sock.recv(64):
                visit.send(data)
            return
        body = b"" if request.startswith(b"HEAD ") else CANARY + b" " + request
        length = len(CANARY) + 1 + len(request)
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (length, body))


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    secret = PasswordHasher(1, 8, 1).hash("secret")
    limited = "\n".join(
        f"  - {{name: limited-{name}, match: /limited/{name}, upstream: echo, limits: [{{quota: 2, per: 1h, by: route}}]}}"
        for name in FRONTS
    )
    with raw_target(echo) as target:
        config = f"""
access_log: "off"
decisions:
  listen: 127.0.0.1:{free_port()}
  from: [127.0.0.0/8]
  fronts: [traefik, nginx, caddy, haproxy, envoy]
  secret: {SECRET}
upstreams: {{echo: {{targets: ["{target.url}"]}}}}
consumers: {{acme: {{basic_password_hash: "{secret}", tenant: t1}}}}
routes:
  - {{name: open, match: /open/*, upstream: echo}}
  - {{name: private, match: /private/*, upstream: echo, auth: {{any_of: [basic, anonymous]}}}}
  - {{name: closed, match: /closed/*, upstream: echo, auth: basic}}
  - {{name: admin, match: /admin/*, upstream: echo, auth: {{any_of: [basic], roles: [admin]}}}}
  - {{name: moved, match: /moved, redirect: {{to: "/open/here", status: 302}}}}
  - {{name: writes, match: {{path: /writes, methods: [PUT]}}, upstream: echo, auth: basic}}
{limited}
"""
        with gateway_process(config, tmp_path_factory.mktemp("decisions")) as process:
            yield process


@pytest.fixture(scope="module", params=FRONTS)
def proxy(
    request: pytest.FixtureRequest, gateway: GatewayProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Front]:
    with front(request.param, gateway, tmp_path_factory.mktemp(request.param)) as running:
        wait_until(lambda: get(running, "/open/x").status_code == 200, 30, f"{request.param} forwarding")
        yield running


def get(proxy: Front, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.request(method, f"http://127.0.0.1:{proxy.port}{path}", headers=named, timeout=20)


def fields(answer: httpx.Response) -> dict[str, str]:
    """The request fields that the target got, by lower-case name."""
    lines = answer.text.removeprefix("reached ").split("\r\n\r\n")[0].split("\r\n")[1:]
    return {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}


def test_what_is_allowed_is_forwarded_with_who_calls(proxy: Front) -> None:
    answer = get(proxy, "/closed/1?x=1", authorization=ACME)
    assert answer.status_code == 200, answer.text
    assert answer.text.startswith("reached GET /closed/1?x=1 ")
    told = fields(answer)
    assert told["x-user-id"] == "acme"
    assert told["x-consumer-id"] == "acme"
    assert told["x-gateway-route"] == "closed"
    assert told.get("x-gateway-decide", "") != SECRET
    for method in ("HEAD", "PUT", "POST", "DELETE"):
        assert get(proxy, "/open/1", method).status_code == 200
    posted = httpx.post(
        f"http://127.0.0.1:{proxy.port}/open/body", content=b"x" * 5000, headers={"Expect": "100-continue"}, timeout=20
    )
    assert posted.text.endswith("x" * 100)
    large = get(proxy, "/open/large", x_large="y" * 7500)
    assert large.status_code == 200


def test_refusals_keep_their_status_and_what_a_client_needs(proxy: Front) -> None:
    challenged = get(proxy, "/closed/1")
    assert challenged.status_code == 401
    assert challenged.headers["www-authenticate"].startswith("Basic")
    assert "reached" not in challenged.text
    assert get(proxy, "/admin/1", authorization=ACME).status_code == 403
    assert get(proxy, "/nowhere").status_code == 404
    assert get(proxy, "/writes").status_code == 405
    moved = get(proxy, "/moved")
    assert (moved.status_code, moved.headers["location"][-10:]) == (302, "/open/here")
    path = f"/limited/{proxy.name}"
    answers = [get(proxy, path) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert int(answers[2].headers["retry-after"]) > 0
    if proxy.name in ("nginx", "haproxy", "envoy"):  # the others have no way to (`spork check` says so)
        assert "ratelimit" in answers[0].headers


def test_a_client_cannot_say_who_it_is_nor_what_it_asks_for(proxy: Front) -> None:
    forged = {
        "X-Forwarded-Uri": "/open/x",
        "X-Forwarded-Method": "OPTIONS",
        "X-Forwarded-Prefix": "/open",
        "X-Forwarded-Host": "other.example.com",
        "X-Forwarded-For": "198.51.100.7",
        "X-Original-URI": "/open/x",
        "X-Original-Method": "OPTIONS",
        "X-Original-Host": "other.example.com",
        "X-Real-IP": "198.51.100.7",
        "X-Rewrite-URL": "/open/x",
        "X-Envoy-Original-Path": "/open/x",
        "X-Envoy-External-Address": "198.51.100.7",
        "X-Gateway-Decide": SECRET,
        "X-User-Id": "root",
        "X-User-Roles": "admin",
        "X-Consumer-Id": "other",
        "X-Gateway-Identity": "e30.e30.x",
        "X-Gateway-Route": "open",
    }
    url = f"http://127.0.0.1:{proxy.port}"
    assert httpx.get(f"{url}/closed/1", headers=forged, timeout=20).status_code in (400, 401)
    anonymous = httpx.get(f"{url}/private/1", headers=forged, timeout=20)
    if anonymous.status_code == 200:  # or refused whole, where a field stood there twice
        told = fields(anonymous)
        assert told["x-gateway-route"] == "private"
        for name in ("x-user-id", "x-user-roles", "x-consumer-id", "x-gateway-identity"):
            assert told.get(name, "") == "", name
    known = httpx.get(f"{url}/closed/1", headers={**forged, "Authorization": ACME}, timeout=20)
    assert known.status_code == 200, known.text
    assert fields(known)["x-user-id"] == "acme"
    assert fields(known).get("x-user-roles", "") == ""


def test_a_websocket_passes_a_decision(proxy: Front) -> None:
    with Client(proxy.port, 20) as client:
        client.send(
            b"GET /open/ws HTTP/1.1\r\nHost: h.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        assert client.read_head().startswith(b"HTTP/1.1 101")
        client.send(b"\x81\x82abcd\x00\x00")
        assert client.read_exactly(8) == b"\x81\x82abcd\x00\x00"


PIECES = ("/", "//", "/.", "/..", "/%2e", "/%2E%2e", "/%2f", "%2F", "/a", "/open", "/closed", "/admin", ";x", "/..;", "\\",
    "%5c", "%00", "%0a", "/%61", "%c3%a9", "?q=/closed", "?", "#", "/~a", "/%7Ea", "&", "%25", "%252e", "%zz", "%")  # fmt: skip


def test_what_is_served_is_what_was_decided(proxy: Front) -> None:
    """Whatever a client sends: the path that a target gets is canonical, and open to everybody."""
    chosen = random.Random(21)
    served = 0
    raw = [b"/open/a//b", b"/open/../closed/1", b"/open/%2e%2e/closed/1", b"/open/..%2fclosed/1", b"/open/..;/closed/1",
        b"/open/..\\closed", b"//open/x", b"/open/x#/closed", b"/closed/../open/x", b"/open/%2E./closed"]  # fmt: skip
    raw += [
        (
            chosen.choice(("", "/open", "/open/x", "/closed")) + "".join(chosen.choices(PIECES, k=chosen.randint(1, 5)))
        ).encode()
        for _ in range(FUZZED)
    ]
    connection: Client | None = None
    for target in raw:
        if connection is None:
            connection = Client(proxy.port, 20)
        try:
            connection.send(b"GET %b HTTP/1.1\r\nHost: h.test\r\n\r\n" % target)
            head, body = read_any(connection)
        except (EOFError, OSError):
            connection.sock.close()
            connection = None
            continue
        if CANARY in body:
            served += 1
            path = body.split(b" ", 3)[2].partition(b"?")[0]
            assert canonical_path(path) == path, (target, path)
            assert path == b"/open" or path.startswith(b"/open/"), (target, path)
            assert b"x-gateway-route: open" in body.lower(), (target, body)
        if b"\r\nconnection: close" in head.lower() or head.startswith(b"HTTP/1.0"):
            connection.sock.close()
            connection = None
    assert served > FUZZED / 20


def read_any(client: Client) -> tuple[bytes, bytes]:
    """One whole answer, of a length that is declared, chunked, or up to the end."""
    head = client.read_head()
    lower = head.lower()
    if found := re.search(rb"\r\ncontent-length: *(\d+)", lower):
        return head, client.read_exactly(int(found[1]))
    if b"\r\ntransfer-encoding: chunked" in lower:
        body = b""
        while True:
            while b"\r\n" not in client.buffer:
                client.buffer += client.sock.recv(65536)
            size, _, client.buffer = client.buffer.partition(b"\r\n")
            piece = client.read_exactly(int(size, 16) + 2)[:-2]
            if not piece:
                return head, body
            body += piece
    if lower.startswith((b"http/1.1 204", b"http/1.1 304")):
        return head, b""
    return head, client.read_to_end()


def test_only_named_peers_with_the_secret_are_told_anything(gateway: GatewayProcess) -> None:
    text = (gateway.directory / "spork.yaml").read_text()
    port = int(re.search(r"decisions:\n  listen: 127.0.0.1:(\d+)", text)[1])  # type: ignore[index]
    url = f"http://127.0.0.1:{port}/decide/"
    asks = {
        "X-Original-Method": "GET",
        "X-Original-URI": "/open/x",
        "X-Original-Host": "h.test",
        "X-Real-IP": "192.0.2.1",
        "X-Gateway-Decide": SECRET,
    }
    allowed = httpx.get(url + "nginx/https", headers=asks)
    assert allowed.status_code == 200
    assert allowed.headers["cache-control"] == "no-store"
    assert allowed.headers["x-user-id"] == ""
    assert allowed.headers["x-gateway-route"] == "open"
    assert httpx.get(url + "nginx", headers={**asks, "X-Gateway-Decide": "wrong"}).status_code == 404
    assert (
        httpx.get(url + "nginx", headers={k: v for k, v in asks.items() if k != "X-Gateway-Decide"}).status_code == 404
    )
    assert httpx.get(url + "other", headers=asks).status_code == 404
    assert httpx.get(f"http://127.0.0.1:{port}/open/x").status_code == 404
    assert (
        httpx.get(f"{gateway.url}/decide/nginx", headers=asks).status_code == 404
    )  # decisions have their own listener
    for missing in asks:
        if missing != "X-Gateway-Decide":
            assert httpx.get(url + "nginx", headers={k: v for k, v in asks.items() if k != missing}).status_code == 403
    limited = httpx.get(url + "nginx", headers={**asks, "X-Original-URI": "/a/%2e%2e/open/x"})
    assert (limited.status_code, limited.headers["x-gateway-status"]) == (403, "400")
    metrics = httpx.get(f"{gateway.admin_url}/metrics", headers={"Authorization": f"Bearer {gateway.admin_token}"}).text
    assert 'gateway_decisions_total{front="nginx",result="allow",route="open"}' in metrics


def test_without_the_gateway_nothing_passes(tmp_path: Path) -> None:
    """The front's own setting says so: whatever it answers, the target is not reached."""
    with raw_target(echo) as target:
        config = f"""
access_log: "off"
decisions: {{from: [127.0.0.0/8], fronts: [traefik, nginx, caddy, haproxy, envoy]}}
upstreams: {{echo: {{targets: ["{target.url}"]}}}}
routes: [{{name: open, match: /open/*, upstream: echo}}]
"""
        with gateway_process(config, tmp_path / "gateway") as gateway:
            fronts = []
            with contextlib.ExitStack() as stack:
                for name in (each for each in FRONTS if each in PROMISED or found_program(each)):
                    running = stack.enter_context(front(name, gateway, tmp_path / name))
                    wait_until(lambda running=running: get(running, "/open/x").status_code == 200, 30, name)
                    fronts.append(running)
                gateway.process.kill()
                gateway.process.wait()
                for running in fronts:
                    answer = get(running, "/open/x")
                    assert answer.status_code >= 500, running.name
                    assert "reached" not in answer.text
