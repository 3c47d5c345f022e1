"""One document from many: what the gateway serves of each upstream's, as its clients see it.

Two rounds. First every operation's path is brought back through every route that leads to its upstream, and the route table
is asked whether that route really takes it. What is left gets its id, and then its text is carried over with what the gateway
adds: credentials, refusals, dates of its version. A step of `merging` is one operation, component or document.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from spork.domain.openapi.carrying import Carrier
from spork.domain.openapi.document import Operation
from spork.domain.openapi.naming import Names
from spork.domain.openapi.protection import with_refusals
from spork.domain.openapi.publication import (
    LeftOut,
    Merged,
    PublishedOperation,
    Resolver,
    RouteExposure,
    UpstreamDocument,
)
from spork.domain.openapi.reverse import ClientPath, backwards
from spork.domain.openapi.stubs import stub_operations
from spork.domain.routing.patterns import Match

_PARAMETER: Final = re.compile(r"\{([^{}/]*)\}")
_NOT_ID: Final = re.compile(r"[^A-Za-z0-9_]+")
_WITH_BODY: Final = frozenset(("POST", "PUT", "PATCH", "QUERY"))
#: Fields that are described elsewhere (OpenAPI 3.1.1 4.8.12.1).
_NOT_PARAMETERS: Final = frozenset(("accept", "content-type", "authorization"))


@dataclass(slots=True)
class _Found:
    """An operation that a route serves. `path` carries the names that the whole path has in the merged document."""

    source: UpstreamDocument
    operation: Operation
    exposure: RouteExposure
    match: Match
    reached: ClientPath
    path: str = ""
    id: str = ""


def merging(
    sources: Sequence[UpstreamDocument], exposures: Sequence[RouteExposure], resolve: Resolver, version: str = "3.1"
) -> Generator[None, None, Merged]:
    """Merge. `exposures` are in the order in which routes are declared; `version` is 3.1 or 3.2."""
    work = _Merge(sources, exposures, resolve, version)
    yield from work.find()
    yield from work.names.assign()
    yield from work.carry()
    return work.merged()


def merge(
    sources: Sequence[UpstreamDocument], exposures: Sequence[RouteExposure], resolve: Resolver, version: str = "3.1"
) -> Merged:
    """`merging`, all steps at once."""
    steps = merging(sources, exposures, resolve, version)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            found: Merged = done.value
            return found


class _Merge:
    def __init__(
        self,
        sources: Sequence[UpstreamDocument],
        exposures: Sequence[RouteExposure],
        resolve: Resolver,
        version: str,
    ) -> None:
        self.names = Names(sources)
        self._sources = {source.upstream: source for source in sources}
        self._exposures = exposures
        self._resolve = resolve
        self._version = version
        self._found: list[_Found] = []
        self._left_out: list[LeftOut] = []
        self._lost: list[LeftOut] = []
        #: (method, shape) -> (route, upstream, path in its document) that has it.
        self._taken: dict[tuple[str, str], tuple[str, str, str]] = {}
        self._templates: dict[str, str] = {}
        self._operations: list[PublishedOperation] = []
        self._carriers: dict[str, Carrier] = {}
        self._components: dict[tuple[str, str], tuple[Mapping[str, Any], frozenset[tuple[str, str]]]] = {}
        #: Global name -> where the kept copy is: (upstream, (section, local name)).
        self._waiting: dict[tuple[str, str], None] = {}
        self._ids: dict[tuple[str, object], dict[str, str]] = {}
        self._schemes: dict[str, Mapping[str, Any]] = {}
        self._tags: dict[str, Mapping[str, Any]] = {}

    # ------------------------------------------------------------------------------------------- which, and where

    def find(self) -> Iterator[None]:
        reached: set[tuple[str, str]] = set()
        refused: dict[tuple[str, str], str] = {}
        stubs: list[RouteExposure] = []
        for exposure in self._exposures:
            served = list(self._served_by(exposure))
            if not served:
                stubs.append(exposure)
            for source, bound in served:
                for operation in source.document.operations():
                    key = (source.upstream, operation.name)
                    why = self._publish(source, operation, exposure, bound)
                    if why:
                        if refused.get(key) in (None, _NO_ROUTE):
                            refused[key] = why
                    else:
                        reached.add(key)
                    yield
        for stub in stubs:
            self._stub(stub)
            yield
        for source in self._sources.values():
            for operation in source.document.operations():
                key = (source.upstream, operation.name)
                if key not in reached:
                    why = refused.get(key, "no route leads to this upstream")
                    self._left_out.append(LeftOut(source.upstream, operation.name, why))
            self._also_lost(source)
            yield

    def _served_by(self, exposure: RouteExposure) -> Iterator[tuple[UpstreamDocument, Mapping[str, str]]]:
        if exposure.upstream.startswith("{"):
            for name, source in self._sources.items():
                yield source, {exposure.upstream[1:-1]: name}
        elif exposure.upstream in self._sources:
            yield self._sources[exposure.upstream], {}

    def _publish(
        self, source: UpstreamDocument, operation: Operation, exposure: RouteExposure, bound: Mapping[str, str]
    ) -> str:
        """Take the operation in; or why this route does not serve it."""
        if operation.method == "TRACE":
            return "TRACE is never served"
        if operation.method == "QUERY" and self._version != "3.2":
            return "QUERY has no word in 3.1; write docs.version: 3.2"
        if operation.node.get("x-internal") is True or operation.item.get("x-internal") is True:
            return "it is internal (x-internal)"
        if exposure.retired:
            return f"version {exposure.version} is retired"
        why = _NO_ROUTE
        for match in exposure.published:
            here = self._publish_at(source, operation, exposure, match, bound)
            if not here:
                why = ""
            elif why == _NO_ROUTE:
                why = here
        return why

    def _publish_at(
        self,
        source: UpstreamDocument,
        operation: Operation,
        exposure: RouteExposure,
        match: Match,
        bound: Mapping[str, str],
    ) -> str:
        if match.methods and operation.method not in match.accepts:
            return f"route {exposure.route} does not take {operation.method}"
        reached = None
        for base in source.base_paths or ("",):
            for wanted in target_paths(source, operation, base):
                reached = reached or backwards(match, exposure.rewrite, wanted, bound)
        if reached is None:
            return _NO_ROUTE
        # Made-up values need not fit an expression; that it is there is all that can be said then.
        if match.regexp is None or "{" not in reached.path:
            winner = self._resolve(
                _host_of(match.hosts), reached.witness, operation.method, _fields_of(match), _query_of(match)
            )
            if winner != exposure.route:
                return f"route {winner} takes it" if winner else _NO_ROUTE
        shape = _PARAMETER.sub("{}", reached.path)
        mine = (exposure.route, source.upstream, operation.path)
        other = self._taken.get((operation.method, shape))
        if other is not None:
            same = f"{operation.method} {reached.path} is already {other[2]} of {other[1]}, by route {other[0]}"
            return "" if other == mine else same
        self._taken[operation.method, shape] = mine
        template = self._templates.setdefault(shape, reached.path)
        self._found.append(_Found(source, operation, exposure, match, reached, template))
        return ""

    def _stub(self, exposure: RouteExposure) -> None:
        """What is known of a route without a document."""
        if exposure.retired:
            return
        for operation in stub_operations(exposure):
            if (operation.method, operation.shape) not in self._taken:
                self._taken[operation.method, operation.shape] = (exposure.route, "", "")
                self._operations.append(operation)
                self._schemes |= exposure.schemes

    def _also_lost(self, source: UpstreamDocument) -> None:
        root = source.document.root
        for word, why in (("webhooks", "webhooks are no operations of the gateway"), ("$self", "has no word in 3.1")):
            if root.get(word) and not (word == "$self" and self._version == "3.2"):
                self._lost.append(LeftOut(source.upstream, word, why))
        for path, item in (root.get("paths") or {}).items():
            if isinstance(item, Mapping) and item.get("additionalOperations"):
                self._lost.append(LeftOut(source.upstream, f"{path} additionalOperations", "methods of no common name"))

    # ----------------------------------------------------------------------------------------------------- their text

    def carry(self) -> Iterator[None]:
        yield from self._give_ids()
        for found in self._found:
            self._operations.append(self._carried(found))
            yield
        yield from self._carry_components()
        order = {exposure.route: at for at, exposure in enumerate(self._exposures)}
        self._operations.sort(key=lambda operation: order[operation.route])
        for carrier in self._carriers.values():
            self._lost += carrier.lost.values()

    def _give_ids(self) -> Iterator[None]:
        taken: set[str] = set()
        for found in self._found:
            local = found.operation.node.get("operationId")
            method, path = found.operation.method, found.operation.path
            stem = str(local) if local else f"{method.lower()}_{path}"
            name = f"{self.names.prefixes[found.source.upstream]}_{_NOT_ID.sub('_', stem).strip('_')}"
            if name in taken:
                name = f"{name}_{_NOT_ID.sub('_', found.exposure.route)}"
            stem, number = name, 2
            while name in taken:
                name, number = f"{stem}_{number}", number + 1
            taken.add(name)
            found.id = name
            for key in ((method, path), str(local) if local else None):
                if key is not None:
                    ids = self._ids.setdefault((found.source.upstream, key), {})
                    ids.setdefault(found.exposure.route, name)
            yield

    def _carrier(self, source: UpstreamDocument, route: str = "") -> Carrier:
        carrier = self._carriers.get(source.upstream)
        if carrier is None:
            upstream = source.upstream

            def found(key: object) -> str | None:
                ids = self._ids.get((upstream, key))
                return None if not ids else ids.get(self._route) or next(iter(ids.values()))

            carrier = self._carriers[source.upstream] = Carrier(source, self.names, self._version, found)
        self._route = route
        return carrier

    def _carried(self, found: _Found) -> PublishedOperation:
        source, exposure = found.source, found.exposure
        carrier = self._carrier(source, exposure.route)
        carrier.needed = set()
        node: dict[str, Any] = {}
        for name, value in found.operation.node.items():
            if name in ("summary", "description", "externalDocs", "callbacks"):
                copy = carrier.carried({name: value})
                if isinstance(copy, dict) and copy.get(name):
                    node[name] = copy[name]
        node["tags"] = self._tags_of(source, found.operation)
        node["operationId"] = found.id
        parameters = self._parameters(found, carrier)
        if parameters:
            node["parameters"] = parameters
        body = found.operation.node.get("requestBody")
        if body is not None and (carried := carrier.carried(body)) is not None:
            node["requestBody"] = carried
        node["responses"] = self._responses(found, carrier)
        if found.operation.node.get("deprecated") is True or exposure.deprecated:
            node["deprecated"] = True
        sunset = exposure.sunset or found.operation.node.get("x-sunset")
        if sunset:
            node["x-sunset"] = sunset
        self._secure(node, found, carrier)
        needs = frozenset(carrier.needed)
        self._waiting |= dict.fromkeys(sorted(needs))
        shape = _PARAMETER.sub("{}", found.path)
        return PublishedOperation(
            exposure.route,
            source.upstream,
            found.operation.method.lower(),
            found.path,
            shape,
            found.match.hosts,
            node,
            needs,
        )

    def _tags_of(self, source: UpstreamDocument, operation: Operation) -> list[str]:
        given = operation.node.get("tags")
        info = source.document.root.get("info")
        title = str(info.get("title") or "") if isinstance(info, Mapping) else ""
        tags = [str(tag) for tag in given] if isinstance(given, list) and given else [title or source.upstream]
        declared = source.document.root.get("tags")
        for tag in declared if isinstance(declared, list) else ():
            if isinstance(tag, Mapping) and tag.get("name") in tags:
                kept = (
                    "name",
                    "description",
                    "externalDocs",
                    "summary",
                    *(("parent", "kind") if self._version == "3.2" else ()),
                )
                said = {n: v for n, v in tag.items() if n in kept and (n != "summary" or self._version == "3.2")}
                self._tags.setdefault(str(tag["name"]), said)
        for name in tags:
            self._tags.setdefault(name, {"name": name})
        return tags

    def _parameters(self, found: _Found, carrier: Carrier) -> list[Any]:
        exposure, reached = found.exposure, found.reached
        renamed = dict(zip(_PARAMETER.findall(reached.path), _PARAMETER.findall(found.path), strict=True))
        listed: list[Any] = []
        given: set[str] = set()
        for parameter in self._sources[found.source.upstream].document.parameters(found.operation).values():
            where, name = str(parameter.get("in", "")), str(parameter.get("name", ""))
            if (where, name.lower()) in exposure.hidden or (where == "header" and name.lower() in _NOT_PARAMETERS):
                continue
            if where == "querystring" and self._version != "3.2":
                self._lost.append(
                    LeftOut(found.source.upstream, found.operation.name, "in: querystring has no word in 3.1")
                )
                continue
            if where == "path":
                if name in reached.fixed or name not in renamed:
                    continue
                given.add(name)
            copy = carrier.carried(parameter)
            if copy is None:
                continue
            copy["name"] = exposure.sent_as.get((where, name.lower()), name)
            if where == "path":
                copy["name"] = renamed[name]
                copy["required"] = True
            listed.append(copy)
        for name in _PARAMETER.findall(reached.path):
            if name not in given:
                listed.append({"name": renamed[name], "in": "path", "required": True, "schema": {"type": "string"}})
        return [*listed, *exposure.asked]

    def _responses(self, found: _Found, carrier: Carrier) -> dict[str, Any]:
        exposure = found.exposure
        given = found.operation.node.get("responses")
        statuses = set(exposure.refusals)
        if found.operation.node.get("requestBody") or found.operation.method in _WITH_BODY:
            statuses |= exposure.body_refusals
        responses: dict[str, Any] = {}
        for status, response in given.items() if isinstance(given, Mapping) else ():
            if str(status).startswith("x-"):
                continue
            if str(status).isdigit() and int(status) in statuses:
                response = found.source.document.resolve(response)
            copy = carrier.carried(response)
            if copy is not None:
                responses[str(status)] = described(copy)
        made = with_refusals(responses, statuses)
        return made or {"default": {"description": "An answer"}}

    def _secure(self, node: dict[str, Any], found: _Found, carrier: Carrier) -> None:
        exposure = found.exposure
        asked = [dict(one) for one in exposure.security(found.operation.method)]
        self._schemes |= exposure.schemes
        if exposure.forwards_credentials:
            theirs = self._their_schemes(found, carrier)
            asked = [{**ours, **their} for ours in asked for their in theirs]
        node["security"] = [] if asked == [{}] else asked

    def _their_schemes(self, found: _Found, carrier: Carrier) -> list[dict[str, list[str]]]:
        """The target's own alternatives, for it gets to see the credentials."""
        root = found.source.document.root
        components = root.get("components")
        declared = components.get("securitySchemes") if isinstance(components, Mapping) else None
        prefix = self.names.prefixes[found.source.upstream]
        made: list[dict[str, list[str]]] = []
        for alternative in found.source.document.security(found.operation):
            one: dict[str, list[str]] = {}
            for scheme, scopes in alternative.items():
                given = declared.get(scheme) if isinstance(declared, Mapping) else None
                copy = carrier.carried(found.source.document.resolve(given)) if given is not None else None
                if copy:
                    name = f"{prefix}_{_NOT_ID.sub('_', scheme)}"
                    self._schemes[name] = copy
                    one[name] = sorted(scopes)
            made.append(one)
        return made

    def _carry_components(self) -> Iterator[None]:
        kept = self.names.kept()
        done: set[tuple[str, str]] = set()
        while self._waiting:
            key = next(iter(self._waiting))
            del self._waiting[key]
            if key in done:
                continue
            done.add(key)
            upstream, local = kept[key]
            carrier = self._carrier(self._sources[upstream])
            carrier.needed = set()
            node = carrier.component(local)
            if local[0] == "responses":
                node = described(node)
            needs = frozenset(carrier.needed)
            self._components[key] = (node, needs)
            self._waiting |= dict.fromkeys(sorted(needs - done))
            yield

    def merged(self) -> Merged:
        used = {tag for operation in self._operations for tag in operation.node.get("tags", ())}
        return Merged(
            tuple(self._operations),
            self._components,
            dict(sorted(self._schemes.items())),
            tuple(tag for name, tag in self._tags.items() if name in used),
            {exposure.route: exposure for exposure in self._exposures},
            tuple(self._left_out),
            tuple(dict.fromkeys(self._lost)),
            self._version,
        )


_NO_ROUTE: Final = "no route leads there"


def described(response: Mapping[str, Any]) -> Mapping[str, Any]:
    """A response with the description that 3.1 asks for and 3.2 does not."""
    if "$ref" in response or "description" in response:
        return response
    return {"description": str(response.get("summary") or "An answer"), **response}


def target_paths(source: UpstreamDocument, operation: Operation, base: str) -> Iterable[str]:
    """What a target with this base path must be sent for `operation`: the paths of its servers, the base taken off."""
    listed = operation.node.get("servers") or operation.item.get("servers") or source.document.root.get("servers")
    found: dict[str, None] = {}
    for server in listed if isinstance(listed, list) else ():
        if isinstance(server, Mapping):
            prefix = _server_path(server)
            if not prefix:
                found[operation.path] = None
                continue
            whole = prefix + operation.path
            if whole == base:
                found["/"] = None
            elif whole.startswith(base + "/"):
                found[whole[len(base) :]] = None
    return found if listed else (operation.path,)


def _server_path(server: Mapping[str, Any]) -> str:
    """The path of a server's address, its variables with their defaults; "" for none."""
    url = str(server.get("url") or "")
    variables = server.get("variables")
    for name, variable in variables.items() if isinstance(variables, Mapping) else ():
        if isinstance(variable, Mapping):
            url = url.replace(f"{{{name}}}", str(variable.get("default", "")))
    try:
        path = urlsplit(url).path.rstrip("/")
    except ValueError:
        return ""
    if path.startswith("."):
        path = path.lstrip(".")
    return path if not path or path.startswith("/") else f"/{path}"


def _host_of(hosts: Sequence[str]) -> str:
    host = hosts[0] if hosts else ""
    return f"any{host[1:]}" if host.startswith("*.") else host


def _fields_of(match: Match) -> tuple[tuple[bytes, bytes], ...]:
    fields = tuple((name, b"" if value is None else value) for name, value in match.headers)
    return (*fields, (b"accept", match.accept.witness)) if match.accept is not None else fields


def _query_of(match: Match) -> bytes | None:
    pairs = [name if value is None else name + b"=" + value for name, value in match.query]
    return b"&".join(pairs) or None
