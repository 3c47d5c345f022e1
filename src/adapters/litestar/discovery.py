"""Registration and discovery over HTTP: services announce themselves, operators see who is there and how they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, TypeVar

import msgspec
from litestar import Router, delete, get, post, put
from litestar.params import FromPath, JSONBody
from litestar.types import Guard, Middleware

from spork.adapters.litestar.admin.access import AdminProblem
from spork.adapters.litestar.admin.answers import READ
from spork.adapters.litestar.admin.strictness import strict_json
from spork.application.upstreams.registration import Registration, RegistrationRefused, Registrations, StoreGone, Wanted
from spork.application.views import RouteView, ServiceView, TargetView
from spork.domain.upstreams.health import overall

T = TypeVar("T")


class Announcement(msgspec.Struct, forbid_unknown_fields=True):
    """A service's registration. `ttl` in seconds; send a heartbeat at a third of it."""

    service: Annotated[str, msgspec.Meta(min_length=1, max_length=63, examples=["orders"])]
    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2048, examples=["http://10.1.2.3:8080"])]
    ttl: Annotated[float, msgspec.Meta(gt=0, description="Lease in seconds")] = 30.0
    weight: int = 1
    priority: int = 0
    health: Annotated[str, msgspec.Meta(description="Path of an active probe; left out: none")] = ""
    metadata: dict[str, str] = {}


class Announced(msgspec.Struct):
    """The answer to a registration: renew it at `heartbeat` (PUT) before `expires_at` (Unix seconds)."""

    id: str
    service: str
    url: str
    address: str
    ttl: float
    registered_at: float
    expires_at: float
    heartbeat: str


class DiscoveryQueries(msgspec.Struct):
    """What discovery shows: functions that answer the present. `history(service)` gives (Unix time, availability, mean
    seconds) for each minute of the last hour that had probes."""

    services: Callable[[], Sequence[ServiceView]]
    targets: Callable[[], Sequence[TargetView]]
    routes: Callable[[], list[RouteView]]
    history: Callable[[str], list[tuple[float, float, float]]]


def announced(registration: Registration) -> Announced:
    return Announced(
        registration.id,
        registration.service,
        registration.url,
        registration.address,
        registration.ttl,
        registration.registered_at,
        registration.expires_at,
        f"/discovery/register/{registration.id}",
    )


def registration_router(
    registrations: Registrations, middleware: Sequence[Middleware] = (), guards: Sequence[Guard] = ()
) -> Router:
    """`POST /discovery/register`, and PUT (heartbeat) and DELETE on `/discovery/register/{id}`.

    `middleware` and `guards` say who may; none for open registration.
    """

    @post("/", status_code=201, opt={"role": "operator"}, summary="Register a service", **READ)
    async def register(data: JSONBody[Announcement]) -> Announced:
        wanted = Wanted(data.service, data.url, data.ttl, data.weight, data.priority, data.health, data.metadata)
        answer = await answered(registrations.register(wanted))
        if isinstance(answer, RegistrationRefused):
            errors = [{"path": field, "reason": slug, "message": text} for field, slug, text in answer.problems]
            raise AdminProblem(422, answer.problems[0][2], errors=errors)
        return announced(answer)

    @put("/{id:str}", opt={"role": "operator"}, summary="Heartbeat: renew the lease", **READ)
    async def heartbeat(id: FromPath[str]) -> Announced:
        renewed = await answered(registrations.heartbeat(id))
        if renewed is None:
            raise AdminProblem(404, "There is no such registration; register again.")
        return announced(renewed)

    @delete("/{id:str}", status_code=204, opt={"role": "operator"}, summary="Deregister", **READ)
    async def deregister(id: FromPath[str]) -> None:
        if not await answered(registrations.deregister(id)):
            raise AdminProblem(404, "There is no such registration.")

    return Router(
        "/discovery/register",
        route_handlers=[register, heartbeat, deregister],
        before_request=strict_json,
        middleware=list(middleware),
        guards=list(guards),
        tags=["discovery"],
    )


def discovery_router(
    registrations: Registrations | None,
    sights: DiscoveryQueries,
    middleware: Sequence[Middleware] = (),
    guards: Sequence[Guard] = (),
) -> Router:
    """`GET /discovery/services`, `/discovery/health` and `/api/v1/services`. Without `registrations` only what is declared."""

    def registered() -> dict[tuple[str, str], Registration]:
        return {(r.service, r.url): r for r in registrations.known()} if registrations is not None else {}

    @get("/discovery/services", summary="Services, their targets and leases", sync_to_thread=False, **READ)
    def services() -> dict[str, Any]:
        leases = registered()
        targets: dict[str, list[dict[str, Any]]] = {}
        for target in sights.targets():
            targets.setdefault(target.upstream, []).append(
                target_row(target, leases.get((target.upstream, target.url)))
            )
        return {"items": [service_row(view) | {"targets": targets.get(view.name, [])} for view in sights.services()]}

    @get("/discovery/health", summary="One word for the system, and for each service", sync_to_thread=False, **READ)
    def health() -> dict[str, Any]:
        views = sights.services()
        return {"status": overall(view.state for view in views), "services": {v.name: service_row(v) for v in views}}

    @get(
        "/discovery/health/{name:str}",
        summary="One service, and its probes of the last hour",
        sync_to_thread=False,
        **READ,
    )
    def service_health(name: FromPath[str]) -> dict[str, Any]:
        view = next((view for view in sights.services() if view.name == name), None)
        if view is None:
            raise AdminProblem(404, f"There is no service {name}.")
        minutes = [
            {"at": at, "availability": availability, "response_ms": seconds * 1000}
            for at, availability, seconds in sights.history(name)
        ]
        return service_row(view) | {"history": minutes}

    @get("/api/v1/services", summary="Services and the routes that lead to them", sync_to_thread=False, **READ)
    def catalogue() -> dict[str, Any]:
        routes: dict[str, list[dict[str, Any]]] = {}
        for route in sights.routes():
            shown = {"name": route.name, "path": route.pattern, "methods": list(route.methods)}
            routes.setdefault(route.upstream or "", []).append(shown)
        items = [{"name": v.name, "status": v.state, "routes": routes.get(v.name, [])} for v in sights.services()]
        return {"services": items, "total": len(items)}

    return Router(
        "/",
        route_handlers=[services, health, service_health, catalogue],
        middleware=list(middleware),
        guards=list(guards),
        tags=["discovery"],
    )


def service_row(view: ServiceView) -> dict[str, Any]:
    return {
        "name": view.name,
        "status": view.state,
        "targets_up": view.targets_up,
        "targets_total": view.targets_total,
        "availability": view.availability,
        "p95_ms": view.p95_ms,
        "error_ratio": view.error_ratio,
        "breaker": view.breaker,
    }


def target_row(view: TargetView, lease: Registration | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": view.name,
        "url": view.url,
        "weight": view.weight,
        "priority": view.priority,
        "config": view.config,
        "probe": view.probe,
        "traffic": view.traffic,
    }
    if lease is not None:
        row["registration"] = {"id": lease.id, "expires_at": lease.expires_at, "metadata": lease.metadata}
    return row


async def answered(asked: Awaitable[T]) -> T:
    """What the store answers; 503 while it does not."""
    try:
        return await asked
    except StoreGone:
        raise AdminProblem(503, "The shared store does not answer.", {"retry-after": "1"}) from None
