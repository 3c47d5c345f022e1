"""DPoP proofs for tests, good until they are changed."""

from __future__ import annotations

import hashlib
import time
import uuid
from typing import Any

from spork.adapters.jwt.proofs import thumbprint
from tests.tokens import ALGORITHM, b64, private_key, public_jwk, raw_token


def jkt(kind: str = "ec", number: int = 0) -> str:
    """What a token bound to the key of `proof(kind, number)` says in `cnf.jkt`."""
    return thumbprint(public_jwk(kind, number=number))


def proof(
    token: bytes | str,
    method: str = "GET",
    uri: str = "https://api.example.com/x",
    *,
    kind: str = "ec",
    number: int = 0,
    header: dict[str, Any] | None = None,
    now: float | None = None,
    **changes: object,
) -> bytes:
    """A proof for one request; None leaves a claim out."""
    raw = token.encode() if isinstance(token, str) else token
    claims: dict[str, object] = {
        "htm": method, "htu": uri, "iat": time.time() if now is None else now, "jti": uuid.uuid4().hex,
        "ath": b64(hashlib.sha256(raw).digest()).decode(),
    }  # fmt: skip
    claims = {name: value for name, value in {**claims, **changes}.items() if value is not None}
    head = {"typ": "dpop+jwt", "alg": ALGORITHM[kind], "jwk": public_jwk(kind, number=number), **(header or {})}
    return raw_token(head, claims, private_key(kind, number), ALGORITHM[kind])
