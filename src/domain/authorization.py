"""What a caller must show and be for a route: authentication demands, roles and scopes, CORS, request security."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AuthPolicy:
    """Credentials a route takes and what their principal must have.

    `any_of`: one of these methods suffices (jwt, introspection, api_key, basic, signature, mtls, auth_service, anonymous);
    `all_of`: every one. `issuers` restricts tokens to these issuer names. `claims` are exact string matches.
    `tenant` names the path parameter or header that must equal the principal's tenant. `max_age` for step-up, seconds.
    """

    any_of: tuple[str, ...] = ("jwt",)
    all_of: tuple[str, ...] = ()
    issuers: tuple[str, ...] = ()
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    claims: tuple[tuple[str, str], ...] = ()
    permissions: tuple[tuple[str, frozenset[str]], ...] = ()
    mfa: bool = False
    acr: tuple[str, ...] = ()
    max_age: float | None = None
    tenant: str = ""
    forward_credentials: bool = False
    signed_identity: bool = False


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """Exact origins only; `*` alone means any origin and then never with credentials. `max_age` in seconds."""

    origins: tuple[str, ...] = ()
    credentials: bool = False
    methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    headers: tuple[str, ...] = ("authorization", "content-type", "x-api-key")
    expose: tuple[str, ...] = ()
    max_age: int = 600


@dataclass(frozen=True, slots=True)
class RequestSecurity:
    """Per-route request security. `https`: off, refuse or redirect. `screen`: off, observe or block."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    https: str = "off"
    hsts: str = ""
    csrf: bool = False
    csrf_origins: tuple[str, ...] = ()
    screen: str = "off"
    headers: bool = False
    schema: str = ""
