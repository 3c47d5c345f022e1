"""Keys and tokens for tests: every signing key is made once per test session."""

from __future__ import annotations

import base64
import json
from functools import lru_cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import get_default_algorithms

NOW = 1_800_000_000.0
ISSUER = "https://idp.example.com"
AUDIENCE = "api"


def private_key(kind: str, number: int = 0) -> Any:
    """A private key: `rsa`, `ec` (P-256), `ec384` or `ed`; `number` tells several of a kind apart."""
    return _made_once(kind, number)


@lru_cache
def _made_once(kind: str, number: int) -> Any:
    if kind == "rsa":
        return rsa.generate_private_key(65537, 2048)
    if kind.startswith("ec"):
        return ec.generate_private_key(ec.SECP384R1() if kind == "ec384" else ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


ALGORITHM = {"rsa": "RS256", "ec": "ES256", "ec384": "ES384", "ed": "EdDSA"}


def public_jwk(kind: str, kid: str | None = None, number: int = 0, **more: object) -> dict[str, Any]:
    """The public JWK of `private_key(kind, number)`."""
    algorithm = get_default_algorithms()[ALGORITHM[kind]]
    jwk = json.loads(algorithm.to_jwk(private_key(kind, number).public_key()))
    jwk.pop("key_ops", None)
    return {**jwk, **({"kid": kid} if kid is not None else {}), **more}


def claims(**changes: object) -> dict[str, object]:
    """Good claims at NOW; a value of None leaves the claim out."""
    good: dict[str, object] = {
        "iss": ISSUER, "sub": "alice", "aud": AUDIENCE, "exp": NOW + 300, "iat": NOW - 10, "jti": "t-1", "sid": "s-1",
        "roles": ["reader"], "scope": "users:read users:write", "tenant": "acme",
    }  # fmt: skip
    return {name: value for name, value in {**good, **changes}.items() if value is not None}


def b64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def raw_token(header: bytes | dict[str, object], payload: bytes | dict[str, object], signing: Any, alg: str) -> bytes:
    """A token of exactly these bytes, signed for real with `signing` as `alg` would."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    signed = b64(head) + b"." + b64(body)
    return signed + b"." + b64(get_default_algorithms()[alg].sign(signed, signing))


def token(
    kind: str = "rsa",
    kid: str | None = "k1",
    number: int = 0,
    header: dict[str, object] | None = None,
    **changes: object,
) -> bytes:
    """A good token, with these changes to its claims."""
    head = {"alg": ALGORITHM[kind], "typ": "JWT", **({"kid": kid} if kid else {}), **(header or {})}
    return raw_token(head, claims(**changes), private_key(kind, number), ALGORITHM[kind])


def hmac_token(secret: bytes, header: dict[str, object] | None = None, **changes: object) -> bytes:
    return jwt.encode(claims(**changes), secret, "HS256", headers=header).encode()
