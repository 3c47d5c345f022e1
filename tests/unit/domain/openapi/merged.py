"""Small documents and routes to merge."""

from __future__ import annotations

from typing import Any

from spork.domain.openapi.document import Document
from spork.domain.openapi.merging import merge
from spork.domain.openapi.publication import Merged, RouteExposure, UpstreamDocument
from spork.domain.openapi.rendering import Title, document_of, rendering
from spork.domain.routing.patterns import Match, PathPattern, Rewrite
from spork.domain.routing.table import Matched, RouteTable

OK = {"200": {"description": "ok"}}


def answering(schema: Any) -> dict[str, Any]:
    return {"200": {"description": "ok", "content": {"application/json": {"schema": schema}}}}


def source(
    upstream: str,
    paths: dict[str, Any],
    schemas: dict[str, Any] | None = None,
    version: str = "3.1.0",
    bases: tuple[str, ...] = ("",),
    inside: tuple[str, ...] = (),
    **root: Any,
) -> UpstreamDocument:
    document: dict[str, Any] = {
        "openapi": version,
        "info": {"title": upstream.title(), "version": "1"},
        "paths": paths,
        "components": {"schemas": schemas or {}},
    }
    return UpstreamDocument(upstream, Document(document | root), bases, inside)


def route(name: str, path: str, upstream: str = "", **more: Any) -> RouteExposure:
    match = Match(
        PathPattern.parse(path),
        more.pop("hosts", ()),
        frozenset(more.pop("methods", ())),
        headers=more.pop("headers", ()),
    )
    rewrite = Rewrite(more.pop("strip", ""), more.pop("add", ""), more.pop("to", ""))
    return RouteExposure(name, (match,), rewrite, upstream or name, **more)


def merged(sources: list[UpstreamDocument], routes: list[RouteExposure], version: str = "3.1") -> Merged:
    table = RouteTable((match, r.route) for r in routes for match in r.matches)

    def resolve(host: str, path: bytes, method: str, headers: Any, query: Any) -> str | None:
        found = table.resolve(host, path, method, headers, query)
        return found.route if isinstance(found, Matched) else None

    return merge(sources, routes, resolve, version)


def whole(made: Merged, **title: Any) -> dict[str, Any]:
    """The document as a value."""
    steps = rendering(made, Title(**title))
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return document_of(done.value)


def document(sources: list[UpstreamDocument], routes: list[RouteExposure], version: str = "3.1") -> dict[str, Any]:
    return whole(merged(sources, routes, version))


def dangling(root: dict[str, Any]) -> list[str]:
    """References that lead nowhere."""
    known = Document(root)
    found: list[str] = []
    waiting: list[Any] = [root]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str) and reference.startswith("#/") and not known.resolve({"$ref": reference}):
                found.append(reference)
            waiting.extend(node.values())
        elif isinstance(node, list):
            waiting.extend(node)
    return found
