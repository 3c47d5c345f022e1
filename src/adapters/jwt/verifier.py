"""JWT verification (RFC 7519, RFC 8725, RFC 9068): our checks of structure and claims around PyJWT's cryptography.

The order is: shape, issuer, algorithm, key, signature, claims. Nothing a token says about where its key is (`jku`,
`jwk`, `x5u`, `x5c`) is looked at; a token with `crit` asks for something we do not implement and is refused.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Final

from spork.adapters.jwt.keys import SUPPORTED, KeySet, read_static
from spork.adapters.jwt.sources import KeySource, PublishedKeys, StaticKeys
from spork.adapters.jwt.structure import Malformed, Token, json_object, take_apart
from spork.application.callers.ports import DocumentFetch
from spork.domain.identity.tokens import (
    ClaimNames,
    ClaimPolicy,
    Issuer,
    Refused,
    TokenOutcome,
    Unverifiable,
    Verified,
    claim_policy,
    principal_of,
    refuse_claims,
)

#: Seconds a request waits for keys that are being fetched.
PATIENCE: Final = 2.0


@dataclass(frozen=True, slots=True)
class TrustedIssuer:
    """An issuer, compiled: its keys, the algorithms it may use, and what its tokens must say."""

    name: str
    keys: KeySource
    algorithms: frozenset[str]
    policy: ClaimPolicy
    names: ClaimNames
    type: str = ""


#: Key sets by where and how they are fetched: the JWKS address ("" for discovery), the issuer, its CA, plain http.
Published = dict[tuple[str, str, str, bool], PublishedKeys]


def trust(
    issuer: Issuer, fetch: DocumentFetch, read_file: str = "", published: Published | None = None
) -> TrustedIssuer:
    """Compile a declared issuer. `read_file` is the text of its `jwks_file`; keys that are `published` already stay those
    that were had, whatever else of the issuer changes. Raises KeyRefused or ValueError."""
    source: KeySource
    if issuer.jwks_url or issuer.discovery:
        known = {} if published is None else published
        place = (issuer.jwks_url, issuer.issuer, issuer.ca, issuer.plain_http)
        if place not in known:
            known[place] = PublishedKeys(
                fetch, jwks_url=issuer.jwks_url, issuer=issuer.issuer, ca=issuer.ca, plain=issuer.plain_http
            )
        source = known[place]
        allowed = {name for name in issuer.algorithms if not name.startswith("HS")}
    else:
        source = StaticKeys(read_static(issuer.keys if issuer.keys else (read_file,)))
        allowed = set(issuer.algorithms)
    unknown = set(issuer.algorithms) - SUPPORTED
    if unknown or not allowed:
        raise ValueError(
            f"issuer {issuer.name}: algorithms {', '.join(sorted(unknown or issuer.algorithms))} cannot be used"
        )
    return TrustedIssuer(
        issuer.name, source, frozenset(allowed), claim_policy(issuer), issuer.claim_names, issuer.type.lower()
    )


class JwtVerifier:
    """Verifies tokens of several issuers. Answers at once unless keys have to be fetched first."""

    def __init__(self, issuers: Sequence[TrustedIssuer]) -> None:
        self._issuers = {issuer.policy.issuer: issuer for issuer in issuers}

    def verify(self, token: bytes, now: float) -> TokenOutcome | Awaitable[TokenOutcome]:
        try:
            parts = take_apart(token)
            issuer = self._issuer_of(parts)
            algorithm = _check_header(parts.header, issuer)
        except Malformed as malformed:
            return Refused(malformed.reason)
        kid = parts.header.get("kid")
        keys = issuer.keys.current(now)
        if keys is None or not keys.knows(kid):
            refresh = issuer.keys.refresh(now, kid)
            if refresh is not None:
                return _verify_later(refresh, parts, issuer, algorithm, now)
        return _verify_with(keys, parts, issuer, algorithm, now)

    def _issuer_of(self, parts: Token) -> TrustedIssuer:
        """The issuer a token says it is from, before its signature is known to be good: only used to pick keys."""
        claimed = json_object(parts.payload, "payload_malformed").get("iss")
        issuer = self._issuers.get(claimed) if isinstance(claimed, str) else None
        if issuer is None:
            raise Malformed("issuer_unknown")
        return issuer


def _check_header(header: dict[str, object], issuer: TrustedIssuer) -> str:
    """The algorithm of an acceptable header. Raises Malformed."""
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in issuer.algorithms:
        raise Malformed("algorithm_not_allowed")
    if "crit" in header or header.get("b64", True) is not True:
        raise Malformed("critical_header")
    if "kid" in header and not isinstance(header["kid"], str):
        raise Malformed("key_id_malformed")
    if issuer.type and not _same_type(header.get("typ"), issuer.type):
        raise Malformed("type_mismatch")
    return algorithm


def _same_type(given: object, wanted: str) -> bool:
    """Media types without case; `application/` may be left out (RFC 7515 4.1.9)."""
    return isinstance(given, str) and given.lower().removeprefix("application/") == wanted.removeprefix("application/")


async def _verify_later(
    refresh: Awaitable[KeySet | None], parts: Token, issuer: TrustedIssuer, algorithm: str, now: float
) -> TokenOutcome:
    """With the keys of a refresh; a request waits `PATIENCE` for it at most, the refresh itself goes on."""
    try:
        async with asyncio.timeout(PATIENCE):
            keys = await refresh
    except TimeoutError:
        return Unverifiable("keys_unavailable")
    return _verify_with(keys, parts, issuer, algorithm, now)


def _verify_with(keys: KeySet | None, parts: Token, issuer: TrustedIssuer, algorithm: str, now: float) -> TokenOutcome:
    if keys is None:
        return Unverifiable("keys_unavailable")
    key = keys.choose(parts.header.get("kid"), algorithm)
    if key is None:
        return Refused("key_unknown")
    if not key.verify(algorithm, parts.signed, parts.signature):
        return Refused("signature_mismatch")
    claims = json_object(parts.payload, "payload_malformed")
    reason = refuse_claims(claims, issuer.policy, now)
    if reason is not None:
        return Refused(reason)
    principal = principal_of(claims, issuer.names, issuer.name, "jwt")
    if principal is not None:
        return Verified(principal)
    odd = claims.get("sub") is not None and not isinstance(claims["sub"], str)
    return Refused("subject_not_text" if odd else "subject_missing")  # RFC 7519 4.1.2: a StringOrURI
