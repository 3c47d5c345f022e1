"""The admin listener's Litestar application, with its OpenAPI description."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from litestar import Litestar, Request, Router
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, ControllerRouterHandler

from spork.adapters.litestar.admin.access import (
    EXCEPTION_HANDLERS,
    Authenticated,
    OwnNames,
    RawAdminPaths,
    Witness,
    role_guard,
)
from spork.adapters.litestar.admin.documentation import documentation_handlers
from spork.adapters.litestar.admin.strictness import strict_json
from spork.application.admin.access import ROLES, Operators

DESCRIPTION = """What operators of a Spork gateway read and do. Answers cover the fleet and say which nodes are silent.
Writes take `If-Match`, `Idempotency-Key` and `dry_run`, and are recorded in the audit trail."""


def admin_application(
    handlers: Sequence[ControllerRouterHandler],
    open_handlers: Sequence[ControllerRouterHandler],
    operators: Operators,
    unix: Callable[[], float],
    record_security_event: Witness,
    version: str,
    names: Callable[[], Sequence[str]] = tuple,
) -> ASGIApp:
    """`handlers` stand under `/admin/v1` behind a token, `open_handlers` at the root without one. `names` are those with a
    dot that the listener answers to."""
    app = admin_litestar(handlers, open_handlers, operators, unix, record_security_event, version)
    return OwnNames(RawAdminPaths(app), names)


def admin_litestar(
    handlers: Sequence[ControllerRouterHandler],
    open_handlers: Sequence[ControllerRouterHandler],
    operators: Operators,
    unix: Callable[[], float],
    record_security_event: Witness,
    version: str,
) -> Litestar:
    router = Router(
        "/admin/v1",
        route_handlers=list(handlers),
        middleware=[Authenticated(operators, unix, record_security_event)],
        guards=[role_guard(record_security_event)],
        security=[{"token": []}],
        response_headers={"cache-control": "no-store"},
    )
    return Litestar(
        logging_config=None,  # logging is the process's, not the application's
        route_handlers=[router, *open_handlers, *documentation_handlers()],
        exception_handlers=EXCEPTION_HANDLERS,
        before_request=strict_json,
        openapi_config=openapi(version),
        debug=False,
        request_max_body_size=4 * 1024 * 1024,
    )


def openapi(version: str) -> OpenAPIConfig:
    """OpenAPI 3.1 at `/schema` (and `/schema/openapi.json`)."""
    return OpenAPIConfig(
        title="Spork admin API",
        version=version,
        description=DESCRIPTION,
        path="/schema",
        create_examples=False,
        components=Components(
            security_schemes={"token": SecurityScheme(type="http", scheme="bearer", description="An admin token")}
        ),
        render_plugins=[Exampled(path=["/", "/openapi.json"])],
    )


class Exampled(JsonRenderPlugin):
    """The description as JSON, with examples."""

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return super().render(request, exampled(openapi_schema, request.app))


def describe(app: Litestar) -> dict[str, Any]:
    """The API description as JSON-ready values."""
    return exampled(app.openapi_schema.to_schema(), app)


def exampled(document: dict[str, Any], app: Litestar) -> dict[str, Any]:
    """The document with examples. They are built when a description is first asked for, not with every start."""
    from spork.adapters.litestar.admin.examples import with_examples

    return with_roles(with_examples(document, acts_of(app)), roles_of(app))


def with_roles(document: dict[str, Any], roles: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    """The document itself, each call that takes a token with the role it takes: in `x-role`, and in its description."""
    for path, item in document["paths"].items():
        for name, operation in item.items():
            role = roles.get((name.upper(), path))
            if role is not None and isinstance(operation, dict):
                operation["x-role"] = role
                said = f"Takes a token with the role {role}" + (" or above." if role != ROLES[-1] else ".")
                operation["description"] = "\n\n".join(filter(None, (operation.get("description"), said)))
    return document


def roles_of(app: Litestar) -> dict[tuple[str, str], str]:
    """(method, path) -> the role that a call under `/admin/v1` takes."""
    routes = [route for route in app.routes if isinstance(route, HTTPRoute)]
    return {
        (str(method), route.path_format): str(handler.opt.get("role", ROLES[0]))
        for route in routes
        if route.path_format.startswith("/admin/v1")
        for method, (handler, _) in route.route_handler_map.items()
    }


def acts_of(app: Litestar) -> dict[tuple[str, str], str]:
    """(method, path) -> the action of a write, as the audit trail names it."""
    routes = [route for route in app.routes if isinstance(route, HTTPRoute)]
    return {
        (str(method), route.path_format): str(handler.opt["act"])
        for route in routes
        for method, (handler, _) in route.route_handler_map.items()
        if "act" in handler.opt
    }
