"""Registered and persisted documents, costs and rules by field through a real gateway with Redis."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator

import httpx
import pytest

from tests.servers import GatewayProcess, gateway_process
from tests.system.raw import raw_target
from tests.system.test_graphql import MODERN, ask, error, service
from tests.unit.domain.graphql.test_costing import SDL

ORDERS = "query Orders($n: Int) { orders(first: $n) { id } }"
CHECKOUT = "mutation Checkout { cancel(id: 1) { id } }"
CONFIG = """
access_log: "off"
shared: {redis}
upstreams: {{t: {{targets: ["{target}"]}}}}
plans: {{}}
consumers:
  ann: {{basic_password_hash: "{hash}", roles: [hr]}}
  bob: {{basic_password_hash: "{hash}", scopes: [a, b]}}
routes:
  - name: only
    match: /only
    upstream: t
    graphql:
      documents: only
      manifest: [{folder}/persisted.json, "{folder}/*.graphql"]
      operations: [{{names: [Checkout], limits: [{{quota: 2, per: 1h, by: ip}}]}}]
  - name: ids
    match: /ids
    upstream: t
    graphql: {{manifest: [{folder}/persisted.json], expand: false}}
  - name: apq
    match: /apq
    upstream: t
    cache: {{ttl: 1m}}
    graphql: {{apq: {{entries: 50, ttl: 1h}}, limits: {{depth: 2}}}}
  - name: priced
    match: /priced
    upstream: t
    auth: basic
    limits: [{{name: points, quota: 100, per: 1h, by: consumer, cost: graphql}}]
    graphql:
      schema: {folder}/schema.graphql
      cost: {{most: 80, header: true}}
      fields: {{Employee.salary: {{roles: [hr]}}}}
  - name: points
    match: /points
    upstream: t
    limits: [{{name: points, quota: 50, per: 1h, by: ip, cost: graphql}}]
    graphql: {{cost: {{weights: {{"Query.search": 5}}}}}}
"""


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory, redis_url: str) -> Iterator[GatewayProcess]:
    from argon2 import PasswordHasher

    folder = tmp_path_factory.mktemp("documents")
    (folder / "persisted.json").write_text(json.dumps({"orders-1": ORDERS, sha(CHECKOUT): CHECKOUT}))
    (folder / "me.graphql").write_text("{ viewer }\n")
    (folder / "schema.graphql").write_text(SDL)
    with raw_target(service) as target:
        config = CONFIG.format(
            target=target.url, redis=redis_url, folder=folder, hash=PasswordHasher(1, 1024, 1).hash("pw")
        )
        with gateway_process(config, folder / "run") as process:
            yield process


def sent(answer: httpx.Response) -> object:
    """What the target got as its body."""
    assert answer.status_code == 200, answer.text
    return json.loads(answer.json()["data"]["body"])


def test_only_registered_documents(gateway: GatewayProcess) -> None:
    variables = {"n": 3}
    by_id = ask(gateway, {"documentId": "orders-1", "variables": variables}, "/only")
    assert sent(by_id) == {"query": ORDERS, "variables": variables}
    by_hash = ask(gateway, {"documentId": "sha256:" + sha(ORDERS)}, "/only")
    assert sent(by_hash) == {"query": ORDERS}
    apq = {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": sha(ORDERS)}, "x": 1}}
    assert sent(ask(gateway, apq, "/only")) == {"query": ORDERS, "extensions": {"x": 1}}
    assert ask(gateway, ORDERS, "/only").status_code == 200
    assert ask(gateway, "{ viewer }", "/only").status_code == 200
    get = httpx.get(gateway.url + "/only", params={"documentId": "orders-1", "variables": '{"n": 1}'}, headers=MODERN)
    assert get.json()["data"]["line"].startswith("GET /only?query=query%20Orders")
    assert error(ask(gateway, "{ other }", "/only")) == (403, "DOCUMENT_NOT_REGISTERED")
    assert error(ask(gateway, {"documentId": "nothing"}, "/only")) == (404, "PERSISTED_QUERY_NOT_FOUND")
    assert error(ask(gateway, {"documentId": "md5:1"}, "/only")) == (400, "BAD_REQUEST")
    assert error(ask(gateway, {"documentId": "orders-1", "query": "{ other }"}, "/only")) == (400, "BAD_REQUEST")


def test_rules_by_name_have_limits(gateway: GatewayProcess) -> None:
    answers = [ask(gateway, {"documentId": "sha256:" + sha(CHECKOUT)}, "/only") for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert error(answers[2]) == (429, "QUOTA_EXCEEDED")
    assert ask(gateway, {"documentId": "orders-1"}, "/only").status_code == 200


def test_ids_may_go_on_as_they_are(gateway: GatewayProcess) -> None:
    assert sent(ask(gateway, {"documentId": "orders-1"}, "/ids")) == {"documentId": "orders-1"}


def test_automatic_persisted_queries(gateway: GatewayProcess) -> None:
    text = "{ persisted }"
    extensions = {"persistedQuery": {"version": 1, "sha256Hash": sha(text)}}
    first = ask(gateway, {"extensions": extensions}, "/apq")
    assert (*error(first), first.json()["errors"][0]["message"]) == (
        404,
        "PERSISTED_QUERY_NOT_FOUND",
        "PersistedQueryNotFound",
    )
    old = httpx.post(gateway.url + "/apq", json={"extensions": extensions}, headers={"accept": "application/json"})
    assert old.status_code == 200
    wrong = ask(gateway, {"query": "{ other }", "extensions": extensions}, "/apq")
    assert error(wrong) == (400, "BAD_REQUEST")
    assert error(ask(gateway, {"extensions": extensions}, "/apq"))[0] == 404
    assert sent(ask(gateway, {"query": text, "extensions": extensions}, "/apq")) == {"query": text}
    for _ in range(100):  # it is kept once its answer is over
        if (again := ask(gateway, {"extensions": extensions}, "/apq")).status_code == 200:
            break
    assert sent(again) == {"query": text}
    deep = "{ a { b { c } } }"
    refused = {"query": deep, "extensions": {"persistedQuery": {"version": 1, "sha256Hash": sha(deep)}}}
    assert ask(gateway, refused, "/apq").status_code == 400
    assert error(ask(gateway, {"extensions": refused["extensions"]}, "/apq"))[0] == 404  # a refused one is never kept


def test_gets_are_cached_by_what_they_ask_for(gateway: GatewayProcess) -> None:
    text = "query ($a: Int, $b: Int) { cached }"
    one = {"query": text, "variables": '{"a":1,"b":2}', "operationName": ""}
    other = {"variables": ' { "b" : 2 , "a" : 1 } ', "query": text}
    answers = [httpx.get(gateway.url + "/apq", params=params) for params in (one, other, one)]
    assert [a.headers["cache-status"].split(";")[1].strip() for a in answers][1:] == ["hit", "hit"]
    third = httpx.get(gateway.url + "/apq", params=other | {"variables": '{"a":1,"b":3}'})
    assert "hit" not in third.headers["cache-status"]


def test_costs_are_charged_and_too_dear_ones_refused(gateway: GatewayProcess) -> None:
    def dear(n: int, who: str = "ann") -> httpx.Response:
        body = {"query": ORDERS, "variables": {"n": n}}
        return httpx.post(gateway.url + "/priced", json=body, headers=MODERN, auth=(who, "pw"))

    first = dear(30)
    assert (first.status_code, first.headers["graphql-cost"]) == (200, "30")
    assert "r=70" in first.headers["ratelimit"]
    assert error(dear(81)) == (400, "COST_LIMIT_EXCEEDED")
    assert "r=0" in dear(70).headers["ratelimit"]
    assert error(dear(1)) == (429, "QUOTA_EXCEEDED")
    bare = httpx.post(gateway.url + "/priced", json={"query": ORDERS}, headers=MODERN)
    assert error(bare) == (401, "UNAUTHENTICATED")
    cheap = ask(gateway, "{ search { a } b(first: 20) { c } }", "/points")
    assert "r=25" in cheap.headers["ratelimit"]


def test_rules_by_field(gateway: GatewayProcess) -> None:
    def of(query: str, who: str) -> httpx.Response:
        return httpx.post(gateway.url + "/priced", json={"query": query}, headers=MODERN, auth=(who, "pw"))

    assert of("{ people { name } }", "bob").status_code == 200
    denied = of("{ people { ... on Employee { pay: salary } } }", "bob")
    assert error(denied) == (403, "FORBIDDEN")
    assert "salary" not in denied.text
    assert "Employee" not in denied.text
    assert of("{ secret }", "bob").status_code == 200
    assert error(of("{ secret }", "ann"))[0] == 403
    unknown = of("{ nothing }", "bob")
    assert error(unknown) == (400, "GRAPHQL_VALIDATION_FAILED")
