"""Services that decide about requests, asked by a real gateway over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from spork.adapters.yaml.load import loads
from tests.authorities import Authority, authority
from tests.servers import GatewayProcess, free_port, gateway_process
from tests.system.test_auth import bearer, echo, ready

CONFIG = """
access_log: off
upstreams: {{echo: {{targets: ["{target}"]}}}}
consumers: {{acme: {{roles: [reader]}}}}
routes:
  - {{name: facts, match: "/facts/{{id}}", upstream: echo, auth: {{any_of: [api_key, anonymous]}},
      authorize: {{url: "{service}/facts", headers: [X-Tag], forward: [X-Org], cache: {{keep: 1m, by: [subject, method, path]}}}}}}
  - {{name: opa, match: /opa/*, upstream: echo, authorize: {{url: "{service}/v1/data/gw", kind: opa}}}}
  - {{name: envoy, match: /envoy/*, upstream: echo,
      authorize: {{url: "{service}/check", kind: ext_authz, headers: [Cookie], forward: [X-Who]}}}}
  - {{name: away, match: /away/*, upstream: echo, authorize: {{url: "http://127.0.0.1:{dead}/"}}}}
  - {{name: open, match: /open/*, upstream: echo, authorize: {{url: "http://127.0.0.1:{dead}/", on_error: allow}}}}
"""


class Service:
    """What decides, in the three tongues."""

    def __init__(self, at: Authority) -> None:
        self.at = at
        at.instead = self.answer

    def answer(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        if path == "/facts":
            told = json.loads(body)
            good = told["principal"] is not None and told["params"]["id"] != "secret" and told["method"] == "GET"
            return 200, {"X-Org": "7"}, json.dumps({"allow": good}).encode()
        if path == "/v1/data/gw":
            allow = json.loads(body)["input"]["segments"][-1] == "public"
            return 200, {}, json.dumps({"result": {"allow": allow}} if allow else {}).encode()
        if headers.get("cookie") == "sid=1" and path == "/check/envoy/x?q=1" and method == "POST":
            return 200, {"X-Who": "alice"}, b""
        return 302, {"Location": "https://login.example", "Set-Cookie": "state=1"}, b""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[GatewayProcess, httpx.Client, Authority]]:
    tmp: Path = tmp_path_factory.mktemp("external")
    with ExitStack() as stack:
        at, target = stack.enter_context(authority()), stack.enter_context(echo())
        Service(at)
        text = CONFIG.format(target=target.url, service=at.url, dead=free_port())
        gateway = stack.enter_context(gateway_process(text, tmp))
        client = stack.enter_context(httpx.Client(base_url=gateway.url, trust_env=False))
        ready(gateway)
        yield gateway, client, at


World = tuple[GatewayProcess, httpx.Client, Authority]


def test_a_service_is_told_facts_and_its_yes_is_kept(world: World) -> None:
    gateway, client, at = world
    issued = httpx.post(
        gateway.admin_url + "/admin/v1/keys", json={"consumer": "acme"}, headers=bearer(gateway.admin_token),
        trust_env=False,
    )  # fmt: skip
    text = next(word for word in json.dumps(issued.json()).replace('"', " ").split() if word.startswith("spk_"))
    key = {"X-API-Key": text, "X-Org": "8", "X-Tag": "t"}
    answers = [client.get("/facts/1?x=1", headers=key) for _ in range(5)]
    assert [answer.status_code for answer in answers] == [200] * 5
    assert {answer.json()["headers"]["x-org"] for answer in answers} == {"7"}
    asked = [json.loads(body) for _, path, _, body in at.asked if path == "/facts"]
    assert len(asked) == 1
    assert asked[0]["principal"]["consumer"] == "acme"
    assert asked[0]["principal"]["roles"] == ["reader"]
    assert (asked[0]["headers"], asked[0]["query"], asked[0]["route"]) == ({"x-tag": "t"}, {"x": ["1"]}, "facts")
    assert text not in json.dumps(asked)
    refused = client.get("/facts/secret", headers=key)
    assert (refused.status_code, refused.json()["type"]) == (403, "urn:spork:problem:policy_denied")
    assert client.delete("/facts/1", headers=key).status_code == 403
    assert client.get("/facts/1").status_code == 403


def test_opa_and_envoys_tongue(world: World) -> None:
    _, client, _ = world
    assert client.get("/opa/public").status_code == 200
    assert client.get("/opa/other").status_code == 403
    passed = client.post("/envoy/x?q=1", headers={"Cookie": "sid=1", "X-Who": "root"})
    assert passed.json()["headers"]["x-who"] == "alice"
    sent = client.post("/envoy/x?q=1", headers={"X-Who": "root"})
    assert (sent.status_code, sent.headers["location"], sent.headers["set-cookie"]) == (
        302, "https://login.example", "state=1",
    )  # fmt: skip


def test_a_service_that_is_away_lets_nobody_in(world: World) -> None:
    gateway, client, _ = world
    away = client.get("/away/x")
    assert (away.status_code, away.json()["type"]) == (503, "urn:spork:problem:policy_unavailable")
    assert "retry-after" in away.headers
    assert client.get("/open/x").status_code == 200
    assert [client.get("/facts/2").status_code for _ in range(2)] == [403, 403]
    metrics = httpx.get(gateway.admin_url + "/metrics", trust_env=False).text
    for labels in (
        'outcome="failed",route="away"',
        'outcome="let_through",route="open"',
        'outcome="kept",route="facts"',
    ):
        assert f"gateway_external_authorization_total{{{labels}}}" in metrics


@pytest.mark.parametrize(
    ("authorize", "place", "words"),
    [
        ("url: 'ftp://x'", "authorize.url", ""),
        ("url: 'http://127.0.0.1/', cache: {keep: 1m, by: []}", "authorize", "cache.by is empty"),
        ("url: 'http://127.0.0.1/', cache: {keep: 1m, by: [subjekt, method]}", "authorize.cache.by[0]", "no fact"),
        (
            "url: 'http://127.0.0.1/', cache: {keep: 1m, by: ['header:X-A', method]}",
            "authorize.cache.by[0]",
            "not told",
        ),
        ("url: 'http://127.0.0.1/', cache: {keep: 1m, by: [subject]}", "authorize.cache.by", "methods"),
        ("url: 'http://127.0.0.1/', forward: [X-User-Id]", "authorize.forward[0]", "not the service's"),
        ("url: 'http://10.0.0.1/', headers: [Authorization]", "authorize.url", "plain http"),
        ("url: 'http://127.0.0.1/', on_error: allow", "authorize.on_error", "lets everybody in"),
        ("url: 'http://127.0.0.1/', timeout: 0", "authorize", "timeout"),
    ],
)
def test_mistakes_are_named(authorize: str, place: str, words: str) -> None:
    text = f"""
upstreams: {{u: {{targets: ["http://127.0.0.1:1"]}}}}
routes: [{{name: r, match: /x, upstream: u, authorize: {{{authorize}}}}}]
"""
    found = [problem for problem in loads(text).problems if problem.path == f"routes[0].{place}"]
    assert found
    assert words in found[0].message
