"""Groups of methods inside one another, through the guard that routes have."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any

import pytest

from spork.application.callers.combining import AllOf, AnyOf
from spork.application.callers.methods import NOT_PRESENTED
from spork.application.guards.credentials import CredentialsGuard
from spork.domain.identity.authorization import AuthPolicy, CredentialGroup, method_names
from spork.domain.identity.tokens import CredentialOutcome, Principal, Refused, Unverifiable, Verified
from spork.domain.outcomes import Denial
from tests.exchanges import exchange


class Shown:
    """A method whose credential is one header: `good`, `bad`, `foreign` or `later`."""

    costly = False
    guessable = False

    def __init__(self, name: str, **principal: Any) -> None:
        self.name = name
        self.challenge = f"X-{name}"
        self.consumes = frozenset((name.encode(),))
        self.principal = Principal(name, name, **principal)

    def authenticate(self, asked: Any) -> CredentialOutcome:
        value = asked.head.header(self.name.encode())
        if value is None:
            return NOT_PRESENTED
        if value == b"good":
            return Verified(self.principal)
        return {b"foreign": Refused("not_a_jwt"), b"later": Unverifiable("away")}.get(value) or Refused("bad")


JWT, KEY, MTLS = Shown("jwt", issuer="idp"), Shown("key", key_id="k1", plan="pro"), Shown("mtls", consumer="machine")
#: any_of: [jwt, {all_of: [mtls, {any_of: [key, jwt]}]}]
METHODS = (JWT, AllOf((MTLS, AnyOf((KEY, JWT)))))


async def admit(headers: dict[str, str], methods: Any = METHODS, **policy: Any) -> tuple[str, Principal | None]:
    guard = CredentialsGuard(AuthPolicy(any_of=("jwt",), **policy), methods)
    one = exchange(headers=headers)
    verdict = guard.admit(one)
    verdict = await verdict if isinstance(verdict, Awaitable) else verdict
    return (verdict.reason if isinstance(verdict, Denial) else "in"), one.principal


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"jwt": "good"}, "in"),
        ({"mtls": "good", "key": "good"}, "in"),
        ({"mtls": "good"}, "unauthenticated"),
        ({"key": "good"}, "unauthenticated"),
        ({}, "unauthenticated"),
        ({"mtls": "bad", "key": "good"}, "invalid_credentials"),
        ({"mtls": "good", "key": "bad"}, "invalid_credentials"),
        ({"mtls": "good", "key": "later"}, "authentication_unavailable"),
        ({"jwt": "foreign", "mtls": "good", "key": "good"}, "in"),
        ({"jwt": "foreign", "mtls": "good"}, "invalid_credentials"),
        ({"jwt": "bad", "mtls": "good", "key": "good"}, "invalid_credentials"),
    ],
)
async def test_a_group_stands_for_one_method(headers: dict[str, str], said: str) -> None:
    assert (await admit(headers))[0] == said


async def test_the_first_of_a_group_leads_and_the_others_fill_in() -> None:
    _, principal = await admit({"mtls": "good", "key": "good"})
    assert principal is not None
    assert (principal.subject, principal.consumer, principal.key_id, principal.plan) == ("mtls", "machine", "k1", "pro")


async def test_each_credential_of_a_group_is_of_an_issuer_the_route_takes() -> None:
    issuers = frozenset(("other",))
    said, _ = await admit({"mtls": "good", "jwt": "good"}, (AllOf((MTLS, JWT), issuers),), issuers=("other",))
    assert said == "invalid_credentials"


def test_challenges_and_consumed_headers_are_those_of_the_members() -> None:
    guard = CredentialsGuard(AuthPolicy(), METHODS)
    assert guard.consumes == {b"jwt", b"key", b"mtls"}
    refused = guard._absent.headers
    assert [value.split(b" ")[0] for _, value in refused] == [b"X-jwt", b"X-mtls", b"X-key"]


def test_the_names_of_all_methods() -> None:
    group = CredentialGroup(all_of=("mtls", CredentialGroup(any_of=("api_key", "jwt"))))
    assert method_names(("jwt", group)) == ("jwt", "mtls", "api_key", "jwt")
