"""`/openapi.json`, `/openapi.yaml`, `/api/v1/docs`, `/docs` and `/redoc`: handlers of the data listener."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler

from spork.adapters.litestar.docs.pages import asset, file_names, page, renderer_of
from spork.application.callers.self_service import AuthDesk, Shown
from spork.application.catalog.audiences import EVERYBODY, Audience, audience_of
from spork.application.catalog.catalog import Catalog, Text
from spork.application.configuration.model import Configuration
from spork.application.exchange.answers import ProblemResponses
from spork.application.pipeline.client_address import ClientAddress
from spork.domain.http.head import RequestHead
from spork.domain.outcomes import Denial

Asked = Request[Any, Any, Any]
JSON = "application/json"
YAML = "application/yaml"
_NOSNIFF = {"x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}
_NOT_FOUND = Denial("no_route", "There is no such page.")


class DocumentHandlers:
    """What the handlers share. `desk` finds out who asks."""

    def __init__(
        self,
        catalog: Catalog,
        desk: AuthDesk,
        refusals: ProblemResponses,
        clients: ClientAddress,
        configuration: Callable[[], Configuration],
    ) -> None:
        self.catalog = catalog
        self._desk = desk
        self._refusals = refusals
        self._clients = clients
        self._configuration = configuration

    async def document(self, request: Asked, form: str) -> Response[bytes]:
        """The document for whoever asks, or 304."""
        audience = await self._audience(request)
        if isinstance(audience, Denial):
            return self.refuse(audience)
        text = await self.catalog.text(audience, form)
        headers = {"etag": text.etag, "access-control-allow-origin": "*", **_NOSNIFF}
        if audience is EVERYBODY:
            headers["cache-control"] = "public, no-cache"
        else:
            headers |= {"cache-control": "private, no-cache", "vary": "Authorization, X-API-Key"}
        if _holds(request.headers.get("if-none-match", ""), text):
            return Response(b"", status_code=304, headers=headers)
        return Response(text.body, media_type=JSON if form == "json" else YAML, headers=headers)

    async def _audience(self, request: Asked) -> Audience | Denial:
        if self.catalog.policy.audience == "all":
            return EVERYBODY
        headers = tuple(request.scope["headers"])
        peer = request.client.host if request.client is not None else ""
        head = RequestHead(request.method, b"/openapi.json", None, headers, request.url.scheme, b"", peer=peer)
        client = self._clients.resolve(head).address if self._clients.trusts(peer) else peer
        shown = Shown(head.header(b"authorization") or b"", head.header(b"x-api-key") or b"", client)
        if shown.authorization[:7].lower() != b"bearer " and not shown.api_key:
            return audience_of(None, self._configuration())
        caller = await self._desk.caller(shown)
        return caller if isinstance(caller, Denial) else audience_of(caller, self._configuration())

    def refuse(self, denial: Denial) -> Response[bytes]:
        answer = self._refusals.deny(denial, "")
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers}
        kind = headers.pop("content-type", "application/problem+json")
        headers.pop("content-length", None)
        return Response(answer.body, status_code=answer.status, headers=headers, media_type=kind)

    def page(self, folder: str, name: str) -> Response[bytes]:
        site = self.catalog.site
        renderer = renderer_of(name, site)
        headers = {"content-security-policy": renderer.policy, "cache-control": "no-cache", **_NOSNIFF}
        return Response(page(folder, site, renderer).encode(), media_type="text/html; charset=utf-8", headers=headers)

    def file(self, name: str, file: str) -> Response[bytes]:
        site = self.catalog.site
        found: tuple[bytes, str] | None
        if file == "brand.css" and site.css:
            found = site.css, "text/css; charset=utf-8"
        elif file == "logo" and site.logo:
            found = site.logo, site.logo_type
        else:
            found = asset(file, renderer_of(name, site))
        if found is None:
            return self.refuse(_NOT_FOUND)
        headers = {"cache-control": "public, max-age=300", "content-security-policy": "default-src 'none'", **_NOSNIFF}
        return Response(found[0], media_type=found[1], headers=headers)


def docs_handlers(shared: DocumentHandlers) -> list[HTTPRouteHandler]:
    """The document in both forms, and the pages."""

    @get("/openapi.json", include_in_schema=False)
    async def as_json(request: Asked) -> Response[bytes]:
        return await shared.document(request, "json")

    @get("/openapi.yaml", include_in_schema=False)
    async def as_yaml(request: Asked) -> Response[bytes]:
        return await shared.document(request, "yaml")

    @get("/api/v1/docs", include_in_schema=False)
    async def aggregated(request: Asked) -> Response[bytes]:
        accepted = request.headers.get("accept", "")
        if "text/html" in accepted and "json" not in accepted:
            return shared.page("/docs", "swagger")
        return await shared.document(request, "yaml" if "yaml" in accepted else "json")

    return [as_json, as_yaml, aggregated, *_pages(shared, "/docs", "swagger"), *_pages(shared, "/redoc", "redoc")]


def _pages(shared: DocumentHandlers, folder: str, name: str) -> list[HTTPRouteHandler]:
    @get(folder, include_in_schema=False, sync_to_thread=False)
    def shown() -> Response[bytes]:
        return shared.page(folder, name)

    # each by its name: a variable part below the root mount would be the proxy's
    @get([f"{folder}/{each}" for each in file_names()], include_in_schema=False)
    async def file(request: Asked) -> Response[bytes]:
        return await asyncio.to_thread(shared.file, name, request.url.path.rsplit("/", 1)[1])

    return [shown, file]


def _holds(condition: str, text: Text) -> bool:
    """If-None-Match (RFC 9110 13.1.2), compared weakly."""
    tags = [tag.strip().removeprefix("W/") for tag in condition.split(",")]
    return text.etag in tags or "*" in tags
