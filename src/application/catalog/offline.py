"""The published document of a configuration that nobody serves: for pipelines, and for a look before it is in force."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from spork.application.catalog.audiences import EVERYBODY, audience_with
from spork.application.catalog.exposures import StatusOf, exposures
from spork.application.configuration.model import Configuration
from spork.domain.http.head import Header
from spork.domain.openapi.document import Document
from spork.domain.openapi.merging import merge
from spork.domain.openapi.policy import DocsPolicy
from spork.domain.openapi.publication import Merged, UpstreamDocument
from spork.domain.openapi.rendering import Title, json_text, rendering
from spork.domain.openapi.yaml_text import yaml_text
from spork.domain.routing.table import Matched, RouteTable
from spork.domain.upstreams.model import Upstream

T = TypeVar("T")


def merged_offline(
    configuration: Configuration,
    document_of: Callable[[Upstream], Document | None],
    now: float,
    status_of: StatusOf,
) -> Merged:
    """What would be published at `now` (Unix seconds); `document_of` gets an upstream's document, None for none."""
    sources = []
    for upstream in configuration.upstreams:
        document = document_of(upstream) if upstream.openapi is not None else None
        if document is not None:
            sources.append(source_of(upstream, document))
    table = RouteTable((match, route.name) for route in configuration.routes for match in (route.match, *route.also))

    def resolve(host: str, path: bytes, method: str, headers: tuple[Header, ...], query: bytes | None) -> str | None:
        found = table.resolve(host, path, method, headers, query)
        return found.route if isinstance(found, Matched) else None

    version = (configuration.docs or DocsPolicy()).version
    return merge(sources, exposures(configuration, now, status_of), resolve, version)


def source_of(upstream: Upstream, document: Document, digest: str = "") -> UpstreamDocument:
    """The document with what of its upstream counts: base paths, and addresses that no client may see."""
    bases = tuple(dict.fromkeys(target.base_path.decode("ascii") for target in upstream.targets)) or ("",)
    inside = tuple(dict.fromkeys(t.authority.decode("ascii") for t in upstream.targets if t.unix_path is None))
    return UpstreamDocument(upstream.name, document, bases, inside, digest)


def text_offline(
    merged: Merged,
    configuration: Configuration,
    title: Title,
    form: str,
    roles: frozenset[str] = frozenset(),
    scopes: frozenset[str] = frozenset(),
) -> bytes:
    """As json or yaml; with roles or scopes what their holder would get, else everything."""
    audience = audience_with(roles, scopes, configuration) if roles or scopes else EVERYBODY
    pieces = _ended(rendering(merged, title, audience.shows))
    return _ended(json_text(pieces) if form == "json" else yaml_text(pieces))


def _ended(steps: Generator[Any, None, T]) -> T:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            result: T = done.value
            return result
