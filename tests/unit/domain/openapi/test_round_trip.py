"""What is imported from the published document serves the same paths as the configuration it was published from."""

from __future__ import annotations

import re
from typing import Any

import yaml

from spork.adapters.litestar.problems import status_of
from spork.adapters.yaml.load import loads
from spork.application.catalog.offline import merged_offline, text_offline
from spork.application.configuration.model import Configuration
from spork.domain.openapi.document import Document
from spork.domain.openapi.rendering import Title
from spork.domain.openapi.routes import routes_of
from spork.domain.routing.table import Matched, RouteTable
from tests.unit.domain.openapi.merged import OK

CONFIGURATION = """
environment_services: false
upstreams:
  orders: {targets: ["http://127.0.0.1:7001/v2"], openapi: {file: orders.json}}
  bills: {targets: ["http://127.0.0.1:7002"], openapi: {file: bills.json}}
apis:
  orders: {select: [path], default: v2, versions: {v1: {upstream: orders}, v2: {upstream: orders}}}
routes:
  - {name: orders, match: "/api/{version}/orders/*", api: orders, strip_prefix: "/api/{version}"}
  - {name: bills, match: {path: /bills/*, methods: [GET, POST]}, upstream: bills, add_prefix: /internal}
  - {name: one, match: "/b/{id}", upstream: bills, rewrite: "/internal/bills/{id}"}
"""
DOCUMENTS: dict[str, Any] = {
    "orders": {
        "/orders": {"get": {"responses": OK}, "post": {"responses": OK}},
        "/orders/{id}": {"get": {"responses": OK}},
    },
    "bills": {
        "/internal/bills": {"get": {"responses": OK}, "delete": {"responses": OK}},
        "/internal/bills/{bill}": {"get": {"responses": OK}, "post": {"responses": OK}},
    },
}


def read(text: str) -> Configuration:
    loaded = loads(text)
    found = loaded.configuration
    assert found is not None or all("no file" in str(problem) for problem in loaded.problems), loaded.problems
    if found is None:
        found = loads(re.sub(r", openapi: \{file: \w+\.json\}", "", text)).configuration
        assert found is not None
    return found


def published(configuration: Configuration, documents: dict[str, Document]) -> dict[str, Any]:
    from dataclasses import replace

    from spork.domain.openapi.policy import DocumentSource

    upstreams = tuple(replace(each, openapi=DocumentSource(file="x")) for each in configuration.upstreams)
    merged = merged_offline(
        replace(configuration, upstreams=upstreams), lambda each: documents[each.name], 0.0, status_of
    )
    found = yaml.safe_load(text_offline(merged, configuration, Title(), "json"))
    assert isinstance(found, dict)
    return found


def operations(document: dict[str, Any]) -> set[tuple[str, str]]:
    return {(operation.method, operation.path) for operation in Document(document).operations()}


def test_the_import_of_the_published_document_serves_the_same_paths() -> None:
    documents = {
        name: Document({"openapi": "3.1.0", "info": {"title": name, "version": "1"}, "paths": paths})
        for name, paths in DOCUMENTS.items()
    }
    configuration = read(CONFIGURATION)
    first = published(configuration, documents)
    assert operations(first) == {
        *((method, f"/api/{version}/orders") for version in ("v1", "v2") for method in ("GET", "POST")),
        *(("GET", f"/api/{version}/orders/{{id}}") for version in ("v1", "v2")),
        ("GET", "/bills"),
        ("GET", "/bills/{bill}"),
        ("POST", "/bills/{bill}"),
        ("GET", "/b/{bill}"),
        ("POST", "/b/{bill}"),
    }
    imported = routes_of(Document(first), "api", "path")
    written = {
        "environment_services": False,
        "upstreams": {"api": {"targets": ["http://127.0.0.1:7001"]}},
        "routes": imported.routes,
    }
    again = read(yaml.safe_dump(written))
    second = published(again, {"api": Document(first)})
    assert operations(second) == operations(first)

    def table(of: Configuration) -> RouteTable[str]:
        return RouteTable((match, route.name) for route in of.routes for match in (route.match, *route.also))

    for method, path in operations(first):
        asked = re.sub(r"\{[^}]*\}", "seven", path).encode()
        for held in (table(configuration), table(again)):
            assert isinstance(held.resolve("", asked, method, (), None), Matched), (method, path)
