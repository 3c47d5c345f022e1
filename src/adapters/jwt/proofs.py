"""DPoP proofs (RFC 9449 4.3): a JWT that carries its own public key and is signed with it."""

from __future__ import annotations

import hashlib
import json
from base64 import urlsafe_b64encode

from spork.adapters.jwt.keys import SUPPORTED, KeyRefused, read_key
from spork.adapters.jwt.structure import Malformed, json_object, take_apart
from spork.domain.identity.sender import Proof
from spork.domain.identity.tokens import Refused

#: Algorithms that a proof may be signed with: asymmetric ones.
ALGORITHMS = frozenset(name for name in SUPPORTED if not name.startswith("HS"))
#: Members of a JWK that its thumbprint is of (RFC 7638 3.2).
_MEMBERS = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
#: Parts of private keys; a proof with one of them has given its key away.
_PRIVATE = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))


def read_proof(text: bytes) -> Proof | Refused:
    """The proof, if it is well-formed and its signature holds; what it says is not judged here."""
    try:
        parts = take_apart(text)
        header = parts.header
        algorithm, jwk = header.get("alg"), header.get("jwk")
        if header.get("typ") != "dpop+jwt" or "crit" in header:
            return Refused("proof_type")
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            return Refused("proof_algorithm")
        if not isinstance(jwk, dict) or jwk.get("kty") not in _MEMBERS or not _PRIVATE.isdisjoint(jwk):
            return Refused("proof_key")
        key = read_key({name: value for name, value in jwk.items() if name not in ("use", "key_ops")})
        if algorithm not in key.algorithms:
            return Refused("proof_algorithm")
        if not key.verify(algorithm, parts.signed, parts.signature):
            return Refused("proof_signature")
        return Proof(thumbprint(jwk), json_object(parts.payload, "payload_malformed"))
    except Malformed:
        return Refused("proof_malformed")
    except KeyRefused:
        return Refused("proof_key")


def thumbprint(jwk: dict[str, object]) -> str:
    """RFC 7638: SHA-256 over the required members in their order, as base64url."""
    members = {name: jwk.get(name) for name in _MEMBERS[str(jwk["kty"])]}
    text = json.dumps(members, separators=(",", ":"), sort_keys=True)
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode("ascii")
