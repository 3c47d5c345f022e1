"""Checks of where credentials may stand, of groups of methods, and of claims that become headers."""

from __future__ import annotations

import re
from collections.abc import Iterator

from spork.application.configuration.model import RouteConfig
from spork.application.configuration.problems import Diagnostic
from spork.domain.identity.authorization import AuthPolicy, CredentialGroup, method_names
from spork.domain.identity.claim_headers import is_free
from spork.domain.identity.presentation import UNLOGGED_PARAMETERS, KeyPlaces, TokenPlaces

_TOKENS = frozenset(("jwt", "introspection", "auth_service"))
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")


def check_presentation(route: RouteConfig, auth: AuthPolicy, path: str) -> Iterator[Diagnostic]:
    """`auth` of one route, at `path`."""
    methods = frozenset(auth.methods)
    csrf = route.security is not None and route.security.csrf
    if auth.tokens is not None:
        if methods.isdisjoint(_TOKENS):
            yield Diagnostic(f"{path}.tokens", "has no effect: the route takes no tokens", "add jwt to any_of")
        if auth.tokens.protocol and not _NAME.match(auth.tokens.protocol):
            yield Diagnostic(f"{path}.tokens.protocol", f"{auth.tokens.protocol!r} is no subprotocol's name")
        yield from _places(auth.tokens, f"{path}.tokens", csrf)
    if auth.keys is not None:
        if "api_key" not in methods:
            yield Diagnostic(f"{path}.keys", "has no effect: the route takes no API keys", "add api_key to any_of")
        yield from _places(auth.keys, f"{path}.keys", csrf)
        yield from _met_twice(auth.tokens or TokenPlaces(), auth.keys, path)
    for name, _ in auth.claim_headers:
        if not is_free(name):
            yield Diagnostic(f"{path}.claim_headers.{name}", "is not a name that a claim can have", "such as X-Org")
    if "anonymous" in _grouped(auth):
        yield Diagnostic(path, "anonymous is no credential inside a group", "write it into the outer any_of")


def _places(places: TokenPlaces | KeyPlaces, path: str, csrf: bool) -> Iterator[Diagnostic]:
    if places.cookie and not csrf:
        yield Diagnostic(
            f"{path}.cookie",
            "browsers send a cookie with every page's requests, so any page could act as your users",
            "add security: {csrf: true} to the route",
        )
    if places.query and places.query not in UNLOGGED_PARAMETERS:
        yield Diagnostic(
            f"{path}.query",
            f"logs would show a parameter {places.query!r}",
            f"choose one that no log shows: {', '.join(UNLOGGED_PARAMETERS)}",
        )
    elif places.query:
        yield Diagnostic(
            f"{path}.query",
            "an address with a credential in it stays in histories and in other people's logs (RFC 9700 4.3.2)",
            "use a header where the client can",
            "warning",
        )


def _met_twice(tokens: TokenPlaces, keys: KeyPlaces, path: str) -> Iterator[Diagnostic]:
    """A place is of one kind of credential: what stands there could otherwise be taken for either."""
    both = {name.lower() for name in tokens.headers} & {name.lower() for name in keys.headers}
    for name in sorted(both):
        yield Diagnostic(f"{path}.keys.headers", f"{name} carries tokens already", "name another")
    for place in ("cookie", "query"):
        if getattr(tokens, place) and getattr(tokens, place) == getattr(keys, place):
            yield Diagnostic(f"{path}.keys.{place}", "carries tokens already", "name another")


def _grouped(auth: AuthPolicy) -> tuple[str, ...]:
    groups = [item for item in (*auth.any_of, *auth.all_of) if isinstance(item, CredentialGroup)]
    return method_names(tuple(groups))
