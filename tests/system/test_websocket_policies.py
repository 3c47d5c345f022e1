"""WebSocket policies through a real gateway, seen by a real client and a real target."""

from __future__ import annotations

import json
import socket as sockets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.live_target import LiveTarget, live_target
from tests.servers import GatewayProcess, gateway_process, wait_until
from tests.system.test_live import JWK, token

CONFIG = """
access_log: stdout
issuers:
  idp: {{issuer: "https://idp.example.com", audiences: [api], algorithms: [HS256], keys: ['{jwk}']}}
upstreams:
  live: {{targets: ["http://127.0.0.1:{port}"]}}
routes:
  - {{name: sized, match: /sized, upstream: live, websocket: {{message_bytes: 1KiB, answer_bytes: 2KiB}}}}
  - {{name: rated, match: /rated, upstream: live, websocket: {{messages: [{{quota: 2, per: 1m}}]}}}}
  - {{name: dropped, match: /dropped, upstream: live,
      websocket: {{messages: [{{quota: 2, per: 1m}}], on_excess: drop, inflate: false}}}}
  - {{name: delayed, match: /delayed, upstream: live,
      websocket: {{messages: [{{quota: 10, per: 1s, burst: 1}}], on_excess: delay}}}}
  - {{name: quiet, match: /quiet, upstream: live, websocket: {{idle: 1s}}}}
  - {{name: pinged, match: /pinged, upstream: live, websocket: {{ping: 300ms}}}}
  - {{name: short, match: /short, upstream: live, websocket: {{lifetime: 1s, close_codes: {{lifetime: 4000}}}}}}
  - {{name: pages, match: /pages, upstream: live, websocket: {{origins: ["https://app.example.com"], protocols: [chat.v1]}}}}
  - {{name: browser, match: /browser, upstream: live, auth: jwt, websocket: {{token_protocol: bearer}}}}
  - {{name: cookie, match: /cookie, upstream: live, auth: jwt,
      websocket: {{token_cookie: session, origins: ["https://app.example.com"]}}}}
  - {{name: few, match: /few, upstream: live, auth: jwt, limits: [{{quota: 1, by: consumer, algorithm: concurrency}}]}}
  - {{name: again, match: /again, upstream: live, auth: jwt, websocket: {{reauthenticate: 500ms}}}}
  - {{name: watched, match: /watched, upstream: live, websocket: {{message_bytes: 16MiB}}}}
"""


@dataclass
class World:
    target: LiveTarget
    gateway: GatewayProcess


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with live_target() as target:
        text = CONFIG.format(jwk=JWK, port=target.socket_port)
        with gateway_process(text, tmp_path_factory.mktemp("sockets")) as gateway:
            yield World(target, gateway)


def open_at(world: World, path: str, **more: Any) -> ClientConnection:
    return connect(f"ws://127.0.0.1:{world.gateway.port}{path}", compression=None, **more)


def close_of(socket: ClientConnection, seconds: float = 5.0) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as caught:
        while True:
            socket.recv(timeout=seconds)
    assert caught.value.rcvd is not None
    return caught.value.rcvd.code, caught.value.rcvd.reason


def refused(world: World, path: str, **more: Any) -> int:
    with pytest.raises(InvalidStatus) as caught:
        open_at(world, path, **more)
    return caught.value.response.status_code


def test_a_message_too_big_tells_its_sender_1009_and_the_peer_1001(world: World) -> None:
    world.target.closes.clear()
    with open_at(world, "/sized") as live:
        live.send("x" * 1024)
        assert live.recv(timeout=5) == "x" * 1024
        live.send("x" * 1025)
        assert close_of(live) == (1009, "message too big")
    wait_until(lambda: world.target.closes, 5, "the target's close")
    assert world.target.closes[0][0] == 1001


def test_an_answer_too_big_tells_the_target_1009_and_the_client_1001(world: World) -> None:
    world.target.closes.clear()
    with open_at(world, "/sized") as live:
        live.send("big")
        assert close_of(live)[0] == 1001
    wait_until(lambda: world.target.closes, 5, "the target's close")
    assert world.target.closes[0][0] == 1009


def test_a_message_too_many_closes_is_dropped_or_waits(world: World) -> None:
    with open_at(world, "/rated") as live:
        for text in ("1", "2"):
            live.send(text)
            assert live.recv(timeout=5) == text
        live.send("3")
        assert close_of(live) == (1008, "too many messages")
    with open_at(world, "/dropped") as live:
        for text in ("1", "2", "3"):
            live.send(text)
        assert [live.recv(timeout=5), live.recv(timeout=5)] == ["1", "2"]
        with pytest.raises(TimeoutError):
            live.recv(timeout=0.5)
    with open_at(world, "/delayed") as live:
        began = time.monotonic()
        for text in "12345":
            live.send(text)
        assert [live.recv(timeout=5) for _ in range(5)] == list("12345")
        assert time.monotonic() - began > 0.35


def test_idle_lifetime_and_changed_codes(world: World) -> None:
    with open_at(world, "/quiet") as live:
        live.send("x")
        assert live.recv(timeout=5) == "x"
        assert close_of(live) == (1001, "idle")
    with open_at(world, "/short") as live:
        assert close_of(live) == (4000, "reconnect")


def test_pings_keep_a_live_client_and_find_a_dead_one(world: World) -> None:
    with open_at(world, "/pinged") as live:
        with pytest.raises(TimeoutError):
            live.recv(timeout=1.5)  # it answers our pings by itself
        live.send("x")
        assert live.recv(timeout=5) == "x"
    dead = sockets.create_connection(("127.0.0.1", world.gateway.port))
    dead.sendall(
        b"GET /pinged HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    dead.settimeout(5)
    got = b""
    while b"\x88" not in got.partition(b"\r\n\r\n")[2]:
        piece = dead.recv(4096)
        assert piece, got
        got += piece
    assert b"\x89\x0aspork-ping" in got
    assert got.endswith(b"\x88\x06\x03\xe9idle")
    dead.close()


def test_pages_of_other_origins_and_other_subprotocols_are_refused(world: World) -> None:
    assert refused(world, "/pages", origin="https://evil.example.com") == 403
    assert refused(world, "/pages", origin="https://app.example.com", subprotocols=["chat.v9"]) == 400
    world.target.sockets.clear()
    with open_at(world, "/pages", origin="https://app.example.com", subprotocols=["chat.v9", "chat.v1"]):
        assert world.target.sockets[0]["sec-websocket-protocol"] == "chat.v1"
    with open_at(world, "/pages"):
        pass  # no browser: no Origin


def test_a_browsers_token_comes_as_subprotocol_and_goes_no_further(world: World) -> None:
    raw = token()
    world.target.sockets.clear()
    with open_at(world, "/browser", subprotocols=["bearer", raw]) as live:
        assert live.subprotocol == "bearer", "a browser that is answered nothing fails the connection"
        live.send("x")
        assert live.recv(timeout=5) == "x"
    seen = json.dumps(world.target.sockets)
    assert raw not in seen
    assert "authorization" not in world.target.sockets[0]
    assert refused(world, "/browser", subprotocols=["bearer"]) == 401
    assert refused(world, "/browser") == 401
    assert refused(world, "/browser", subprotocols=["bearer", token(aud="other")]) == 401
    wait_until(lambda: "browser" in world.gateway.log(), 5, "the log")
    assert raw not in world.gateway.log()


def test_a_cookie_counts_only_from_a_listed_page(world: World) -> None:
    raw = token()
    cookie = {"cookie": f"theme=dark; session={raw}"}
    world.target.sockets.clear()
    assert refused(world, "/cookie", additional_headers=cookie) == 403, "no Origin"
    assert refused(world, "/cookie", additional_headers=cookie, origin="https://evil.example.com") == 403
    with open_at(world, "/cookie", additional_headers=cookie, origin="https://app.example.com") as live:
        live.send("x")
        assert live.recv(timeout=5) == "x"
    assert world.target.sockets[0]["cookie"] == "theme=dark"


def test_connections_per_consumer_are_bounded_and_come_back(world: World) -> None:
    headers = {"authorization": f"Bearer {token()}"}
    with open_at(world, "/few", additional_headers=headers) as live:
        live.send("x")
        assert live.recv(timeout=5) == "x"
        assert refused(world, "/few", additional_headers=headers) == 429
    wait_until(lambda: _opens(world, headers), 5, "the permit comes back")


def _opens(world: World, headers: dict[str, str]) -> bool:
    try:
        with open_at(world, "/few", additional_headers=headers):
            pass
    except InvalidStatus:
        return False
    return True


def test_a_credential_is_judged_again(world: World) -> None:
    with open_at(world, "/again", additional_headers={"authorization": f"Bearer {token()}"}) as live:
        with pytest.raises(TimeoutError):
            live.recv(timeout=1.2)
        live.send("x")
        assert live.recv(timeout=5) == "x"


def test_the_targets_close_and_big_messages_pass_as_they_are(world: World) -> None:
    with open_at(world, "/watched", max_size=None) as live:
        big = "y" * 3_000_000
        live.send(big)
        assert live.recv(timeout=20) == big
        live.send("bye")
        assert close_of(live) == (1000, "")


def test_two_ways_of_writing_it_wrong_are_told(tmp_path: Path) -> None:
    from spork.adapters.yaml.load import loads

    text = """
upstreams: {u: {targets: ["http://127.0.0.1:1"]}}
routes:
  - {name: a, match: /a, upstream: u, auth: jwt, websocket: {token_cookie: c}}
  - {name: b, match: /b, upstream: u, websocket: {on_excess: drop, token_protocol: bearer, close_codes: {nope: 1005}}}
"""
    loaded = loads(text, "spork.yaml", {}, str(tmp_path))
    told = "\n".join(str(problem) for problem in loaded.problems)
    for words in ("websocket.origins", "websocket.on_excess", "websocket.token_protocol", "close_codes.nope"):
        assert words in told
