"""Requests and answers through a real gateway, checked by the document of its target: enforced, observed, unknown."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.servers import GatewayProcess, gateway_process, wait_until
from tests.system.raw import raw_target
from tests.system.test_openapi import Orders

GOOD = {"qty": 2}


@pytest.fixture(scope="module")
def orders() -> Orders:
    return Orders()


@pytest.fixture(scope="module")
def gateway(orders: Orders, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with raw_target(orders.script) as target:
        config = f"""
access_log: "off"
docs: {{}}
upstreams: {{orders: {{targets: ["{target.url}"], openapi: {{path: /openapi.json, every: 1s}}}}}}
routes:
  - {{name: strict, match: /strict/*, strip_prefix: /strict, upstream: orders, validate: {{responses: enforce, unknown: refuse}}}}
  - {{name: watched, match: /watched/*, strip_prefix: /watched, upstream: orders, validate: {{requests: observe, responses: observe}}}}
  - {{name: free, match: /free/*, strip_prefix: /free, upstream: orders}}
"""
        with gateway_process(config, tmp_path_factory.mktemp("validation")) as process:
            headers = {"authorization": f"Bearer {process.admin_token}"}
            url = process.admin_url + "/admin/v1/openapi/report"
            wait_until(lambda: httpx.get(url, headers=headers).json()["item"]["published"] > 3, what="the document")
            yield process


def send(gateway: GatewayProcess, method: str, path: str, **given: Any) -> httpx.Response:
    return httpx.request(method, gateway.url + path, **given)


def counted(gateway: GatewayProcess, route: str, where: str) -> float:
    metrics = httpx.get(gateway.admin_url + "/metrics").text
    name = f'gateway_contract_violations_total{{route="{route}",where="{where}"}} '
    return next((float(line.split(" ")[-1]) for line in metrics.splitlines() if line.startswith(name)), 0.0)


def test_a_request_that_does_not_fit_never_reaches_the_target(gateway: GatewayProcess, orders: Orders) -> None:
    before = len(orders.asked)
    wrong = send(gateway, "POST", "/strict/orders", json={"qty": 0, "note": 7})
    assert wrong.status_code == 422
    assert wrong.headers["content-type"] == "application/problem+json"
    problem = wrong.json()
    assert problem["type"].endswith("body_invalid")
    told = sorted(problem["errors"], key=lambda error: error["pointer"])
    assert [(error["in"], error["pointer"], error["keyword"]) for error in told] == [
        ("body", "/note", "type"),
        ("body", "/qty", "minimum"),
    ]
    assert send(gateway, "POST", "/strict/orders", json={}).json()["errors"][0]["keyword"] == "required"
    assert send(gateway, "POST", "/strict/orders").status_code == 422  # a body is required
    text = send(gateway, "POST", "/strict/orders", content=b"x", headers={"content-type": "text/plain"})
    assert text.status_code == 415
    asked = send(gateway, "GET", "/strict/orders?limit=1000")
    assert asked.status_code == 400
    (error,) = asked.json()["errors"]
    assert (error["in"], error["pointer"], error["keyword"]) == ("query", "/limit", "maximum")
    assert "1000" not in asked.text
    unknown = send(gateway, "GET", "/strict/nothing")
    assert (unknown.status_code, unknown.json()["type"].rpartition(":")[2]) == (404, "operation_unknown")
    method = send(gateway, "DELETE", "/strict/orders")
    assert (method.status_code, method.headers["allow"]) == (405, "GET, HEAD, POST")
    assert len(orders.asked) == before
    packed = gzip.compress(json.dumps({"qty": 0}).encode())
    coded = {"content-type": "application/json", "content-encoding": "gzip"}
    assert send(gateway, "POST", "/strict/orders", content=packed, headers=coded).status_code == 422
    assert counted(gateway, "strict", "body") >= 4


def test_a_request_that_fits_goes_on_as_it_came(gateway: GatewayProcess, orders: Orders) -> None:
    sent = b'{ "qty" : 2 ,"note":null, "id": "1"}'
    orders.answer = {"id": "7", "qty": 2}
    answer = send(gateway, "POST", "/strict/orders", content=sent, headers={"content-type": "application/json"})
    # The document promises 201 and the target says 200: the answer is what does not fit.
    assert answer.status_code == 502
    assert orders.asked[-1].endswith(sent)
    assert counted(gateway, "strict", "answer_status") >= 1
    assert send(gateway, "GET", "/strict/orders?limit=7").status_code == 200


def test_an_answer_that_does_not_fit_is_answered_502(gateway: GatewayProcess, orders: Orders) -> None:
    orders.answer = {"id": "7", "qty": 2}
    good = send(gateway, "GET", "/strict/orders/7")
    assert (good.status_code, good.json()) == (200, {"id": "7", "qty": 2})
    orders.answer = {"qty": "many"}
    bad = send(gateway, "GET", "/strict/orders/7")
    assert (bad.status_code, bad.json()["type"].rpartition(":")[2]) == (502, "answer_not_fit")
    assert "many" not in bad.text
    watched = send(gateway, "GET", "/watched/orders/7")
    assert (watched.status_code, watched.json()) == (200, {"qty": "many"})
    assert counted(gateway, "watched", "answer_body") >= 1
    assert counted(gateway, "free", "answer_body") == 0


def test_observing_counts_and_refuses_nothing(gateway: GatewayProcess, orders: Orders) -> None:
    orders.answer = {"id": "7", "qty": 2}
    before = len(orders.asked)
    assert send(gateway, "POST", "/watched/orders", json={"qty": 0}).status_code == 200
    assert send(gateway, "GET", "/watched/orders?limit=1000").status_code == 200
    assert send(gateway, "GET", "/watched/nothing").status_code == 200
    assert len(orders.asked) == before + 3
    assert counted(gateway, "watched", "body") >= 1
    assert counted(gateway, "watched", "query") >= 1


def test_it_is_told_in_the_document_and_by_explain(gateway: GatewayProcess) -> None:
    document = httpx.get(gateway.url + "/openapi.json").json()
    assert "422" in document["paths"]["/strict/orders"]["post"]["responses"]
    assert "422" not in document["paths"]["/free/orders"]["post"]["responses"]
    headers = {"authorization": f"Bearer {gateway.admin_token}"}
    asked = {"url": gateway.url + "/strict/orders?limit=1000"}
    answer = httpx.post(gateway.admin_url + "/admin/v1/explain", headers=headers, json=asked)
    assert answer.status_code in (200, 201), answer.text
    assert "limit" in answer.text


def test_another_document_is_another_contract(gateway: GatewayProcess, orders: Orders) -> None:
    parameters = orders.document["paths"]["/orders"]["get"]["parameters"]
    parameters[0]["schema"]["maximum"] = 5
    wait_until(lambda: send(gateway, "GET", "/strict/orders?limit=7").status_code == 400, what="the new contract")
    parameters[0]["schema"]["maximum"] = 100
    wait_until(lambda: send(gateway, "GET", "/strict/orders?limit=7").status_code == 200, what="the old contract")
