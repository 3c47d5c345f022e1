"""Checks of the response cache: what is legal but would surprise."""

from __future__ import annotations

from collections.abc import Iterator

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import Diagnostic
from spork.domain.http.caching.policy import CachePolicy
from spork.domain.http.caching.storing import NEVER_BY_DEFAULT


def check_caches(configuration: Configuration) -> Iterator[Diagnostic]:
    for index, route in enumerate(configuration.routes):
        if route.cache is not None:
            yield from _check_cache(route, route.cache, f"routes[{index}].cache", configuration)


def _check_cache(
    route: RouteConfig, cache: CachePolicy, path: str, configuration: Configuration
) -> Iterator[Diagnostic]:
    if route.redirect is not None or route.respond is not None:
        word = "redirect" if route.redirect is not None else "respond"
        yield Diagnostic(path, f"stands beside {word}, whose answers are never stored", "take it away", "warning")
    methods = route.match.methods
    if methods and not methods & {"GET", "HEAD"}:
        yield Diagnostic(path, "has nothing to store: the route takes no GET", "add GET to match.methods", "warning")
    if cache.ttl is not None and cache.ttl > cache.max_ttl:
        yield Diagnostic(f"{path}.ttl", "is longer than max_ttl, which ends it", "make max_ttl longer", "warning")
    for status, life in cache.statuses:
        if status in NEVER_BY_DEFAULT:
            yield Diagnostic(
                f"{path}.statuses",
                f"{status} refuses one client's odd request; stored, everybody gets it",
                f"leave {status} out",
                "warning",
            )
        if life > cache.max_ttl:
            yield Diagnostic(f"{path}.statuses", f"{status} lives longer than max_ttl, which ends it", "", "warning")
    if cache.body_bytes > configuration.cache.memory:
        yield Diagnostic(f"{path}.body_bytes", "is more than cache.memory holds", "make cache.memory larger", "warning")
    yield from _check_audience(route, cache, path)
    yield from _check_unkeyed(route, path)


def _check_audience(route: RouteConfig, cache: CachePolicy, path: str) -> Iterator[Diagnostic]:
    auth = route.auth
    if cache.by in ("consumer", "tenant") and auth is None:
        yield Diagnostic(f"{path}.by", f"{cache.by} means nobody here: the route has no auth", "add auth:", "warning")
    if auth is not None and cache.by == "everyone" and (auth.roles or auth.scopes or auth.permissions or auth.claims):
        yield Diagnostic(
            f"{path}.by",
            "everyone: what the target makes for one caller and calls public reaches every caller with these rights",
            "write by: consumer or by: tenant",
            "warning",
        )


def _check_unkeyed(route: RouteConfig, path: str) -> Iterator[Diagnostic]:
    """What a client says and the target gets, without being part of the key."""
    for name, value in (*route.request_headers.set, *route.request_headers.add):
        if b"{" in value:
            yield Diagnostic(
                path,
                f"header {name.decode('ascii')} carries something of the request that is not in the key",
                "have the target answer with Vary, or use by: header:NAME",
                "warning",
            )
