"""Tokens that only their sender may show: bound to a key it proves (DPoP, RFC 9449) or to its certificate (RFC 8705).

A token says what it is bound to in `cnf` (RFC 7800): `jkt`, the thumbprint of a key (RFC 7638), or `x5t#S256`, the SHA-256 of a
certificate. A DPoP proof is a JWT that the key signed over this very request and token, and is taken once.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from spork.domain.http.authority import authority
from spork.domain.http.head import canonical_path
from spork.domain.identity.tokens import numeric_date, text_of

#: Seconds a proof's `iat` may be off, either way: clocks differ, and proofs travel.
PROOF_AGE: Final = 60.0
#: Longest `jti` taken.
_LONGEST_ID: Final = 256
_DEFAULT_PORTS: Final = {"http": b":80", "https": b":443"}


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What a token is bound to; both empty: to something that is not understood here."""

    key: str = ""
    certificate: str = ""


def confirmation_of(claims: Mapping[str, object]) -> Confirmation | None:
    """What `claims` bind their token to; None for a bearer token."""
    if "cnf" not in claims:
        return None
    said = claims["cnf"]
    if not isinstance(said, Mapping):
        return Confirmation()
    return Confirmation(text_of(said.get("jkt")), text_of(said.get("x5t#S256")))


def certificate_thumbprint(sha256_hex: str) -> str:
    """`x5t#S256` of a certificate whose DER has this SHA-256, in hex; "" when that is none."""
    try:
        digest = bytes.fromhex(sha256_hex)
    except ValueError:
        return ""
    return _base64url(digest) if len(digest) == 32 else ""


@dataclass(frozen=True, slots=True)
class Proof:
    """A DPoP proof whose signature holds: the thumbprint of its key, and its claims."""

    thumbprint: str
    claims: Mapping[str, object]


def refuse_proof(proof: Proof, bound_to: str, method: str, uri: str, token: bytes, now: float) -> str | None:
    """Why a proof is not one for this request and token at `now` (Unix seconds), as a slug; None when it is."""
    if not hmac.compare_digest(proof.thumbprint.encode(), bound_to.encode()):
        return "proof_key_mismatch"
    claims = proof.claims
    if claims.get("htm") != method:
        return "proof_method_mismatch"
    address = claims.get("htu")
    wanted = normal_address(uri)
    if not isinstance(address, str) or wanted is None or normal_address(address) != wanted:
        return "proof_address_mismatch"
    issued = numeric_date(claims.get("iat"))
    if issued is None or abs(now - issued) > PROOF_AGE:
        return "proof_too_old"
    if not 0 < len(text_of(claims.get("jti"))) <= _LONGEST_ID:
        return "proof_id_missing"
    digest = _base64url(hashlib.sha256(token).digest())
    given = claims.get("ath")
    if not isinstance(given, str) or not hmac.compare_digest(given.encode("utf-8", "replace"), digest.encode()):
        return "proof_token_mismatch"
    return None


def mark_of(proof: Proof) -> bytes:
    """What a proof is remembered by, so that it is taken once: its key and its id. Injective."""
    return hashlib.sha256(f"dpop {proof.thumbprint} {proof.claims.get('jti')}".encode("utf-8", "replace")).digest()


def normal_address(uri: str) -> tuple[str, bytes, bytes] | None:
    """Scheme, host and path of an http URI, each in its normal form (RFC 9449 4.3); query and fragment do not count."""
    try:
        parts = urlsplit(uri)
        scheme, host = parts.scheme.lower(), authority(parts.netloc.encode("ascii"))
        path = canonical_path(parts.path.encode("ascii") or b"/", True)
    except ValueError:
        return None
    if scheme not in _DEFAULT_PORTS or host is None or not isinstance(path, bytes):
        return None
    return scheme, host.removesuffix(_DEFAULT_PORTS[scheme]), path


def _base64url(digest: bytes) -> str:
    return urlsafe_b64encode(digest).rstrip(b"=").decode("ascii")
