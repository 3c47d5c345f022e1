"""Warnings where an author meant to close something and did not."""

from __future__ import annotations

from collections.abc import Iterator

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import Diagnostic, child
from spork.domain.identity.authorization import AuthPolicy

#: Shared secrets below this length can be guessed offline from one signed request.
SHORTEST_SECRET = 16


def check_closing(configuration: Configuration) -> Iterator[Diagnostic]:
    """What is legal, closes less than it seems to, and is never what was meant."""
    for consumer in configuration.consumers:
        path = child("consumers", consumer.name)
        if consumer.basic_password_hash and not consumer.basic_password_hash.startswith("$argon2"):
            yield Diagnostic(
                child(path, "basic_password_hash"),
                "is no argon2 hash, so that no password matches it",
                "make one with `spork token hash-password`",
                "warning",
            )
        if consumer.signature_secret and len(consumer.signature_secret) < SHORTEST_SECRET:
            yield Diagnostic(
                child(path, "signature_secret"),
                f"has {len(consumer.signature_secret)} characters, which can be guessed",
                f"use {SHORTEST_SECRET} or more, random ones",
                "warning",
            )
    if configuration.mtls_header and not configuration.trusted_proxies:
        yield Diagnostic(
            "mtls_header", "is believed of trusted proxies only, and there are none", "set trusted_proxies", "warning"
        )
    told = sorted({"metrics", "discovery"} & set(configuration.expose))
    if told and configuration.host in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        yield Diagnostic(
            "expose", f"shows {' and '.join(told)} to everybody who reaches any address of this machine",
            "leave them to the admin listener, or listen on one address", "warning",
        )  # fmt: skip
    for index, route in enumerate(configuration.routes):
        if route.auth is not None:
            yield from _check_route(route, route.auth, f"routes[{index}].auth")
        if route.cors is not None and "null" in route.cors.origins and route.cors.credentials:
            yield Diagnostic(
                f"routes[{index}].cors.origins",
                '"null" is the origin of any sandboxed page, which then acts as your users',
                "name the origins",
                "warning",
            )


def _check_route(route: RouteConfig, auth: AuthPolicy, path: str) -> Iterator[Diagnostic]:
    if auth.any_of and auth.all_of:
        yield Diagnostic(
            f"{path}.any_of", "is not looked at beside all_of", "write one of the two", "warning"
        )  # fmt: skip
    for method, needed in auth.permissions:
        if not needed:
            yield Diagnostic(
                f"{path}.permissions.{method}", "names no permission, so that everybody may", "name one", "warning"
            )
    named = {method for method, _ in auth.permissions}
    if named and "*" not in named:
        left = sorted(set(route.match.methods) - named - ({"HEAD"} if "GET" in named else set()))
        if left or not route.match.methods:
            which = ", ".join(left) if left else "every method not named"
            yield Diagnostic(
                f"{path}.permissions", f"asks nothing for {which}", 'add "*", or restrict match.methods', "warning"
            )
