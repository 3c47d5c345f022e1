"""Explaining a request: the real routing, guards and head, with nothing sent, counted or charged."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path

import pytest

from spork.adapters.yaml.load import loads
from spork.application.admin.explain import NotARequest, head_of
from spork.composition.gateway import GatewayContainer
from spork.domain.outcomes import Denial

TEXT = """
upstreams:
  users: {targets: ["http://127.0.0.1:7001", "http://127.0.0.1:7002"], breaker: {}, fallback: {status: 503, body: resting}}
plans:
  basic: {limits: [{quota: 5, per: 1m}]}
consumers:
  acme: {plan: basic, basic_password_hash: "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$JFK3ZDLYkgxJKmUbFIGSpg"}
routes:
  - {name: users, match: {path: /users/*, methods: [GET]}, upstream: users, strip_prefix: /users, server_timing: true,
     limits: [{name: per-ip, quota: 3, per: 1m, by: ip}], headers: {request: {set: {X-Env: prod}}}}
  - {name: one, match: {path: "/users/{id}", methods: [POST]}, upstream: users}
  - {name: closed, match: {path: /closed}, upstream: users, auth: {any_of: [api_key]}}
  - {name: secret, match: {path: /secret}, upstream: users, auth: {any_of: [basic, api_key]}}
  - {name: both, match: {path: /both}, upstream: users, auth: {all_of: [basic, api_key]}}
  - {name: moved, match: {path: /old/*}, redirect: {to: "https://new.example/{rest}"}}
"""


@pytest.fixture
def gateway(tmp_path: Path) -> GatewayContainer:
    loaded = loads(TEXT)
    assert loaded.configuration is not None, loaded.problems
    configuration = replace(loaded.configuration, state_dir=str(tmp_path))
    container = GatewayContainer(configuration=configuration, config_path=None)
    container.configurator().apply(configuration)
    return container


async def test_the_winner_the_losers_and_what_would_be_sent(gateway: GatewayContainer) -> None:
    said = await gateway.explainer().explain(
        "GET", "http://api/users/42?x=1", {"X-Request-Tag": "t", "Cookie": "secret"}
    )
    assert said.refusal is None
    assert [(c.route, c.won) for c in said.candidates] == [("users", True), ("one", False)]
    assert "GET" in said.candidates[1].why
    assert (said.route, said.upstream, said.wire_target, said.breaker) == ("users", "users", "/42?x=1", "closed")
    headers = dict(said.request_headers)
    assert (headers["x-env"], headers["cookie"], headers["x-request-tag"]) == ("prod", "[present]", "t")
    assert said.target in ("127.0.0.1:7001", "127.0.0.1:7002")


async def test_asking_a_hundred_times_charges_nothing_and_moves_nobodys_turn(gateway: GatewayContainer) -> None:
    explainer = gateway.explainer()
    answers = [await explainer.explain("GET", "http://api/users/1") for _ in range(100)]
    limits = [next(g for g in a.guards if g.phase == "limits") for a in answers]
    assert {(g.verdict, g.detail) for g in limits} == {("pass", "per-ip: 3 of 3 left")}
    assert len({a.target for a in answers}) == 1
    assert sum(t.active for u in gateway.upstreams.registry() for t in u.targets) == 0
    assert gateway.telemetry.tally().windows().total.requests == 0


async def test_guards_say_what_they_would_with_a_given_credential(gateway: GatewayContainer) -> None:
    absent = await gateway.explainer().explain("GET", "http://api/closed")
    assert (absent.refusal or "").startswith("credentials: unauthenticated")
    for _ in range(50):
        wrong = await gateway.explainer().explain("GET", "http://api/closed", {"X-Api-Key": "spk_nope"})
        assert wrong.refusal is not None
        assert wrong.refusal.startswith("credentials: invalid_credentials"), "failures are not counted"


@pytest.mark.parametrize("path", ["/secret", "/both"])
async def test_passwords_cannot_be_guessed_by_asking(gateway: GatewayContainer, path: str) -> None:
    """A viewer who may ask as often as it likes learns nothing about a password, right or wrong."""
    for password in (b"acme:right", b"acme:wrong", b"nobody:x"):
        shown = {"Authorization": "Basic " + base64.b64encode(password).decode()}
        said = await gateway.explainer().explain("GET", f"http://api{path}", shown)
        verdict = next(guard for guard in said.guards if guard.phase == "credentials")
        assert (verdict.verdict, verdict.detail) == ("unknown", "basic is not tried here: it can be guessed")
    absent = await gateway.explainer().explain("GET", "http://api/secret")
    assert (absent.refusal or "").startswith("credentials: unauthenticated")


async def test_an_open_circuit_refuses(gateway: GatewayContainer) -> None:
    gateway.upstreams.breakers().force_open("users", "INC-1", "alice", 60.0, gateway.clock().monotonic())
    said = await gateway.explainer().explain("GET", "http://api/users/1")
    assert (said.breaker, said.refusal) == ("forced_open", "breaker_open: the circuit of users is forced_open")
    assert said.notes[0] == "should users fail or its circuit be open, its fallback answers: answer 503"


@pytest.mark.parametrize(
    ("method", "url", "refusal"),
    [
        ("GET", "http://api/nowhere", "no_route"),
        ("DELETE", "http://api/closed", None),
        ("PUT", "http://api/users/1/2", "method_not_allowed"),
        ("GET", "http://api/users/../admin", "bad_request_target"),
    ],
)
async def test_refusals_before_any_guard(gateway: GatewayContainer, method: str, url: str, refusal: str | None) -> None:
    said = await gateway.explainer().explain(method, url)
    if refusal is not None:
        assert (said.refusal or "").startswith(refusal)


CANARY = """
hosts: [api.example.com, "[::1]"]
upstreams:
  orders: {targets: ["http://127.0.0.1:7001"]}
  orders-v2: {targets: ["http://127.0.0.1:7002"]}
  any: {targets: ["http://127.0.0.1:7003"]}
routes:
  - {name: orders, match: /orders/*, upstream: orders, splits: [{upstream: orders-v2, weight: 10%, header: {X-Canary: "1"}}]}
  - {name: everything, match: /*, upstream: any, cors: {origins: ["https://any.example"]}}
  - {name: put, match: {path: /api/*, methods: [PUT]}, upstream: orders, auth: api_key,
     cors: {origins: ["https://app.example"], methods: [PUT]}}
  - {name: bare, match: {path: /bare/*, methods: [PUT]}, upstream: orders}
  - {name: own, match: {path: /six/*, host: "[::1]"}, upstream: orders}
"""


@pytest.fixture
def canary(tmp_path: Path) -> GatewayContainer:
    loaded = loads(CANARY)
    assert loaded.configuration is not None, loaded.problems
    configuration = replace(loaded.configuration, state_dir=str(tmp_path))
    container = GatewayContainer(configuration=configuration, config_path=None)
    container.configurator().apply(configuration)
    return container


async def test_a_split_that_names_the_request_decides_its_upstream(canary: GatewayContainer) -> None:
    named = await canary.explainer().explain("GET", "http://api.example.com/orders/1", {"X-Canary": "1"})
    assert (named.upstream, named.target) == ("orders-v2", "127.0.0.1:7002")
    other = await canary.explainer().explain("GET", "http://api.example.com/orders/1")
    assert (other.upstream, other.notes[0]) == ("orders", "10% of requests go to orders-v2")


def preflight(origin: str, method: str) -> dict[str, str]:
    return {"Origin": origin, "Access-Control-Request-Method": method}


async def test_a_preflight_is_answered_by_the_route_of_the_method_it_asks_for(canary: GatewayContainer) -> None:
    asks = canary.explainer().explain
    said = await asks("OPTIONS", "http://api.example.com/api/x", preflight("https://app.example", "PUT"))
    assert (said.refusal, said.route, said.upstream) == (None, "put", None)
    assert (said.candidates[0].route, said.candidates[0].won) == ("put", True)
    assert [(g.phase, g.verdict) for g in said.guards] == [("cors", "answer")], "the list ends where the request ends"
    said = await asks("OPTIONS", "http://api.example.com/api/x", preflight("https://any.example", "GET"))
    assert said.route == "everything"


async def test_no_route_answers_a_preflight_for_another(canary: GatewayContainer) -> None:
    said = await canary.explainer().explain(
        "OPTIONS", "http://api.example.com/bare/x", preflight("https://any.example", "PUT")
    )
    assert (said.refusal or "").startswith("method_not_allowed")


@pytest.mark.parametrize(
    ("url", "refusal", "note"),
    [
        ("http://other.example/orders/1", "unknown_host", ""),
        ("http://127.0.0.1:8000/orders/1", "unknown_host", ""),
        ("http://10.1.2.3:8000/health", None, "answered by the gateway itself (expose: health)"),
        ("http://[::1]:8000/six/1", None, ""),
        ("http://a_b..c/orders/1", "bad_host", ""),
        ("api.example.com/orders/1", None, "10% of requests go to orders-v2"),
    ],
)
async def test_the_edge_judges_the_host_as_it_does_a_request(
    canary: GatewayContainer, url: str, refusal: str | None, note: str
) -> None:
    said = await canary.explainer().explain("GET", url)
    assert (said.refusal or "").startswith(refusal or "") and bool(said.refusal) == bool(refusal)
    assert not note or said.notes[0] == note
    assert refusal or note or said.route == "own"


async def test_a_redirect_is_said_with_its_location(gateway: GatewayContainer) -> None:
    said = await gateway.explainer().explain("GET", "http://api/old/a/b")
    assert "https://new.example/" in said.notes[0]


@pytest.mark.parametrize(
    ("method", "url", "headers"),
    [
        ("G T", "http://a/", []),
        ("GET", "http://a/é", []),
        ("GET", "http://a/", [("X: Y", "1")]),
        ("GET", "http://a/", [("x", "a\r\nb")]),
    ],
)
def test_what_cannot_be_sent_is_said(method: str, url: str, headers: list[tuple[str, str]]) -> None:
    with pytest.raises(NotARequest):
        head_of(method, url, headers, "")


def test_the_host_header_wins_over_the_url() -> None:
    head = head_of("get", "http://a:8000/x", [("Host", "B.example")], "")
    assert not isinstance(head, Denial)
    assert (head.host, head.method, head.peer) == (b"b.example", "GET", "127.0.0.1")
