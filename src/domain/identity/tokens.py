"""Who calls: verified claims, the outcomes of looking at a credential, and the TokenVerifier port."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from spork.domain.http.head import Headers


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
    #: When the subject signed in (`auth_time`); None when the credential does not say.
    signed_in_at: float | None = None
    issued_at: float = 0.0
    expires_at: float = 0.0
    claims: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Verified:
    """The credential is good. `identity` are the headers that tell a target who calls, made once per verdict."""

    principal: Principal
    identity: Headers = ()


@dataclass(frozen=True, slots=True)
class NotPresented:
    """There is no credential of this kind on the request: another method may try ("not mine" is a third answer)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A credential was presented and is not good. `reason` is a stable slug for logs, not for the client."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unverifiable:
    """Nobody could say: keys or an authority are out of reach. Not the caller's fault, and never taken for good."""

    reason: str
    retry_after: float = 1.0


CredentialOutcome = Verified | NotPresented | Refused | Unverifiable
TokenOutcome = Verified | Refused | Unverifiable


class TokenVerifier(Protocol):
    """Says whether a token is good at `now` (Unix seconds). Answers at once when it can (a cached verdict),
    an awaitable when it has to ask (keys to fetch, introspection)."""

    def verify(self, token: bytes, now: float) -> TokenOutcome | Awaitable[TokenOutcome]: ...


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
    amr: str = "amr"
    acr: str = "acr"
    auth_time: str = "auth_time"


@dataclass(frozen=True, slots=True)
class Issuer:
    """One trusted token issuer. Keys come from exactly one of discovery, jwks_url, jwks_file, keys,
    introspection_url.

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
    #: PEM file with the authorities that its own servers are verified by, instead of the system's; "" for those.
    ca: str = ""
    #: Whether its keys may be fetched over plain http beyond loopback.
    plain_http: bool = False


#: Reasons that mean "not a token of mine": another verifier of the route may try.
NOT_MINE: Final = frozenset(("not_a_jwt", "issuer_unknown"))

#: The largest clock difference that an issuer may be given (RFC 8725 speaks of a few minutes at most; we take one).
MAX_LEEWAY: Final = 60.0


@dataclass(frozen=True, slots=True)
class ClaimPolicy:
    """What a token must say to be good for us, whatever its signature is worth.

    `issuer` is compared as a string, exactly. One of `audiences` must be in `aud`. `required` claims must be there.
    """

    issuer: str
    audiences: frozenset[str]
    leeway: float = MAX_LEEWAY
    required: tuple[str, ...] = ()


def claim_policy(issuer: Issuer) -> ClaimPolicy:
    """The claim policy of a declared issuer; a leeway above `MAX_LEEWAY` is cut to it."""
    leeway = max(0.0, min(issuer.leeway, MAX_LEEWAY))
    return ClaimPolicy(issuer.issuer, frozenset(issuer.audiences), leeway, issuer.required)


def refuse_claims(claims: Mapping[str, object], policy: ClaimPolicy, now: float) -> str | None:
    """Why these claims are not good at `now` (Unix seconds), as a slug; None when they are (RFC 7519 4.1)."""
    if claims.get("iss") != policy.issuer:
        return "issuer_mismatch"
    if not _audience_matches(claims.get("aud"), policy.audiences):
        return "audience_mismatch"
    return refuse_times(claims, policy.leeway, now) or _missing(claims, policy.required)


def refuse_times(claims: Mapping[str, object], leeway: float, now: float, must_expire: bool = True) -> str | None:
    """Why `exp`, `nbf` and `iat` do not hold at `now`; times must be finite numbers."""
    times = {name: numeric_date(claims[name]) for name in ("exp", "nbf", "iat") if name in claims}
    if None in times.values():
        return "time_malformed"
    expires = times.get("exp")
    if expires is None:
        if must_expire:
            return "expiry_missing"
    elif now >= expires + leeway:
        return "expired"
    if (times.get("nbf") or 0.0) > now + leeway:
        return "not_yet_valid"
    if (times.get("iat") or 0.0) > now + leeway:
        return "issued_in_future"
    return None


def numeric_date(value: object) -> float | None:
    """A NumericDate (RFC 7519 2) as seconds; None for anything but a finite, non-negative number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        seconds = float(value)
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) and 0 <= seconds < 1e12 else None


def _audience_matches(given: object, wanted: frozenset[str]) -> bool:
    if isinstance(given, str):
        return given in wanted
    if isinstance(given, list):
        return all(isinstance(item, str) for item in given) and not wanted.isdisjoint(given)
    return False


def _missing(claims: Mapping[str, object], required: tuple[str, ...]) -> str | None:
    return None if all(claim_at(claims, name) not in (None, "", [], {}) for name in required) else "claim_missing"


def claim_at(claims: Mapping[str, object], path: str) -> object:
    """The claim at a dotted path; a name that itself has dots wins (`https://example.com/roles`). None if absent."""
    if path in claims:
        return claims[path]
    found: object = claims
    for step in path.split("."):
        if not isinstance(found, Mapping) or step not in found:
            return None
        found = found[step]
    return found


def words_of(value: object) -> frozenset[str]:
    """A claim that lists words: an array of strings, or one string with spaces between (RFC 8693 4.2)."""
    if isinstance(value, str):
        return frozenset(value.split())
    if isinstance(value, list | tuple):
        return frozenset(item for item in value if isinstance(item, str) and item)
    return frozenset()


def text_of(value: object) -> str:
    """A claim that is one short text; anything else counts as absent."""
    return value if isinstance(value, str) and len(value) <= 1024 else ""


def principal_of(claims: Mapping[str, object], names: ClaimNames, issuer: str, method: str) -> Principal | None:
    """The principal these verified claims speak of; None when they name no subject."""
    subject = text_of(claim_at(claims, names.subject))
    if not subject or not printable(subject):
        return None
    return Principal(
        subject=subject,
        method=method,
        issuer=issuer,
        consumer=text_of(claim_at(claims, names.consumer)) if names.consumer else "",
        plan=text_of(claim_at(claims, names.plan)) if names.plan else "",
        tenant=text_of(claim_at(claims, names.tenant)),
        session=text_of(claim_at(claims, names.session)),
        token_id=text_of(claims.get("jti")),
        roles=words_of(claim_at(claims, names.roles)),
        scopes=words_of(claim_at(claims, names.scopes)),
        amr=words_of(claim_at(claims, names.amr)),
        acr=text_of(claim_at(claims, names.acr)),
        signed_in_at=numeric_date(claim_at(claims, names.auth_time)),
        issued_at=numeric_date(claims.get("iat")) or 0.0,
        expires_at=numeric_date(claims.get("exp")) or 0.0,
        claims=claims,
    )


def printable(text: str) -> bool:
    """Whether `text` may stand in a header and a log line: no control characters."""
    return text.isprintable()


def identity_headers(principal: Principal) -> Headers:
    """What a target is told of its verified caller. Only the gateway sets these names.

    Injective: two different principals are never told alike. Roles are joined by commas and scopes by spaces, each of
    which is percent-encoded inside an element.
    """
    lists = (
        (b"x-user-roles", b",".join(percent_encoded(role, b",") for role in sorted(principal.roles))),
        (b"x-user-scopes", b" ".join(percent_encoded(scope, b" ") for scope in sorted(principal.scopes))),
    )
    texts = (
        (b"x-user-id", principal.subject),
        (b"x-user-method", principal.method),
        (b"x-user-issuer", principal.issuer),
        (b"x-user-tenant", principal.tenant),
        (b"x-user-session", principal.session),
        (b"x-consumer-id", principal.consumer),
        (b"x-consumer-plan", principal.plan),
    )
    told = tuple((name, percent_encoded(value)) for name, value in texts if value)
    return told + tuple((name, value) for name, value in lists if value)


def percent_encoded(text: str, separator: bytes = b"") -> bytes:
    """A header value that says `text` and nothing else: printable ASCII as it is; `%`, `separator`, spaces at either end,
    and everything else as percent-encoded UTF-8 (RFC 3986 2.1). Lone surrogates as three bytes, so that no two texts meet.
    """
    raw = text.encode("utf-8", "surrogatepass")
    if _PLAIN.issuperset(raw) and raw[:1] != b" " and raw[-1:] != b" " and (not separator or separator not in raw):
        return raw
    last = len(raw) - 1
    told = bytearray()
    for at, byte in enumerate(raw):
        bare = byte in _PLAIN and byte not in separator and (byte != 0x20 or 0 < at < last)
        told += bytes((byte,)) if bare else b"%%%02X" % byte
    return bytes(told)


#: Printable ASCII but for the percent sign.
_PLAIN: Final = frozenset(range(0x20, 0x7F)) - {0x25}
