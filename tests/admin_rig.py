"""A gateway's operator side in one process, without sockets: real parts, a clock of the test's own."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec

from spork.adapters.litestar.admin.acting import acting_handlers
from spork.adapters.litestar.admin.application import admin_application
from spork.adapters.litestar.admin.monitoring import monitoring_handlers
from spork.adapters.litestar.admin.reading import reading_handlers
from spork.adapters.litestar.admin.streaming import streaming_handlers
from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.adapters.prometheus.exposition import expose
from spork.application.admin.access import Operators
from spork.application.admin.actions import Actions
from spork.application.admin.commands import ObjectVersions, Operations
from spork.application.admin.controls import Controls
from spork.application.admin.current_overview import CurrentOverview
from spork.application.admin.monitoring import Monitoring
from spork.application.admin.queries import Queries
from spork.application.admin.stream import Revisions, Stream
from spork.application.admin.upstreams import RegistryControl
from spork.application.configuration.model import AdminToken, Configuration, RouteConfig
from spork.application.exchange.exchange import Snapshot
from spork.application.fleet.heartbeat import Reporter
from spork.application.fleet.nodes import NodeRegistry, SingleNodeRegistry
from spork.application.pipeline.compiler import compile_snapshot
from spork.application.telemetry.audit import AuditTrail
from spork.application.telemetry.event_log import EventLog
from spork.application.telemetry.history import History
from spork.application.telemetry.tail import Traffic
from spork.application.telemetry.tally import RequestCounters
from spork.application.upstreams.registry import UpstreamRegistry
from spork.domain.routing.table import Match, PathPattern
from spork.domain.upstreams.circuit import BreakerPolicy
from spork.domain.upstreams.model import Target, Upstream

TOKENS = {"viewer": "viewer-token", "operator": "operator-token", "admin": "admin-token"}


def admin_tokens() -> tuple[AdminToken, ...]:
    return tuple(
        AdminToken(f"the-{role}", hashlib.sha256(token.encode()).hexdigest(), role) for role, token in TOKENS.items()
    )


@dataclass
class TestClock:
    """Both clocks, moved by hand."""

    __test__ = False
    at: float = 5000.0
    shift: float = 1_800_000_000.0

    def monotonic(self) -> float:
        return self.at

    def unix(self) -> float:
        return self.at + self.shift


def target(name: str) -> Target:
    host, _, port = name.partition(":")
    return Target(f"http://{name}", "http", host, int(port))


def two_services() -> Configuration:
    """users (two targets, a circuit) and echo (one target), a route each."""
    return Configuration(
        revision="rev1",
        upstreams=(
            Upstream("users", (target("127.0.0.1:7001"), target("127.0.0.1:7002")), breaker=BreakerPolicy()),
            Upstream("echo", (target("127.0.0.1:7003"),), breaker=BreakerPolicy(per_target=True)),
        ),
        routes=(
            RouteConfig("users", Match(PathPattern.parse("/users/*")), "users", origin="spork.yaml:3"),
            RouteConfig("echo", Match(PathPattern.parse("/echo")), "echo", origin="spork.yaml:9"),
        ),
    )


@dataclass
class AdminRig:
    """Everything behind `/admin/v1`, reachable through `client(role)`."""

    configuration: Configuration = field(default_factory=two_services)
    audit: AuditTrail | None = None
    nodes: NodeRegistry = field(default_factory=SingleNodeRegistry)
    node: str = "node-a"
    controls: Controls = field(default_factory=Controls)
    streams: int = 64

    def __post_init__(self) -> None:
        self.clock = TestClock()
        self.tally = RequestCounters()
        self.traffic = Traffic()
        self.events = EventLog(self.node, self.clock.unix)
        breakers = MemoryCircuitBreakers(random.Random(1).random)
        self.registry = UpstreamRegistry(breakers, random.Random(1).random, self.events)
        breakers.on_transition = self.registry.circuit_moved
        live = self.registry.sync(self.configuration.upstreams, self.clock.at)
        self.snapshot: Snapshot = compile_snapshot(self.configuration, live, ())
        self.upstreams = RegistryControl(self.registry, self.clock.monotonic)
        self.controls.upstreams = self.controls.upstreams or self.upstreams
        self.reporter = Reporter(
            self.node,
            self.clock,
            self.tally,
            self.events,
            self.nodes,
            lambda: self.snapshot,
            self.controls.upstreams,
            lambda: 0,
        )
        self.revisions = Revisions(self.clock.unix)
        self.versions = ObjectVersions(self.revisions)
        self.current = CurrentOverview(self.reporter, self.versions, self.clock)
        self.operations = Operations(
            self.versions,
            self.revisions,
            self.events,
            self.clock.unix,
            self.node,
            self.audit,
            on_done=self.current.forget,
        )
        self.queries = Queries(
            self.current,
            self.controls,
            self.events,
            self.traffic,
            self.revisions,
            self.clock,
        )
        self.stream = Stream(
            self.revisions,
            msgspec.json.encode,
            self.queries.rows,
            self.queries.tick,
            self.traffic.since,
            lambda: self.traffic.rate,
            most=self.streams,
        )
        self.actions = Actions(self.controls, self.current.fresh, self.clock.monotonic)
        self.monitoring = Monitoring(self.node, self.clock, self.tally, self.queries.overview)
        self.monitoring.add(self.reporter)
        self.monitoring.add(self.events)
        self.monitoring.add(self.stream)
        self.monitoring.add(self.upstreams)
        self.operators = Operators(lambda: admin_tokens())
        self.witnessed: list[tuple[str, str, str, str]] = []
        self.app: Any = admin_application(
            [
                *reading_handlers(
                    self.queries, self.controls, "test", "0.1.0", self.node, History(), self.stream.prime
                ),
                *acting_handlers(self.actions, self.operations),
                *streaming_handlers(
                    self.stream, lambda operator: self.operators.still(operator, self.clock.unix()), heartbeat=0.2
                ),
            ],
            monitoring_handlers(self.monitoring, self.queries, expose),
            self.operators,
            self.clock.unix,
            lambda *facts: self.witnessed.append(facts),
            "0.1.0",
        )

    async def beat(self, seconds: float = 1.0) -> None:
        """Let a second pass."""
        self.clock.at += seconds
        await self.reporter.beat()
        await self.stream.beat()

    def client(self, role: str | None = "viewer") -> httpx.AsyncClient:
        headers = {"authorization": f"Bearer {TOKENS[role]}"} if role else {}
        return httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://admin", headers=headers)
