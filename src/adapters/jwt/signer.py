"""The gateway's own tokens: a short-lived JWT that tells a target who calls, and the public keys to check it with."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from typing import Any

import jwt
from jwt.algorithms import get_default_algorithms

from spork.domain.identity.tokens import Verified

#: Seconds a signed identity is good for; one is used again during the first half of them.
LIFETIME = 60.0

_ALGORITHMS = get_default_algorithms()
_OF_CURVE = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}


class SigningKeyRefused(ValueError):
    """The signing key cannot be used; the text says why."""


def read_signing_key(text: str) -> tuple[str, Any, dict[str, object]]:
    """(algorithm, private key, public JWK with `kid`) of a PEM or JWK private key: RSA, P-256/384/521 or Ed25519."""
    for name in ("EdDSA", "ES256", "ES384", "ES512", "RS256"):
        algorithm: Any = _ALGORITHMS[name]
        try:
            key = algorithm.prepare_key(text) if "-----BEGIN" in text else algorithm.from_jwk(text)
            private = json.loads(algorithm.to_jwk(key))
            public = json.loads(algorithm.to_jwk(key.public_key()))
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError):
            continue
        if "d" not in private or _OF_CURVE.get(public.get("crv", ""), name) != name:
            continue
        public.pop("key_ops", None)
        return name, key, {**public, "use": "sig", "alg": name, "kid": thumbprint(public)}
    raise SigningKeyRefused("not a private RSA, EC or Ed25519 key in PEM or JWK form")


def thumbprint(public: Mapping[str, object]) -> str:
    """The JWK thumbprint (RFC 7638), shortened to 16 characters: a key id that follows from the key."""
    members = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x")}
    needed = members[str(public["kty"])]
    canonical = json.dumps({name: public[name] for name in needed}, separators=(",", ":"), sort_keys=True)
    digest = hashlib.sha256(canonical.encode()).digest()
    return base64.urlsafe_b64encode(digest)[:16].decode("ascii")


class JwtIdentitySigner:
    """Implements `IdentitySigner`. `issuer` is what the tokens say they are from. Signed identities are used again
    while fresh, so that signing costs one operation per caller, target and half minute."""

    def __init__(self, key_text: str, issuer: str = "spork", capacity: int = 20_000) -> None:
        self.algorithm, self._key, self._public = read_signing_key(key_text)
        self._issuer = issuer
        self._capacity = capacity
        self._signed: dict[tuple[str, ...], tuple[bytes, float, Verified]] = {}
        self._headers = {"kid": str(self._public["kid"]), "typ": "at+jwt"}

    def key_set(self) -> dict[str, object]:
        return {"keys": [self._public]}

    def sign(self, verdict: Verified, audience: str, now: float) -> bytes:
        principal = verdict.principal
        mark = (principal.subject, principal.method, principal.issuer, principal.token_id, principal.key_id, audience)
        known = self._signed.get(mark)
        if known is not None and known[2] is verdict and 0 <= now - known[1] < LIFETIME / 2:
            return known[0]
        token = self.issue(
            {
                "sub": principal.subject,
                "aud": audience,
                "amr": sorted(principal.amr),
                "acr": principal.acr,
                "tenant": principal.tenant,
                "client_id": principal.consumer,
                "plan": principal.plan,
                "roles": sorted(principal.roles),
                "scope": " ".join(sorted(principal.scopes)),
                "sid": principal.session,
                "idp": principal.issuer,
                "method": principal.method,
            },
            now,
            LIFETIME,
        )
        if len(self._signed) >= self._capacity:
            self._signed.clear()
        self._signed[mark] = (token, now, verdict)
        return token

    def issue(self, claims: Mapping[str, object], now: float, lifetime: float) -> bytes:
        """A token with these claims (empty ones left out), from now and for `lifetime` seconds."""
        given = {name: value for name, value in claims.items() if value not in ("", [], None)}
        body = {"iss": self._issuer, "iat": int(now), "exp": int(now + lifetime), **given}
        return jwt.encode(body, self._key, self.algorithm, headers=self._headers).encode("ascii")
