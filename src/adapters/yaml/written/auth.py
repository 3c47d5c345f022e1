"""What a route asks of its callers, as written."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from spork.adapters.yaml.scalars import CookieName, Duration, HeaderName
from spork.adapters.yaml.written.form import Written

AuthMethod = Literal[
    "jwt", "introspection", "api_key", "basic", "signature", "mtls", "auth_service", "plugin", "anonymous"
]


class TokenPlaces(Written, frozen=True):
    """Where a Bearer token may stand. In several places at once it is refused, but a cookie counts only without the others."""

    authorization: Annotated[bool, "In `Authorization: Bearer`."] = True
    headers: Annotated[tuple[HeaderName, ...], "Further headers, with or without `Bearer ` before the token."] = ()
    cookie: Annotated[CookieName, "A cookie; needs `security: {csrf: true}`."] = ""
    query: Annotated[
        str, "A query parameter: access_token, token, api_key, apikey or key. Never logged, never sent to the target."
    ] = ""
    protocol: Annotated[
        str, "Subprotocol name that announces a token in WebSocket handshakes: `bearer`; no target gets either."
    ] = ""


class KeyPlaces(Written, frozen=True):
    """Where an API key may stand."""

    headers: Annotated[tuple[HeaderName, ...], "Headers that carry a key."] = ("X-API-Key",)
    cookie: Annotated[CookieName, "A cookie; needs `security: {csrf: true}`."] = ""
    query: Annotated[
        str, "A query parameter: access_token, token, api_key, apikey or key. Never logged, never sent to the target."
    ] = ""


class CredentialGroup(Written, frozen=True):
    """Methods that stand for one inside `any_of` or `all_of`: one of the two lists."""

    any_of: Annotated[tuple[AuthMethod | CredentialGroup, ...], "One of these suffices."] = ()
    all_of: Annotated[tuple[AuthMethod | CredentialGroup, ...], "Every one of these is needed."] = ()


class Auth(Written, frozen=True):
    """Credentials a route takes, and what their holder must have."""

    any_of: Annotated[
        tuple[AuthMethod | CredentialGroup, ...],
        "One of these credentials suffices; default jwt. Groups may be nested.",
    ] = ()
    all_of: Annotated[tuple[AuthMethod | CredentialGroup, ...], "Every one of these is needed."] = ()
    issuers: Annotated[tuple[str, ...], "Only tokens of these issuers; empty: all configured."] = ()
    roles: Annotated[tuple[str, ...], "One of these roles is needed."] = ()
    scopes: Annotated[tuple[str, ...], "All of these scopes are needed."] = ()
    claims: Annotated[dict[str, str], "Claims that must have exactly this value."] = msgspec.field(default_factory=dict)
    permissions: Annotated[
        dict[str, tuple[str, ...]],
        "Per method, or * for the others: permissions that are all needed (`DELETE: [users:delete]`).",
    ] = msgspec.field(default_factory=dict)
    mfa: Annotated[bool, "The token must show a second factor; otherwise a step-up challenge (RFC 9470)."] = False
    acr: Annotated[tuple[str, ...], "Accepted authentication context classes."] = ()
    max_age: Annotated[Duration | None, "Longest time since the login; older: a step-up challenge."] = None
    tenant: Annotated[str, "Path parameter or header that must equal the token's tenant."] = ""
    forward_credentials: Annotated[bool, "Pass the client's credential on to the target."] = False
    signed_identity: Annotated[bool, "Send the target a short-lived JWT with the verified identity."] = False
    bound: Annotated[
        Literal["", "dpop", "mtls", "any"],
        "Take only tokens that are bound to their sender: to a key (DPoP, RFC 9449), a client certificate (RFC 8705), or"
        " any of these. Empty: what a token says it is bound to is checked.",
    ] = ""
    tokens: Annotated[TokenPlaces | None, "Where Bearer tokens may stand; left out: in Authorization."] = None
    keys: Annotated[KeyPlaces | None, "Where API keys may stand; left out: in X-API-Key."] = None
    claim_headers: Annotated[
        dict[HeaderName, str],
        "Headers that tell the target claims of the token, by dotted path (`X-Org: org.id`); what clients send under"
        " these names is dropped.",
    ] = msgspec.field(default_factory=dict)
