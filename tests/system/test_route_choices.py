"""What a route may choose, over real sockets: paths, answers of its own, deadlines, and what of HTTP is let in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers import GatewayProcess, gateway_process
from tests.system.raw import Client, RawTarget, Visit, ask, raw_target

CONFIG = """
x-defaults: &retrying
  timeouts: {{first_byte: 10s}}
trusted_proxies: []
edge: {{header_underscores: allow, methods: [FOO, FOOBAR]}}
access_log: "off"
upstreams:
  t: {{<<: *retrying, x-note: ours, targets: ["{url}"]}}
  sticky: {{targets: ["{url}", "{url}/b"], sticky: {{cookie: stuck, ttl: 1h, same_site: strict}}, address_family: ipv4}}
routes:
  - {{name: several, x-owner: me, match: {{paths: [/one/*, /two/*], methods: [GET, FOO]}}, upstream: t}}
  - {{name: numbers, match: {{path: /one/*, path_regexp: "/one/[0-9]+"}}, respond: {{body: {{kind: number}}}}}}
  - {{name: legacy, match: {{path_regexp: '/.*\\.php'}}, respond: 410}}
  - {{name: text, match: /text, respond: {{status: 404, body: nothing here, headers: {{X-A: b}}}}}}
  - {{name: away, match: /away/*, upstream: t, maintenance: true}}
  - {{name: planned, match: /planned, upstream: t, maintenance: {{from: 2001-01-01, until: 2001-01-02}}}}
  - {{name: page, match: /page, upstream: t, cors: {{origins: [https://app.example]}}, maintenance: {{until: 2999-01-01, body: <p>soon, content_type: text/html}}}}
  - {{name: let-in, match: /let-in, upstream: t, maintenance: {{allow: [127.0.0.1]}}}}
  - {{name: slashes, match: "/files/{{name}}/*", upstream: t, encoded_slashes: keep, rewrite: "/f/{{name}}{{rest}}"}}
  - {{name: back, match: /shop/*, upstream: t, strip_prefix: /shop, add_prefix: /v1, rewrite_back: true}}
  - {{name: hasty, match: /slow, upstream: t, timeouts: {{first_byte: 150ms}}}}
  - {{name: kept, match: /kept, upstream: sticky}}
  - {{name: silent, match: /silent, upstream: t, timeouts: {{idle: 150ms}}}}
"""


def answer(visit: Visit) -> None:
    """Answers by path: late, cut by silence, with addresses of its own, or plainly."""
    while (request := visit.read_request()) is not None:
        path = request.split(b" ")[1]
        if path == b"/slow":
            time.sleep(1.0)
        if path == b"/silent":
            visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nok")
            time.sleep(1.0)
            return
        host = next(line[6:] for line in request.split(b"\r\n") if line.lower().startswith(b"host: "))
        visit.send(
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nLocation: http://" + host + b"/v1/cart?x=1\r\n"
            b"Set-Cookie: a=1; Path=/v1; HttpOnly\r\nSet-Cookie: b=2; Domain=127.0.0.1; Path=/\r\n\r\nok"
        )


@dataclass
class Running:
    target: RawTarget
    gateway: GatewayProcess

    def ask(self, line: str, *fields: str) -> tuple[int, bytes, bytes]:
        head = "".join(f"{field}\r\n" for field in ("Host: gw.test", *fields))
        return ask(self.gateway.port, f"{line} HTTP/1.1\r\n{head}\r\n".encode())

    def sent(self) -> bytes:
        return self.target.requests[-1]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory: Path = tmp_path_factory.mktemp("choices")
    with raw_target(answer) as target, gateway_process(CONFIG.format(url=target.url), directory) as gateway:
        yield Running(target, gateway)


def test_several_paths_lead_to_one_route_and_the_operators_own_keys_mean_nothing(running: Running) -> None:
    for path in ("/one/a", "/two", "/two/b/c"):
        assert running.ask(f"GET {path}")[0] == 200
        assert running.sent().startswith(f"GET {path} ".encode())
    assert running.ask("GET /three")[0] == 404


def test_a_regular_expression_is_a_further_condition_on_the_path(running: Running) -> None:
    status, head, body = running.ask("GET /one/42")
    assert (status, json.loads(body)) == (200, {"kind": "number"})
    assert b"application/json" in head
    assert running.ask("GET /one/42a")[2] == b"ok"
    assert running.ask("GET /a/b.php")[0] == 410
    begun = time.monotonic()
    assert running.ask("GET /" + "a" * 8000)[0] == 404
    assert time.monotonic() - begun < 5


def test_a_static_answer_and_head(running: Running) -> None:
    status, head, body = running.ask("GET /text")
    assert (status, body) == (404, b"nothing here")
    assert b"text/plain; charset=utf-8" in head
    assert b"x-a: b" in head.lower()
    with Client(running.gateway.port) as client:
        client.send(b"HEAD /text HTTP/1.1\r\nHost: a\r\n\r\nGET /text HTTP/1.1\r\nHost: a\r\n\r\n")
        assert b"content-length: 12" in client.read_head().lower()
        assert client.read_answer()[1] == b"nothing here"


def test_planned_maintenance_says_when_to_come_back(running: Running) -> None:
    status, head, body = running.ask("GET /away/x")
    assert (status, json.loads(body)["type"]) == (503, "urn:spork:problem:maintenance")
    assert b"retry-after: 300" in head.lower()
    assert running.ask("GET /planned")[0] == 200, "it has been"
    status, head, body = running.ask("GET /page", "Origin: https://app.example")
    assert (status, body) == (503, b"<p>soon")
    assert b"content-type: text/html" in head.lower()
    assert b"access-control-allow-origin: https://app.example" in head.lower()
    assert running.ask("GET /let-in")[0] == 200


def test_an_escaped_slash_is_part_of_its_segment_where_a_route_keeps_it(running: Running) -> None:
    assert running.ask("GET /files/a%2fb/c")[0] == 200
    assert running.sent().startswith(b"GET /f/a%2Fb/c ")
    assert running.ask("GET /files/a%252Fb/c")[0] == 200
    assert running.sent().startswith(b"GET /f/a%252Fb/c ")
    for path in (
        "/one/a%2Fb",
        "/files/..%2f..%2fetc/x",
        "/files/a%2F../x",
        "/files/a%5Cb/x",
        "/health%2Fx",
        "/files/%2e%2e%2fx/y",
    ):
        assert running.ask(f"GET {path}")[0] in (400, 404), path
    assert running.ask("GET /one/a%2Fb")[0] == 400


def test_names_with_underscores_pass_but_none_that_stands_for_an_owned_one(running: Running) -> None:
    assert running.ask("GET /one/a", "My_Field: 1")[0] == 200
    assert b"\r\nmy_field: 1\r\n" in running.sent().lower()
    for name in ("X_User_Id", "x-forwarded_for", "Content_Length", "X_Request_ID", "Transfer_Encoding", "X_API_KEY"):
        assert running.ask("GET /one/a", f"{name}: 1")[0] == 400, name


def test_further_methods_by_choice(running: Running) -> None:
    assert running.ask("FOO /one/a")[0] == 200
    assert running.sent().startswith(b"FOO /one/a ")
    assert running.ask("FOOBAR /one/a")[0] == 405
    assert running.ask("BAR /one/a")[0] == 501
    assert running.ask("POST /one/a", "Content-Length: 0")[0] == 405
    with Client(running.gateway.port) as client:  # in pieces, with a body, on a kept connection
        client.send(b"FO")
        client.send(b"O /one/b HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")
        assert client.read_answer()[1] == b"ok"
        assert running.sent().endswith(b"\r\n\r\nabc")
        client.send(b"GET /one/c HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.read_answer()[1] == b"ok"


def test_addresses_in_answers_are_told_as_the_client_sees_them(running: Running) -> None:
    _, head, _ = running.ask("GET /shop/items")
    assert running.sent().startswith(b"GET /v1/items ")
    assert b"\r\nx-forwarded-prefix: /shop\r\n" in running.sent().lower()
    assert b"location: http://gw.test/shop/cart?x=1\r\n" in head
    assert b"set-cookie: a=1; Path=/shop; HttpOnly\r\n" in head
    assert b"set-cookie: b=2; Path=/shop\r\n" in head
    told = running.ask("GET /one/a")[1]
    assert b"location: http://127.0.0.1:" in told, "without the choice an answer is not touched"
    assert b"x-forwarded-prefix" not in running.sent().lower()


def test_deadlines_of_a_route(running: Running) -> None:
    assert running.ask("GET /slow")[0] == 504
    with Client(running.gateway.port) as client:
        client.send(b"GET /silent HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_head()
        begun = time.monotonic()
        with pytest.raises((EOFError, ConnectionResetError)):
            client.read_exactly(4)
        assert time.monotonic() - begun < 0.9, "before the target itself closed"


def test_a_cookie_of_the_gateways_own_keeps_a_client_on_its_target(running: Running) -> None:
    _, head, _ = running.ask("GET /kept")
    issued = next(line for line in head.split(b"\r\n") if b"stuck=" in line).decode().partition(": ")[2]
    assert issued.endswith("; Path=/; Max-Age=3600; HttpOnly; SameSite=Strict")
    first = running.sent().split(b" ")[1]
    cookie = "Cookie: other=1; " + issued.partition(";")[0]
    for _ in range(4):
        _, head, _ = running.ask("GET /kept", cookie)
        assert b"stuck=" not in head, "it is told once"
        assert running.sent().split(b" ")[1] == first
    assert {running.ask("GET /kept") and running.sent().split(b" ")[1] for _ in range(4)} == {b"/kept", b"/b/kept"}
    _, head, _ = running.ask("GET /kept", "Cookie: stuck=nonsense")
    assert b"stuck=" in head
