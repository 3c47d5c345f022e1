"""Several methods as one: every one of them, or one of them, inside another `any_of` or `all_of`."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spork.application.callers.methods import NOT_PRESENTED, Method
from spork.domain.identity.tokens import (
    NOT_MINE,
    CredentialOutcome,
    NotPresented,
    Principal,
    Refused,
    Verified,
    identity_headers,
)

if TYPE_CHECKING:
    from spork.application.exchange.exchange import Exchange

#: Methods whose tokens are of a declared issuer; the auth service is named by the route itself.
_ISSUED: Final = frozenset(("jwt", "introspection"))
_NOT_ACCEPTED: Final = Refused("issuer_not_accepted")


def foreign(principal: Principal, issuers: frozenset[str]) -> bool:
    """Whether a principal is of a token whose issuer is none of `issuers`, the ones a route takes (empty: all)."""
    return bool(issuers) and principal.method in _ISSUED and principal.issuer not in issuers


def joined(verdicts: Sequence[Verified]) -> Verified:
    """The first verdict, with what it lacks (consumer, plan, tenant, key) taken from the others."""
    principal = verdicts[0].principal
    for verdict in verdicts[1:]:
        other = verdict.principal
        principal = replace(
            principal,
            consumer=principal.consumer or other.consumer,
            plan=principal.plan or other.plan,
            tenant=principal.tenant or other.tenant,
            key_id=principal.key_id or other.key_id,
        )
    return Verified(principal, identity_headers(principal))


class _Group:
    """What a group says of its members: it takes what they take, and is as costly as the costliest."""

    challenge = ""

    def __init__(self, methods: Sequence[Method]) -> None:
        self.members = tuple(methods)
        self.consumes: frozenset[bytes] = frozenset().union(*(method.consumes for method in methods))
        self.costly = any(method.costly for method in methods)
        self.guessable = any(method.guessable for method in methods)


class AllOf(_Group):
    """Every method must find its credential and find it good; the first one's principal leads.

    Not presented when one of them is not and the others are not bad: another method may try. `issuers` are those whose
    tokens the route takes, asked of each credential by itself.
    """

    name = "all_of"

    def __init__(self, methods: Sequence[Method], issuers: frozenset[str] = frozenset()) -> None:
        super().__init__(methods)
        self._issuers = issuers

    async def authenticate(self, exchange: Exchange) -> CredentialOutcome:
        verdicts: list[Verified] = []
        absent = False
        for method in self.members:
            answer = method.authenticate(exchange)
            outcome = await answer if isinstance(answer, Awaitable) else answer
            if isinstance(outcome, NotPresented):
                absent = True
            elif not isinstance(outcome, Verified):
                return outcome
            elif foreign(outcome.principal, self._issuers):
                return _NOT_ACCEPTED
            else:
                verdicts.append(outcome)
        return NOT_PRESENTED if absent else joined(verdicts)


class AnyOf(_Group):
    """One of the methods, tried in their order until one finds its credential."""

    name = "any_of"

    async def authenticate(self, exchange: Exchange) -> CredentialOutcome:
        foreign_token: Refused | None = None
        for method in self.members:
            answer = method.authenticate(exchange)
            outcome = await answer if isinstance(answer, Awaitable) else answer
            if isinstance(outcome, NotPresented):
                continue
            if isinstance(outcome, Refused) and outcome.reason in NOT_MINE:
                foreign_token = outcome
                continue
            return outcome
        return NOT_PRESENTED if foreign_token is None else foreign_token


def leaves(methods: Sequence[Method]) -> tuple[Method, ...]:
    """The methods themselves, those of groups included."""
    found: list[Method] = []
    for method in methods:
        found += leaves(method.members) if isinstance(method, AllOf | AnyOf) else (method,)
    return tuple(found)
