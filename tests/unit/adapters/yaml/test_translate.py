"""What is written reaches the domain whole: every field has a key, and an absent key means the domain's default."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from spork.adapters.yaml import written
from spork.adapters.yaml.load import loads
from spork.application.configuration.model import (
    Configuration,
    EdgeLimits,
    HeaderEdit,
    ListenerTls,
    Mirror,
    RouteConfig,
    Split,
)
from spork.domain.identity.authorization import AuthPolicy, CorsPolicy, RequestSecurity
from spork.domain.identity.consumers import Consumer
from spork.domain.identity.tokens import ClaimNames, Issuer
from spork.domain.limits.limit import Limit
from spork.domain.routing.patterns import Match, PathPattern, Redirect, Rewrite
from spork.domain.upstreams.circuit import BreakerPolicy
from spork.domain.upstreams.health import OutlierPolicy, ProbePolicy
from spork.domain.upstreams.model import Balance, Fallback, PoolPolicy, Target, Timeouts, TlsToTarget, Upstream
from spork.domain.upstreams.retries import RetryPolicy

#: Struct, domain type, and the domain's fields that are made from others or are the name above.
PAIRS: list[tuple[Any, Any, set[str]]] = [
    (written.Breaker, BreakerPolicy, set()),
    (written.Probe, ProbePolicy, set()),
    (written.Outliers, OutlierPolicy, set()),
    (written.Retries, RetryPolicy, set()),
    (written.Timeouts, Timeouts, set()),
    (written.Pool, PoolPolicy, {"proxy"}),
    (written.Fallback, Fallback, set()),
    (written.TargetTls, TlsToTarget, {"stamp"}),
    (
        written.Target,
        Target,
        {"scheme", "host", "port", "unix_path", "base_path", "known_as", "lookup", "allow", "family"},
    ),
    (written.Upstream, Upstream, {"name", "request_headers", "response_headers"}),
    (written.Edge, EdgeLimits, set()),
    (written.ListenerTls, ListenerTls, set()),
    (written.Document, Configuration, {"revision", "host", "port", "sources", "hub", "registration_allow"}),
    (
        written.Route,
        RouteConfig,
        {"origin", "request_headers", "response_headers", "policies", "also", "version", "front", "first_byte", "idle"},
    ),
    (written.Limit, Limit, {"period", "period_name", "source", "scope", "terms", "price", "by_operation"}),
    (written.Consumer, Consumer, {"name"}),
    (written.Issuer, Issuer, {"name"}),
    (written.ClaimNames, ClaimNames, set()),
    (written.Auth, AuthPolicy, set()),
    (written.Cors, CorsPolicy, set()),
    (written.Security, RequestSecurity, set()),
    (written.Split, Split, set()),
    (written.Mirror, Mirror, set()),
    (written.HeaderEdits, HeaderEdit, set()),
]


@pytest.mark.parametrize(("struct", "domain", "made"), PAIRS, ids=lambda x: getattr(x, "__name__", ""))
def test_every_field_of_the_domain_can_be_written(struct: Any, domain: Any, made: set[str]) -> None:
    missing = {f.name for f in fields(domain)} - set(struct.__struct_fields__) - made
    assert not missing


def test_nothing_written_is_the_defaults() -> None:
    loaded = loads("", name="x")
    assert loaded.configuration is not None
    revision, sources = loaded.configuration.revision, loaded.configuration.sources
    assert loaded.configuration == Configuration(revision=revision, sources=sources)


def test_empty_policies_are_the_defaults() -> None:
    text = """
upstreams:
  u: {targets: [http://u:1], probe: {}, outliers: {}, breaker: {}, retries: {}, fallback: {}, timeouts: {}, pool: {}, tls: {}}
routes:
  - {name: r, match: /r, upstream: u, cors: {origins: []}, security: {}, headers: {}}
"""
    configuration = loads(text).configuration
    assert configuration is not None
    assert configuration.upstreams == (
        Upstream(
            "u",
            (Target("http://u:1", "http", "u", 1, name="u:1"),),
            probe=ProbePolicy(),
            outliers=OutlierPolicy(),
            breaker=BreakerPolicy(),
            retries=RetryPolicy(),
            fallback=Fallback(),
        ),
    )
    assert configuration.routes == (
        RouteConfig(
            "r",
            Match(PathPattern.parse("/r")),
            "u",
            cors=CorsPolicy(),
            security=RequestSecurity(),
            origin="spork.yaml:5",
        ),
    )


def test_targets_without_tls_of_their_own_have_their_upstreams() -> None:
    text = """
upstreams:
  u:
    tls: {server_name: inside}
    targets: [https://a:1, http://b:1, {url: https://c:1, tls: {verify: false}}, "dns+https://d:1"]
routes: [{match: /*, upstream: u}]
"""
    loaded = loads(text)
    assert loaded.configuration is not None
    given = [target.tls for target in loaded.configuration.upstreams[0].targets]
    assert given == [
        TlsToTarget(server_name="inside"),
        None,
        TlsToTarget(verify=False),
        TlsToTarget(server_name="inside"),
    ]


def test_a_route_with_everything() -> None:
    text = """
hosts: [api.example.com, "*.example.org"]
issuers: {idp: {issuer: https://idp, audiences: [api], discovery: true, keys: []}}
plans: {basic: {limits: [{quota: 5, per: 1s}], quotas: [{quota: 9, per: day}, {quota: 99, per: month}, {quota: 1, per: 7d}], time_zone: Europe/Berlin}}
upstreams:
  "{name}": {targets: [http://odd]}
  a: {targets: [{url: https://a/base, weight: 3, priority: 1, name: one}, http://b], balance: {hash: "header:X-Id"}}
  b: {targets: [http://b], fallback: {status: 200, body: {ok: [1, yes, 2.5, null, "3"]}}, probe: {statuses: [200, 300-302]}}
routes:
  - name: all
    match:
      path: /api/{id}/*
      hosts: [API.example.com, "*.example.org"]
      methods: [GET, POST]
      headers: {X-B: "1", X-A: }
      query: {v: 2, w: ~}
    upstream: a
    strip_prefix: /api/{id}
    add_prefix: /v2
    auth: {any_of: [jwt], all_of: [mtls], issuers: [idp], roles: [r], scopes: [s], claims: {a.b: c}, permissions: {GET: [p, q]},
           mfa: true, acr: [gold], max_age: 5m, tenant: id, forward_credentials: true, signed_identity: true}
    limits:
      - {quota: 5, per: 1m, by: "header:X-Id", burst: 2, cost: 2, accuracy: hybrid, on_store_error: deny, shared: true}
      - {from: plan}
      - {quota: 3, by: ip, algorithm: concurrency}
    headers: {request: {set: {X-Env: prod}, add: {X-More: ü}, remove: [X-Debug]}, response: {remove: [Server]}}
    timeout: 2s
    body_bytes: 1KiB
    splits: [{upstream: b, weight: 10%, header: {X-Canary: "1"}, consumers: [ada]}]
    mirror: {upstream: b, share: 50%}
    priority: high
    server_timing: on
    metadata: {owner: me}
  - {match: /old, redirect: {to: "/new{query}", status: 302}}
  - {match: "/dyn/{service}", upstream: "{service}"}
mtls_header: X-Cert
trusted_proxies: [10.0.0.0/8]
"""
    loaded = loads(text.replace('  "{name}": {targets: [http://odd]}\n', ""))
    configuration = loaded.configuration
    assert configuration is not None, "\n".join(map(str, loaded.problems))
    everything, old, dynamic = configuration.routes
    assert everything == RouteConfig(
        name="all",
        match=Match(
            PathPattern.parse("/api/{id}/*"),
            ("api.example.com", "*.example.org"),
            frozenset(("GET", "POST")),
            ((b"x-a", None), (b"x-b", b"1")),
            ((b"v", b"2"), (b"w", None)),
        ),
        upstream="a",
        rewrite=Rewrite("/api/{id}", "/v2"),
        auth=AuthPolicy(
            any_of=("jwt",), all_of=("mtls",), issuers=("idp",), roles=frozenset("r"), scopes=frozenset("s"),
            claims=(("a.b", "c"),), permissions=(("GET", frozenset("pq")),), mfa=True, acr=("gold",), max_age=300.0,
            tenant="id", forward_credentials=True, signed_identity=True,
        ),
        limits=(
            Limit("per-header-X-Id", 5, 60.0, "header:X-Id", burst=2, cost=2, on_store_error="deny", accuracy="hybrid", shared=True),
            Limit("plan", 0, 0.0, "consumer", source="plan"),
            Limit("per-ip", 3, 0.0, "ip", "concurrency"),
        ),
        request_headers=HeaderEdit(((b"x-env", b"prod"),), ((b"x-more", b"\xfc"),), frozenset((b"x-debug",))),
        response_headers=HeaderEdit(remove=frozenset((b"server",))),
        timeout=2.0,
        body_bytes=1024,
        splits=(Split("b", 0.1, (b"x-canary", b"1"), frozenset(("ada",))),),
        mirror=Mirror("b", 0.5),
        priority="high",
        server_timing=True,
        metadata={"owner": "me"},
        origin="spork.yaml:9",
    )  # fmt: skip
    assert (old.name, old.redirect, old.upstream) == ("old", Redirect("/new{query}", 302), None)
    assert (dynamic.name, dynamic.upstream) == ("dyn-service", "{service}")
    a, b = configuration.upstreams
    assert a.balance == Balance("hash", "header:X-Id")
    assert [(t.name, t.weight, t.priority, t.base_path) for t in a.targets] == [
        ("one", 3, 1, b"/base"),
        ("b:80", 1, 0, b""),
    ]
    assert b.fallback == Fallback(200, b'{"ok": [1, "yes", 2.5, null, "3"]}')
    assert b.probe == ProbePolicy(statuses=((200, 200), (300, 302)))
    (plan,) = configuration.plans
    assert plan.limits == (Limit("", 5, 1.0, "consumer"),)
    assert plan.quotas == (
        Limit("", 9, 86400.0, "consumer", "calendar", period_name="day", time_zone="Europe/Berlin"),
        Limit("", 99, 30 * 86400.0, "consumer", "calendar", period_name="month", time_zone="Europe/Berlin"),
        Limit("", 1, 7 * 86400.0, "consumer", "sliding_window", time_zone="Europe/Berlin"),
    )
