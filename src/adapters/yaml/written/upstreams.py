"""Upstreams as written: targets, balancing and the policies of talking to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from spork.adapters.yaml.scalars import (
    CookieName,
    Count,
    Duration,
    HashKey,
    HeaderName,
    HttpUrl,
    Positive,
    Ratio,
    Secret,
    Size,
    Slashed,
    Status,
    Statuses,
    TargetUrl,
    TransportName,
    Weight,
)
from spork.adapters.yaml.written.callers import Limit
from spork.adapters.yaml.written.form import Written
from spork.adapters.yaml.written.headers import Headers
from spork.adapters.yaml.written.openapi import OpenApiSource

Balancing = Literal["round_robin", "weighted", "least_request", "peak_ewma"]


class TargetTls(Written, frozen=True):
    """How a target's certificate is verified, and the client certificate shown to it. Paths name PEM files."""

    verify: Annotated[bool, "Verify the target's certificate. Never switch off in production."] = True
    ca: Annotated[str | None, "CA bundle to trust instead of the system's."] = None
    cert: Annotated[str | None, "Client certificate to present."] = None
    key: Annotated[str | None, "Key of the client certificate."] = None
    server_name: Annotated[str | None, "Name sent by SNI and checked; left out: the target's host."] = None


class Target(Written, frozen=True):
    """One address of an upstream."""

    url: Annotated[
        TargetUrl,
        "http://host:port, https://host:port/base or unix:/path/to.sock; dns://name:port for one target per address of the"
        " name, srv://_http._tcp.name for one per service record (dns+https://, srv+https:// with TLS).",
    ]
    weight: Annotated[Weight, "Share of the traffic relative to other targets, 1 to 1000."] = 1
    priority: Annotated[Count, "0 is used first; targets of higher numbers are spares."] = 0
    name: Annotated[str, "Name in metrics and views; left out: host:port."] = ""
    tls: Annotated[TargetTls | None, "TLS of this target; left out: the upstream's."] = None


class HashBalance(Written, frozen=True):
    """Keep each caller on one target by a hash ring."""

    hash: Annotated[HashKey, "What is hashed: consumer, ip, header:NAME or cookie:NAME."]


class Sticky(Written, frozen=True):
    """Keep each client on one target by a cookie that the gateway sets; where it does not point, `balance` decides."""

    cookie: Annotated[CookieName, "The cookie's name."] = "spork-target"
    ttl: Annotated[Duration | None, "How long the client keeps it; left out: until the browser ends."] = None
    path: Annotated[Slashed, "Paths that it is sent for."] = "/"
    secure: Annotated[Literal["auto", "always", "never"], "Only over https: auto where the client came by https."] = (
        "auto"
    )
    http_only: Annotated[bool, "Hide it from scripts."] = True
    same_site: Annotated[Literal["lax", "strict", "none"], "Whether other sites' requests carry it."] = "lax"


class Probe(Written, frozen=True):
    """Active health check of every target."""

    path: Annotated[str, "Path asked for by http probes."] = "/health"
    kind: Annotated[Literal["http", "tcp"], "http asks for the path; tcp only connects."] = "http"
    every: Annotated[Duration, "Time between probes, +-10 % jitter."] = 5.0
    timeout: Annotated[Duration, "Longest wait for an answer."] = 1.0
    rise: Annotated[Positive, "Successes in a row that make a target healthy."] = 2
    fall: Annotated[Positive, "Failures in a row that make it unhealthy."] = 3
    statuses: Annotated[tuple[Statuses, ...], "Statuses that mean healthy: 200 or 200-399."] = ("200-399",)
    host: Annotated[str | None, "Host header of probes; left out: the target's."] = None


class Outliers(Written, frozen=True):
    """Passive ejection: a target that fails real requests rests for a while."""

    consecutive: Annotated[Positive, "Failures in a row that eject a target."] = 5
    eject_for: Annotated[Duration, "First ejection; times the number of ejections so far."] = 30.0
    max_eject_for: Annotated[Duration, "Longest ejection."] = 300.0
    max_ejected: Annotated[Ratio, "Share of targets that may be ejected at once."] = 0.5
    panic: Annotated[Ratio, "Below this share of healthy targets all are used again."] = 0.5


class Breaker(Written, frozen=True):
    """Circuit breaker: stop calling an upstream that fails, come back carefully."""

    window: Annotated[Duration, "Time over which results are counted."] = 10.0
    min_requests: Annotated[Positive, "Requests in the window before it may open."] = 20
    failure_ratio: Annotated[Ratio, "Share of failures that opens it."] = 0.5
    slow_call: Annotated[Duration | None, "A call longer than this counts as slow; left out: none does."] = None
    slow_ratio: Annotated[Ratio, "Share of slow calls that opens it."] = 1.0
    consecutive: Annotated[Count, "Failures in a row that open it at low traffic; 0 is off."] = 0
    open_for: Annotated[Duration, "Time it stays open before probing, +-20 % jitter."] = 5.0
    probes: Annotated[Positive, "Requests let through while half open."] = 1
    probe_lease: Annotated[Duration, "A probe that has not returned by then is given up."] = 10.0
    ramp: Annotated[Duration, "Time over which traffic grows back after closing; 0 is at once."] = 10.0
    statuses: Annotated[tuple[Status, ...], "Answers that count as failures."] = (502, 503, 504)
    per_target: Annotated[bool, "One circuit per target instead of one for the upstream."] = False


class Retries(Written, frozen=True):
    """When a request may be sent again, on another target."""

    attempts: Annotated[Count, "Further tries after the first; 0 is never."] = 2
    budget: Annotated[Ratio, "Share of recent requests that may be retries."] = 0.2
    min_per_second: Annotated[Count, "Retries per second allowed below the budget."] = 10
    per_try: Annotated[Duration | None, "Longest single try; left out: the total timeout."] = None
    backoff_base: Annotated[Duration, "First wait, doubled each time, with full jitter."] = 0.025
    backoff_cap: Annotated[Duration, "Longest wait between tries."] = 0.25
    statuses: Annotated[tuple[Status, ...], "Answers that are tried again."] = (502, 503, 504)
    replay_bytes: Annotated[Size, "Request bodies up to this size can be sent again."] = 65536
    idempotency_key: Annotated[bool, "Also retry POST and PATCH that carry an Idempotency-Key."] = False
    hedge_after: Annotated[
        Duration | None, "Ask a second target, too, when a GET or HEAD has no answer by then; left out: never."
    ] = None


class Timeouts(Written, frozen=True):
    """Deadlines of one exchange with a target."""

    connect: Annotated[Duration, "Connection and TLS handshake."] = 0.5
    first_byte: Annotated[Duration, "Until the answer's head has arrived."] = 15.0
    idle: Annotated[Duration, "Longest silence between two pieces of a body."] = 60.0
    total: Annotated[Duration | None, "The whole exchange, retries and body included; left out: no bound."] = None


class Pool(Written, frozen=True):
    """Connections kept to each target."""

    connections: Annotated[Positive, "Most connections to one target."] = 256
    pending: Annotated[Count, "Requests that may wait for a connection."] = 1024
    idle: Annotated[Duration, "An unused connection is closed after this time."] = 60.0
    lifetime: Annotated[Duration, "A connection is not reused after this time."] = 3600.0


class Fallback(Written, frozen=True):
    """What is answered when no target can: the last good answer, another upstream, or a static answer, in this order."""

    status: Annotated[Status, "Status of the static answer."] = 503
    body: Annotated[Any, "Its body: text as it is, a mapping or list as JSON."] = ""
    content_type: Annotated[str, "Its Content-Type."] = "application/json"
    upstream: Annotated[str | None, "Another upstream that takes the request instead."] = None
    stale: Annotated[
        Duration,
        "Give the last good answer again if it is at most this old: GET, without credentials, fit for anybody.",
    ] = 0.0
    statuses: Annotated[
        tuple[Status, ...], "Answers of a target that the fallback stands in for, too: [429, 500, 503]."
    ] = ()


class HeaderCredential(Written, frozen=True):
    """A header field with a secret value."""

    name: Annotated[HeaderName, "The header's name."]
    value: Annotated[Secret, "Its value; write it as ${VAR}."]


class BasicCredential(Written, frozen=True):
    """User and password (RFC 7617)."""

    user: Annotated[str, "User."]
    password: Annotated[Secret, "Password; write it as ${VAR}."]


class OAuth2Credential(Written, frozen=True):
    """A bearer token from an authorization server, fetched once and renewed before it ends."""

    token_url: Annotated[HttpUrl, "Token endpoint; https, or http on loopback."]
    client_id: Annotated[str, "The gateway's client id there."]
    client_secret: Annotated[Secret, "Its secret; write it as ${VAR}."]
    scopes: Annotated[tuple[str, ...], "Scopes asked for."] = ()
    audience: Annotated[str, "Audience asked for."] = ""
    grant: Annotated[
        Literal["client_credentials", "token_exchange"],
        "token_exchange: a token for the caller's own bearer token (RFC 8693).",
    ] = "client_credentials"
    client_auth: Annotated[Literal["basic", "post"], "How the client's secret is sent."] = "basic"


class AwsCredentials(Written, frozen=True):
    """AWS Signature Version 4."""

    access_key: Annotated[str, "Access key id."]
    secret_key: Annotated[Secret, "Secret access key; write it as ${VAR}."]
    service: Annotated[str, "Service: s3, sqs, execute-api, ..."]
    region: Annotated[str, "Region."] = "us-east-1"
    session_token: Annotated[Secret, "Session token of temporary keys."] = ""


class HmacCredentials(Written, frozen=True):
    """An HMAC over parts of the request, joined by line feeds."""

    secret: Annotated[Secret, "The shared secret; write it as ${VAR}."]
    header: Annotated[HeaderName, "Where the signature goes."] = "X-Signature"
    over: Annotated[
        tuple[str, ...], "Lines signed: method, target, host, date (Unix seconds), body_sha256, body, header:NAME."
    ] = ("method", "target", "date", "body_sha256")
    algorithm: Annotated[Literal["sha256", "sha512"], "Hash."] = "sha256"
    encoding: Annotated[Literal["hex", "base64"], "How the signature is written."] = "hex"
    prefix: Annotated[str, "Put before it, such as sha256=."] = ""
    date_header: Annotated[HeaderName, "Where the signed date goes."] = "X-Timestamp"


class Credentials(Written, frozen=True):
    """What the gateway shows the targets for itself: exactly one. The client's own credentials are not sent then."""

    bearer: Annotated[Secret, "A fixed bearer token; write it as ${VAR}."] = ""
    header: Annotated[HeaderCredential | None, "A header with a secret value."] = None
    basic: Annotated[BasicCredential | None, "User and password."] = None
    oauth2: Annotated[OAuth2Credential | None, "Tokens of an authorization server."] = None
    aws: Annotated[AwsCredentials | None, "AWS Signature Version 4."] = None
    hmac: Annotated[HmacCredentials | None, "An HMAC over parts of the request."] = None


class Rest(Written, frozen=True):
    """When an upstream is left alone because it asked for it."""

    statuses: Annotated[tuple[Status, ...], "Answers that ask for a pause."] = (429,)
    default: Annotated[Duration, "The pause where Retry-After says nothing."] = 1.0
    longest: Annotated[Duration, "The longest pause."] = 300.0


class Upstream(Written, frozen=True):
    """A named pool of targets and how the gateway talks to them."""

    targets: Annotated[
        tuple[TargetUrl | Target, ...],
        "Addresses, as URL or with weight and priority; left out where services register or a file names them.",
    ] = ()
    balance: Annotated[Balancing | HashBalance, "How a target is chosen."] = "round_robin"
    sticky: Annotated[
        bool | Sticky | None, "Keep each client on one target by a cookie that the gateway sets; `true` is enough."
    ] = None
    address_family: Annotated[
        Literal["any", "ipv4", "ipv6"],
        "Which addresses of targets' names are used; any: both, the first that connects.",
    ] = "any"
    probe: Annotated[Probe | None, "Active health check; left out: none."] = None
    outliers: Annotated[Outliers | None, "Passive ejection; left out: none."] = None
    breaker: Annotated[Breaker | None, "Circuit breaker; left out: none."] = None
    retries: Annotated[
        Retries | None, "Retries; left out: only a connection that was closed while idle is replaced."
    ] = None
    timeouts: Annotated[Timeouts, "Deadlines."] = Timeouts()
    pool: Annotated[Pool, "Connection pool."] = Pool()
    fallback: Annotated[Fallback | None, "Answer when no target can; left out: a 502, 503 or 504 problem."] = None
    tls: Annotated[TargetTls, "TLS towards https targets."] = msgspec.field(default_factory=TargetTls)
    slow_start: Annotated[Duration, "A target that comes back gets its full share only after this time."] = 0.0
    transport: Annotated[
        TransportName, "httptools is the fast HTTP/1.1 one; httpx also speaks HTTP/2; or a plugin's name."
    ] = "httptools"
    proxy: Annotated[HttpUrl, "Forward proxy on the way to the targets; takes transport: httpx. Empty: none."] = ""
    pass_host: Annotated[bool, "Send the client's Host instead of the target's."] = False
    adaptive_concurrency: Annotated[bool, "Bound requests in flight by measured latency."] = False
    headers: Annotated[Headers, "Header edits of everything sent there and answered from there."] = Headers()
    credentials: Annotated[Credentials | None, "What the gateway shows for itself; left out: nothing."] = None
    quotas: Annotated[
        tuple[Limit, ...], "What may be sent there by all routes together; more is a 503, or the fallback."
    ] = ()
    rest: Annotated[Rest | None, "Pauses that it asks for by 429 and Retry-After; left out: none are kept."] = None
    openapi: Annotated[OpenApiSource | None, "Its OpenAPI document; left out: none is known."] = None
    allow: Annotated[
        tuple[str, ...], "Networks its targets' addresses must be in, or `public`; names by what they resolve to."
    ] = ()
