"""Configurations of other proxies on `/admin/v1/exports`, for those that poll."""

from __future__ import annotations

from typing import Any

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath

from spork.adapters.litestar.admin.access import AdminProblem
from spork.adapters.litestar.admin.answers import READ
from spork.application.admin.data_planes import DataPlaneExport, traefik
from spork.application.exchange.exchange import Current
from spork.application.fleet.lifecycle import Lifecycle
from spork.application.kernel.clock import Clock


def data_plane_handlers(current: Current, lifecycle: Lifecycle, clock: Clock) -> list[HTTPRouteHandler]:
    """What a proxy polls, and what it loses."""

    def made(name: str) -> DataPlaneExport:
        snapshot = current.snapshot
        plane = next((each for each in snapshot.configuration.exports if each.name == name), None)
        if plane is None:
            raise AdminProblem(404, "No export has this name.")
        if not lifecycle.ready:
            raise AdminProblem(503, "The gateway is not ready.")
        export = traefik(snapshot, plane, clock.monotonic())
        if plane.strict and export.lost:
            wrong = [{"path": f"routes.{route}", "message": ", ".join(lost)} for route, lost in export.lost.items()]
            raise AdminProblem(409, "The data plane cannot express every policy.", errors=wrong)
        # A poller keeps what it has when it gets nothing that it can serve.
        if not export.document["http"]["routers"]:
            raise AdminProblem(503, "There is no route that the data plane could serve.")
        return export

    @get("/exports/{name:str}", summary="Configuration of a data plane, as it polls it", sync_to_thread=False, **READ)
    def exported(name: FromPath[str]) -> Response[dict[str, Any]]:
        return Response(made(name).document)

    @get("/exports/{name:str}/report", summary="What a data plane cannot express", sync_to_thread=False, **READ)
    def report(name: FromPath[str]) -> Response[dict[str, Any]]:
        return Response({"name": name, "lost": made(name).lost})

    return [exported, report]
