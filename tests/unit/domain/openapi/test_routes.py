"""Routes from documents: what is served afterwards is what the document says, and what is lost is listed."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from spork.adapters.yaml.load import loads
from spork.adapters.yaml.openapi_document import parse_openapi
from spork.cli.commands.importing import importing
from spork.domain.openapi.routes import routes_of

API = b"""
openapi: 3.0.3
info: {title: t, version: "1"}
servers:
  - {url: "https://{region}.example.com"}
  - {url: "https://api.example.com/v1"}
  - {url: "https://b.example.com"}
security: [{key: []}]
paths:
  /orders: {get: {tags: [orders], security: [], responses: {}}, post: {tags: [admin], responses: {}}}
  /orders/{order-id}: {get: {tags: [orders], security: [], responses: {}}, trace: {security: [], responses: {}}}
  /orders/{class}: {delete: {security: [], responses: {}}}
  /files/{name}.{ext}: {get: {security: [], responses: {}}}
"""


def test_every_path_that_a_route_can_say_becomes_one() -> None:
    found = routes_of(parse_openapi(API), "api", "path")
    assert [(r["match"]["path"], r["match"]["methods"]) for r in found.routes] == [
        ("/orders", ["GET", "POST"]),
        ("/orders/{order_id}", ["GET"]),
        ("/orders/{class}", ["DELETE"]),
    ]
    assert found.targets == ["https://api.example.com/v1"]
    assert [pointer for pointer, _ in found.left_out] == [
        "/servers/0",
        "/servers/2",
        "/paths/~1orders/post",
        "/paths/~1orders~1{order-id}/trace",
        "/paths/~1files~1{name}.{ext}",
    ]
    assert "needs key" in dict(found.left_out)["/paths/~1orders/post"]


def test_by_tag_routes_are_called_after_it_and_names_never_clash() -> None:
    found = routes_of(parse_openapi(API), "api", "tag")
    names = [r["name"] for r in found.routes]
    assert names[:3] == ["orders-orders", "admin-orders", "orders-orders-order_id"]
    assert len(set(names)) == len(names)
    assert found.routes[0]["metadata"] == {"tag": "orders"}


def test_what_the_command_writes_passes_the_check(tmp_path: Path) -> None:
    file = tmp_path / "api.yaml"
    file.write_bytes(API.replace(b"/orders/{class}", b"/kinds/{class}"))
    done = CliRunner().invoke(importing, ["openapi", str(file)])
    assert done.exit_code == 0, done.output
    loaded = loads(done.stdout)
    assert loaded.configuration is not None
    assert {r.match.path.text for r in loaded.configuration.routes} == {
        "/orders",
        "/orders/{order_id}",
        "/kinds/{class}",
    }
    assert f"left out: {file}#/paths/~1files~1{{name}}.{{ext}}: " in done.stderr
    refused = CliRunner().invoke(importing, ["openapi", str(tmp_path / "none.yaml")])
    assert refused.exit_code == 1
