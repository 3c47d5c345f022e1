"""Merging documents of 50 upstreams with 40 operations each, and checking a body by one: `python bench/openapi_merge.py`.

Prints the CPU time of merging and of making the text, the longest turn the event loop would have waited, and what the check of a
687-byte order costs. Nothing here is asserted: see docs/openapi.md for what was measured where.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from spork.adapters.jsonschema_rs.body_schema import JsonBodySchema
from spork.application.kernel.slices import TURN
from spork.domain.openapi.document import Document
from spork.domain.openapi.merging import merging
from spork.domain.openapi.publication import RouteExposure, UpstreamDocument
from spork.domain.openapi.rendering import Title, json_text, rendering
from spork.domain.routing.patterns import Match, PathPattern, Rewrite
from spork.domain.routing.table import Matched, RouteTable

UPSTREAMS, PATHS = 50, 20  # two operations on each path
ORDER: dict[str, Any] = {
    "type": "object",
    "required": ["customer", "lines"],
    "properties": {
        "id": {"type": "string", "readOnly": True, "format": "uuid"},
        "customer": {"type": "string", "minLength": 1, "maxLength": 100},
        "currency": {"enum": ["EUR", "USD", "GBP"]},
        "note": {"type": "string", "nullable": True, "maxLength": 500},
        "lines": {"type": "array", "minItems": 1, "items": {"$ref": "#/components/schemas/Line"}},
    },
}
LINE: dict[str, Any] = {
    "type": "object",
    "required": ["sku", "quantity", "price"],
    "properties": {
        "sku": {"type": "string", "pattern": "^[A-Z0-9-]+$"},
        "quantity": {"type": "integer", "minimum": 1},
        "price": {"type": "number", "minimum": 0},
    },
}


def upstream(number: int) -> UpstreamDocument:
    one = {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Order0"}}}}
    paths: dict[str, Any] = {}
    for at in range(PATHS):
        ref = {"content": {"application/json": {"schema": {"$ref": f"#/components/schemas/Order{at}"}}}}
        key = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        page = {"name": "page", "in": "query", "schema": {"type": "integer", "minimum": 1}}
        answers = {"200": {"description": "ok", **ref}, "404": {"description": "none"}}
        paths[f"/things{at}/{{id}}"] = {
            "get": {"operationId": f"get{at}", "summary": "Get", "parameters": [key, page], "responses": answers},
            "put": {"operationId": f"put{at}", "parameters": [key], "requestBody": one, "responses": answers},
        }
    schemas = {f"Order{at}": {**ORDER, "description": f"{number}/{at}"} for at in range(PATHS)} | {"Line": LINE}
    root = {"openapi": "3.0.3", "info": {"title": f"Service {number}", "version": "1"}, "paths": paths,
            "components": {"schemas": schemas}}  # fmt: skip
    return UpstreamDocument(f"service{number}", Document(root), ("",), (f"10.0.0.{number}:7000",))


def in_turns(steps: Generator[Any, None, Any]) -> tuple[Any, float, float]:
    """(result, CPU seconds, longest turn in CPU seconds)."""
    began, longest = time.process_time(), 0.0
    while True:
        turn = time.process_time()
        try:
            while time.process_time() - turn < TURN:
                next(steps)
        except StopIteration as done:
            longest = max(longest, time.process_time() - turn)
            return done.value, time.process_time() - began, longest
        longest = max(longest, time.process_time() - turn)


def main() -> None:
    sources = [upstream(number) for number in range(UPSTREAMS)]
    exposures = [
        RouteExposure(
            source.upstream,
            (Match(PathPattern.parse(f"/{source.upstream}/*")),),
            Rewrite(strip=f"/{source.upstream}"),
            source.upstream,
            refusals=frozenset((400, 401, 403, 429, 502, 503, 504)),
            body_refusals=frozenset((413, 415, 422)),
        )
        for source in sources
    ]
    table = RouteTable((match, exposure.route) for exposure in exposures for match in exposure.matches)

    def resolve(host: str, path: bytes, method: str, headers: Any, query: Any) -> str | None:
        found = table.resolve(host, path, method, headers, query)
        return found.route if isinstance(found, Matched) else None

    gc.collect()
    gc.freeze()  # as a gateway does once it serves
    gc.set_threshold(20_000, 20, 50)
    best = min((in_turns(merging(sources, exposures, resolve)) for _ in range(3)), key=lambda run: run[1])
    merged, cpu, turn = best
    print(f"merge: {len(merged.operations)} operations, {cpu * 1000:.0f} ms CPU, longest turn {turn * 1000:.2f} ms")
    pieces, cpu, turn = in_turns(rendering(merged, Title()))
    text, more, last = in_turns(json_text(pieces))
    print(
        f"text: {len(text) / 1e6:.2f} MB, {(cpu + more) * 1000:.0f} ms CPU, longest turn {max(turn, last) * 1000:.2f} ms"
    )

    schema = JsonBodySchema(
        json.dumps({**ORDER, "components": {"schemas": {"Line": LINE}}}).replace('"nullable": true, ', "")
    )
    line = {"sku": "ABC-123-XYZ", "quantity": 3, "price": 19.99}
    body = json.dumps({"customer": "acme", "currency": "EUR", "note": "x" * 120, "lines": [line] * 8}).encode()
    began = time.process_time()
    for _ in range(20_000):
        schema.of_text(body)
    each = (time.process_time() - began) / 20_000
    began = time.process_time()
    for _ in range(20_000):
        schema.of_value(schema_value)
    print(
        f"check: {len(body)} bytes, {each * 1e6:.1f} us with reading, {(time.process_time() - began) / 0.02:.1f} us without"
    )


schema_value = {"customer": "acme", "lines": [{"sku": "ABC-123", "quantity": 3, "price": 19.99}] * 8}

if __name__ == "__main__":
    main()
