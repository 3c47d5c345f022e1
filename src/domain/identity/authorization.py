"""What a caller must show and be for a route: authentication demands, roles and scopes, CORS, request security."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from spork.domain.identity.presentation import KeyPlaces, TokenPlaces
from spork.domain.identity.tokens import Principal, claim_at, words_of
from spork.domain.outcomes import Denial


@dataclass(frozen=True, slots=True)
class CredentialGroup:
    """Methods that stand for one inside `any_of` or `all_of`: exactly one of the two is given."""

    any_of: tuple[str | CredentialGroup, ...] = ()
    all_of: tuple[str | CredentialGroup, ...] = ()


def method_names(items: tuple[str | CredentialGroup, ...]) -> tuple[str, ...]:
    """The names of the methods in `any_of` or `all_of`, those in groups included."""
    found: list[str] = []
    for item in items:
        found += (item,) if isinstance(item, str) else method_names((*item.any_of, *item.all_of))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class AuthPolicy:
    """Credentials a route takes and what their principal must have.

    `any_of`: one of these methods suffices (jwt, introspection, api_key, basic, signature, mtls,
    auth_service, anonymous); `all_of`: every one. `issuers` restricts tokens to these issuer names. `claims` are exact
    string matches. `permissions` are per method, all needed. `tenant` names the path parameter or header that must
    equal the principal's tenant. `max_age` for step-up, seconds. `tokens` and `keys` say where credentials may stand,
    None: where they usually do. `claim_headers` are (header name, dotted path of a claim).
    """

    any_of: tuple[str | CredentialGroup, ...] = ("jwt",)
    all_of: tuple[str | CredentialGroup, ...] = ()
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
    tokens: TokenPlaces | None = None
    keys: KeyPlaces | None = None
    claim_headers: tuple[tuple[str, str], ...] = ()
    #: What tokens must be bound to: dpop, mtls, any (of these), or "" for whatever they say.
    bound: str = ""

    @property
    def methods(self) -> tuple[str, ...]:
        """The names of all methods it speaks of, in their order."""
        return method_names((*self.any_of, *self.all_of))


@dataclass(frozen=True, slots=True)
class CorsPolicy:
    """Origins exactly or as `https://*.example.com`; `*` alone means any origin and then never with credentials. `max_age` in seconds."""

    origins: tuple[str, ...] = ()
    credentials: bool = False
    methods: tuple[str, ...] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
    headers: tuple[str, ...] = ("authorization", "content-type", "x-api-key")
    expose: tuple[str, ...] = ()
    max_age: int = 600


@dataclass(frozen=True, slots=True)
class RequestSecurity:
    """Per-route request security. `https`: off, refuse or redirect. `screen`: off, observe or block; it looks at bodies
    of `screen_bytes` at most."""

    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()
    https: str = "off"
    hsts: str = ""
    csrf: bool = False
    csrf_origins: tuple[str, ...] = ()
    csrf_session: str = ""
    screen: str = "off"
    screen_bytes: int = 16 * 1024
    headers: bool = False
    schema: str = ""


# ------------------------------------------------------------------------------------------------------- decision

#: Values of `amr` (RFC 8176) that by themselves say more than one factor was used.
_MULTIPLE_FACTORS: Final = frozenset(("mfa",))
#: One factor each: what one knows, has, is. Two different kinds together are multi-factor too.
_FACTOR_KINDS: Final = (
    frozenset(("pwd", "pin", "kba")),
    frozenset(("otp", "sms", "hwk", "swk", "sc", "tel", "pop")),
    frozenset(("fpt", "face", "iris", "retina", "vbm")),
)

REALM: Final = 'realm="spork"'


def challenge(error: str, **more: str) -> tuple[tuple[bytes, bytes], ...]:
    """A Bearer challenge (RFC 6750 3, RFC 9470 3) as the headers of a denial."""
    fields = "".join(f', {name}="{value}"' for name, value in more.items() if value)
    return ((b"www-authenticate", f'Bearer {REALM}, error="{error}"{fields}'.encode("ascii", "replace")),)


@dataclass(frozen=True, slots=True)
class AuthorizationInput:
    """What authorization looks at of a request. `header` finds the value of a lower-case header name; b"" when it stands
    there more than once, for nobody knows which of them a target would believe."""

    method: str
    now: float
    params: Mapping[str, str] = field(default_factory=dict)
    header: Callable[[bytes], bytes | None] = lambda name: None


def demands_anything(policy: AuthPolicy) -> bool:
    """Whether a verified principal could still be refused by `policy`."""
    return bool(
        policy.roles
        or policy.scopes
        or policy.claims
        or policy.permissions
        or policy.mfa
        or policy.acr
        or policy.max_age is not None
        or policy.tenant
    )


#: Nobody is told which rule refused them; the scope a token lacks is the exception that RFC 6750 makes.
FORBIDDEN: Final = Denial("forbidden", "The caller may not do this.")
FORBIDDEN_TENANT: Final = Denial("tenant_mismatch", "The caller may not do this.")


def authorize(principal: Principal, policy: AuthPolicy, asked: AuthorizationInput) -> Denial | None:
    """Whether a verified caller may do what it asks. Any one of `roles` suffices; every one of `scopes` is needed."""
    if policy.scopes and not policy.scopes <= principal.scopes:
        return _insufficient_scope(policy.scopes)
    if policy.roles and policy.roles.isdisjoint(principal.roles):
        return FORBIDDEN
    if policy.claims and not all(_claim_says(principal, name, wanted) for name, wanted in policy.claims):
        return FORBIDDEN
    if policy.permissions and not _permitted(principal, policy, asked.method):
        return FORBIDDEN
    if policy.tenant and not _same_tenant(principal, policy.tenant, asked):
        return FORBIDDEN_TENANT
    if policy.mfa or policy.acr or policy.max_age is not None:
        return _step_up(principal, policy, asked.now)
    return None


def _insufficient_scope(scopes: frozenset[str]) -> Denial:
    return Denial(
        "insufficient_scope",
        "The credential does not reach this far.",
        headers=challenge("insufficient_scope", scope=" ".join(sorted(scopes))),
    )


def _claim_says(principal: Principal, name: str, wanted: str) -> bool:
    value = claim_at(principal.claims, name)
    if isinstance(value, bool):
        return wanted == ("true" if value else "false")
    if isinstance(value, list):
        return wanted in value
    return value == wanted or (isinstance(value, int) and str(value) == wanted)


def _permitted(principal: Principal, policy: AuthPolicy, method: str) -> bool:
    """A method that `permissions` names needs all of its permissions; `*` stands for every method not named."""
    table = dict(policy.permissions)
    wanted = table.get("GET" if method == "HEAD" and "HEAD" not in table else method, table.get("*"))
    if wanted is None:
        return True
    return wanted <= principal.scopes | words_of(principal.claims.get("permissions"))


def _same_tenant(principal: Principal, name: str, asked: AuthorizationInput) -> bool:
    """Tenant isolation: the path parameter (percent-decoded, once) or header must name the tenant that the caller has,
    octet by octet in UTF-8."""
    segment = asked.params.get(name)
    raw = unquote_to_bytes(segment) if segment is not None else asked.header(name.lower().encode("latin-1", "replace"))
    return bool(principal.tenant) and raw is not None and raw == principal.tenant.encode("utf-8", "surrogatepass")


def used_several_factors(principal: Principal) -> bool:
    """Whether the sign-in behind this principal took more than one kind of factor (RFC 8176)."""
    if not _MULTIPLE_FACTORS.isdisjoint(principal.amr):
        return True
    return sum(not kind.isdisjoint(principal.amr) for kind in _FACTOR_KINDS) > 1


def _step_up(principal: Principal, policy: AuthPolicy, now: float) -> Denial | None:
    """RFC 9470: ask for a stronger or fresher sign-in, naming what would do."""
    weak = (policy.mfa and not used_several_factors(principal)) or (policy.acr and principal.acr not in policy.acr)
    stale = False
    if policy.max_age is not None:
        signed_in = principal.signed_in_at
        stale = signed_in is None or now - signed_in > policy.max_age
    if not weak and not stale:
        return None
    return Denial(
        "step_up_required",
        "A stronger or more recent sign-in is needed.",
        headers=challenge(
            "insufficient_user_authentication",
            error_description="A stronger or more recent sign-in is needed",
            acr_values=" ".join(policy.acr),
            max_age="" if policy.max_age is None else str(int(policy.max_age)),
        ),
    )
