"""GraphQL policies through a real gateway: bounds, refusals in GraphQL's form, and what passes unchanged."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import httpx
import pytest

from tests.servers import GatewayProcess, gateway_process
from tests.system.raw import Visit, raw_target


def service(visit: Visit) -> None:
    """Answers data that says what was asked."""
    while (request := visit.read_request()) is not None:
        head, _, body = request.partition(b"\r\n\r\n")
        said = {"line": head.split(b"\r\n")[0].decode(), "body": body.decode("latin-1")}
        answer = json.dumps({"data": said}).encode()
        fields = b"Content-Type: application/graphql-response+json\r\nContent-Length: %d\r\n\r\n" % len(answer)
        visit.send(b"HTTP/1.1 200 OK\r\n" + fields + answer)


CONFIG = """
access_log: "off"
upstreams: {{t: {{targets: ["{target}"]}}}}
limits: []
routes:
  - name: graph
    match: /graphql
    upstream: t
    graphql:
      limits: {{bytes: 2KiB, depth: 3, aliases: 2, root_fields: 4, fields: 20, directives: 2, tokens: 200, batch: 2, variables: 1KiB}}
      introspection: false
      unknown: {{quota: 30, per: 1h, by: header:x-who}}
      operations: [{{root: [Mutation.*], auth: {{roles: [admin]}}}}]
  - name: seen
    match: /observed
    upstream: t
    graphql: {{observe: true, limits: {{depth: 1}}}}
  - name: draft
    match: /draft
    upstream: t
    graphql: {{statuses: draft}}
  - name: legacy
    match: /legacy
    upstream: t
    graphql: {{errors: legacy}}
"""
MODERN = {"accept": "application/graphql-response+json"}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with raw_target(service) as target:
        with gateway_process(CONFIG.format(target=target.url), tmp_path_factory.mktemp("graphql")) as process:
            yield process


def ask(gateway: GatewayProcess, query: object, path: str = "/graphql", **more: str) -> httpx.Response:
    body = query if isinstance(query, dict | list) else {"query": query}
    return httpx.post(gateway.url + path, json=body, headers=MODERN | more)


def error(answer: httpx.Response) -> tuple[int, str]:
    document = answer.json()
    assert set(document) == {"errors"}
    assert len(document["errors"]) == 1
    extensions = document["errors"][0]["extensions"]
    assert extensions["request_id"] == answer.headers["x-request-id"]
    return answer.status_code, extensions["code"]


def test_what_is_within_bounds_passes_byte_for_byte(gateway: GatewayProcess) -> None:
    body = b'{ "query" : "{ a { b } }" , "extensions" : {"x": 1.0} }'
    answer = httpx.post(gateway.url + "/graphql", content=body, headers={"content-type": "application/json"})
    assert answer.json()["data"]["body"].encode() == body
    answer = httpx.get(gateway.url + "/graphql", params={"query": "{a}"})
    assert answer.json()["data"]["line"] == "GET /graphql?query=%7Ba%7D HTTP/1.1"


@pytest.mark.parametrize(
    ("query", "status", "code"),
    [
        ("{a{b{c{d}}}}", 400, "MAX_DEPTH_EXCEEDED"),
        ("{...F} fragment F on Query {a{b{c{d}}}}", 400, "MAX_DEPTH_EXCEEDED"),
        ("{x:a y:b z:c}", 400, "MAX_ALIASES_EXCEEDED"),
        ("{a b c d e}", 400, "MAX_ROOT_FIELDS_EXCEEDED"),
        ("{a{" + "b " * 30 + "}}", 400, "MAX_FIELDS_EXCEEDED"),
        ("{a @x @y @z}", 400, "MAX_DIRECTIVES_EXCEEDED"),
        ("{a(b:[" + "1 " * 300 + "])}", 400, "MAX_TOKENS_EXCEEDED"),
        ("{a" + " " * 4000 + "}", 413, "MAX_BYTES_EXCEEDED"),
        ({"query": "{a}", "variables": {"a": "b" * 2000}}, 413, "MAX_VARIABLES_EXCEEDED"),
        ([{"query": "{a}"}] * 3, 400, "MAX_BATCH_EXCEEDED"),
        ([{"query": "{a}"}, {"query": "{a{b{c{d}}}}"}], 400, "MAX_DEPTH_EXCEEDED"),
        ("{__schema{types{name}}}", 403, "INTROSPECTION_DISABLED"),
        ("{...F} fragment F on Query {x: __type(name: 1){name}}", 403, "INTROSPECTION_DISABLED"),
        ("{_service{sdl}}", 403, "FORBIDDEN"),
        ("mutation {a}", 401, "UNAUTHENTICATED"),
        ("subscription {a}", 403, "SUBSCRIPTIONS_DISABLED"),
        ("{a", 400, "GRAPHQL_PARSE_FAILED"),
        ("type T {a: Int}", 400, "GRAPHQL_PARSE_FAILED"),
        ("{...F} fragment F on T {...F}", 400, "GRAPHQL_VALIDATION_FAILED"),
        ("query A {a} query B {b}", 400, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": "query A {a}", "operationName": "B"}, 400, "OPERATION_RESOLUTION_FAILURE"),
        ({"query": 7}, 400, "BAD_REQUEST"),
        ({}, 400, "BAD_REQUEST"),
        ({"query": "{a}", "variables": []}, 400, "BAD_REQUEST"),
        (["{a}"], 400, "BAD_REQUEST"),
    ],
)
def test_refused(gateway: GatewayProcess, query: object, status: int, code: str) -> None:
    assert error(ask(gateway, query, **{"x-who": f"{status} {code} {str(query)[:20].strip()}"})) == (status, code)


def test_refused_for_the_form_of_the_request(gateway: GatewayProcess) -> None:
    url = gateway.url + "/graphql"
    kind = MODERN | {"content-type": "application/json"}
    twice = httpx.post(url, content=b'{"query":"{a}","qu\\u0065ry":"{b}"}', headers=kind)
    assert error(twice) == (400, "BAD_REQUEST")
    assert error(httpx.post(url, content=b"{", headers=kind)) == (400, "BAD_REQUEST")
    assert error(httpx.post(url, content=b"{}", headers=MODERN | {"content-type": "text/plain"})) == (
        415,
        "UNSUPPORTED_MEDIA_TYPE",
    )
    assert error(httpx.post(url, files={"0": b"x"}, headers=MODERN)) == (415, "UNSUPPORTED_MEDIA_TYPE")
    put = httpx.put(url, json={"query": "{a}"}, headers=MODERN)
    assert (*error(put), put.headers["allow"]) == (405, "METHOD_NOT_ALLOWED", "GET, POST")
    gets = httpx.get(url, params={"query": "mutation {a}"}, headers=MODERN)
    assert gets.status_code == 401
    assert error(httpx.get(url, params="query={a}&query={b}", headers=MODERN)) == (400, "BAD_REQUEST")
    answer = httpx.get(url, params={"query": "{a}"}, headers={"accept": "image/png"})
    assert (answer.status_code, answer.json()["type"]) == (406, "urn:spork:problem:graphql_not_acceptable")


def test_a_coded_body_is_read_as_a_plain_one(gateway: GatewayProcess) -> None:
    kind = MODERN | {"content-type": "application/json", "content-encoding": "gzip"}
    deep = gzip.compress(b'{"query":"{a{b{c{d}}}}"}')
    assert error(httpx.post(gateway.url + "/graphql", content=deep, headers=kind)) == (400, "MAX_DEPTH_EXCEEDED")
    bomb = gzip.compress(b'{"query":"{a}","x":"' + b" " * 10_000_000 + b'"}')
    assert error(httpx.post(gateway.url + "/graphql", content=bomb, headers=kind)) == (413, "BODY_TOO_LARGE")


def test_the_form_of_refusals(gateway: GatewayProcess) -> None:
    url = gateway.url
    bad = {"query": "{...F}"}
    modern = httpx.post(url + "/draft", json=bad, headers=MODERN)
    assert (modern.status_code, modern.headers["content-type"]) == (
        422,
        "application/graphql-response+json; charset=utf-8",
    )
    old = {"accept": "application/json"}
    answer = httpx.post(url + "/graphql", json=bad, headers=old)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert httpx.post(url + "/draft", json=bad, headers=old).status_code == 422
    assert httpx.post(url + "/legacy", json={"query": "{a" * 20 + "}" * 20}, headers=old).status_code == 200
    page = httpx.post(url + "/graphql", json=bad, headers={"accept": "text/html, multipart/mixed"})
    assert page.json()["errors"]


def test_observed_only(gateway: GatewayProcess) -> None:
    answer = ask(gateway, "{a{b}}", "/observed")
    assert json.loads(answer.json()["data"]["body"]) == {"query": "{a{b}}"}


def test_unknown_documents_have_a_budget(gateway: GatewayProcess) -> None:
    answers = [ask(gateway, f"{{a{n}}}", **{"x-who": "flood"}) for n in range(31)]
    assert [a.status_code for a in answers] == [200] * 30 + [429]
    assert error(answers[-1]) == (429, "UNKNOWN_DOCUMENTS_EXCEEDED")
    assert int(answers[-1].headers["retry-after"]) > 0
    assert ask(gateway, "{a5}", **{"x-who": "flood"}).status_code == 200  # known documents go on
    assert ask(gateway, "{other}", **{"x-who": "polite"}).status_code == 200
