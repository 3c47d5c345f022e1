"""Who calls and how much they may: issuers, consumers, plans and limits as written."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from spork.adapters.yaml.scalars import Cost, Count, Duration, HttpUrl, LimitKey, Period, Positive, Secret
from spork.adapters.yaml.written.form import Written

Algorithm = Literal["gcra", "sliding_window", "sliding_log", "fixed_window", "concurrency", "calendar"]
TokenAlgorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"
]


class CostFromAnswer(Written, frozen=True):
    """A cost that only the answer tells: `reserve` units are charged at admission, the difference when it is over."""

    fields: Annotated[
        dict[str, Count], "JSON fields of the answer (dotted names) and their weights; also in event streams."
    ] = msgspec.field(default_factory=dict)
    header: Annotated[str, "Response header with the cost as a whole number, instead of fields."] = ""
    trailer: Annotated[str, "Trailer field of a chunked answer with the cost as a whole number, instead of fields."] = (
        ""
    )
    reserve: Annotated[Positive, "Units charged at admission."] = 1
    most: Annotated[Positive, "The largest cost of one answer."] = 1_000_000
    missing: Annotated[Count, "The cost of an answer without error that does not tell it."] = 0
    merge: Annotated[Literal["last", "max", "sum"], "What counts when a stream states a field more than once."] = "last"


class Limit(Written, frozen=True):
    """An allowance: `quota` units per `per`, for each distinct value of what `by` names."""

    name: Annotated[str, "Name shown to clients in RateLimit headers; left out: made from `by`."] = ""
    quota: Annotated[Count | None, "Units admitted per period; 0 refuses all. For concurrency: requests in flight."] = (
        None
    )
    per: Annotated[Period | None, "The period: a duration, or `day` or `month` for calendar edges."] = None
    by: Annotated[
        LimitKey | None,
        "What is counted separately: ip, consumer, key, tenant, route, global, header:NAME, claim:NAME, or json:FIELD"
        " where match.body names the field."
        " Left out: ip on a route, consumer in a plan, global at the top.",
    ] = None
    algorithm: Annotated[
        Algorithm | None,
        "How it is counted: gcra (default, smooth), sliding_window (approximate), sliding_log (exact), fixed_window"
        " (up to twice the quota across an edge), concurrency (requests in flight), calendar (day or month).",
    ] = None
    burst: Annotated[Positive | None, "Units that may come at once (gcra); left out: the quota itself."] = None
    cost: Annotated[
        Cost | CostFromAnswer,
        "Units one request takes; `graphql`: what its operation is estimated to cost; or where its answer tells them.",
    ] = 1
    on_store_error: Annotated[
        Literal["allow", "deny", "local"],
        "When the shared store is away: admit, refuse, or count in this process at quota divided by live nodes.",
    ] = "local"
    accuracy: Annotated[
        Literal["exact", "hybrid"],
        "exact asks the store each time; hybrid leases small shares of the quota in advance.",
    ] = "exact"
    shared: Annotated[bool, "Routes with a shared limit of one name count into one bucket."] = False
    from_: Annotated[Literal["plan"] | None, "`plan`: the numbers come from the consumer's plan."] = msgspec.field(
        default=None, name="from"
    )
    time_zone: Annotated[str, "IANA time zone of calendar edges."] = "UTC"


class Plan(Written, frozen=True):
    """A named bundle of limits that consumers are on. Empty means unlimited."""

    limits: Annotated[tuple[Limit, ...], "Rates, counted by consumer unless said otherwise."] = ()
    quotas: Annotated[tuple[Limit, ...], "Long allowances (1d, day, month), reset at calendar edges."] = ()
    time_zone: Annotated[str, "IANA time zone of the quotas' calendar edges."] = "UTC"


class ConsumerClaim(Written, frozen=True, kw_only=True):
    """A claim of one issuer's tokens that means a consumer."""

    issuer: Annotated[str, "Name of the issuer, or auth_service: no other's tokens count."]
    claim: Annotated[str, "Name of the claim; dotted paths reach into objects."]
    value: Annotated[str, "The text the claim must be, or a list of texts contain."]


class Consumer(Written, frozen=True):
    """A caller known by name."""

    plan: Annotated[str, "The plan this consumer is on; empty: no plan."] = ""
    subjects: Annotated[
        tuple[str, ...],
        "Token subjects that mean this consumer, as ISSUER|SUBJECT; mtls|NAME is a client certificate's name."
        " A bare one is of the only issuer, or see identity.md.",
    ] = ()
    owner: Annotated[str, "Who answers for this consumer: a team or a mail address."] = ""
    roles: Annotated[tuple[str, ...], "Roles this consumer has, beside those in its token."] = ()
    scopes: Annotated[tuple[str, ...], "Scopes this consumer has, beside those in its token."] = ()
    basic_password_hash: Annotated[Secret, "Argon2 hash of the password for HTTP basic authentication."] = ""
    signature_secret: Annotated[Secret, "Shared key of its HTTP message signatures (RFC 9421); write it as ${VAR}."] = (
        ""
    )
    tenant: Annotated[str, "The tenant this consumer belongs to, when its credential names none."] = ""
    certificates: Annotated[
        tuple[str, ...],
        "Names of client certificates that mean this consumer; uri:, dns:, email:, cn: or subject: before one restricts"
        " the kind.",
    ] = ()
    claims: Annotated[
        tuple[ConsumerClaim, ...], "Claims of tokens that mean this consumer, each bound to its issuer."
    ] = ()
    versions: Annotated[dict[str, str], "Versions of APIs that `default: pinned` means for this consumer."] = (
        msgspec.field(default_factory=dict)
    )


class ClaimNames(Written, frozen=True):
    """Where in a token the caller's parts stand; dotted paths reach into objects (`realm_access.roles`)."""

    subject: Annotated[str, "Claim of the subject."] = "sub"
    roles: Annotated[str, "Claim of the roles: a list, or text separated by spaces."] = "roles"
    scopes: Annotated[str, "Claim of the scopes: text separated by spaces, or a list."] = "scope"
    tenant: Annotated[str, "Claim of the tenant."] = "tenant"
    session: Annotated[str, "Claim of the session, for revocation."] = "sid"
    consumer: Annotated[str, "Claim of the consumer's name; empty: by subject."] = ""
    plan: Annotated[str, "Claim of the plan's name; empty: the consumer's plan."] = ""
    amr: Annotated[str, "Claim of the methods of signing in (RFC 8176), for `mfa`: a list, or text."] = "amr"
    acr: Annotated[str, "Claim of the authentication context class, for `acr`."] = "acr"
    auth_time: Annotated[str, "Claim of the time of signing in, Unix seconds, for `max_age`."] = "auth_time"


class Issuer(Written, frozen=True):
    """A trusted token issuer. Keys come from exactly one of discovery, jwks_url, jwks_file, keys, introspection_url."""

    issuer: Annotated[str, "The exact `iss` of its tokens."]
    audiences: Annotated[tuple[str, ...], "Accepted `aud` values; one of them must stand in the token."] = ()
    algorithms: Annotated[tuple[TokenAlgorithm, ...], "Accepted signature algorithms; `none` never is."] = (
        "RS256",
        "ES256",
        "EdDSA",
    )
    discovery: Annotated[bool, "Find the keys by OpenID discovery at the issuer."] = False
    jwks_url: Annotated[HttpUrl, "Where the issuer publishes its keys; https, or http on loopback."] = ""
    jwks_file: Annotated[str, "File with the issuer's key set."] = ""
    keys: Annotated[tuple[Any, ...], "Keys written here: PEM texts or JWK mappings."] = ()
    leeway: Annotated[Duration, "Clock difference forgiven, at most 60s."] = 60.0
    type: Annotated[str, "Required `typ` header, e.g. at+jwt; empty: any."] = ""
    required: Annotated[tuple[str, ...], "Claims that must be present beside aud and exp."] = ()
    claim_names: Annotated[ClaimNames, "Where the caller's parts stand in a token."] = ClaimNames()
    ca: Annotated[str, "PEM file of the CA that its servers' certificates are verified by; empty: the system's."] = ""
    plain_http: Annotated[
        bool, "Let keys be fetched over plain http: inside a cluster, where whoever is on the network is trusted."
    ] = False
    introspection_url: Annotated[HttpUrl, "RFC 7662 introspection endpoint, for opaque tokens."] = ""
    client_id: Annotated[str, "The gateway's client id at the introspection endpoint."] = ""
    client_secret: Annotated[Secret, "The gateway's client secret there; write it as ${VAR}."] = ""
