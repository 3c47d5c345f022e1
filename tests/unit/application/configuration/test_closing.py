"""`check` warns where an author meant to close and did not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spork.application.configuration.checks.closing import check_closing
from spork.application.configuration.model import Configuration, RouteConfig
from spork.domain.identity.authorization import AuthPolicy, CorsPolicy
from spork.domain.identity.consumers import Consumer
from spork.domain.routing.patterns import Match, PathPattern

ROUTE = RouteConfig("users", Match(PathPattern.parse("/users/*"), methods=frozenset(("GET", "DELETE"))), "users")


def asking(**auth: object) -> Configuration:
    return Configuration(routes=(replace(ROUTE, auth=AuthPolicy(**auth)),))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("configuration", "path"),
    [
        (Configuration(consumers=(Consumer("a", basic_password_hash="secret"),)), "consumers.a.basic_password_hash"),
        (Configuration(consumers=(Consumer("a", signature_secret="x"),)), "consumers.a.signature_secret"),
        (Configuration(mtls_header="x-cert"), "mtls_header"),
        (Configuration(host="0.0.0.0", expose=("health", "metrics")), "expose"),
        (asking(any_of=("jwt",), all_of=("api_key",)), "routes[0].auth.any_of"),
        (asking(permissions=(("GET", frozenset()), ("DELETE", frozenset(("x",))))), "routes[0].auth.permissions.GET"),
        (asking(permissions=(("GET", frozenset(("x",))),)), "routes[0].auth.permissions"),
        (
            Configuration(routes=(replace(ROUTE, cors=CorsPolicy(("null",), credentials=True)),)),
            "routes[0].cors.origins",
        ),
    ],
)
def test_what_closes_less_than_it_seems_is_told(configuration: Configuration, path: str) -> None:
    [found] = check_closing(configuration)
    assert (found.path, found.severity) == (path, "warning")


def test_what_is_closed_is_not_told() -> None:
    closed = asking(permissions=(("GET", frozenset(("x",))), ("*", frozenset(("y",)))))
    assert list(check_closing(closed)) == []
    assert list(check_closing(Configuration(mtls_header="x-cert", trusted_proxies=("10.0.0.0/8",)))) == []
