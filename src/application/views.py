"""Read models for operators: what the admin API answers and what the console reads. Plain frozen dataclasses.

A missing value is None and shown as `-`, never 0. Times are Unix seconds, durations milliseconds when the name ends
in `_ms` and seconds otherwise, ratios 0..1. Rates are over the last 10 seconds unless the name says otherwise.
Configured, probe, breaker and traffic state are separate facts: a target is never healthy because it is configured.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Nodes:
    """Which gateway processes the answer covers. Sums over a fleet with silent nodes are lower bounds."""

    seen: int
    total: int
    silent: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Whoami:
    name: str
    role: str  # viewer, operator, admin
    expires_at: float | None = None
    gateway: str = ""  # name of the deployment, e.g. prod-eu1
    version: str = ""
    node: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """One value per second, newest last, None where nothing was measured."""

    name: str
    points: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class PulseView:
    rps: float
    error_ratio: float  # 5xx share
    throttled_ratio: float  # share that limits refused
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    overhead_p95_ms: float | None  # time spent in the gateway itself
    in_flight: int
    series: tuple[Series, ...] = ()  # rps, 5xx, 429 over 5 minutes
    health_score: float | None = None  # 0..100


@dataclass(frozen=True, slots=True)
class TransitionView:
    at: float
    before: str
    after: str
    cause: str


@dataclass(frozen=True, slots=True)
class BreakerOnNode:
    """A circuit as one gateway process has it."""

    node: str
    state: str
    since: float
    cause: str
    requests: int
    failures: int
    slow: int = 0


@dataclass(frozen=True, slots=True)
class BreakerView:
    """One circuit, visible in every state. `name` is the upstream's, or upstream/target for a per-target circuit.

    Of several gateway processes it is the worst state with its cause, and counts added up; `by_node` says each one's own.
    """

    name: str
    state: str  # closed, open, half_open, forced_open
    since: float
    cause: str
    requests: int
    failures: int
    slow: int
    error_ratio: float
    threshold: float
    min_requests: int
    trips: int
    next_try: float | None
    ramp: float | None  # share admitted while recovering
    rps: float
    routes: tuple[str, ...] = ()
    forced_by: str | None = None
    forced_reason: str | None = None
    expires_at: float | None = None
    transitions: tuple[TransitionView, ...] = ()
    window: tuple[tuple[int, int], ...] = ()  # (requests, failures) per second of the window, newest last
    fallback: str | None = None
    by_node: tuple[BreakerOnNode, ...] = ()
    opened_because: str = ""  # why it last opened, also while it recovers
    window_seconds: float = 0.0
    consecutive: int = 0  # failures in a row that open it; 0: not asked
    slow_call_ms: float | None = None  # a call that takes longer is slow; None: not asked
    slow_ratio: float | None = None
    open_for: float = 0.0  # seconds
    ramp_seconds: float = 0.0
    per_target: bool = False


@dataclass(frozen=True, slots=True)
class TargetOnNode:
    """A target as one gateway process finds it: each probes and ejects for itself."""

    node: str
    config: str
    probe: str
    breaker: str
    traffic: str
    in_flight: int
    ejected_until: float | None
    last_error: str | None
    last_probe_at: float | None
    probe_ms: float | None


@dataclass(frozen=True, slots=True)
class TargetView:
    """One target. Of several gateway processes it is as bad as the worst finds it, and counts added up; `by_node` says what
    each finds."""

    upstream: str
    name: str  # host:port or unix path
    url: str
    config: str  # active, draining, drained, registered
    probe: str  # up, down, unknown, off
    breaker: str  # closed, open, ..., off
    traffic: str  # ok, failing, ejected, idle
    weight: int
    priority: int
    in_flight: int
    connections: int
    rps: float
    error_ratio: float
    p95_ms: float | None
    ejections: int
    ejected_until: float | None
    last_error: str | None
    last_probe_at: float | None
    probe_ms: float | None
    flaps: int = 0  # probe verdict changes in 5 minutes
    by_node: tuple[TargetOnNode, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceView:
    """One upstream with its targets summed up. `state`: healthy, degraded, down, unknown; down when no gateway process has
    a target to send to, degraded when one has not, or any has less than all. `targets_up` counts those that every process
    uses.
    """

    name: str
    state: str
    targets_up: int
    targets_total: int
    rps: float
    error_ratio: float
    throttled_ratio: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    in_flight: int
    breaker: str  # its circuit's state, or the worst of its targets'
    balance: str
    retries_per_second: float
    availability: float | None  # share of the last hour's probes that succeeded
    routes: tuple[str, ...] = ()
    revision: str = ""


@dataclass(frozen=True, slots=True)
class RouteView:
    name: str
    pattern: str
    hosts: tuple[str, ...]
    methods: tuple[str, ...]
    upstream: str | None
    auth: tuple[str, ...]
    limits: tuple[str, ...]
    rps: float
    error_ratio: float
    p95_ms: float | None
    hits: int
    origin: str
    shadowed_by: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class QuotaView:
    """One window of one subject under one limit. `subject` is masked (first 4 ... last 2) for keys."""

    subject: str
    kind: str  # key, user, ip, route, tenant, global, header, claim
    plan: str | None
    limit: str
    algorithm: str
    quota: int
    period: float
    used: int
    remaining: int
    resets_in: float
    admitted_5m: int
    refused_5m: int
    owner: str | None = None
    override: str | None = None  # raised limit in force, with its expiry
    id: str = ""  # opaque handle for actions


@dataclass(frozen=True, slots=True)
class LimitView:
    name: str
    algorithm: str
    quota: int | None
    period: float | None
    burst: int | None
    by: str
    routes: tuple[str, ...]
    on_store_error: str
    admitted: int
    refused: int
    store: str  # memory, redis, degraded


@dataclass(frozen=True, slots=True)
class TrafficView:
    """One finished exchange, for the tail. No header values, no query values."""

    at: float
    method: str
    path: str
    status: int
    ms: float
    upstream_ms: float | None
    route: str | None
    upstream: str | None
    target: str | None
    subject: str | None
    client: str
    request_id: str
    trace_id: str
    reason: str | None  # slug of the refusal or fault
    attempts: int
    bytes_in: int
    bytes_out: int
    trace_url: str | None = (
        None  # the trace in the operator's viewer, where it is kept and telemetry.traces.link is set
    )


@dataclass(frozen=True, slots=True)
class EventView:
    id: str
    at: float
    kind: str  # breaker.opened, target.ejected, config.applied, auth.failed, admin.login, ...
    actor: str
    object: str
    outcome: str
    detail: str
    severity: str  # info, warning, error
    audit_id: str | None = None
    node: str = ""


@dataclass(frozen=True, slots=True)
class ConfigRevisionView:
    revision: str
    at: float
    author: str
    source: str
    current: bool
    note: str = ""


@dataclass(frozen=True, slots=True)
class ConfigView:
    """`running` and `file` are YAML texts with secrets replaced; the diffs are unified diffs of those texts."""

    revision: str
    applied_at: float
    author: str
    running: str
    file: str
    diff_file: str  # running -> file on disk
    diff_previous: str  # previous revision -> running
    problems: tuple[
        dict[str, object], ...
    ]  # of the last failed reload: {file, line, column, path, message, suggestion}
    restart_needed: tuple[str, ...]
    history: tuple[ConfigRevisionView, ...]


@dataclass(frozen=True, slots=True)
class ConsumerView:
    name: str
    plan: str | None
    owner: str | None
    rps: float
    admitted_5m: int
    refused_5m: int
    last_seen: float | None


@dataclass(frozen=True, slots=True)
class ObjectiveView:
    """A service level objective as measured. `burn` maps windows (5m, 30m, 1h, 6h) to burn rates.

    `requests` and `bad` are of the last `period`, or since `since` if counting began later: nothing is extrapolated.
    `nodes` are the processes whose counts came in during the last six hours; counts of those that went before are in
    too. `read_at` is when `kept_in` was last read, and `remark` says what is missing when it does not answer.
    """

    name: str
    route: str | None
    consumer: str | None
    target: float
    latency_ms: float | None
    period: float
    requests: int
    bad: int
    budget_left: float
    burn: dict[str, float]
    since: float | None = None
    nodes: tuple[str, ...] = ()
    kept_in: str = "process"  # process, records, redis
    read_at: float | None = None
    remark: str = ""


@dataclass(frozen=True, slots=True)
class AuditView:
    """One record of the audit trail. Personal fields of an erased record are empty."""

    number: int
    id: str
    at: float
    action: str
    actor: str
    role: str
    object: str
    outcome: str
    reason: str
    before: str
    after: str
    detail: str
    client: str
    subject: str
    node: str
    hash: str
    erased: bool


@dataclass(frozen=True, slots=True)
class ApiKeyView:
    id: str
    consumer: str
    owner: str
    plan: str
    scopes: tuple[str, ...]
    created_at: float
    expires_at: float | None
    last_used_at: float | None
    state: str  # active, rotating, revoked, expired
    cidrs: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    tenant: str = ""


@dataclass(frozen=True, slots=True)
class SessionView:
    id: str
    subject: str
    issuer: str
    started_at: float
    last_seen: float
    expires_at: float | None
    client: str


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    name: str
    status: str  # ok, degraded, failing, off
    detail: str
    latency_ms: float | None = None
    facts: dict[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConcernView:
    """What an operator should look at: one row per object. `id` is kind:object."""

    id: str
    kind: str  # breaker, target, service, quota, config, node, gateway, objective
    object: str
    severity: str  # error, warning
    state: str  # opened (new), open, cleared
    since: float
    cleared_at: float | None
    flaps: int  # how often it cleared and came back, of late
    cause: str
    next_step: str
    place: str  # where a console leads to, and the key of what it shows there
    key: str
    word: str = ""  # the object's own state: open, down, failing, ...


@dataclass(frozen=True, slots=True)
class HistoryView:
    """The last minutes of one service or route (or of all requests, kind total), a sample each `step` seconds, the newest
    at `until`. None where nothing was measured."""

    kind: str  # total, service, route
    name: str
    step: float
    until: float
    rate: tuple[float | None, ...]  # requests per second
    errors: tuple[float | None, ...]  # 5xx share
    p95_ms: tuple[float | None, ...]
    refused: tuple[float | None, ...]  # refusals by limits per second


@dataclass(frozen=True, slots=True)
class NodeView:
    """One gateway process of the fleet, as it last reported. `components` are told by the process that answers."""

    name: str
    state: str  # up, silent
    revision: str
    started_at: float | None
    seen_at: float | None
    in_flight: int | None
    rps: float | None
    error_ratio: float | None
    version: str = ""
    answers: bool = False  # is it the process that answered?


@dataclass(frozen=True, slots=True)
class Candidate:
    """One route looked at while matching, and why it lost (None for the winner)."""

    route: str
    pattern: str
    won: bool
    why: str


@dataclass(frozen=True, slots=True)
class GuardVerdict:
    phase: str
    verdict: str  # pass, refuse, answer (this guard ends the request with an answer), unknown
    detail: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """What would happen to a request. Nothing was sent, nothing consumed."""

    request: str
    refusal: str | None
    candidates: tuple[Candidate, ...]
    route: str | None
    params: dict[str, str]
    upstream: str | None
    target: str | None
    wire_target: str | None
    guards: tuple[GuardVerdict, ...]
    request_headers: tuple[tuple[str, str], ...]
    breaker: str | None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ActionResult:
    """Answer to an operator's write, or to its dry run."""

    action: str
    object: str
    before: str
    after: str
    applied: bool
    revision: int
    audit_id: str | None
    blast: str  # one sentence: how much traffic, which routes
    warnings: tuple[str, ...] = ()
    secret: str | None = None  # a new API key, shown this once


@dataclass(frozen=True, slots=True)
class SnapshotView:
    """Everything a console shows at first. `topics` maps a topic's name to its rows (the views above):
    pulse (one), services, targets, breakers, quotas (top 200), routes, traffic (latest), events (latest), config (one).
    """

    rev: int
    as_of: float
    nodes: Nodes
    topics: dict[str, object]


@dataclass(frozen=True, slots=True)
class CacheRouteView:
    """What the cache did for one route of this node since it started. `hit_ratio` 0..1, None before the first request."""

    route: str
    requests: dict[str, int]
    hit_ratio: float | None


@dataclass(frozen=True, slots=True)
class CacheView:
    """The response cache of this node. Sizes in bytes; `second_level` is none, redis or away."""

    node: str
    entries: int
    bytes: int
    memory: int
    second_level: str
    purges: int
    fills: dict[str, int]
    routes: tuple[CacheRouteView, ...]


@dataclass(frozen=True, slots=True)
class MaintenanceView:
    """An absence that an operator began: of one `route`, or of the whole gateway (`*`). Times in Unix seconds, `until` None
    for no end; `retry_after` in seconds."""

    route: str
    by: str
    reason: str
    since: float
    until: float | None
    retry_after: float
    allow: tuple[str, ...] = ()
    consumers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CacheEntryView:
    """One stored answer. Times in seconds; `state` is fresh, stale (may be given) or expired. `varies` is what it was made for;
    a value of a credential is never shown."""

    route: str
    url: str
    status: int
    state: str
    age: int
    ttl: int
    bytes: int
    etag: str
    varies: dict[str, str]
    owner: str


@dataclass(frozen=True, slots=True)
class ConnectionView:
    """One exchange that outlives its head: `kind` is websocket, stream, download or channel."""

    id: str
    node: str
    kind: str
    route: str
    client: str
    consumer: str
    subject: str
    method: str
    since: float
    ends_at: float | None


@dataclass(frozen=True, slots=True)
class ChannelTopicView:
    """What subscribers of this node listen to: `match` of type exact, urlpattern or uritemplate."""

    match: str
    type: str
    subscribers: int


@dataclass(frozen=True, slots=True)
class ChannelsView:
    """Channels of this node since it started. `broker` is memory, redis or away; `published` by front."""

    node: str
    broker: str
    subscribers: int
    published: dict[str, int]
    deliveries: int
    slow: int
    topics: tuple[ChannelTopicView, ...]


@dataclass(frozen=True, slots=True)
class ChannelPresenceView:
    """Who is present on a topic, fleet-wide."""

    topic: str
    users: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VersionCallerView:
    """Who called a version in 30 days: a consumer, or a network and user agent. `last` in Unix seconds, to the hour for
    consumers."""

    name: str
    requests: int
    last: float
    plan: str


@dataclass(frozen=True, slots=True)
class GraphQLOperationView:
    """A GraphQL operation that was asked for. `first` and `last` in Unix seconds, `cost` the dearest so far, `known` whether its
    document is registered, `consumers` and `reasons` (of refusals, observed ones too) with how often."""

    route: str
    name: str
    type: str
    id: str
    known: bool
    requests: int
    refused: int
    cost: int
    first: float
    last: float
    consumers: dict[str, int]
    reasons: dict[str, int]
    document: str


@dataclass(frozen=True, slots=True)
class VersionView:
    """One version of one API. `state` is current, deprecated, brownout or retired; dates are Unix seconds. `projected` are
    requests a day to be expected at the sunset."""

    api: str
    version: str
    state: str
    deprecated: float | None
    sunset: float | None
    successor: str | None
    requests_1d: int
    requests_7d: int
    requests_30d: int
    projected: float | None
    consumers: tuple[VersionCallerView, ...]
    anonymous: tuple[VersionCallerView, ...]


@dataclass(frozen=True, slots=True)
class OpenApiChangeView:
    """One difference between two versions of an upstream's document. `severity` is breaking, warning or info."""

    severity: str
    rule: str
    operation: str
    where: str
    detail: str


@dataclass(frozen=True, slots=True)
class OpenApiDocumentView:
    """The OpenAPI document of one upstream as this node has it. `source` is its path or file; `state` is missing, current, stale,
    or pending (a newer one breaks clients and is not taken). `checked` and `changed` are Unix seconds; `age` the seconds since
    it was last found good."""

    upstream: str
    source: str
    state: str
    operations: int
    checked: float | None
    changed: float | None
    age: float | None
    digest: str
    error: str
    changes: tuple[OpenApiChangeView, ...]


@dataclass(frozen=True, slots=True)
class OpenApiRemarkView:
    """Something of an upstream's document that is not published, or could not be checked by: `place` in it, and `why`."""

    upstream: str
    place: str
    why: str


@dataclass(frozen=True, slots=True)
class OpenApiReportView:
    """What became of the documents of upstreams: `published` operations, `left_out` ones, routes without a document
    (`undocumented`), and what of published ones was `lost`."""

    published: int
    documents: tuple[OpenApiDocumentView, ...]
    left_out: tuple[OpenApiRemarkView, ...]
    undocumented: tuple[str, ...]
    lost: tuple[OpenApiRemarkView, ...]
