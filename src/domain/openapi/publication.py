"""What is merged: documents of upstreams, routes that reach them; and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from spork.domain.http.head import Header
from spork.domain.openapi.document import Document
from spork.domain.openapi.protection import Requirements
from spork.domain.routing.patterns import Match, Rewrite

#: Which route takes (host, path, method, headers, query); None when none does.
Resolver = Callable[[str, bytes, str, tuple[Header, ...], bytes | None], str | None]
#: (where: path, query or header; name in lower case).
Place = tuple[str, str]


@dataclass(frozen=True, slots=True)
class UpstreamDocument:
    """An upstream's document, whole in itself. `base_paths` are those of its targets ("" for none), `authorities` the
    addresses that no client may see; `digest` tells it from any other one."""

    upstream: str
    document: Document
    base_paths: tuple[str, ...] = ("",)
    authorities: tuple[str, ...] = ()
    digest: str = ""


@dataclass(frozen=True, slots=True)
class RouteExposure:
    """A route as its clients see it.

    `upstream` may be `{name}`; with `answers` (statuses that the gateway gives itself) there is none. `refusals` are statuses that the gateway itself
    may answer, `body_refusals` those of requests with a body. `security` says what a method needs. `hidden` are
    parameters that clients cannot send or need not, `sent_as` those that they send by another name, `asked` ones that
    choose this route, as parameter objects.
    """

    route: str
    matches: tuple[Match, ...]
    rewrite: Rewrite = Rewrite()
    upstream: str = ""
    answers: tuple[int, ...] = ()
    security: Callable[[str], Requirements] = lambda method: [{}]
    schemes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    forwards_credentials: bool = False
    refusals: frozenset[int] = frozenset()
    body_refusals: frozenset[int] = frozenset()
    hidden: frozenset[Place] = frozenset()
    sent_as: Mapping[Place, str] = field(default_factory=dict)
    asked: tuple[Mapping[str, Any], ...] = ()
    deprecated: bool = False
    sunset: str = ""
    retired: bool = False
    version: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def match(self) -> Match:
        """The match that is published: the first one without further conditions."""
        return self.published[0]

    @property
    def published(self) -> tuple[Match, ...]:
        """The matches that are published: several paths of a route, one way to name a version."""
        plain = tuple(m for m in self.matches if not m.headers and not m.query and m.accept is None)
        if self.version:
            return plain[:1] or self.matches[:1]
        return plain or self.matches[:1]


@dataclass(frozen=True, slots=True)
class PublishedOperation:
    """One operation as clients call it. `node` is an Operation Object without what only operators see; `shape` is the path
    with its parameters' names forgotten; `needs` are components (section, name) it refers to."""

    route: str
    upstream: str
    method: str
    path: str
    shape: str
    hosts: tuple[str, ...]
    node: Mapping[str, Any]
    needs: frozenset[tuple[str, str]] = frozenset()
    documented: bool = True


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An operation that is not published, and why. `place` is `GET /path` in the upstream's document."""

    upstream: str
    place: str
    why: str


@dataclass(frozen=True, slots=True)
class Merged:
    """Everything that is served, in the order of routes; documents for callers are chosen from it."""

    operations: tuple[PublishedOperation, ...] = ()
    components: Mapping[tuple[str, str], tuple[Mapping[str, Any], frozenset[tuple[str, str]]]] = field(
        default_factory=dict
    )
    schemes: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    tags: tuple[Mapping[str, Any], ...] = ()
    exposures: Mapping[str, RouteExposure] = field(default_factory=dict)
    left_out: tuple[LeftOut, ...] = ()
    lost: tuple[LeftOut, ...] = ()
    version: str = "3.1"
