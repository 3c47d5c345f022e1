"""Health in detail and metrics, for monitors: no personal data, no secret, at the root of the admin listener.

On a loopback listener they need no token; on any other, a viewer's (`closed`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from litestar import Request, Response, Router, get
from litestar.handlers import HTTPRouteHandler
from litestar.middleware import ASGIMiddleware
from litestar.types import ControllerRouterHandler

from spork.application.admin.monitoring import HealthScore, Monitoring, RoutePerformance
from spork.application.admin.queries import Items, Queries
from spork.application.telemetry.families import WorkerReport
from spork.application.views import ComponentHealth, ServiceView

#: Reports and an Accept header's value; answers body and content type.
Expose = Callable[[Sequence[WorkerReport], str], tuple[bytes, str]]
_NO_STORE = {"cache-control": "no-store"}
_RANK = {"ok": 0, "off": 0, "degraded": 1, "failing": 2}


def monitoring_handlers(
    monitoring: Monitoring, queries: Queries, expose: Expose, closed: ASGIMiddleware | None = None
) -> list[ControllerRouterHandler]:
    handlers = [*metrics_handlers(monitoring, expose), *_performance(monitoring), *_health(queries)]
    if closed is None:
        return list(handlers)
    return [Router("/", route_handlers=handlers, middleware=[closed], security=[{"token": []}])]


def metrics_handlers(monitoring: Monitoring, expose: Expose) -> list[HTTPRouteHandler]:
    """`/metrics` and `/metrics/json` alone: what the data listener has where the operator exposes them."""

    @get(
        ["/metrics", "/monitoring/metrics"],
        summary="Metrics in Prometheus text or OpenMetrics, by Accept",
        media_type="text/plain",
    )
    async def metrics(request: Request[Any, Any, Any]) -> Response[bytes]:
        reports = await monitoring.reports()
        # Rendering ten thousand routes takes a while; requests go on meanwhile.
        body, content_type = await asyncio.to_thread(expose, reports, request.headers.get("accept", ""))
        return Response(body, media_type=content_type, headers=_NO_STORE)

    @get("/metrics/json", summary="The same metrics as JSON")
    async def metrics_json() -> dict[str, Any]:
        return await monitoring.as_json()

    return [metrics, metrics_json]


def _performance(monitoring: Monitoring) -> list[HTTPRouteHandler]:
    @get("/metrics/performance", summary="Latency percentiles by route")
    async def performance() -> dict[str, list[RoutePerformance]]:
        return {"routes": await monitoring.performance()}

    @get("/metrics/health-score", summary="One number, 0 to 100, and what was taken off", sync_to_thread=False)
    def score() -> HealthScore:
        return monitoring.health_score()

    return [performance, score]


def _health(queries: Queries) -> list[HTTPRouteHandler]:
    @get(["/health/detailed", "/monitoring/health"], summary="Each component's verdict and latency")
    async def detailed() -> Response[dict[str, Any]]:
        components = await queries.health()
        status = verdict(components)
        body: dict[str, Any] = {"status": status, "nodes": queries.overview().picture.nodes, "components": components}
        return Response(body, status_code=503 if status == "failing" else 200, headers=_NO_STORE)

    @get("/health/services", summary="Upstreams: healthy, degraded, down or unknown", sync_to_thread=False)
    def services() -> Items[ServiceView]:
        return queries.items(queries.overview().services())

    return [detailed, services]


def verdict(components: Sequence[ComponentHealth]) -> str:
    """The worst of them: ok, degraded or failing."""
    worst = max((_RANK.get(component.status, 2) for component in components), default=0)
    return ("ok", "degraded", "failing")[worst]
