"""Finished exchanges for tests of observers: real `Exchange` objects as the close phase hands them over."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from spork.application.configuration.model import RouteConfig
from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.domain.http.head import RequestHead
from spork.domain.identity.tokens import Principal
from spork.domain.outcomes import Answered, Denial, Denied, Failed, Fault, FaultKind, Side
from spork.domain.routing.patterns import Match, PathPattern
from tests.exchanges import NO_ROUTES


def closed_exchange(
    route: str | None = "users",
    status: int = 200,
    seconds: float = 0.004,
    upstream_seconds: float = 0.003,
    upstream: str = "users",
    target: str = "127.0.0.1:7001",
    method: str = "GET",
    path: bytes = b"/api/v1/users/42",
    query: bytes | None = None,
    attempts: int = 1,
    unix: float = 1_800_000_000.25,
    reason: str = "",
    principal: Principal | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    members: dict[str, object] | None = None,
    trace_id: str = "0af7651916cd43dd8448eb211c80319c",
    client: str = "192.0.2.7",
) -> Exchange:
    """An exchange that is over. A `reason` with a 4xx status is a refusal, with 5xx a fault."""
    head = RequestHead(method, path, query, headers, "http", b"api.example.com", peer=client)
    body: Any = SimpleNamespace(received=10)
    sink: Any = SimpleNamespace(sent=100)
    exchange = Exchange(head, body, sink, NO_ROUTES, 1000.0, unix)
    if route is not None:
        config = RouteConfig(route, Match(PathPattern.parse("/*")), upstream)
        exchange.plan = RoutePlan(config, (), None, 1 << 20, frozenset())
    exchange.status = status
    exchange.seconds = seconds
    exchange.attempts = attempts
    if attempts:
        exchange.upstream_seconds = upstream_seconds
        exchange.upstream_name = upstream
        exchange.target_name = target
    exchange.request_id_bytes = b"5f0c2a9e"
    exchange.traceparent = f"00-{trace_id:>032}-b7ad6b7169203331-01".encode()
    exchange.principal = principal
    exchange.reason = reason
    exchange.outcome = Answered(status)
    if reason and status < 500:
        exchange.outcome = Denied(Denial(reason, members=members or {}), status)
    elif reason:
        exchange.outcome = Failed(Fault(FaultKind(reason), Side.UPSTREAM), status)
    return exchange
