"""Checks of routes: where they lead, whether they can win, and whether requests can reach them at all."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from spork.application.configuration.checks.upstreams import unknown_upstream
from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import Diagnostic, did_you_mean
from spork.domain.http.head import METHODS, header_name
from spork.domain.routing.conflicts import find_conflicts
from spork.domain.routing.patterns import PathPattern, query_part

#: What each word of `expose:` puts on the data listener, before any route is looked at.
EXPOSED: Mapping[str, tuple[str, ...]] = {
    "health": ("/health",),
    "ready": ("/ready",),
    "startup": ("/health/startup",),
    "metrics": ("/metrics", "/metrics/json"),
    "discovery": ("/discovery/*", "/api/v1/services"),
    "jwks": ("/.well-known/jwks.json",),
    "auth": ("/auth/*",),
    # not a word of `expose`: there where `docs:` is written
    "docs": ("/api/v1/docs", "/openapi.json", "/openapi.yaml", "/docs/*", "/redoc/*"),
}

#: Those of them that probes and scrapers ask for by a pod's address: answered whatever `hosts` says.
PROBED = frozenset(("health", "ready", "startup", "metrics"))

#: Fields that say how a message is framed, or belong to one connection: the gateway's own to write.
FRAMING = frozenset(
    (
        b"connection",
        b"content-length",
        b"expect",
        b"http2-settings",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_REDIRECT_WORDS = frozenset(("scheme", "host", "path", "query", "rest"))
_NOT_ROUTABLE = frozenset(("CONNECT", "TRACE"))


def check_routes(configuration: Configuration, unread: Collection[str]) -> Iterator[Diagnostic]:
    upstreams = {u.name for u in configuration.upstreams}
    names: dict[str, RouteConfig] = {}
    for index, route in enumerate(configuration.routes):
        path = f"routes[{index}]"
        if route.name in names:
            first = names[route.name].origin
            yield Diagnostic(
                f"{path}.name", f'"{route.name}" is the name of another route, at {first}', "give it a name of its own"
            )
        names.setdefault(route.name, route)
        yield from _check_destination(route, path, upstreams, unread)
        yield from _check_body_fields(route, path)
        yield from _check_rewrite(route, path)
        yield from _check_splits(route, path, upstreams, unread)
        yield from _check_reach(route, path, configuration)
        yield from _check_header_rules(route, path)
    yield from _check_conflicts(configuration, unread)


def _check_body_fields(route: RouteConfig, path: str) -> Iterator[Diagnostic]:
    for name, text in route.match.body:
        where = f"{path}.match.body.{name}"
        if not name or "" in name.split("."):
            yield Diagnostic(where, "is no field: write name, or outer.inner")
        if "*" in text[:-1]:
            yield Diagnostic(where, "* stands at the end only")
    if route.match.body and route.match.methods and route.match.methods <= {"GET", "HEAD", "OPTIONS", "DELETE"}:
        yield Diagnostic(
            f"{path}.match.body", "requests of these methods have no body", "add POST to methods", "warning"
        )


def _check_destination(
    route: RouteConfig, path: str, upstreams: Collection[str], unread: Collection[str]
) -> Iterator[Diagnostic]:
    name = route.upstream
    if route.front:
        return
    if name is None and route.redirect is None and route.respond is None:
        yield Diagnostic(path, "leads nowhere", "add upstream:, redirect: or respond:")
    elif name is not None and route.redirect is not None:
        yield Diagnostic(f"{path}.redirect", "stands beside upstream", "keep one of the two")
    elif route.respond is not None and (name is not None or route.redirect is not None):
        beside = "upstream" if name is not None else "redirect"
        yield Diagnostic(f"{path}.respond", f"stands beside {beside}", "keep one of the two")
    elif name is not None and "{" in name:
        param = name[1:-1]
        if name != "{" + param + "}" or not param.isidentifier():
            yield Diagnostic(f"{path}.upstream", f'"{name}" is neither a name nor one {{parameter}}')
        else:
            for pattern in paths_of(route):
                if param not in pattern.params:
                    known = ", ".join("{" + p + "}" for p in pattern.params)
                    yield Diagnostic(
                        f"{path}.upstream", f"the path {pattern.text} has no {name}", f"it has {known}" if known else ""
                    )
    elif name is not None:
        yield from unknown_upstream(name, upstreams, f"{path}.upstream", unread)


def _check_rewrite(route: RouteConfig, path: str) -> Iterator[Diagnostic]:
    rewrite = route.rewrite
    if rewrite.path and (rewrite.strip or rewrite.add):
        yield Diagnostic(
            f"{path}.rewrite",
            "replaces the whole path, so strip_prefix and add_prefix have no part in it",
            "keep one way",
        )
    for key, text in (("strip_prefix", rewrite.strip), ("add_prefix", rewrite.add), ("rewrite", rewrite.path)):
        if text and (not text.startswith("/") or not text.isascii() or any(c in text for c in " ?#\\") or "//" in text):
            yield Diagnostic(
                f"{path}.{key}", f"{text!r} is not a path: it begins with /, in ASCII, without ?, #, \\ or //"
            )
    for pattern in paths_of(route):
        yield from _check_rewritten(route, pattern, path)


def paths_of(route: RouteConfig) -> list[PathPattern]:
    """The paths that the route's matches name, each once."""
    if not route.also or route.version is not None:
        return [route.match.path]
    return list(dict.fromkeys(match.path for match in (route.match, *route.also)))


def _check_rewritten(route: RouteConfig, pattern: PathPattern, path: str) -> Iterator[Diagnostic]:
    rewrite = route.rewrite
    if rewrite.strip and not _strips(rewrite.strip, pattern.segments):
        yield Diagnostic(
            f"{path}.strip_prefix", f"{rewrite.strip} is not how {pattern.text} begins, so nothing is stripped"
        )
    words = {*pattern.params, "rest"}
    for word in _PLACEHOLDER.findall(rewrite.path):
        if word not in words:
            yield Diagnostic(f"{path}.rewrite", f"the path {pattern.text} has no {{{word}}}")
    if "{rest}" in rewrite.path and not pattern.prefix:
        yield Diagnostic(f"{path}.rewrite", "{rest} is empty unless the path ends in /*", "", "warning")
    if route.redirect is not None:
        for word in _PLACEHOLDER.findall(route.redirect.to):
            if word not in words | _REDIRECT_WORDS:
                yield Diagnostic(
                    f"{path}.redirect",
                    f"nothing is called {{{word}}}",
                    f"there are {', '.join(sorted(words | _REDIRECT_WORDS))}",
                )


def _strips(strip: str, segments: tuple[bytes, ...]) -> bool:
    wanted = strip.rstrip("/").encode("ascii", "replace").split(b"/")[1:]
    if len(wanted) > len(segments):
        return False
    return all(w == s or (w[:1] == b"{" and s[:1] == b"{") for w, s in zip(wanted, segments, strict=False))


def _check_splits(
    route: RouteConfig, path: str, upstreams: Collection[str], unread: Collection[str]
) -> Iterator[Diagnostic]:
    for index, split in enumerate(route.splits):
        where = f"{path}.splits[{index}]"
        yield from unknown_upstream(split.upstream, upstreams, f"{where}.upstream", unread)
        if not split.weight and split.header is None and not split.consumers:
            yield Diagnostic(where, "takes no traffic", "give it a weight, a header or consumers")
    if sum(split.weight for split in route.splits) > 1.0 + 1e-9:
        yield Diagnostic(f"{path}.splits", "weights add up to more than 100%")
    if route.splits and route.upstream is None:
        yield Diagnostic(f"{path}.splits", "has no effect without upstream")
    if route.mirror is not None:
        yield from unknown_upstream(route.mirror.upstream, upstreams, f"{path}.mirror", unread)
    if route.timeout is not None and route.timeout <= 0:
        yield Diagnostic(f"{path}.timeout", "must be longer than 0")


def _check_header_rules(route: RouteConfig, path: str) -> Iterator[Diagnostic]:
    """Rules about fields of framing would cut answers, or join two requests into one."""
    for side, edit in (("request", route.request_headers), ("response", route.response_headers)):
        rules = [
            ("set", {name for name, _ in edit.set}),
            ("add", {name for name, _ in edit.add}),
            ("remove", edit.remove),
        ]
        for rule, names in rules:
            for name in sorted(names & FRAMING):
                yield Diagnostic(
                    f"{path}.headers.{side}.{rule}",
                    f"{name.decode()} frames the message, and is the gateway's own to write",
                    "take it out",
                )


def _check_reach(route: RouteConfig, path: str, configuration: Configuration) -> Iterator[Diagnostic]:
    for method in sorted(route.match.methods & _NOT_ROUTABLE):
        yield Diagnostic(f"{path}.match.methods", f"{method} is refused at the edge")
    known = METHODS.union(configuration.edge.methods)
    for method in sorted(route.match.methods - known - _NOT_ROUTABLE):
        yield Diagnostic(
            f"{path}.match.methods",
            f"{method} is no method that the gateway reads, so this can never match",
            did_you_mean(method, sorted(known)) or "add it to edge.methods",
        )
    for name, _ in route.match.headers:
        if header_name(name) is None and configuration.edge.header_underscores != "allow":
            yield Diagnostic(
                f"{path}.match.headers",
                f"requests with a header {name.decode('latin-1')} are refused at the edge, so this can never match",
                f"did you mean {name.decode('latin-1').replace('_', '-')}?" if b"_" in name else "",
            )
    for pair in route.match.query:
        for part in pair:
            if part is not None and not query_part(part):
                yield Diagnostic(
                    f"{path}.match.query",
                    f"{part.decode('latin-1')!r} cannot stand in a query as it is, so this can never match",
                    "write it as clients send it, percent-encoded",
                )
    if configuration.hosts:
        for host in route.match.hosts:
            if not any(_covers(accepted, host) for accepted in configuration.hosts):
                yield Diagnostic(
                    f"{path}.match",
                    f"host {host} is not accepted by hosts: {', '.join(configuration.hosts)}",
                    "add it there",
                )
    for pattern in paths_of(route):
        if "%2F" in pattern.text and not route.encoded_slashes:
            yield Diagnostic(
                f"{path}.match", "%2F is refused at the edge, so this can never match", "add encoded_slashes: keep"
            )
        yield from _check_own(pattern.text, path, configuration)


def _check_own(text: str, path: str, configuration: Configuration) -> Iterator[Diagnostic]:
    """Paths that the gateway answers before any route is looked at."""
    for word in configuration.exposed:
        for endpoint in EXPOSED.get(word, ()):
            if text == endpoint or (endpoint.endswith("/*") and text.startswith(endpoint[:-1])):
                yield Diagnostic(
                    f"{path}.match",
                    f"the gateway answers {endpoint} itself",
                    "leave docs: out, or choose another path"
                    if word == "docs"
                    else f"take {word} out of expose:, or choose another path",
                )
            elif text == endpoint + "/*":
                yield Diagnostic(
                    f"{path}.match",
                    f"the gateway answers {endpoint} itself; only what is below reaches this route",
                    "",
                    "warning",
                )


def _covers(accepted: str, host: str) -> bool:
    if accepted.startswith("*."):
        return host.endswith(accepted[1:]) and host != accepted[1:]
    return accepted == host


def _check_conflicts(configuration: Configuration, unread: Collection[str]) -> Iterator[Diagnostic]:
    routes = configuration.routes
    owners = [index for index, route in enumerate(routes) for _ in (route.match, *route.also)]
    matches = [match for route in routes for match in (route.match, *route.also)]
    for found in find_conflicts(matches):
        other_owner = owners[found.other] if found.other >= 0 else -1
        conflict = replace(found, index=owners[found.index], other=other_owner)
        if conflict.kind == "unreachable" and conflict.index == conflict.other:
            continue  # two ways to name one version
        if any(f"routes[{index}].match" in unread for index in (conflict.index, conflict.other)):
            continue
        other = routes[conflict.other] if conflict.other >= 0 else None
        where = f'route "{other.name}" at {other.origin}' if other is not None else "another route"
        path = f"routes[{conflict.index}].match"
        if conflict.kind == "conflict":
            yield Diagnostic(path, f"ties with {where} for {conflict.why}", "give one of them a more specific match")
        elif conflict.kind == "unmatched":
            yield Diagnostic(path, "can never match: no request can look like this", "look at its headers and query")
        else:
            yield Diagnostic(
                path,
                f"can never win: {where} takes every request it could match",
                "remove it, or make it more specific",
            )
