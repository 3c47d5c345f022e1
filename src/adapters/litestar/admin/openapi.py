"""The published OpenAPI document on `/admin/v1`: as operators see it, as a role sees it, and what it leaves out."""

from __future__ import annotations

from typing import Annotated, Literal

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import QueryParameter

from spork.adapters.litestar.admin.access import AdminProblem
from spork.adapters.litestar.admin.answers import READ
from spork.application.admin.controls import Controls, OpenApiControl
from spork.application.admin.queries import Item, Queries
from spork.application.views import OpenApiReportView

Roles = Annotated[
    list[str] | None, QueryParameter(name="role", description="A role; may stand several times", max_items=50)
]
Scopes = Annotated[
    list[str] | None, QueryParameter(name="scope", description="A scope; may stand several times", max_items=50)
]

Form = Annotated[Literal["json", "yaml"], QueryParameter(description="How it is written")]


def openapi_handlers(queries: Queries, controls: Controls) -> list[HTTPRouteHandler]:
    """The document, and the report about it."""

    def control() -> OpenApiControl:
        if controls.openapi is None:
            raise AdminProblem(404, "No documents are followed here.")
        return controls.openapi

    @get("/openapi", summary="The published OpenAPI document with its routes, or as a role sees it", **READ)
    async def document(roles: Roles = None, scopes: Scopes = None, form: Form = "json") -> Response[bytes]:
        body, etag = await control().document(form, frozenset(roles or ()), frozenset(scopes or ()))
        kind = "application/json" if form == "json" else "application/yaml"
        return Response(body, media_type=kind, headers={"etag": etag})

    @get("/openapi/report", summary="Documents of upstreams, and what is not published", sync_to_thread=False, **READ)
    def report() -> Item[OpenApiReportView]:
        return queries.item(control().report())

    return [document, report]
