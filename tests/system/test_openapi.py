"""Documents of upstreams through a real gateway: merged, for audiences, conditional, and the last good one kept."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from spork.adapters.yaml.openapi_document import parse_any
from tests.servers import GatewayProcess, gateway_process, python_env, wait_until
from tests.system.raw import Visit, raw_target
from tests.tokens import public_jwk, token
from tests.unit.domain.openapi.merged import dangling

LINE: dict[str, Any] = {"type": "object", "properties": {"sku": {"type": "string"}}}
ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["id", "qty"],
    "properties": {
        "id": {"type": "string", "readOnly": True},
        "qty": {"type": "integer", "minimum": 1},
        "note": {"type": "string", "nullable": True},
        "lines": {"type": "array", "items": {"$ref": "parts.json#/Line"}},
    },
}


def orders_document() -> dict[str, Any]:
    one = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order"}}}}
    return {
        "openapi": "3.0.3",
        "info": {"title": "Orders", "version": "1"},
        "paths": {
            "/orders": {
                "get": {
                    "operationId": "list",
                    "parameters": [{"name": "limit", "in": "query", "schema": {"type": "integer", "maximum": 100}}],
                    "responses": {"200": {"description": "ok"}},
                },
                "post": {
                    "operationId": "add",
                    "requestBody": {"required": True, **one},
                    "responses": {"201": {"description": "made", **one}},
                },
            },
            "/orders/{id}": {
                "get": {
                    "operationId": "one",
                    "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
                    "responses": {"200": {"description": "ok", **one}},
                }
            },
            "/stats": {"get": {"responses": {"200": {"description": "ok"}}}},
        },
        "components": {"schemas": {"Order": ORDER}},
    }


class Orders:
    """A target with a document that tests change, or break."""

    def __init__(self) -> None:
        self.document: dict[str, Any] = orders_document()
        self.broken = False
        self.answer: Any = {"id": "7", "qty": 2}
        self.asked: list[bytes] = []
        self.unchanged = 0

    def script(self, visit: Visit) -> None:
        while (request := visit.read_request()) is not None:
            line, _, rest = request.partition(b"\r\n")
            path = line.split(b" ")[1]
            if path == b"/openapi.json":
                text = b"{broken" if self.broken else json.dumps(self.document).encode()
                tag = b'"%d"' % hash(text)
                if b"if-none-match: " + tag in rest.lower():
                    self.unchanged += 1
                    visit.send(b"HTTP/1.1 304 Not Modified\r\nETag: %b\r\n\r\n" % tag)
                    continue
                fields = b"ETag: %b\r\n" % tag
            elif path == b"/parts.json":
                text, fields = json.dumps({"Line": LINE}).encode(), b""
            else:
                self.asked.append(request)
                text, fields = json.dumps(self.answer).encode(), b""
            fields += b"Content-Type: application/json\r\nContent-Length: %d\r\n" % len(text)
            visit.send(b"HTTP/1.1 200 OK\r\n%b\r\n%b" % (fields, text))


class Shop:
    """A gateway in front of `orders`."""

    def __init__(self, gateway: GatewayProcess, orders: Orders) -> None:
        self.gateway = gateway
        self.orders = orders

    def document(self, path: str = "/openapi.json", **headers: str) -> dict[str, Any]:
        answer = httpx.get(self.gateway.url + path, headers=headers)
        assert answer.status_code == 200, answer.text
        found = parse_any(answer.content)
        assert isinstance(found, dict)
        return found

    def report(self) -> dict[str, Any]:
        headers = {"authorization": f"Bearer {self.gateway.admin_token}"}
        answer = httpx.get(self.gateway.admin_url + "/admin/v1/openapi/report", headers=headers)
        assert answer.status_code == 200, answer.text
        found = answer.json()["item"]
        assert isinstance(found, dict)
        return found

    def state(self) -> dict[str, Any]:
        found = next(row for row in self.report()["documents"] if row["upstream"] == "orders")
        assert isinstance(found, dict)
        return found

    def events(self, kind: str) -> list[dict[str, Any]]:
        headers = {"authorization": f"Bearer {self.gateway.admin_token}"}
        items = httpx.get(self.gateway.admin_url + "/admin/v1/events?limit=200", headers=headers).json()["items"]
        return [item for item in items if item["kind"] == kind]


def config(url: str, directory: Path, docs: str = "") -> str:
    (directory / "logo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    (directory / "brand.css").write_text(":root { --accent: #7c3aed }")
    (directory / "welcome.md").write_text("# Welcome\n\nAsk **us**.")
    (directory / "bills.yaml").write_text(
        "openapi: 3.1.0\ninfo: {title: Bills, version: '1'}\npaths:\n  /bills: {get: {responses: {'200': {description: ok}}}}\n"
    )
    jwk = json.dumps(public_jwk("rsa", "k1"))
    return f"""
access_log: "off"
docs: {{title: Acme API, version: 3.1, logo: logo.svg, css: brand.css, intro: [welcome.md]{docs}}}
issuers:
  idp: {{issuer: "https://idp.example.com", audiences: [api], keys: ['{jwk}']}}
upstreams:
  orders: {{targets: ["{url}"], openapi: {{path: /openapi.json, every: 1s}}}}
  bills: {{targets: ["{url}"], openapi: {{file: bills.yaml}}}}
  files: {{targets: ["{url}"]}}
routes:
  - {{name: orders, match: /shop/orders/*, strip_prefix: /shop, upstream: orders, limits: [{{quota: 10000, per: 1m}}]}}
  - {{name: bills, match: /bills, upstream: bills, auth: {{any_of: [jwt], roles: [reader]}}, metadata: {{owner: billing}}}}
  - {{name: files, match: /files/*, upstream: files, auth: {{any_of: [jwt], roles: [clerk]}}}}
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    orders = Orders()
    directory = tmp_path_factory.mktemp("openapi")
    with (
        raw_target(orders.script) as target,
        gateway_process(config(target.url, directory), directory) as gateway,
    ):
        made = Shop(gateway, orders)
        wait_until(lambda: made.report()["published"] >= 4, what="both documents")
        yield made


def test_the_document_says_what_is_served_to_whom(shop: Shop) -> None:
    public = shop.document()
    assert public["openapi"].startswith("3.1")
    assert public["info"]["title"] == "Acme API"
    assert "Welcome" in public["info"]["description"]
    assert set(public["paths"]) == {"/shop/orders", "/shop/orders/{id}"}
    post = public["paths"]["/shop/orders"]["post"]
    assert post["operationId"] == "Orders_add"
    assert {"201", "413", "429", "502", "503", "504"} <= set(post["responses"])
    assert not {"401", "403", "422"} & set(post["responses"])
    schemas = public["components"]["schemas"]
    assert schemas["Orders_Order"]["properties"]["note"]["type"] == ["string", "null"]
    assert schemas["Orders_Order"]["properties"]["lines"]["items"] == {"$ref": "#/components/schemas/Orders_Line"}
    assert dangling(public) == []
    assert "127.0.0.1" not in json.dumps(public)
    assert shop.document("/openapi.yaml") == public == shop.document("/api/v1/docs")

    now = int(time.time())
    bearer = token(iat=now - 5, exp=now + 300).decode()
    reader = shop.document(authorization=f"Bearer {bearer}")
    assert set(reader["paths"]) == {"/shop/orders", "/shop/orders/{id}", "/bills"}
    bills = reader["paths"]["/bills"]["get"]
    assert bills["security"] == [{"bearer": []}]
    assert {"401", "403"} <= set(bills["responses"])
    assert "x-spork-route" not in bills
    wrong = httpx.get(shop.gateway.url + "/openapi.json", headers={"authorization": "Bearer nonsense"})
    assert wrong.status_code == 401


def test_it_is_answered_from_bytes_with_a_tag(shop: Shop) -> None:
    first = httpx.get(shop.gateway.url + "/openapi.json")
    assert first.headers["cache-control"] == "private, no-cache"
    assert "authorization" in first.headers["vary"].lower()
    tag = first.headers["etag"]
    again = httpx.get(shop.gateway.url + "/openapi.json", headers={"if-none-match": f'"x", W/{tag}'})
    assert (again.status_code, again.content) == (304, b"")


def test_operators_see_routes_owners_and_what_is_left_out(shop: Shop) -> None:
    report = shop.report()
    assert {"upstream": "orders", "place": "GET /stats", "why": "no route leads there"} in report["left_out"]
    print(report)
    assert report["undocumented"] == ["files"]
    headers = {"authorization": f"Bearer {shop.gateway.admin_token}"}
    whole = httpx.get(shop.gateway.admin_url + "/admin/v1/openapi", headers=headers).json()
    assert whole["paths"]["/bills"]["get"]["x-spork-route"] == "bills"
    assert whole["paths"]["/bills"]["get"]["x-spork-owner"] == "billing"
    assert whole["paths"]["/files/{path}"]["get"]["x-spork-undocumented"] is True
    clerk = httpx.get(shop.gateway.admin_url + "/admin/v1/openapi?role=clerk&form=yaml", headers=headers)
    assert set(parse_any(clerk.content)["paths"]) == {"/shop/orders", "/shop/orders/{id}", "/files/{path}"}  # type: ignore[call-overload,index]
    metrics = httpx.get(shop.gateway.admin_url + "/metrics").text
    assert 'gateway_openapi_document_age_seconds{upstream="orders"}' in metrics


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_pages_need_nothing_from_elsewhere(shop: Shop, path: str) -> None:
    answer = httpx.get(shop.gateway.url + path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "Acme API" in answer.text
    assert "spork" not in answer.text.lower()
    assert "//" not in answer.text.replace("<!doctype", "")
    names = [part.split('"')[0] for part in answer.text.split(f'"{path}/')[1:]]
    assert {"brand.css", "logo"} <= set(names)
    for name in names:
        file = httpx.get(f"{shop.gateway.url}{path}/{name}")
        assert file.status_code == 200, name
        assert file.headers["x-content-type-options"] == "nosniff"
    assert httpx.get(f"{shop.gateway.url}{path}/../../pyproject.toml").status_code in (400, 404)
    assert httpx.get(f"{shop.gateway.url}{path}/nothing.js").status_code == 404


def test_it_is_polled_conditionally_and_a_bad_one_changes_nothing(shop: Shop) -> None:
    unchanged = shop.orders.unchanged
    wait_until(lambda: shop.orders.unchanged > unchanged, what="a conditional request")
    before = shop.document()
    shop.orders.broken = True
    try:
        wait_until(lambda: "JSON" in shop.state()["error"], what="the broken document in the report")
        wait_until(lambda: shop.state()["state"] == "stale", what="a stale document")
        wait_until(lambda: shop.events("openapi.stale"), what="the event")
        assert shop.document() == before
    finally:
        shop.orders.broken = False
    wait_until(lambda: shop.state()["state"] == "current", what="a good document again")


def test_a_document_that_breaks_clients_is_told_of_and_taken(shop: Shop) -> None:
    del shop.orders.document["paths"]["/orders/{id}"]
    try:
        wait_until(lambda: shop.events("openapi.breaking"), what="the event")
        wait_until(lambda: "/shop/orders/{id}" not in shop.document()["paths"], what="the new document")
        changes = shop.state()["changes"]
        assert [change["rule"] for change in changes if change["severity"] == "breaking"] == ["operation-removed"]
    finally:
        shop.orders.document = orders_document()
    wait_until(lambda: "/shop/orders/{id}" in shop.document()["paths"], what="the old document")


def test_a_document_that_breaks_clients_waits_where_the_old_one_is_kept(tmp_path: Path) -> None:
    orders = Orders()
    with raw_target(orders.script) as target:
        written = config(target.url, tmp_path, ", on_breaking: keep, audience: all")
        with gateway_process(written, tmp_path) as gateway:
            kept = Shop(gateway, orders)
            wait_until(lambda: kept.report()["published"] >= 4, what="both documents")
            first = httpx.get(gateway.url + "/openapi.json")
            assert first.headers["cache-control"] == "public, no-cache"
            assert "/bills" in first.json()["paths"]
            del orders.document["paths"]["/orders/{id}"]
            wait_until(lambda: kept.state()["state"] == "pending", what="a document that waits")
            assert "/shop/orders/{id}" in kept.document()["paths"]
        with gateway_process(written, tmp_path) as gateway:  # it is kept over a restart, too
            kept = Shop(gateway, orders)
            wait_until(lambda: kept.state()["state"] == "pending", what="a document that waits")
            assert "/shop/orders/{id}" in kept.document()["paths"]


def test_the_command_writes_what_a_role_gets_and_what_a_configuration_would_publish(shop: Shop) -> None:
    command = [sys.executable, "-m", "spork.cli", "openapi", "--format", "json"]
    running = ["--url", shop.gateway.admin_url, "--token", shop.gateway.admin_token]

    def said(*more: str) -> dict[str, Any]:
        run = subprocess.run([*command, *more], capture_output=True, cwd=shop.gateway.directory, env=python_env())
        assert run.returncode == 0, run.stderr
        found = json.loads(run.stdout)
        assert isinstance(found, dict)
        return found

    clerk = said("--as", "clerk", *running)
    assert set(clerk["paths"]) == {"/shop/orders", "/shop/orders/{id}", "/files/{path}"}
    whole = said(*running)
    assert whole["paths"]["/bills"]["get"]["x-spork-route"] == "bills"
    offline = said("-c", str(shop.gateway.directory / "spork.yaml"))
    assert set(offline["paths"]) == set(whole["paths"])
