"""Rows of an invented deployment: enough of everything to see each state once. `at` is the server's clock."""

from __future__ import annotations

import random
from dataclasses import replace

from spork.application.views import (
    ApiKeyView,
    BreakerView,
    ComponentHealth,
    ConfigRevisionView,
    ConfigView,
    ConnectionView,
    ConsumerView,
    EventView,
    HistoryView,
    LimitView,
    Nodes,
    NodeView,
    ObjectiveView,
    OpenApiChangeView,
    OpenApiDocumentView,
    PulseView,
    QuotaView,
    RouteView,
    Series,
    ServiceView,
    SessionView,
    TargetView,
    TrafficView,
    TransitionView,
    VersionCallerView,
    VersionView,
)
from spork.console.gateway.own_rows import CacheRow, ChannelRow

HOSTILE = "\x1b]2;pwned\x07[@click=app.exit]x[/]\x9b31m\u202eabc\u200b[/items]"

SERVICES = (
    ("billing", "degraded", 1, 4, 310.0, 0.61, 2000.0, "open"),
    ("geo", "degraded", 2, 3, 88.0, 0.092, 410.0, "open"),
    ("search", "healthy", 6, 6, 402.0, 0.009, 72.0, "half_open"),
    ("users", "healthy", 7, 8, 640.0, 0.001, 31.0, "closed"),
    ("catalog", "healthy", 12, 12, 221.0, 0.0, 18.0, "closed"),
    ("legacy", "healthy", 2, 2, 0.0, 0.0, None, "forced_open"),
    ("checkout", "healthy", 4, 4, 96.0, 0.002, 55.0, "closed"),
    ("media", "healthy", 5, 5, 74.0, 0.0, 120.0, "closed"),
    ("notify", "healthy", 3, 3, 12.0, 0.0, 9.0, "closed"),
    ("reports", "unknown", 0, 1, 0.0, 0.0, None, "closed"),
)


def services() -> list[ServiceView]:
    return [
        ServiceView(
            name,
            state,
            up,
            total,
            rps,
            errors,
            0.011 if name == "billing" else 0.0,
            p95 and p95 / 4,
            p95,
            p95 and p95 * 3,
            round(rps / 20),
            breaker,
            "least_request",
            1.2 if errors > 0.05 else 0.0,
            0.92 if state == "degraded" else 1.0,
            (f"{name}-v1", f"{name}-v2"),
            "r41",
        )
        for name, state, up, total, rps, errors, p95, breaker in SERVICES
    ]


def targets(at: float) -> list[TargetView]:
    rows = []
    for name, _, up, total, rps, errors, p95, breaker in SERVICES:
        for index in range(total):
            healthy = index < up
            drained = name == "users" and index == total - 1
            unknown = name == "reports"
            rows.append(
                TargetView(
                    name,
                    f"10.0.{len(name)}.{index + 1}:8080",
                    f"http://10.0.{len(name)}.{index + 1}:8080",
                    "draining" if drained else "active",
                    "unknown" if unknown else ("up" if healthy or drained else "down"),
                    "closed" if breaker == "forced_open" else breaker,
                    "idle" if not rps else ("ok" if healthy else "failing"),
                    1 + index % 3,
                    0,
                    14 if drained else round(rps / 40),
                    round(rps / 10),
                    rps / max(1, up) if healthy else 0.0,
                    errors if healthy else 0.0,
                    p95,
                    0 if healthy else 2,
                    None,
                    None if healthy or drained or unknown else "connect timeout after 500 ms",
                    at - 1.5 - index / 7,
                    None if unknown else 3.2 + index,
                    5 if name == "geo" and index == 0 else 0,
                )
            )
    return rows


def breakers(at: float) -> list[BreakerView]:
    rows = []
    for name, _, _, _, rps, errors, _, state in SERVICES:
        requests = round(rps * 10 * (0.13 if state == "open" else 1))
        failures = round(requests * errors)
        steps: tuple[TransitionView, ...] = ()
        if state != "closed":
            steps = (
                TransitionView(at - 95, "closed", "open", "failure ratio 0.58 over 0.50"),
                TransitionView(at - 60, "open", "half_open", "open_for elapsed"),
                TransitionView(
                    at - 32,
                    "half_open",
                    "open" if state == "open" else state,
                    "probe failed" if state == "open" else "by ana",
                ),
            )
        window = tuple((max(0, requests // 10 + (index * 7) % 5 - 2), failures // 10) for index in range(10))
        forced = state == "forced_open"
        rows.append(
            BreakerView(
                name,
                state,
                at - 32 if state != "closed" else at - 86_000,
                "failure ratio" if state == "open" else "",
                requests,
                failures,
                10 if state == "open" else 0,
                errors,
                0.5,
                20,
                4 if state == "open" else (1 if state != "closed" else 0),
                at + 21 if state == "open" else None,
                0.4 if state == "half_open" else None,
                rps,
                (f"{name}-v1", f"{name}-v2"),
                "ana" if forced else None,
                "vendor maintenance" if forced else None,
                at + 11_520 if forced else None,
                steps,
                window,
                "503 users are resting" if name == "users" else None,
            )
        )
    return rows


def quotas(count: int = 60) -> list[QuotaView]:
    first = [
        QuotaView(
            "spk_9f…31", "key", "pro", "per-key", "gcra", 600, 60.0, 600, 0, 12.0, 3000, 1204, "acme", None, "q1"
        ),
        QuotaView("spk_02…aa", "key", "free", "per-key", "gcra", 60, 60.0, 60, 0, 31.0, 300, 311, None, None, "q2"),
        QuotaView("user:8841", "user", "free", "per-user", "gcra", 60, 60.0, 57, 3, 9.0, 280, 0, None, None, "q3"),
        QuotaView(
            "203.0.113.9", "ip", None, "per-ip", "sliding_window", 30, 60.0, 29, 1, 44.0, 140, 44, None, None, "q4"
        ),
        QuotaView(
            "spk_c1…5d",
            "key",
            "pro",
            "per-key",
            "gcra",
            600,
            60.0,
            412,
            188,
            20.0,
            2000,
            0,
            "zeta",
            "raised to 900 until 18:00Z",
            "q5",
        ),
    ]
    rng = random.Random(7)
    for index in range(count - len(first)):
        used = rng.randrange(0, 400)
        first.append(
            QuotaView(
                f"spk_{index:02x}…{rng.randrange(256):02x}",
                rng.choice(("key", "key", "user", "ip", "tenant")),
                rng.choice(("free", "pro", "unlimited")),
                "per-key",
                "gcra",
                600,
                60.0,
                used,
                600 - used,
                rng.random() * 60,
                used * 4,
                0,
                rng.choice((None, "acme", "zeta", "orion")),
                None,
                f"q{index + 6}",
            )
        )
    return first


def routes() -> list[RouteView]:
    rows = []
    for name, _, _, _, rps, errors, p95, _ in SERVICES:
        for version in (1, 2):
            rows.append(
                RouteView(
                    f"{name}-v{version}",
                    f"/api/v{version}/{name}/*",
                    (),
                    ("GET", "POST") if version == 1 else ("GET",),
                    name,
                    ("jwt",) if name != "media" else (),
                    ("per-ip", "plan"),
                    rps / version / 1.5,
                    errors,
                    p95,
                    round(rps * 900 / version),
                    "spork.yaml:14",
                )
            )
    rows[3] = replace(rows[3], shadowed_by="geo-v1")
    return rows


def traffic(at: float, count: int = 40, first: int = 0) -> list[TrafficView]:
    rng = random.Random(3 + first)
    rows = []
    for index in range(count):
        name, _, _, _, _, errors, p95, _ = SERVICES[(index * 3 + first) % 5]
        refused = rng.random() < errors
        limited = index % 17 == 5
        status = 429 if limited else (503 if refused else (200 if index % 4 else 201))
        upstream = None if refused or limited else round((p95 or 10) * (0.2 + rng.random()), 2)
        rows.append(
            TrafficView(
                at - index * 0.37,
                ("GET", "GET", "POST", "PUT")[index % 4],
                f"/api/v{1 + index % 2}/{name}/{8841 + index * 13}",
                status,
                0.4 if upstream is None else upstream + 1.1,
                upstream,
                f"{name}-v{1 + index % 2}",
                name,
                None if refused or limited else f"10.0.{len(name)}.1:8080",
                ("spk_9f…31", "spk_02…aa", "user:8841", None)[index % 4],
                "203.0.113.9",
                f"01J9A{first + index:07d}",
                f"{first + index:032x}",
                "quota_exceeded" if limited else ("breaker_open" if refused else None),
                2 if index % 11 == 3 else 1,
                312,
                1840,
            )
        )
    return rows


def events(at: float) -> list[EventView]:
    return [
        EventView(
            "e1",
            at - 32,
            "breaker.opened",
            "gateway",
            "billing",
            "open",
            "failure ratio 0.61 of 412 in 10 s",
            "error",
            None,
            "gw-1",
        ),
        EventView(
            "e2",
            at - 49,
            "target.down",
            "gateway",
            "billing/10.0.7.2:8080",
            "down",
            "3 probes failed: connect timeout",
            "error",
            None,
            "gw-1",
        ),
        EventView(
            "e3",
            at - 140,
            "quota.exhausted",
            "gateway",
            "spk_9f…31",
            "refused",
            "per-key 600 per min",
            "warning",
            None,
            "gw-2",
        ),
        EventView(
            "e4",
            at - 392,
            "breaker.forced",
            "ana",
            "legacy",
            "forced_open",
            "vendor maintenance, 4 h",
            "warning",
            "01J9-7Q4",
            "gw-1",
        ),
        EventView(
            "e5", at - 610, "config.applied", "ci", "r41", "applied", "2 routes added", "info", "01J9-7P9", "gw-1"
        ),
        EventView(
            "e6", at - 900, "auth.failed", "198.51.100.7", "admin", "refused", "bad token", "warning", None, "gw-2"
        ),
        EventView("e7", at - 1500, "admin.login", "ana", "admin", "ok", "role operator", "info", "01J9-7N2", "gw-1"),
    ]


def pulse(at: float = 0.0, rps: float = 1842.0) -> PulseView:
    rng = random.Random(11)
    ramp = [900 + 3 * index + rng.random() * 160 for index in range(299)]
    errors = [0.001 + (0.004 if index < 240 else 0.004 + (index - 240) / 1500) * rng.random() for index in range(299)]
    refused = [0.011 * (0.7 + rng.random() * 0.6) for _ in range(299)]
    series = (Series("rps", (*ramp, rps)), Series("5xx", (*errors, 0.0242)), Series("429", (*refused, 0.011)))
    return PulseView(rps, 0.0242, 0.011, 11.0, 48.0, 210.0, 1.9, 214, series, 87.0)


RUNNING = """listen: 127.0.0.1:8000
admin: {listen: 127.0.0.1:9000, token: <secret>}
plans:
  pro: {limits: [{quota: 600, per: 1m}]}   # acme, zeta
upstreams:
  billing:
    targets: [http://10.0.7.1:8080, http://10.0.7.2:8080]
    breaker: {window: 10s, failure_ratio: 0.5}
"""
DIFF = """--- running r41
+++ spork.yaml
@@ -3,6 +3,7 @@
 plans:
-  pro: {limits: [{quota: 600, per: 1m}]}   # acme, zeta
+  pro: {limits: [{quota: 900, per: 1m}]}   # acme, zeta
 upstreams:
   billing:
     targets: [http://10.0.7.1:8080, http://10.0.7.2:8080]
+    retries: {attempts: 2, budget: 20%}
     breaker: {window: 10s, failure_ratio: 0.5}
"""


def config(at: float) -> ConfigView:
    history = (
        ConfigRevisionView("r41", at - 610, "ci", "spork.yaml", True, "2 routes added"),
        ConfigRevisionView("r40", at - 86_400, "ana", "PUT /config", False, "raise free plan"),
        ConfigRevisionView("r39", at - 190_000, "ci", "spork.yaml", False, ""),
    )
    problems = (
        {
            "file": "spork.yaml",
            "line": 31,
            "column": 9,
            "path": "routes[4].upstream",
            "message": "no upstream 'bilings'",
            "suggestion": "did you mean 'billing'?",
        },
    )
    return ConfigView("r41", at - 610, "ci", RUNNING, RUNNING, DIFF, DIFF.replace("900", "450"), problems, (), history)


def limits() -> list[LimitView]:
    return [
        LimitView("per-key", "gcra", 600, 60.0, 100, "key", ("users-v1", "billing-v1"), "local", 99_120, 1515, "redis"),
        LimitView("per-ip", "sliding_window", 30, 60.0, None, "ip", ("users-v1",), "deny", 4_120, 44, "degraded"),
    ]


def consumers(at: float) -> list[ConsumerView]:
    return [
        ConsumerView("acme-batch", "pro", "acme", 310.0, 3000, 1204, at - 1),
        ConsumerView("zeta-web", "pro", "zeta", 92.0, 2000, 0, at - 4),
        ConsumerView("visitor", "free", None, 3.0, 300, 311, at - 40),
    ]


def keys(at: float) -> list[ApiKeyView]:
    return [
        ApiKeyView(
            "k9f31", "acme-batch", "acme", "pro", ("users:read", "billing:write"), at - 8e6, at + 9e6, at - 3, "active"
        ),
        ApiKeyView("k02aa", "visitor", "", "free", ("users:read",), at - 2e6, None, at - 40, "rotating"),
        ApiKeyView("k77b0", "zeta-web", "zeta", "pro", (), at - 9e6, at - 1e5, None, "expired"),
    ]


def sessions(at: float) -> list[SessionView]:
    return [SessionView("s1", "user:8841", "https://idp.example.com", at - 900, at - 3, at + 2700, "203.0.113.9")]


def all_topics(at: float) -> dict[str, object]:
    """Every topic's rows, as the fake gateway holds them."""
    return {
        "pulse": pulse(at),
        "services": services(),
        "targets": targets(at),
        "breakers": breakers(at),
        "quotas": quotas(),
        "routes": routes(),
        "traffic": traffic(at),
        "events": events(at),
        "config": config(at),
        "concerns": [],
        "nodes": [NodeView("gw-1:8000", "up", "bffe03", at - 86_400, at, 37, 412.5, 0.012, "0.1.0", True)],
        "components": [
            ComponentHealth("redis", "ok", "answers", 0.6, {"role": "master"}),
            ComponentHealth("event_loop", "ok", "0.4 ms of lag in 10 s", 0.4),
        ],
        "objectives": [
            ObjectiveView(
                "checkout",
                "billing",
                None,
                0.999,
                250.0,
                2_592_000.0,
                1_204_110,
                410,
                0.66,
                {"5m": 2.1, "30m": 1.2, "1h": 0.8, "6h": 0.4},
                kept_in="redis",
            )
        ],
        "audit": [],
        "usage": [],
        "connections": [
            ConnectionView("c1", "gw-1:8000", "websocket", "chat", "203.0.113.9", "acme", "", "GET", at - 90, None)
        ],
        "cache": [
            CacheRow(
                "catalogue", {"hit": 900, "miss": 100, "stale": 20, "collapsed": 5}, 0.9, "gw-1", 42, 81_920, 67_108_864
            ),
            CacheRow("images", {"hit": 5, "miss": 50}, 0.09, "gw-1", 42, 81_920, 67_108_864),
        ],
        "channels": [ChannelRow("/orders/{id}", "uritemplate", 120, "gw-1", "redis", 900, 4_000, 3)],
        "documents": [
            OpenApiDocumentView(
                "billing",
                "/openapi.json",
                "pending",
                14,
                at - 60,
                at - 3_600,
                60.0,
                "ab12",
                "",
                (OpenApiChangeView("breaking", "removed", "GET /invoices", "paths", "is gone"),),
            )
        ],
        "versions": [
            VersionView(
                "users",
                "v1",
                "deprecated",
                at - 86_400,
                at + 10 * 86_400,
                "v2",
                120,
                900,
                4_000,
                90.0,
                (VersionCallerView("acme", 700, at, "pro"), VersionCallerView("zeta", 150, at, "free")),
                (VersionCallerView("203.0.113.0/24 curl", 50, at, ""),),
            ),
            VersionView("users", "v2", "current", None, None, None, 9_000, 60_000, 200_000, None, (), ()),
        ],
        "history": [
            HistoryView("service", "billing", 10.0, at, (200.0, 310.0), (0.0, 0.61), (80.0, 2000.0), (0.0, 0.0)),
        ],
        "limits": limits(),
        "consumers": consumers(at),
        "keys": keys(at),
        "sessions": sessions(at),
    }


NODES = Nodes(4, 4)
