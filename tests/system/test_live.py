"""Live exchanges through real gateways: what ends a WebSocket or an event stream after its head was answered."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from tests import tokens
from tests.live_target import LiveTarget, live_target
from tests.servers import GatewayProcess, gateway_process, redis_process, wait_until
from tests.system.test_admin import admin

SECRET = "a secret that is shared with nobody else at all"
JWK = json.dumps({"kty": "oct", "k": tokens.b64(SECRET.encode()).decode(), "alg": "HS256"})

CONFIG = """
access_log: off
issuers:
  idp: {{issuer: "https://idp.example.com", audiences: [api], algorithms: [HS256], keys: ['{secret}'], leeway: 0s}}
upstreams:
  sockets: {{targets: ["http://127.0.0.1:{sockets}"]}}
  events: {{targets: ["http://127.0.0.1:{events}"]}}
routes:
  - {{name: live, match: /ws/*, upstream: sockets, auth: jwt}}
  - {{name: events, match: /events/*, upstream: events, auth: jwt}}
"""


@dataclass
class World:
    target: LiveTarget
    one: GatewayProcess
    two: GatewayProcess


def token(**changes: object) -> str:
    now = time.time()
    given: dict[str, object] = {"exp": now + 300, "iat": now - 1, "jti": f"t-{time.monotonic_ns()}"}
    return tokens.hmac_token(SECRET.encode(), **{**given, **changes}).decode()


def bearer(raw: str) -> dict[str, str]:
    return {"authorization": f"Bearer {raw}"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("live")
    with ExitStack() as stack:
        target, redis = stack.enter_context(live_target()), stack.enter_context(redis_process())
        text = CONFIG.format(secret=JWK, sockets=target.socket_port, events=target.port)
        text += f"shared: {redis.url}\n"
        one, two = (stack.enter_context(gateway_process(text, directory / name)) for name in ("one", "two"))
        for gateway in (one, two):
            admin(gateway).close()
        yield World(target, one, two)


def socket(gateway: GatewayProcess, raw: str, path: str = "/ws/x") -> ClientConnection:
    return connect(f"ws://127.0.0.1:{gateway.port}{path}", additional_headers=bearer(raw), compression=None)


def closed(socket: ClientConnection, seconds: float = 5.0) -> tuple[int, str, float]:
    """Close code, reason, and how long it took to come."""
    began = time.monotonic()
    with pytest.raises(ConnectionClosed) as caught:
        socket.recv(timeout=seconds)
    assert caught.value.rcvd is not None, "a Close frame, not a cut"
    return caught.value.rcvd.code, caught.value.rcvd.reason, time.monotonic() - began


def test_a_socket_ends_when_its_token_does(world: World) -> None:
    raw = token(exp=time.time() + 1.5)
    with socket(world.one, raw) as live:
        live.send("hello")
        assert live.recv(timeout=5) == "hello"
        code, reason, seconds = closed(live)
    assert (code, reason) == (4401, "token expired")
    assert seconds < 2.5


def test_an_event_stream_ends_when_its_token_does_and_is_seen_to_be_cut(world: World) -> None:
    raw = token(exp=time.time() + 1.5)
    began = time.monotonic()
    got = b""
    with (
        pytest.raises(httpx.RemoteProtocolError),
        httpx.stream("GET", f"{world.one.url}/events/x", headers=bearer(raw), timeout=5) as answer,
    ):
        for piece in answer.iter_raw():
            got += piece
    assert b"event 3" in got
    assert time.monotonic() - began < 2.8


@pytest.mark.parametrize("way", ["session", "subject"])
def test_what_is_revoked_at_one_replica_ends_at_the_other_within_a_second(world: World, way: str) -> None:
    name = f"{way}-{time.monotonic_ns()}"
    raw = token(**({"sid": name} if way == "session" else {"sub": name}))
    with (
        socket(world.two, raw) as live,
        httpx.stream("GET", f"{world.two.url}/events/x", headers=bearer(raw), timeout=5) as answer,
    ):
        live.send("hello")
        assert live.recv(timeout=5) == "hello"
        pieces = answer.iter_raw()
        assert b"data" in next(pieces)
        with admin(world.one) as client:
            began = time.monotonic()
            done = client.post(f"/admin/v1/{way}s/{name}/revoke", json={"reason": "stolen"})
            assert done.status_code == 200, done.text
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in pieces:
                pass
        assert time.monotonic() - began < 1.0
        code, reason, _ = closed(live)
        assert time.monotonic() - began < 1.5
    assert (code, reason) == (4401, "session revoked")


def test_operators_list_and_close_one(world: World) -> None:
    with admin(world.one) as client, socket(world.one, token()) as other:
        raw = token(jti="t-alone")
        with socket(world.one, raw) as live:
            live.send("a")
            assert live.recv(timeout=5) == "a"
            listed = lambda: client.get("/admin/v1/connections?kind=websocket&route=live").json()  # noqa: E731
            wait_until(lambda: listed()["total"] == 2, 10, "what earlier tests left is gone")
            rows = listed()
            assert {row["kind"] for row in rows["items"]} == {"websocket"}
            number = max(int(row["id"]) for row in rows["items"])
            dry = client.post(f"/admin/v1/connections/{number}/close?dry_run=true", json={})
            assert (dry.status_code, dry.json()["applied"]) == (200, False)
            done = client.post(f"/admin/v1/connections/{number}/close", json={"reason": "INC-1"})
            assert (done.status_code, done.json()["after"]) == (200, "closed")
            assert closed(live)[:2] == (1001, "closed by an operator")
        other.send("still there")
        assert other.recv(timeout=5) == "still there"
        assert client.post("/admin/v1/connections/999999/close", json={}).status_code == 404
        ended = httpx.get(f"{world.one.admin_url}/metrics").text
        assert 'gateway_live_ended_total{kind="websocket",reason="closed_by_operator"} 1' in ended


def test_operators_list_and_close_those_of_every_node(world: World) -> None:
    with admin(world.one) as client, socket(world.two, token(sub="elsewhere")) as live:
        live.send("a")
        assert live.recv(timeout=5) == "a"
        found = lambda: client.get("/admin/v1/connections?consumer=elsewhere").json()["items"]  # noqa: E731
        wait_until(lambda: len(found()) == 1, 10, "the other node's socket")
        row = found()[0]
        assert row["id"].endswith("@" + row["node"])
        dry = client.post(f"/admin/v1/connections/{row['id']}/close?dry_run=true", json={})
        assert (dry.status_code, dry.json()["applied"]) == (200, False)
        done = client.post(f"/admin/v1/connections/{row['id']}/close", json={"reason": "INC-2"})
        assert (done.status_code, done.json()["after"]) == (200, "closed"), done.text
        assert closed(live)[:2] == (1001, "closed by an operator")
        assert client.post(f"/admin/v1/connections/{row['id']}/close", json={}).status_code == 404
        assert client.post("/admin/v1/connections/1@nowhere/close", json={}).status_code == 404


def test_nothing_is_left_in_the_registry(world: World) -> None:
    for _ in range(20):
        with socket(world.one, token()) as live:
            live.send("x")
            assert live.recv(timeout=5) == "x"
    with admin(world.one) as client:
        rows = lambda: client.get("/admin/v1/connections").json()["items"]  # noqa: E731
        wait_until(lambda: rows() == [], 5, json.dumps(rows()))


def test_the_admin_stream_ends_with_the_operators_token(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"short-lived").hexdigest()
    headers = {"authorization": "Bearer short-lived"}
    tmp_path.mkdir(exist_ok=True)
    tokens = tmp_path / "tokens.yaml"
    tokens.write_text("admin: {tokens: []}\n")
    with gateway_process("include: tokens.yaml\nupstreams: {}\nroutes: []\n", tmp_path) as gateway:
        end = int(time.time()) + 14  # a busy machine may take a while to read the file
        tokens.write_text(f"admin: {{tokens: [{{name: brief, sha256: {digest}, role: viewer, expires_at: {end}}}]}}\n")
        # Not by asking with the token until it is taken: too many failures lock its address out.
        wait_until(lambda: "config.applied" in gateway.log(), 12, "the token is taken")
        with httpx.stream("GET", f"{gateway.admin_url}/admin/v1/stream", headers=headers, timeout=20) as answer:
            assert answer.status_code == 200, answer.read()
            assert time.time() < end
            for _ in answer.iter_raw():
                pass
        assert end <= time.time() < end + 1.5
        assert httpx.get(f"{gateway.admin_url}/admin/v1/whoami", headers=headers).status_code == 401
