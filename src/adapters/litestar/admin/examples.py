"""Puts examples into the API description: a body for every call that takes one, an answer for every status it can have.

They are found by the schema's name where it has one (a struct, a view, an envelope around a view), by action where the
answer says what a write did, and by path where an answer is a plain mapping.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from spork.adapters.litestar.admin.access import problem
from spork.adapters.litestar.admin.example_values import (
    ACTS,
    ANSWERS,
    AT,
    AUDIT,
    BODIES,
    BREAKER,
    COMPONENT,
    NODES,
    PERFORMANCE,
    PULSE,
    REV,
    ROUTE,
    SERVICE,
    TARGET,
    USAGE,
    YAML,
)
from spork.adapters.litestar.discovery import service_row, target_row
from spork.application.admin.exports import as_csv, as_json_lines, csv_head
from spork.application.admin.queries import Item, Items
from spork.application.telemetry.usage import UsageRow

_REF = "#/components/schemas/"
_STREAM = f"id: {REV}\nevent: tick\ndata: {msgspec.json.encode({'pulse': PULSE}).decode()}\n\n"
_METRICS = (
    "# HELP gateway_requests_total Requests answered\n"
    "# TYPE gateway_requests_total counter\n"
    'gateway_requests_total{route="orders",method="GET",status="200"} 120411.0\n'
)
_METRICS_JSON = {
    "as_of": AT,
    "workers": 2,
    "metrics": {
        "gateway_requests_total": {
            "kind": "counter",
            "help": "Requests answered",
            "samples": [{"labels": {"route": "orders", "method": "GET", "status": "200"}, "value": 120_411}],
        }
    },
}
_DETAILED = {"status": "ok", "nodes": NODES, "components": [COMPONENT]}
_TAKEN_BY: Mapping[str, Any] = {type(value).__name__: value for value in BODIES}
_ANSWERED_BY: Mapping[str, Any] = {type(value).__name__: value for value in ANSWERS}
_DONE: Mapping[str, Any] = {result.action: result for result in ACTS}


def _plain() -> dict[str, Any]:
    """Answers that are plain mappings or text, by path."""
    health = service_row(SERVICE)
    minute = {"at": AT - 60, "availability": 1.0, "response_ms": 2.1}
    catalogue = {"name": SERVICE.name, "status": SERVICE.state, "routes": [{"name": ROUTE.name, "path": ROUTE.pattern,
                 "methods": list(ROUTE.methods)}]}  # fmt: skip
    return {
        "/admin/v1/config/revisions/{revision}": Item(
            REV, AT, NODES, {"revision": "bffe033f408e", "author": "alice", "text": YAML}
        ),
        "/admin/v1/exports/{name}": {
            "http": {
                "routers": {
                    "orders-0": {"rule": "Path(`/orders`)", "priority": 1, "service": "orders", "entryPoints": ["web"]}
                },
                "services": {"orders": {"loadBalancer": {"servers": [{"url": "http://10.0.0.1:7001"}]}}},
            }
        },
        "/admin/v1/exports/{name}/report": {"name": "traefik", "lost": {"orders": ["cache"]}},
        "/admin/v1/openapi": '{"openapi":"3.1.1","info":{"title":"Shop","version":"bffe033f408e"},"paths":{}}',
        "/admin/v1/keys/export": Items(
            REV,
            AT,
            NODES,
            [
                {
                    "id": "k7Yq2mB1Qw3E",
                    "consumer": "acme",
                    "created_at": AT,
                    "pepper": "5f1c0c2c9f5e4a4e",
                    "secrets": [{"digest": "9f" * 32, "created_at": AT}],
                }
            ],
            total=1,
        ),
        "/admin/v1/profile": "MainThread;handle (spork.application.pipeline.forwarder:71) 42\n",
        "/admin/v1/stream": _STREAM,
        "/admin/v1/audit/export": "".join(as_json_lines([AUDIT])),
        "/admin/v1/usage/export": csv_head(UsageRow) + "".join(as_csv([USAGE])),
        "/health": {"status": "ok"},
        "/ready": {"status": "ready"},
        "/health/startup": {"status": "started", "ready_for_seconds": 86_400.5},
        "/metrics": _METRICS,
        "/monitoring/metrics": _METRICS,
        "/metrics/json": _METRICS_JSON,
        "/metrics/performance": {"routes": [PERFORMANCE]},
        "/health/detailed": _DETAILED,
        "/monitoring/health": _DETAILED,
        "/discovery/services": {"items": [health | {"targets": [target_row(TARGET, None)]}]},
        "/discovery/health": {"status": SERVICE.state, "services": {SERVICE.name: health}},
        "/discovery/health/{name}": health | {"history": [minute]},
        "/api/v1/services": {"services": [catalogue], "total": 1},
    }


def with_examples(document: dict[str, Any], acts: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    """The document itself, its media types with an `example` each. `acts`: (method, path) -> action of a write."""
    plain = _plain()
    for method, path, operation in operations(document):
        for media in operation.get("requestBody", {}).get("content", {}).values():
            _set(media, _taken(media["schema"]))
        act = acts.get((method, path), "")
        for status, answer in operation["responses"].items():
            for media in answer.get("content", {}).values():
                refused = int(status) >= 400
                _set(media, _refused(int(status)) if refused else _answered(media["schema"], act, plain.get(path)))
    return document


def operations(document: Mapping[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every call of a description: method, path, operation."""
    for path, item in document["paths"].items():
        for name, member in item.items():
            if isinstance(member, dict) and "responses" in member:
                yield name.upper(), path, member


def _set(media: dict[str, Any], value: Any) -> None:
    if value is not None:
        media["example"] = msgspec.json.decode(msgspec.json.encode(value))


def _taken(schema: Mapping[str, Any]) -> Any:
    for one in (schema, *schema.get("oneOf", ())):
        if (name := _name(one)) in _TAKEN_BY:
            return _TAKEN_BY[name]
    return YAML if schema.get("type") == "string" else None


def _answered(schema: Mapping[str, Any], act: str, plain: Any) -> Any:
    if plain is not None:
        return plain
    name = _name(schema)
    if name == "ActionResult":
        return _DONE.get(act)
    envelope, _, inner = name.partition("_")
    value = _ANSWERED_BY.get(inner.rstrip("_").rpartition(".")[2])
    if envelope == "Items" and value is not None:
        return Items(REV, AT, NODES, [value], total=1)
    if envelope == "Item" and value is not None:
        return Item(REV, AT, NODES, value)
    return _ANSWERED_BY.get(name)


def _refused(status: int) -> Any:
    return msgspec.json.decode(problem(status, "", members=_MEMBERS.get(status)).content)


_MEMBERS: Mapping[int, Mapping[str, object]] = {
    403: {"needs": "operator"},
    409: {"current": BREAKER.state},
    412: {"rev": REV},
    422: {"errors": [{"path": "ttl", "message": "Expected `float` > 0.0"}]},
}


def _name(schema: Mapping[str, Any]) -> str:
    return str(schema.get("$ref", "")).removeprefix(_REF)
