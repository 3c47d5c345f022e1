"""For whom a document is made: what a caller could call, judged by the routes' own policies."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace

from spork.application.configuration.model import Configuration
from spork.domain.identity.authorization import AuthorizationInput, AuthPolicy, authorize, demands_anything
from spork.domain.identity.tokens import Principal, claim_at, words_of
from spork.domain.openapi.publication import PublishedOperation

_ISSUED = frozenset(("jwt", "introspection"))


class Audience:
    """One kind of caller. Equal `key`: the same operations."""

    def __init__(self, key: Hashable, shows: Callable[[PublishedOperation], bool]) -> None:
        self.key = key
        self.shows = shows


EVERYBODY = Audience("all", lambda operation: True)


def audience_of(principal: Principal | None, configuration: Configuration) -> Audience:
    """The audience a caller belongs to; None: nobody showed who it is."""
    policies = _policies(configuration)
    if principal is None:
        return Audience("anonymous", lambda operation: _public(policies.get(operation.route)))
    claims = sorted({name for policy in policies.values() if policy is not None for name, _ in policy.claims})
    key = (
        principal.method,
        principal.issuer,
        principal.roles,
        principal.scopes,
        words_of(principal.claims.get("permissions")),
        tuple(repr(claim_at(principal.claims, name)) for name in claims),
    )
    return Audience(key, lambda operation: _callable(policies.get(operation.route), principal, operation.method))


def audience_with(roles: frozenset[str], scopes: frozenset[str], configuration: Configuration) -> Audience:
    """Of a caller with these roles and scopes, however it shows them."""
    principal = Principal("", "", roles=roles, scopes=scopes)
    policies = _policies(configuration)
    return Audience(
        ("with", roles, scopes),
        lambda operation: _callable(policies.get(operation.route), principal, operation.method),
    )


def _policies(configuration: Configuration) -> Mapping[str, AuthPolicy | None]:
    return {route.name: route.auth for route in configuration.routes}


def _public(policy: AuthPolicy | None) -> bool:
    if policy is None:
        return True
    return "anonymous" in policy.any_of and not policy.all_of and not demands_anything(policy)


def _callable(policy: AuthPolicy | None, principal: Principal, method: str) -> bool:
    if policy is None:
        return True
    taken = frozenset(policy.methods)
    if principal.method and principal.method not in taken and "anonymous" not in taken:
        return False
    if policy.issuers and principal.method in _ISSUED and principal.issuer not in policy.issuers:
        return False
    lasting = replace(policy, tenant="", mfa=False, acr=(), max_age=None)
    return authorize(principal, lasting, AuthorizationInput(method.upper(), 0.0)) is None
