"""Who calls: verified claims, the outcomes of looking at a credential, and the TokenVerifier port."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Principal:
    """The verified caller of one request. Times in Unix seconds. `method` is how: jwt, api_key, basic, mtls, ..."""

    subject: str
    method: str
    issuer: str = ""
    consumer: str = ""
    plan: str = ""
    tenant: str = ""
    session: str = ""
    token_id: str = ""
    key_id: str = ""
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    amr: frozenset[str] = frozenset()
    acr: str = ""
    issued_at: float = 0.0
    expires_at: float = 0.0
    claims: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verified:
    """The credential is good."""

    principal: Principal


@dataclass(frozen=True, slots=True)
class NotPresented:
    """There is no credential of this kind on the request: another method may try ("not mine" is a third answer)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A credential was presented and is not good. `reason` is a stable slug for logs and metrics, not for the client."""

    reason: str


CredentialOutcome = Verified | NotPresented | Refused


class TokenVerifier(Protocol):
    """Says whether a token is good at `now` (Unix seconds). Answers at once when it can (a cached verdict),
    an awaitable when it has to ask (keys to fetch, introspection)."""

    def verify(self, token: bytes, now: float) -> Verified | Refused | Awaitable[Verified | Refused]: ...


@dataclass(frozen=True, slots=True)
class ClaimNames:
    """Where in a token the principal's parts stand; dotted paths reach into objects (`realm_access.roles`)."""

    subject: str = "sub"
    roles: str = "roles"
    scopes: str = "scope"
    tenant: str = "tenant"
    session: str = "sid"
    consumer: str = ""
    plan: str = ""


@dataclass(frozen=True, slots=True)
class Issuer:
    """One trusted token issuer. Keys come from exactly one of discovery, jwks_url, jwks_file, keys or introspection_url.

    `keys` are JWK or PEM texts. `leeway` in seconds, at most 60. `type` is the required `typ`, empty for any.
    """

    name: str
    issuer: str
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...] = ("RS256", "ES256", "EdDSA")
    discovery: bool = False
    jwks_url: str = ""
    jwks_file: str = ""
    keys: tuple[str, ...] = ()
    leeway: float = 60.0
    type: str = ""
    required: tuple[str, ...] = ()
    claim_names: ClaimNames = ClaimNames()
    introspection_url: str = ""
    client_id: str = ""
    client_secret: str = ""
