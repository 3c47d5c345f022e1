"""What a new key may name, and what happens when a credential names what there is not."""

from __future__ import annotations

import pytest

from spork.application.callers.consumers import Consumers
from spork.application.callers.issuing import bad_networks, unknown_names
from spork.application.callers.keys import KeyRequest
from spork.application.callers.verdicts import TokenCache
from spork.application.configuration.model import Configuration, RouteConfig
from spork.domain.identity.authorization import AuthPolicy
from spork.domain.identity.consumers import Consumer, Plan
from spork.domain.identity.revocation import RevocationSet
from spork.domain.identity.tokens import Principal, Refused, TokenOutcome, Verified
from spork.domain.routing.patterns import PathPattern
from spork.domain.routing.table import Match
from tests.tokens import NOW

ROUTE = RouteConfig(
    "users",
    Match(PathPattern.parse("/users/*")),
    "users",
    auth=AuthPolicy(scopes=frozenset(("users:read",)), permissions=(("DELETE", frozenset(("users:delete",))),)),
)
CONFIGURATION = Configuration(
    plans=(Plan("basic"), Plan("gold")), consumers=(Consumer("acme", scopes=("own",)),), routes=(ROUTE,)
)


@pytest.mark.parametrize(
    ("request_", "wrong"),
    [
        (KeyRequest("acme", plan="gold", routes=frozenset(("users",)), scopes=frozenset(("users:read", "own"))), []),
        (KeyRequest("acme", scopes=frozenset(("users:delete", "auth:revoke", "auth:introspect"))), []),
        (KeyRequest("acmee"), [("consumer", 'there is no consumer "acmee"; did you mean "acme"?')]),
        (KeyRequest("acme", plan="platinum"), [("plan", 'there is no plan "platinum"')]),
        (KeyRequest("acme", routes=frozenset(("user",))), [("routes", 'there is no route "user"; did you mean "users"?')]),
        (KeyRequest("acme", scopes=frozenset(("nonsense",))), [("scopes", 'there is no scope "nonsense" that any route asks for')]),
    ],
)  # fmt: skip
def test_a_key_names_what_there_is(request_: KeyRequest, wrong: list[tuple[str, str]]) -> None:
    assert list(unknown_names(request_, CONFIGURATION)) == wrong


def test_names_of_a_kind_that_nobody_declares_are_the_operators_own() -> None:
    request = KeyRequest("anybody", scopes=frozenset(("anything",)))
    assert list(unknown_names(request, Configuration())) == []
    assert list(unknown_names(KeyRequest("a", plan="gold"), Configuration())) == [("plan", 'there is no plan "gold"')]
    assert list(bad_networks(("10.0.0.0/8", "10.0.0.0/99"))) == [
        ("cidrs", "'10.0.0.0/99' is no network, such as 10.0.0.0/8")
    ]


class Named:
    def verify(self, token: bytes, now: float) -> TokenOutcome:
        return Verified(Principal("alice", "jwt", "main", consumer=token.decode()))


def test_a_tokens_consumer_must_exist_where_consumers_are_declared() -> None:
    cache = TokenCache(Named(), RevocationSet(), Consumers(CONFIGURATION.consumers).of)
    assert isinstance(cache.verify(b"acme", NOW), Verified)
    assert cache.verify(b"acmee", NOW) == Refused("consumer_unknown")
    assert isinstance(TokenCache(Named(), RevocationSet(), Consumers().of).verify(b"acmee", NOW), Verified)
