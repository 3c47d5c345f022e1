"""The two Litestar applications: the data listener's (proxy and exposed endpoints) and the admin listener's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.types import ControllerRouterHandler

from spork.adapters.litestar.problems import TYPE_PREFIX


def http_problem(_: Request[Any, Any, Any], error: HTTPException) -> Response[dict[str, object]]:
    """Litestar's own errors in the gateway's form."""
    reason = {401: "unauthenticated", 403: "forbidden", 404: "no_route", 405: "method_not_allowed"}.get(
        error.status_code, "bad_request"
    )
    body: dict[str, object] = {"type": TYPE_PREFIX + reason, "title": error.detail, "status": error.status_code}
    if error.extra:
        body["errors"] = error.extra
    return Response(
        body, status_code=error.status_code, media_type="application/problem+json", headers=dict(error.headers or {})
    )


def too_deep(request: Request[Any, Any, Any], _: RecursionError) -> Response[dict[str, object]]:
    """A body that is nested too deeply to be read."""
    return http_problem(request, HTTPException("The body is nested too deeply.", status_code=400))


def application(handlers: Sequence[ControllerRouterHandler], **options: Any) -> Litestar:
    """A Litestar application as the gateway runs them: no debug pages, problems for errors, no docs unless asked."""
    return Litestar(
        logging_config=None,  # logging is the process's, not the application's
        route_handlers=list(handlers),
        openapi_config=options.pop("openapi_config", None),
        exception_handlers={HTTPException: http_problem, RecursionError: too_deep},
        debug=False,
        **options,
    )
