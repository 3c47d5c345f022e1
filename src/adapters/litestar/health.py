"""`/health`, `/ready` and `/health/startup`: what load balancers and orchestrators ask."""

from __future__ import annotations

import time

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler

from spork.application.fleet.lifecycle import Lifecycle, Phase

_NO_STORE = {"cache-control": "no-store"}


def health_handlers(lifecycle: Lifecycle, names: frozenset[str]) -> list[HTTPRouteHandler]:
    """Handlers of those of health, ready and startup that `names` holds."""

    @get("/health", sync_to_thread=False, summary="Liveness: this process answers")
    def health() -> Response[dict[str, str]]:
        return Response({"status": "ok"}, headers=_NO_STORE)

    @get(
        "/ready", sync_to_thread=False, summary="Readiness: a valid configuration is in force and no shutdown has begun"
    )
    def ready() -> Response[dict[str, object]]:
        status = 200 if lifecycle.ready else 503
        body: dict[str, object] = {"status": lifecycle.phase.value}
        if remarks := lifecycle.remarks():
            body["remarks"] = remarks
        return Response(body, status_code=status, headers=_NO_STORE)

    @get("/health/startup", sync_to_thread=False, summary="Whether start-up has finished, and how long ago")
    def startup() -> Response[dict[str, object]]:
        begun = lifecycle.phase is not Phase.STARTING
        since = time.time() - lifecycle.started_at if lifecycle.started_at else None
        body: dict[str, object] = {"status": "started" if begun else "starting", "ready_for_seconds": since}
        return Response(body, status_code=200 if begun else 503, headers=_NO_STORE)

    known = {"health": health, "ready": ready, "startup": startup}
    return [handler for name, handler in known.items() if name in names]
