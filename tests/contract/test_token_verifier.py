"""TokenVerifier: one suite over published keys, written keys, introspection, an auth service, and known tokens.

Each is met as the gateway uses it, behind `RememberedVerdicts`.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import pytest

from spork.adapters.httpx.fetch import HttpCalls
from spork.adapters.httpx.introspection import Authority as Asking
from spork.adapters.httpx.introspection import AuthServiceVerifier, IntrospectionVerifier
from spork.adapters.jwt.verifier import JwtVerifier, trust
from spork.adapters.memory.token_verifier import KnownTokens
from spork.application.callers.verdicts import LONGEST, TokenCache
from spork.domain.identity.revocation import Revocation, RevocationKind, RevocationSet
from spork.domain.identity.tokens import (
    ClaimNames,
    Issuer,
    Principal,
    Refused,
    TokenOutcome,
    TokenVerifier,
    Verified,
    principal_of,
)
from tests.authorities import Authority, authority
from tests.tokens import AUDIENCE, ISSUER, NOW, claims, public_jwk, token


@dataclass
class Subject:
    """A verifier with a way to make tokens it must take."""

    verifier: TokenVerifier
    make: Callable[..., bytes]
    revoked: RevocationSet
    verdicts: TokenCache
    method: str

    async def verify(self, raw: bytes, now: float = NOW) -> TokenOutcome:
        found = self.verdicts.verify(raw, now)
        return await found if isinstance(found, Awaitable) else found


@pytest.fixture(params=["jwks", "discovery", "static", "introspection", "auth_service", "memory"])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    kind: str = request.param
    calls = HttpCalls()
    with authority() as issuer:
        inner, make, method = _verifier(kind, issuer, calls)
        revoked = RevocationSet()
        yield Subject(inner, make, revoked, TokenCache(inner, revoked), method)
        await calls.close()


def _verifier(kind: str, issuer: Authority, calls: HttpCalls) -> tuple[TokenVerifier, Callable[..., bytes], str]:
    jwks = {"keys": [public_jwk("rsa", "k1")]}
    issuer.jwks = jwks
    serial = iter(range(1000))

    def opaque(**changes: object) -> bytes:
        raw = f"opaque-{next(serial)}"
        issuer.active[raw] = claims(**changes)
        return raw.encode()

    if kind == "memory":
        known = KnownTokens()

        def remember(**changes: object) -> bytes:
            raw = f"known-{next(serial)}".encode()
            principal = principal_of(claims(**changes), ClaimNames(), "idp", "jwt")
            assert principal is not None
            known.know(raw, principal)
            return raw

        return known, remember, "jwt"
    if kind == "introspection":
        declared = Issuer(
            "idp", ISSUER, (AUDIENCE,), introspection_url=f"{issuer.url}/introspect", client_id="gateway", client_secret="secret"
        )  # fmt: skip
        return IntrospectionVerifier(declared, Asking(calls, None)), opaque, "introspection"
    if kind == "auth_service":
        return AuthServiceVerifier(issuer.url, Asking(calls, None), ClaimNames()), opaque, "auth_service"
    if kind == "static":
        declared = Issuer("idp", ISSUER, (AUDIENCE,), keys=(json.dumps(jwks),))
        return JwtVerifier([trust(declared, calls)]), token, "jwt"
    if kind == "discovery":
        declared = Issuer("idp", issuer.url, (AUDIENCE,), discovery=True)
        return JwtVerifier([trust(declared, calls)]), lambda **c: token(**{"iss": issuer.url, **c}), "jwt"
    declared = Issuer("idp", ISSUER, (AUDIENCE,), jwks_url=f"{issuer.url}/jwks")
    return JwtVerifier([trust(declared, calls)]), token, "jwt"


async def test_a_good_token_names_its_caller(subject: Subject) -> None:
    found = await subject.verify(subject.make())
    assert isinstance(found, Verified)
    principal: Principal = found.principal
    assert (principal.subject, principal.method) == ("alice", subject.method)
    assert (principal.tenant, principal.session, principal.token_id) == ("acme", "s-1", "t-1")
    assert (principal.roles, principal.scopes) == ({"reader"}, {"users:read", "users:write"})
    assert (principal.issued_at, principal.expires_at) == (NOW - 10, NOW + 300)
    assert dict(found.identity)[b"x-user-id"] == b"alice"


@pytest.mark.parametrize("bad", [b"", b"x", b"a.b.c", b"\xff\xfe", b"a b", b"x" * 9000, b"\r\nHost: evil"])
async def test_what_is_no_token_is_refused(subject: Subject, bad: bytes) -> None:
    assert isinstance(await subject.verify(bad), Refused)


async def test_an_expired_token_is_refused(subject: Subject) -> None:
    assert isinstance(await subject.verify(subject.make(exp=NOW - 61)), Refused)


async def test_a_remembered_token_ends_on_time(subject: Subject) -> None:
    raw = subject.make(exp=NOW + 20)
    assert isinstance(await subject.verify(raw), Verified)
    assert isinstance(await subject.verify(raw, NOW + 81), Refused)


async def test_a_second_look_is_at_once_and_asks_nobody(subject: Subject) -> None:
    raw = subject.make()
    first = await subject.verify(raw)
    assert subject.verdicts.verify(raw, NOW + LONGEST - 1) is first


async def test_many_at_once_get_one_answer(subject: Subject) -> None:
    raw = subject.make()
    found = await asyncio.gather(*(subject.verify(raw) for _ in range(20)))
    assert all(isinstance(one, Verified) for one in found)


@pytest.mark.parametrize(
    "revocation",
    [
        Revocation(RevocationKind.TOKEN, "t-1"),
        Revocation(RevocationKind.SESSION, "s-1"),
        Revocation(RevocationKind.SUBJECT, "alice", before=NOW),
    ],
)
async def test_a_revoked_token_is_refused(subject: Subject, revocation: Revocation) -> None:
    raw = subject.make()
    assert isinstance(await subject.verify(raw), Verified)
    subject.revoked.add(revocation)
    subject.verdicts.forget()
    assert isinstance(await subject.verify(raw), Refused)


async def test_a_subject_is_needed_and_must_be_one_line(subject: Subject) -> None:
    if isinstance(subject.verifier, KnownTokens):
        return  # a known token has a principal, which has a subject
    assert isinstance(await subject.verify(subject.make(sub=None)), Refused)
    assert isinstance(await subject.verify(subject.make(sub="alice\nX-User-Id: root")), Refused)
