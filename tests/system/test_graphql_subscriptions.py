"""Subscriptions through a real gateway: over graphql-transport-ws and as event streams, judged like queries."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve

from tests.servers import GatewayProcess, gateway_process, wait_until
from tests.system.raw import Visit, raw_target
from tests.system.test_graphql import MODERN, ask, error


@dataclass
class Service:
    """What a graphql-transport-ws server was sent."""

    port: int
    heard: list[dict[str, Any]] = field(default_factory=list)
    extensions: list[object] = field(default_factory=list)


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    said = Service(0)

    def talk(socket: ServerConnection) -> None:
        said.extensions.append(socket.request.headers.get("sec-websocket-extensions"))
        try:
            for text in socket:
                message = json.loads(text)
                said.heard.append(message)
                kind, operation = message.get("type"), message.get("id")
                if kind == "connection_init":
                    socket.send('{"type":"connection_ack"}')
                elif kind == "subscribe":
                    data = {"data": {"tick": message["payload"].get("query", "no text")}}
                    socket.send(json.dumps({"id": operation, "type": "next", "payload": data}), text=True)
                    if "once" in json.dumps(message):
                        # In pieces, so that nothing of the gateway's may stand between them.
                        socket.send(iter(['{"id":"', operation, '","type":', '"complete"}']))
        except ConnectionClosed:
            pass

    with serve(talk, "127.0.0.1", 0, subprotocols=["graphql-transport-ws"]) as server:
        said.port = server.socket.getsockname()[1]
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield said
        server.shutdown()


def events(visit: Visit) -> None:
    """An event stream that stays open until the client goes."""
    while visit.read_request() is not None:
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: next\ndata: {}\n\n")


CONFIG = """
access_log: "off"
upstreams: {{ws: {{targets: ["http://127.0.0.1:{port}"]}}, sse: {{targets: ["{sse}"]}}}}
routes:
  - name: ws
    match: /ws
    upstream: ws
    limits: [{{name: points, quota: 40, per: 1h, by: header:x-who, cost: graphql}}]
    graphql:
      limits: {{depth: 2, bytes: 1KiB}}
      cost: {{weights: {{"*.dear": 15}}}}
      subscriptions: {{open: 2, by: header:x-who}}
      operations: [{{root: [Subscription.audit], auth: {{roles: [admin]}}}}]
  - {{name: none, match: /none, upstream: ws, graphql: {{}}}}
  - {{name: sse, match: /sse, upstream: sse, graphql: {{subscriptions: {{open: 1, by: header:x-who}}}}}}
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, service: Service) -> Iterator[GatewayProcess]:
    with raw_target(events) as sse:
        config = CONFIG.format(port=service.port, sse=sse.url)
        with gateway_process(config, tmp_path_factory.mktemp("subscriptions")) as process:
            yield process


@contextlib.contextmanager
def opened(gateway: GatewayProcess, who: str, init: bool = True) -> Iterator[ClientConnection]:
    url = gateway.url.replace("http", "ws") + "/ws"
    kinds: Any = ["graphql-transport-ws", "other"]
    with connect(url, subprotocols=kinds, additional_headers={"x-who": who}) as socket:
        if init:
            socket.send('{"type":"connection_init"}')
            assert json.loads(socket.recv(10)) == {"type": "connection_ack"}
        yield socket


def subscribe(socket: ClientConnection, operation: str, query: object) -> None:
    payload = query if isinstance(query, dict) else {"query": query}
    socket.send(json.dumps({"id": operation, "type": "subscribe", "payload": payload}))


def heard(socket: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(socket.recv(10))
    return message


def code_of(message: dict[str, Any]) -> tuple[str, str]:
    assert message["type"] == "error"
    return message["id"], message["payload"][0]["extensions"]["code"]


def test_operations_of_a_socket_are_judged(gateway: GatewayProcess, service: Service) -> None:
    with opened(gateway, "judged") as socket:
        assert socket.subprotocol == "graphql-transport-ws"
        subscribe(socket, "1", "subscription { tick }")
        assert heard(socket) == {"id": "1", "type": "next", "payload": {"data": {"tick": "subscription { tick }"}}}
        before = len(service.heard)
        subscribe(socket, "2", "{ a { b { c } } }")
        assert code_of(heard(socket)) == ("2", "MAX_DEPTH_EXCEEDED")
        subscribe(socket, "3", "subscription { audit }")
        assert code_of(heard(socket)) == ("3", "UNAUTHENTICATED")
        subscribe(socket, "4", {"query": 7})
        assert code_of(heard(socket)) == ("4", "BAD_REQUEST")
        assert len(service.heard) == before  # the target heard of none of them
        subscribe(socket, "2", "query { once }")
        assert [heard(socket)["type"], heard(socket)["type"]] == ["next", "complete"]
    assert service.extensions[-1] is None  # nothing was agreed on that would hide messages


def test_open_subscriptions_are_counted(gateway: GatewayProcess) -> None:
    with opened(gateway, "many") as socket, opened(gateway, "many") as other:
        subscribe(socket, "1", "subscription { tick }")
        assert heard(socket)["type"] == "next"
        subscribe(other, "1", "subscription { tick }")
        assert heard(other)["type"] == "next"
        subscribe(socket, "2", "subscription { tick }")
        assert code_of(heard(socket)) == ("2", "CONCURRENCY_EXCEEDED")
        other.send('{"id":"1","type":"complete"}')

        def admitted() -> bool:
            subscribe(socket, "3", "subscription { tick }")
            return heard(socket)["type"] == "next"

        wait_until(admitted, 10, "a place")


def test_limits_count_what_operations_of_sockets_cost(gateway: GatewayProcess) -> None:
    with opened(gateway, "dear") as socket:  # the handshake has cost 1
        for n in ("1", "2"):
            subscribe(socket, n, "query { dear { once } }")
            assert [heard(socket)["type"], heard(socket)["type"]] == ["next", "complete"]
        subscribe(socket, "3", "query { dear { once } }")
        assert code_of(heard(socket)) == ("3", "QUOTA_EXCEEDED")


@pytest.mark.parametrize(
    ("messages", "code"),
    [
        (["no json"], 4400),
        (['{"type":"nothing","id":"1"}'], 4400),
        (['{"type":"connection_init"}', '{"type":"connection_init"}'], 4429),
        (['{"type":"subscribe","id":"1","payload":{"query":"{a}"}}'], 4401),
        (['{"type":"subscribe","id":"1","id":"2","payload":{"query":"{a}"}}'], 4400),
        ([b"binary"], 4400),
        (['{"type":"ping","payload":"' + "x" * 200_000 + '"}'], 1009),
    ],
)
def test_what_the_protocol_does_not_know(gateway: GatewayProcess, messages: list[str | bytes], code: int) -> None:
    with opened(gateway, "wrong", init=False) as socket:
        for message in messages:
            socket.send(message)
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code


def test_an_id_twice(gateway: GatewayProcess) -> None:
    with opened(gateway, "twice") as socket:
        subscribe(socket, "1", "subscription { tick }")
        subscribe(socket, "1", "subscription { tick }")
        with pytest.raises(ConnectionClosed) as closed:
            while True:
                socket.recv(10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 4409


def test_handshakes_that_are_refused(gateway: GatewayProcess) -> None:
    for path, protocols, status in (("/none", ["graphql-transport-ws"], 403), ("/ws", ["graphql-ws"], 400)):
        with pytest.raises(InvalidStatus) as refused:
            connect(gateway.url.replace("http", "ws") + path, subprotocols=protocols)  # type: ignore[arg-type]
        assert refused.value.response.status_code == status


def test_subscriptions_as_event_streams(gateway: GatewayProcess) -> None:
    kind = {"accept": "text/event-stream", "x-who": "stream"}
    body = {"query": "subscription { tick }"}
    plain = ask(gateway, body, "/sse")
    assert error(plain) == (406, "GRAPHQL_NOT_ACCEPTABLE")
    with httpx.stream("POST", gateway.url + "/sse", json=body, headers=kind) as first:
        assert next(first.iter_raw()).startswith(b"event: next")
        second = httpx.post(gateway.url + "/sse", json=body, headers=kind)
        assert error(second) == (429, "CONCURRENCY_EXCEEDED")

    def free() -> bool:
        with httpx.stream("GET", gateway.url + "/sse", params=body, headers=kind) as third:
            return third.status_code == 200

    wait_until(free, 10, "a place")
    assert MODERN
