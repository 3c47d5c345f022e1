"""DPoP proofs (RFC 9449 4.3): each way in which one may not be a proof for this request and token."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spork.adapters.jwt.proofs import read_proof, thumbprint
from spork.domain.identity.sender import PROOF_AGE, Proof, mark_of, normal_address, refuse_proof
from spork.domain.identity.tokens import Refused
from tests.proofs import jkt, proof
from tests.tokens import NOW, b64, private_key, public_jwk, raw_token

TOKEN = b"header.payload.signature"
URI = "https://api.example.com/x"


def judged(text: bytes, bound: str | None = None, method: str = "GET", uri: str = URI, now: float = NOW) -> str | None:
    found = read_proof(text)
    if isinstance(found, Refused):
        return found.reason
    return refuse_proof(found, jkt() if bound is None else bound, method, uri, TOKEN, now)


def made(**changes: Any) -> bytes:
    return proof(TOKEN, **{"now": NOW, "uri": URI, **changes})


def test_the_thumbprint_of_rfc_7638() -> None:
    jwk = {
        "kty": "RSA", "alg": "RS256", "kid": "2011-04-29", "e": "AQAB",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajr"
        "n1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    }  # fmt: skip
    assert thumbprint(jwk) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


@pytest.mark.parametrize("kind", ["ec", "ec384", "rsa", "ed"])
def test_good_proofs(kind: str) -> None:
    assert judged(made(kind=kind), jkt(kind)) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (made(header={"typ": "jwt"}), "proof_type"),
        (made(header={"crit": ["x"]}), "proof_type"),
        (made(header={"alg": "none"}), "proof_algorithm"),
        (made(header={"alg": "HS256"}), "proof_algorithm"),
        (made(header={"alg": "ES384"}), "proof_algorithm"),
        (made(header={"jwk": None}), "proof_key"),
        (made(header={"jwk": {"kty": "oct", "k": b64(b"k" * 32).decode()}}), "proof_key"),
        (made(header={"jwk": {**public_jwk("ec"), "d": "AA"}}), "proof_key"),
        (made(header={"jwk": {**public_jwk("ec"), "x": "AA"}}), "proof_key"),
        (made(header={"jwk": public_jwk("ec", number=1)}), "proof_signature"),
        (made()[:-4] + b"AAAA", "proof_signature"),
        (b"a.b", "proof_malformed"),
        (b"a.b.c", "proof_malformed"),
        (made(number=1), "proof_key_mismatch"),
        (made(method="POST"), "proof_method_mismatch"),
        (made(htm="get"), "proof_method_mismatch"),
        (made(htm=None), "proof_method_mismatch"),
        (made(uri="https://api.example.com/y"), "proof_address_mismatch"),
        (made(uri="http://api.example.com/x"), "proof_address_mismatch"),
        (made(uri="https://evil.example/x"), "proof_address_mismatch"),
        (made(uri="https://api.example.com.evil/x"), "proof_address_mismatch"),
        (made(uri="https://api.example.com:8443/x"), "proof_address_mismatch"),
        (made(uri="https://user@api.example.com/x"), "proof_address_mismatch"),
        (made(htu=None), "proof_address_mismatch"),
        (made(htu=7), "proof_address_mismatch"),
        (made(now=NOW - PROOF_AGE - 1), "proof_too_old"),
        (made(now=NOW + PROOF_AGE + 1), "proof_too_old"),
        (made(iat=None), "proof_too_old"),
        (made(iat=str(NOW)), "proof_too_old"),
        (made(jti=None), "proof_id_missing"),
        (made(jti=""), "proof_id_missing"),
        (made(jti="x" * 257), "proof_id_missing"),
        (made(ath=None), "proof_token_mismatch"),
        (made(ath=b64(b"\0" * 32).decode()), "proof_token_mismatch"),
        (made(ath="\u00e9"), "proof_token_mismatch"),
        (raw_token(b'{"typ":"dpop+jwt","alg":"ES256","jwk":' + json.dumps(public_jwk("ec")).encode() + b"}",
                   b'{"htm":"GET","htm":"GET"}', private_key("ec"), "ES256"), "proof_malformed"),
    ],
)  # fmt: skip
def test_hostile_proofs(text: bytes, why: str) -> None:
    assert judged(text) == why


@pytest.mark.parametrize(
    "uri",
    [
        "https://API.example.com/x",
        "https://api.example.com:443/x",
        "https://api.example.com/%78",
        "https://api.example.com/x?a=1#b",
    ],
)
def test_spellings_of_one_address(uri: str) -> None:
    assert judged(made(uri=uri)) is None


def test_addresses_with_slashes_in_a_segment_are_others() -> None:
    assert normal_address("https://a/x%2Fy") != normal_address("https://a/x/y")


def test_proofs_are_remembered_by_key_and_id() -> None:
    marks = {mark_of(Proof(key, {"jti": jti})) for key in ("a", "b") for jti in ("1", "2", "1 2")}
    assert len(marks) == 6
