"""Tokens that only their sender may show, through the guard that routes have."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable
from typing import Any

import pytest

from spork.adapters.jwt.proofs import read_proof
from spork.adapters.memory.signatures import MemorySignatures
from spork.application.callers.bound import BoundToken, Senders, ShownThumbprint
from spork.application.callers.methods import BearerToken
from spork.application.guards.credentials import CredentialsGuard
from spork.domain.identity.authorization import AuthPolicy
from spork.domain.identity.sender import certificate_thumbprint
from spork.domain.identity.tokens import Principal, Refused, TokenOutcome, Verified
from spork.domain.outcomes import Denial
from tests.exchanges import exchange
from tests.proofs import jkt, proof
from tests.tokens import NOW

CERTIFICATE = hashlib.sha256(b"der").hexdigest()
X5T = certificate_thumbprint(CERTIFICATE)
CLAIMS: dict[bytes, dict[str, object]] = {
    b"plain": {},
    b"keyed": {"cnf": {"jkt": jkt()}},
    b"held": {"cnf": {"x5t#S256": X5T}},
    b"both": {"cnf": {"jkt": jkt(), "x5t#S256": X5T}},
    b"strange": {"cnf": {"kid": "1"}},
    b"odd": {"cnf": "x"},
    b"empty": {"cnf": {}},
}


class Verifier:
    def __init__(self, slow: bool = False) -> None:
        self.slow = slow

    def verify(self, token: bytes, now: float) -> TokenOutcome | Awaitable[TokenOutcome]:
        claims = CLAIMS.get(token)
        said = Refused("bad") if claims is None else Verified(Principal("alice", "jwt", "idp", claims=claims))
        return self._later(said) if self.slow else said

    async def _later(self, said: TokenOutcome) -> TokenOutcome:
        return said


def guard(demand: str = "", slow: bool = False) -> CredentialsGuard:
    senders = Senders(read_proof, ShownThumbprint("X-Forwarded-Client-Cert", ("10.0.0.9/32",)), MemorySignatures())
    verifier = Verifier(slow)
    methods: list[Any] = []
    if demand in ("mtls", "any"):
        methods.append(BoundToken("jwt", verifier, senders, "bearer", demand))
    elif not demand:
        methods.append(BearerToken("jwt", verifier, False, senders.without_proof))
    if demand != "mtls":
        methods.append(BoundToken("jwt", verifier, senders, "dpop", demand))
    return CredentialsGuard(AuthPolicy(bound=demand), methods)


async def said(
    one: CredentialsGuard, headers: dict[str, str], client: str = "192.0.2.1", certificate: Any = None
) -> str:
    asked = exchange(path="/x", headers=headers, client=client, certificate=certificate)
    verdict: Any = one.admit(asked)
    verdict = await verdict if isinstance(verdict, Awaitable) else verdict
    return (asked.credential_problem or verdict.reason) if isinstance(verdict, Denial) else "in"


def shown(scheme: str, token: str, *, proven: bool = True, **more: Any) -> dict[str, str]:
    given = {"Authorization": f"{scheme} {token}"}
    if proven and scheme == "DPoP":
        given["DPoP"] = proof(token, now=NOW, **more).decode()
    return given


MINE = {"fingerprint": CERTIFICATE}


@pytest.mark.parametrize("slow", [False, True])
@pytest.mark.parametrize(
    ("demand", "headers", "certificate", "verdict"),
    [
        ("", shown("Bearer", "plain"), None, "in"),
        ("", shown("DPoP", "keyed"), None, "in"),
        ("", shown("Bearer", "keyed"), None, "dpop_as_bearer"),
        ("", shown("DPoP", "keyed", proven=False), None, "proof_missing"),
        ("", shown("DPoP", "keyed", number=1), None, "proof_key_mismatch"),
        ("", shown("DPoP", "plain"), None, "token_unbound"),
        ("", shown("DPoP", "held"), MINE, "token_unbound"),
        ("", shown("DPoP", "wrong"), None, "bad"),
        ("", shown("Bearer", "held"), None, "certificate_missing"),
        ("", shown("Bearer", "held"), {"fingerprint": "00" * 32}, "certificate_mismatch"),
        ("", shown("Bearer", "held"), MINE, "in"),
        ("", shown("DPoP", "both"), None, "certificate_missing"),
        ("", shown("DPoP", "both"), MINE, "in"),
        ("", shown("Bearer", "strange"), None, "confirmation_unknown"),
        ("", shown("Bearer", "odd"), None, "confirmation_unknown"),
        ("", shown("Bearer", "empty"), None, "confirmation_unknown"),
        ("dpop", shown("Bearer", "plain"), None, "unauthenticated"),
        ("dpop", shown("DPoP", "keyed"), None, "in"),
        ("mtls", shown("Bearer", "plain"), None, "token_unbound"),
        ("mtls", shown("Bearer", "held"), MINE, "in"),
        ("mtls", shown("DPoP", "keyed"), None, "unauthenticated"),
        ("any", shown("Bearer", "plain"), None, "token_unbound"),
        ("any", shown("Bearer", "held"), MINE, "in"),
        ("any", shown("DPoP", "keyed"), None, "in"),
    ],
)
async def test_bindings(demand: str, headers: dict[str, str], certificate: Any, verdict: str, slow: bool) -> None:
    assert await said(guard(demand, slow), headers, certificate=certificate) == verdict


async def test_a_proof_is_taken_once() -> None:
    one, headers = guard(), shown("DPoP", "keyed")
    assert [await said(one, headers) for _ in range(2)] == ["in", "proof_replayed"]


async def test_two_proofs_are_none() -> None:
    first, second = (proof("keyed", now=NOW) for _ in range(2))
    headers = [(b"authorization", b"DPoP keyed"), (b"dpop", first), (b"dpop", second)]
    asked = exchange(path="/x", headers=headers)
    guard().admit(asked)
    assert asked.credential_problem == "ambiguous"


async def test_a_trusted_proxy_tells_the_certificates_hash() -> None:
    told = {**shown("Bearer", "held"), "X-Forwarded-Client-Cert": f'Hash=00,Hash={CERTIFICATE};Subject="CN=a"'}
    assert await said(guard(), told, client="10.0.0.9") == "in"
    assert await said(guard(), told) == "certificate_missing"
    other = {**told, "X-Forwarded-Client-Cert": f"Hash={CERTIFICATE},Hash={'0' * 64}"}
    assert await said(guard(), other, client="10.0.0.9") == "certificate_mismatch"


def test_a_route_that_demands_proofs_says_so() -> None:
    challenges = [value for _, value in guard("dpop")._absent.headers]
    assert challenges == [b'DPoP realm="spork", algs="ES256 ES384 ES512 PS256 RS256 EdDSA"']
    assert guard().consumes == {b"authorization", b"dpop"}
    assert [value.split(b" ")[0] for _, value in guard()._absent.headers] == [b"Bearer"]


def test_marks_of_many_proofs_cost_a_few_steps_each() -> None:
    store = MemorySignatures(most=100)
    for number in range(20_000):
        assert store.take(number.to_bytes(4, "big"), NOW, 60.0)
    assert store._most <= 40_000
    assert store.take(b"late", NOW + 61.0, 60.0)
