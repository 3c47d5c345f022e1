"""What the API description shows: one fleet at one moment, in the types that the handlers take and answer.

A shop's gateway `prod-eu1` of two nodes; `orders` fails, so its circuit has opened. The values are built from the same
structs and views as real answers, so a field that comes or goes changes them here or does not pass the type checker.
"""

from __future__ import annotations

from typing import Any

from spork.adapters.litestar.admin.accounting import AuditVerification
from spork.adapters.litestar.admin.acting import (
    ImportedKeys,
    NewKey,
    NewPlan,
    Raise,
    RevokedKeys,
    Rotation,
    Why,
    WhyAndHowLong,
)
from spork.adapters.litestar.admin.caching import Purge
from spork.adapters.litestar.admin.configuring import Question, Rollback
from spork.adapters.litestar.admin.logging import LogSettings, LogState
from spork.adapters.litestar.admin.maintenance import Away, Back
from spork.adapters.litestar.admin.profiling import ProfileSettings
from spork.adapters.litestar.discovery import Announced, Announcement
from spork.application.admin.configuration import DiffView
from spork.application.admin.monitoring import FORMULA, HealthScore, RoutePerformance
from spork.application.telemetry.usage import UsageRow
from spork.application.views import (
    ActionResult,
    ApiKeyView,
    AuditView,
    BreakerOnNode,
    BreakerView,
    CacheEntryView,
    CacheRouteView,
    CacheView,
    Candidate,
    ChannelPresenceView,
    ChannelsView,
    ChannelTopicView,
    ComponentHealth,
    ConcernView,
    ConfigRevisionView,
    ConfigView,
    ConnectionView,
    ConsumerView,
    EventView,
    Explanation,
    GuardVerdict,
    HistoryView,
    LimitView,
    MaintenanceView,
    Nodes,
    NodeView,
    ObjectiveView,
    OpenApiChangeView,
    OpenApiDocumentView,
    OpenApiRemarkView,
    OpenApiReportView,
    PulseView,
    QuotaView,
    RouteView,
    Series,
    ServiceView,
    SessionView,
    SnapshotView,
    TargetOnNode,
    TargetView,
    TrafficView,
    TransitionView,
    VersionCallerView,
    VersionView,
    Whoami,
)

#: The moment of every example: 2026-03-02 09:30:00 UTC, and the revision of that moment.
AT = 1_772_443_800.0
REV = int(AT * 1_000_000)
NODES = Nodes(seen=2, total=2)
AUDIT_ID = "01JNB6W2Q7A4M3D0F9K8"

YAML = """listen: 127.0.0.1:8000
upstreams:
  orders: {targets: [http://10.0.3.11:8080, http://10.0.3.12:8080], breaker: {open_for: 5s}}
routes:
  - {name: orders, match: /api/v1/orders/*, upstream: orders}
"""

PULSE = PulseView(
    rps=412.5,
    error_ratio=0.012,
    throttled_ratio=0.004,
    p50_ms=8.2,
    p95_ms=31.0,
    p99_ms=74.5,
    overhead_p95_ms=0.4,
    in_flight=37,
    series=(Series("rps", (398.0, 405.0, None, 412.5)),),
    health_score=79.0,
)
BREAKER = BreakerView(
    name="orders",
    state="open",
    since=AT - 3,
    cause="failure ratio 0.62 of 84 requests",
    requests=84,
    failures=52,
    slow=0,
    error_ratio=0.62,
    threshold=0.5,
    min_requests=20,
    trips=3,
    next_try=AT + 2,
    ramp=None,
    rps=8.4,
    routes=("orders",),
    transitions=(TransitionView(AT - 3, "closed", "open", "failure ratio 0.62 of 84 requests"),),
    window=((40, 22), (44, 30)),
    fallback="static 503",
    by_node=(
        BreakerOnNode("gw-1:8000", "open", AT - 3, "failure ratio 0.62 of 84 requests", 84, 52),
        BreakerOnNode("gw-2:8000", "open", AT - 3, "opened by another replica", 0, 0),
    ),
)
TARGET = TargetView(
    upstream="orders",
    name="10.0.3.11:8080",
    url="http://10.0.3.11:8080",
    config="active",
    probe="up",
    breaker="open",
    traffic="failing",
    weight=1,
    priority=0,
    in_flight=2,
    connections=12,
    rps=4.2,
    error_ratio=0.62,
    p95_ms=210.0,
    ejections=1,
    ejected_until=None,
    last_error="connect_refused",
    last_probe_at=AT - 1,
    probe_ms=2.1,
    by_node=(
        TargetOnNode("gw-1:8000", "active", "up", "open", "failing", 1, None, "connect_refused", AT - 1, 2.1),
        TargetOnNode("gw-2:8000", "active", "up", "open", "idle", 1, None, None, AT - 3, 1.9),
    ),
)
SERVICE = ServiceView(
    name="orders",
    state="degraded",
    targets_up=1,
    targets_total=2,
    rps=8.4,
    error_ratio=0.62,
    throttled_ratio=0.0,
    p50_ms=12.0,
    p95_ms=210.0,
    p99_ms=480.0,
    in_flight=4,
    breaker="open",
    balance="least_request",
    retries_per_second=0.8,
    availability=0.98,
    routes=("orders",),
)
ROUTE = RouteView(
    name="orders",
    pattern="/api/v1/orders/*",
    hosts=("api.example.com",),
    methods=("GET", "POST"),
    upstream="orders",
    auth=("jwt",),
    limits=("per-ip",),
    rps=8.4,
    error_ratio=0.62,
    p95_ms=210.0,
    hits=120_411,
    origin="spork.yaml:14",
)
QUOTA = QuotaView(
    subject="acme",
    kind="user",
    plan="basic",
    limit="plan",
    algorithm="sliding",
    quota=600,
    period=60.0,
    used=571,
    remaining=29,
    resets_in=12.5,
    admitted_5m=2810,
    refused_5m=14,
    owner="Acme Ltd",
    id="cGxhbjp1c2VyOmFjbWU",
)
LIMIT = LimitView("per-ip", "gcra", 100, 60.0, 20, "ip", ("orders",), "local", 98_211, 412, "redis")
TRAFFIC = TrafficView(
    at=AT - 0.2,
    method="GET",
    path="/api/v1/orders/42",
    status=200,
    ms=9.1,
    upstream_ms=8.6,
    route="orders",
    upstream="orders",
    target="10.0.3.12:8080",
    subject="acme",
    client="203.0.113.7",
    request_id="6f1c0c2c9f5e4a4e",
    trace_id="4bf92f3577b34da6a3ce929d0e0e4736",
    reason=None,
    attempts=1,
    bytes_in=0,
    bytes_out=512,
)
EVENT = EventView(
    id=f"{REV}-node-a-7",
    at=AT - 3,
    kind="breaker.opened",
    actor="spork",
    object="orders",
    outcome="open",
    detail="failure ratio 0.62 of 84 requests",
    severity="error",
    node="node-a",
)
REVISION = ConfigRevisionView("bffe033f408e", AT - 3600, "alice", "apply", True, "orders: shorter open_for")
KEY = ApiKeyView(
    id="k7Yq2mB1",
    consumer="acme",
    owner="Acme Ltd",
    plan="basic",
    scopes=("orders:read",),
    created_at=AT - 86_400,
    expires_at=AT + 7_776_000,
    last_used_at=AT - 4,
    state="active",
)
AUDIT = AuditView(
    number=118,
    id=AUDIT_ID,
    at=AT,
    action="breaker.trip",
    actor="alice",
    role="operator",
    object="breaker orders",
    outcome="done",
    reason="INC-4711",
    before="closed",
    after="forced_open",
    detail="",
    client="127.0.0.1",
    subject="",
    node="node-a",
    hash="9a1f0c5f3a64be0f6d1a8d5f4f5f0a2b7c3e9d8811aa02f3c4d5e6f708192a3b",
    erased=False,
)
USAGE = UsageRow(492_345, "acme", "orders", 2810, 34, 14, 2844, 91_200, 1_438_720, 25.6)
PERFORMANCE = RoutePerformance("orders", 120_411, 8.4, 0.62, 12.0, 210.0, 480.0, 13.0, 220.0, 470.0)
CONCERN = ConcernView(
    id="breaker:orders",
    kind="breaker",
    object="orders",
    severity="error",
    state="open",
    since=AT - 30,
    cleared_at=None,
    flaps=2,
    cause="52 of 84 calls failed in 10 s",
    next_step="look at its targets; it tries again by itself",
    place="breaker",
    key="orders",
    word="open",
)
HISTORY = HistoryView(
    kind="service",
    name="orders",
    step=10.0,
    until=AT,
    rate=(8.2, None, 8.4),
    errors=(0.0, None, 0.62),
    p95_ms=(31.0, None, 74.5),
    refused=(0.0, None, 0.1),
)
NODE = NodeView("gw-1:8000", "up", "bffe033f408e", AT - 86_400, AT, 37, 412.5, 0.012, "0.1.0", True)
COMPONENT = ComponentHealth("redis", "ok", "answers", 0.6, {"role": "master"})

#: Answers by their type. Lists and single things come in envelopes, made from these.
ANSWERS: tuple[Any, ...] = (
    Whoami("alice", "operator", AT + 2_592_000, "prod-eu1", "0.1.0", "node-a"),
    SnapshotView(
        rev=REV,
        as_of=AT,
        nodes=NODES,
        topics={"pulse": PULSE, "services": [SERVICE], "targets": [TARGET], "breakers": [BREAKER]},
    ),
    SERVICE,
    TARGET,
    BREAKER,
    ROUTE,
    LIMIT,
    QUOTA,
    ConsumerView("acme", "basic", "Acme Ltd", 9.4, 2810, 14, AT - 4),
    KEY,
    SessionView("s-81f0", "user-42", "https://idp.example.com", AT - 1800, AT - 4, AT + 1800, "203.0.113.7"),
    CacheView(
        "node-a",
        1204,
        38_400_000,
        268_435_456,
        "redis",
        3,
        {"stored": 2210, "validated": 180, "refused": 12},
        (CacheRouteView("catalogue", {"hit": 9100, "miss": 700, "collapsed": 120}, 0.93),),
    ),
    MaintenanceView("orders", "ann", "INC-4711", AT, AT + 1800, 300.0, ("10.0.0.0/8",), ("acme",)),
    CacheEntryView(
        "catalogue",
        "https://api.example.com/catalogue/7",
        200,
        "fresh",
        12,
        48,
        2210,
        '"v7"',
        {"accept-encoding": "gzip"},
        "everyone",
    ),
    ChannelsView(
        "node-a",
        "redis",
        1204,
        {"mercure": 8120, "pusher": 310},
        940_112,
        3,
        (ChannelTopicView("orders/acme/7", "exact", 12),),
    ),
    ChannelPresenceView("presence-room-7", ("alice", "bob")),
    OpenApiReportView(
        41,
        (
            OpenApiDocumentView(
                "orders",
                "/openapi.json",
                "pending",
                12,
                AT - 20,
                AT - 86_400,
                20.0,
                "8c1f0a7be2d94410",
                "",
                (
                    OpenApiChangeView(
                        "breaking", "response-property-removed", "GET /orders/{id}", "answer 200.note", "is gone"
                    ),
                ),
            ),
        ),
        (OpenApiRemarkView("orders", "GET /internal/stats", "no route leads there"),),
        ("files",),
        (OpenApiRemarkView("orders", "itemSchema", "`itemSchema` has no word in 3.1"),),
    ),
    ConnectionView(
        "4711", "node-a", "websocket", "live", "203.0.113.7", "acme", "user-42", "jwt", AT - 1800, AT + 1800
    ),
    EVENT,
    TRAFFIC,
    ConfigView(
        revision="bffe033f408e",
        applied_at=AT - 3600,
        author="alice",
        running=YAML,
        file=YAML,
        diff_file="",
        diff_previous="-  orders: {breaker: {open_for: 30s}}\n+  orders: {breaker: {open_for: 5s}}\n",
        problems=(),
        restart_needed=(),
        history=(REVISION,),
    ),
    REVISION,
    DiffView(
        same=False,
        revision="0d9c4f1be2a7",
        running="bffe033f408e",
        diff="--- running\n+++ given\n-    open_for: 5s\n+    open_for: 10s\n",
        problems=(),
    ),
    Explanation(
        request="GET http://api.example.com/api/v1/orders/42",
        refusal="circuit_open",
        candidates=(Candidate("orders", "/api/v1/orders/*", True, "matches"),),
        route="orders",
        params={},
        upstream="orders",
        target=None,
        wire_target="/api/v1/orders/42",
        guards=(GuardVerdict("limit per-ip", "pass", "83 of 100 left"),),
        request_headers=(("host", "api.example.com"),),
        breaker="open",
    ),
    LogState("info", True, ["at", "method", "path", "status", "ms"], 0),
    COMPONENT,
    CONCERN,
    HISTORY,
    NODE,
    AUDIT,
    AuditVerification(True, AUDIT.number, AUDIT.hash, []),
    USAGE,
    VersionView(
        api="orders",
        version="v1",
        state="deprecated",
        deprecated=1_788_220_800.0,
        sunset=1_803_859_200.0,
        successor="v2",
        requests_1d=412,
        requests_7d=3_120,
        requests_30d=20_411,
        projected=350.0,
        consumers=(VersionCallerView("acme", 20_100, 1_789_999_200.0, "basic"),),
        anonymous=(VersionCallerView("192.0.2.0/24 curl/8.5.0", 311, 1_789_990_000.0, ""),),
    ),
    ObjectiveView(
        name="orders fast",
        route="orders",
        consumer=None,
        target=0.999,
        latency_ms=250.0,
        period=2_592_000.0,
        requests=1_204_110,
        bad=410,
        budget_left=0.66,
        burn={"5m": 14.2, "30m": 3.1, "1h": 1.7, "6h": 0.4},
        since=1_788_000_000.0,
        nodes=("gw-1:8000", "gw-2:8000"),
        kept_in="redis",
        read_at=1_790_000_000.0,
    ),
    HealthScore(79.0, {"errors": 6.0, "services": 15.0}, FORMULA),
    Announced(
        id="orders-6f1c0c2c",
        service="orders",
        url="http://10.1.2.3:8080",
        address="10.1.2.3",
        ttl=30.0,
        registered_at=AT,
        expires_at=AT + 30,
        heartbeat="/discovery/register/orders-6f1c0c2c",
    ),
)

#: Request bodies by their type.
BODIES: tuple[Any, ...] = (
    Why("INC-4711"),
    WhyAndHowLong("INC-4711", 600),
    Raise(1200, 3600, "launch day"),
    NewPlan("premium", "contract signed"),
    NewKey(
        "acme",
        "Acme Ltd",
        "basic",
        ["orders:read"],
        ["orders"],
        ["203.0.113.0/24"],
        ["reader"],
        "",
        False,
        7_776_000,
        "onboarding",
    ),
    Rotation(86_400, "yearly rotation"),
    ImportedKeys([{"consumer": "acme", "sha256": "9f" * 32, "scopes": ["orders:read"]}], False, "move to this gateway"),
    RevokedKeys("acme", [], "INC-4711"),
    Purge(tags=["product-7"], reason="price changed"),
    Away(["orders"], 300.0, ["10.0.0.0/8"], ["acme"], "INC-4711", 1800),
    Back(["orders"], "INC-4711"),
    Rollback("bffe033f408e", "INC-4711"),
    Question("http://api.example.com/api/v1/orders/42", "GET", {"x-api-key": "spk_..."}, "203.0.113.7"),
    ProfileSettings(5.0, 100, "speedscope", "INC-4711"),
    LogSettings("debug", True, ["at", "method", "path", "status", "ms"], False, "INC-4711", 600),
    Announcement("orders", "http://10.1.2.3:8080", 30.0, 1, 0, "/health", {"version": "2.4.1"}),
)


def _done(action: str, object: str, before: str, after: str, blast: str, secret: str | None = None) -> ActionResult:
    return ActionResult(action, object, before, after, True, REV, AUDIT_ID, blast, (), secret)


_FINISH = "Requests in flight finish as they began."
#: What each write answers, by its action.
ACTS: tuple[ActionResult, ...] = (
    _done("breaker.trip", "breaker orders", "closed", "forced_open", "refuses 8.4 requests/s on route orders"),
    _done("breaker.reset", "breaker orders", "open", "closed", "admits 8.4 requests/s on route orders"),
    _done("target.drain", "target orders/10.0.3.11:8080", "active", "draining",
          "Moves 4.2 requests/s to 1 other target(s); 2 in flight finish."),
    _done("target.undrain", "target orders/10.0.3.11:8080", "draining", "active",
          "orders sends requests to 10.0.3.11:8080 again."),
    _done("target.probe", "target orders/10.0.3.11:8080", "up", "up in 2.1 ms", "Sends one probe."),
    _done("quota.reset", f"quota {QUOTA.id}", "571 of 600 used", "0 of 600 used",
          "acme may use 600 per 60 s of plan anew."),
    _done("quota.raise", f"quota {QUOTA.id}", "600", "1200", "acme may use 1200 instead of 600 per 60 s for 3600 s."),
    _done("consumer.plan", "consumer acme", "basic", "premium",
          "The limits of plan premium apply to acme (9.4 requests/s) from its next request."),
    _done("key.issue", "keys of acme", "-", "active, id k7Yq2mB1", "acme can authenticate with one more key.",
          "spk_k7Yq2mB1_..."),
    _done("key.rotate", "key k7Yq2mB1", "active", "rotating", "acme's old secret ends in 86400 s.",
          "spk_k7Yq2mB1_..."),
    _done("key.revoke", "key k7Yq2mB1", "active", "revoked", "acme is refused with this key from now on."),
    _done("key.import", "keys", "-", "1 added, 0 there already", "1 keys of 1 consumer(s) can authenticate."),
    _done("key.revoke_all", "keys of acme", "3 good", "3 revoked", "3 keys are refused from now on."),
    _done("session.revoke", "session s-81f0", "active", "revoked",
          "Every token of this session is refused from now on."),
    _done("maintenance.begin", "maintenance", "nothing is away", "away: orders",
          "1 route (orders) answer 503 with Retry-After on every process."),
    _done("maintenance.end", "maintenance", "away: orders", "nothing is away", "1 route (orders) are served again."),
    _done("cache.purge", "cache", "1204 entries here", "purged",
          "Purges 1 tag(s) on every node. Stored answers are forgotten."),
    _done("connection.close", "connection 4711", "open", "closed", "Ends one websocket of acme on live."),
    _done("subject.revoke", "subject user-42", "active", "revoked",
          "Every token of user-42 issued until now is refused (1 session(s) seen)."),
    _done("subject.erase", "audit trail", "kept", "erased in 3 record(s)",
          "Names, addresses and details of this person are forgotten; who did what when stays by commitment."),
    _done("config.apply", "config", "revision bffe033f408e", "revision 0d9c4f1be2a7",
          f"Routes: 0 added, 0 removed, 0 changed. Upstreams: 0 added, 0 removed, 1 changed. {_FINISH}"),
    _done("config.reload", "config", "revision bffe033f408e", "revision 0d9c4f1be2a7",
          f"Routes: 1 added, 0 removed, 0 changed. Upstreams: 0 added, 0 removed, 0 changed. {_FINISH}"),
    _done("config.rollback", "config", "revision 0d9c4f1be2a7", "revision bffe033f408e",
          f"Routes: 0 added, 0 removed, 0 changed. Upstreams: 0 added, 0 removed, 1 changed. {_FINISH}"),
    _done("log.change", "logging", "level info, access log on", "level debug, access log on",
          "Changes this node's logs."),
)  # fmt: skip
