"""The response cache on `/admin/v1`: what it holds, and purging it."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.handlers import HTTPRouteHandler
from litestar.params import JSONBody, QueryParameter

from spork.adapters.litestar.admin.access import AdminProblem
from spork.adapters.litestar.admin.acting import TERMS, Desk, Reason, Terms
from spork.adapters.litestar.admin.answers import READ, writing
from spork.application.admin.actions import Actions
from spork.application.admin.commands import Operations
from spork.application.admin.controls import Controls
from spork.application.admin.queries import Item, Items, Queries
from spork.application.kernel.tasks import now_or_later
from spork.application.views import ActionResult, CacheEntryView, CacheView

Names = Annotated[list[str], msgspec.Meta(max_length=1000)]
Url = Annotated[str, QueryParameter(max_length=8192, description="An absolute URL as clients ask for it")]


class Purge(msgspec.Struct, forbid_unknown_fields=True):
    """What to purge. `soft`: keep it as stale, to be revalidated, instead of forgetting it."""

    urls: Names = []
    tags: Names = []
    routes: Names = []
    everything: bool = False
    soft: bool = False
    reason: Reason = ""


def caching_handlers(
    queries: Queries, controls: Controls, actions: Actions, operations: Operations
) -> list[HTTPRouteHandler | Router]:
    """Reading and purging."""
    desk = Desk(operations)

    @get("/cache", summary="The response cache of this node", sync_to_thread=False, **READ)
    def cache() -> Item[CacheView]:
        if controls.cache is None:
            raise AdminProblem(404, "There is no response cache here.")
        return queries.item(controls.cache.view())

    @get("/cache/entry", summary="What this node has stored of a URL", **READ)
    async def entry(url: Url) -> Items[CacheEntryView]:
        if controls.cache is None:
            return queries.items(())
        try:
            return queries.items(await now_or_later(controls.cache.entries(url)))
        except ValueError as error:
            wrong = [{"path": "url", "message": str(error)}]
            raise AdminProblem(422, "The URL cannot be looked up.", errors=wrong) from error

    @post("/cache/purge", summary="Purge stored answers on every node", **writing("operator", "cache.purge"))
    async def purge(terms: NamedDependency[Terms], data: JSONBody[Purge]) -> ActionResult:
        return await desk.carry_out(
            terms,
            lambda _: actions.purge_cache(data.urls, data.tags, data.routes, data.everything, data.soft),
            data.reason,
        )

    return [cache, entry, Router("/", route_handlers=[purge], dependencies=TERMS)]
