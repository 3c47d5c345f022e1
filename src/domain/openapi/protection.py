"""What a gateway adds to an operation: the credentials it asks for and the refusals it gives, in OpenAPI's words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import product
from typing import Any, Final

from spork.domain.identity.authorization import AuthPolicy, CredentialGroup
from spork.domain.identity.presentation import KeyPlaces
from spork.domain.identity.tokens import Issuer

#: Alternatives: scheme -> scopes that are all needed. One without any scheme: nothing is needed.
Requirements = Sequence[Mapping[str, Sequence[str]]]

#: Credentials in which a scope can be asked for.
_SCOPED: Final = ("bearer", "oauth_")
_NOT_NAME: Final = re.compile(r"[^A-Za-z0-9._-]")
_BEARER: Final = {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}
_OPAQUE: Final = {"type": "http", "scheme": "bearer"}
_SCHEMES: Final[Mapping[str, tuple[str, Mapping[str, Any]]]] = {
    "basic": ("basic", {"type": "http", "scheme": "basic"}),
    "signature": (
        "signature",
        {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "`Signature` with the HMAC of the request",
        },
    ),
    "mtls": ("mutual_tls", {"type": "mutualTLS"}),
}
#: Status -> (name of the component, what it means).
_REFUSALS: Final[Mapping[int, tuple[str, str]]] = {
    400: ("BadRequest", "The request is not acceptable"),
    401: ("Unauthorized", "A credential is needed, or the one shown is not good"),
    403: ("Forbidden", "The caller may not do this"),
    404: ("NotFound", "Nothing is served here"),
    405: ("MethodNotAllowed", "The method is not allowed here"),
    409: ("Conflict", "A request with the same key is in progress"),
    410: ("Gone", "This version is no longer served"),
    413: ("ContentTooLarge", "The body is larger than is taken"),
    415: ("UnsupportedMediaType", "The body has a media type or coding that is not taken"),
    422: ("UnprocessableContent", "The request does not have the required form"),
    429: ("TooManyRequests", "The allowance is used up for now"),
    502: ("BadGateway", "The service gave no valid answer"),
    503: ("ServiceUnavailable", "The service is not available right now"),
    504: ("GatewayTimeout", "The service took too long to answer"),
}
PROBLEM: Final[Mapping[str, Any]] = {
    "type": "object",
    "description": "What is wrong (RFC 9457)",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "description": "A stable name of the reason"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string", "description": "The id of the request"},
        "errors": {"type": "array", "items": {}},
    },
}
PROBLEM_TYPE: Final = "application/problem+json"
_CONTENT: Final = {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
_WAIT: Final = {"Retry-After": {"description": "Seconds to wait", "schema": {"type": "string"}}}
_LIMITS: Final = {
    "RateLimit": {"description": "What is left of the allowance", "schema": {"type": "string"}},
    "RateLimit-Policy": {"description": "The allowance", "schema": {"type": "string"}},
}


def schemes(auth: AuthPolicy | None, issuers: Iterable[Issuer]) -> dict[str, Mapping[str, Any]]:
    """Security schemes that `auth` speaks of, by their names in the document."""
    if auth is None:
        return {}
    known = list(issuers)
    return {name: scheme for method in auth.methods for name, scheme in _schemes_of(method, auth, known)}


def requirements(auth: AuthPolicy | None, issuers: Iterable[Issuer], method: str) -> Requirements:
    """What an operation of `method` (upper case) asks of its caller."""
    if auth is None:
        return [{}]
    scopes = sorted(auth.scopes | _permissions(auth, method))
    known = list(issuers)

    def asked(item: str | CredentialGroup) -> list[Mapping[str, Sequence[str]]]:
        if item == "anonymous":
            return [{}]
        if isinstance(item, str):
            return [{s: scopes if s.startswith(_SCOPED) else []} for s, _ in _schemes_of(item, auth, known)]
        return together(item.all_of) if item.all_of else [one for each in item.any_of for one in asked(each)]

    def together(items: Sequence[str | CredentialGroup]) -> list[Mapping[str, Sequence[str]]]:
        joined: list[Mapping[str, Sequence[str]]] = []
        for choice in product(*(asked(item) for item in items)):
            made: dict[str, Sequence[str]] = {}
            for one in choice:
                made |= one
            joined.append(made)
        return joined

    found = together(auth.all_of) if auth.all_of else [one for item in auth.any_of for one in asked(item)]
    return [one for at, one in enumerate(found) if one not in found[:at]]


def _permissions(auth: AuthPolicy, method: str) -> frozenset[str]:
    table = dict(auth.permissions)
    wanted = table.get("GET" if method == "HEAD" and "HEAD" not in table else method, table.get("*"))
    return frozenset() if wanted is None else wanted


def _schemes_of(method: str, auth: AuthPolicy, issuers: Sequence[Issuer]) -> list[tuple[str, Mapping[str, Any]]]:
    if method == "jwt":
        return [*_bearers(auth, issuers), *_places_of_tokens(auth)]
    if method in ("introspection", "auth_service"):
        own = [("bearer_opaque", _OPAQUE)] if auth.tokens is None or auth.tokens.authorization else []
        return [*own, *_places_of_tokens(auth)]
    if method == "api_key":
        places = auth.keys or KeyPlaces()
        return _places("api_key", places.headers, places.cookie, places.query)
    known = _SCHEMES.get(method)
    return [] if known is None else [known]


def _bearers(auth: AuthPolicy, issuers: Sequence[Issuer]) -> list[tuple[str, Mapping[str, Any]]]:
    if auth.tokens is not None and not auth.tokens.authorization:
        return []
    taken = [i for i in issuers if not i.introspection_url and (not auth.issuers or i.name in auth.issuers)]
    found: list[tuple[str, Mapping[str, Any]]] = []
    for issuer in taken:
        if issuer.discovery:
            url = issuer.issuer.rstrip("/") + "/.well-known/openid-configuration"
            found.append((f"oauth_{issuer.name}", {"type": "openIdConnect", "openIdConnectUrl": url}))
    if not found or len(found) < len(taken):
        found.append(("bearer", _BEARER))
    return found


def _places_of_tokens(auth: AuthPolicy) -> list[tuple[str, Mapping[str, Any]]]:
    places = auth.tokens
    return [] if places is None else _places("token", places.headers, places.cookie, places.query)


def _places(stem: str, headers: Sequence[str], cookie: str, query: str) -> list[tuple[str, Mapping[str, Any]]]:
    """A scheme for each place; the usual one of API keys has the plain name."""
    where = [("header", name) for name in headers]
    where += [("cookie", cookie)] if cookie else []
    where += [("query", query)] if query else []
    return [
        (
            stem if (stem, name.lower()) == ("api_key", "x-api-key") else f"{stem}_{place}_{_NOT_NAME.sub('_', name)}",
            {"type": "apiKey", "in": place, "name": name},
        )
        for place, name in where
    ]


# ------------------------------------------------------------------------------------------------------------ refusals


def refusal(status: int) -> tuple[str, Mapping[str, Any]]:
    """The name of a refusal's component, and the response."""
    name, description = _REFUSALS.get(status, (f"Status{status}", "Refused"))
    response: dict[str, Any] = {"description": description, "content": _CONTENT}
    if status == 429:
        response["headers"] = {**_WAIT, **_LIMITS}
    elif status == 503:
        response["headers"] = _WAIT
    return name, response


@lru_cache(maxsize=64)
def own_reference(status: int) -> str:
    """The reference to a refusal's component."""
    return f"#/components/responses/{refusal(status)[0]}"


def with_refusals(responses: Mapping[str, Any], statuses: Iterable[int]) -> dict[str, Any]:
    """The responses of an operation with those of the gateway: a problem beside what the target answers with that status."""
    made = dict(responses)
    for status in sorted(statuses):
        key = str(status)
        _, whole = refusal(status)
        theirs = made.get(key)
        if theirs is None:
            made[key] = {"$ref": own_reference(status)}
        elif "$ref" not in theirs:
            content = theirs.get("content") or {}
            headers = {**whole.get("headers", {}), **(theirs.get("headers") or {})}
            made[key] = {**theirs, "content": {**content, **({} if PROBLEM_TYPE in content else _CONTENT)}}
            if headers:
                made[key]["headers"] = headers
    return made
