"""Maintenance on `/admin/v1`: what is away, beginning it and ending it, over the whole fleet."""

from __future__ import annotations

import ipaddress
from typing import Annotated

import msgspec
from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from spork.adapters.litestar.admin.access import AdminProblem
from spork.adapters.litestar.admin.acting import TERMS, Desk, Reason, Terms, Ttl
from spork.adapters.litestar.admin.answers import READ, writing
from spork.application.admin.commands import Operations
from spork.application.admin.maintenance import FleetMaintenance
from spork.application.admin.queries import Items, Queries
from spork.application.views import ActionResult, MaintenanceView

Names = Annotated[list[str], msgspec.Meta(max_length=10_000, examples=[["orders"]])]


class Away(msgspec.Struct, forbid_unknown_fields=True):
    """Which routes go away; left out: the whole gateway. `allow` (networks) and `consumers` are served all the same.
    `retry_after` in seconds is what clients are told when there is no `ttl`."""

    routes: Names = []
    retry_after: Annotated[float, msgspec.Meta(gt=0, le=86_400)] = 300.0
    allow: Annotated[list[str], msgspec.Meta(max_length=100, examples=[["10.0.0.0/8"]])] = []
    consumers: Annotated[list[str], msgspec.Meta(max_length=100)] = []
    reason: Reason = ""
    ttl: Ttl | None = None


class Back(msgspec.Struct, forbid_unknown_fields=True):
    """Which routes are served again; left out: all that an operator took away."""

    routes: Names = []
    reason: Reason = ""


def maintenance_handlers(queries: Queries, maintenance: FleetMaintenance, operations: Operations) -> list[Router]:
    desk = Desk(operations)

    @get("/maintenance", summary="What is away by an operator's word", sync_to_thread=False, **READ)
    def away() -> Items[MaintenanceView]:
        return queries.items(maintenance.rows())

    @post(
        "/maintenance/begin",
        summary="Answer 503 for routes, or for the whole gateway, on every process",
        **writing("operator", "maintenance.begin"),
    )
    async def begin(terms: NamedDependency[Terms], data: JSONBody[Away]) -> ActionResult:
        _check_networks(data.allow)
        return await desk.carry_out(
            terms,
            lambda act: maintenance.begin(data.routes, data.retry_after, data.allow, data.consumers, act),
            data.reason,
            data.ttl,
        )

    @post(
        "/maintenance/end",
        summary="Serve again what an operator took away",
        **writing("operator", "maintenance.end"),
    )
    async def end(terms: NamedDependency[Terms], data: JSONBody[Back]) -> ActionResult:
        return await desk.carry_out(terms, lambda act: maintenance.end(data.routes, act), data.reason)

    return [Router("/", route_handlers=[away, begin, end], dependencies=TERMS)]


def _check_networks(allow: list[str]) -> None:
    for index, text in enumerate(allow):
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            wrong = [{"path": f"allow[{index}]", "message": str(error)}]
            raise AdminProblem(422, "A network cannot be read.", errors=wrong) from None
