"""What operators read: GET on `/admin/v1`. Every list says when it was true and which nodes it covers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any
from urllib.parse import unquote

from litestar import Request, Response, get
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath, QueryParameter

from spork.adapters.litestar.admin.access import AdminProblem
from spork.adapters.litestar.admin.answers import READ
from spork.application.admin.access import Operator
from spork.application.admin.controls import Controls
from spork.application.admin.queries import Item, Items, Queries
from spork.application.channels.ports import BrokerGone
from spork.application.kernel.tasks import now_or_later
from spork.application.telemetry.history import History
from spork.application.views import (
    ApiKeyView,
    BreakerView,
    ChannelPresenceView,
    ChannelsView,
    ComponentHealth,
    ConcernView,
    ConnectionView,
    ConsumerView,
    EventView,
    HistoryView,
    LimitView,
    NodeView,
    QuotaView,
    RouteView,
    ServiceView,
    SessionView,
    SnapshotView,
    TargetView,
    TrafficView,
    Whoami,
)

Top = Annotated[int, QueryParameter(ge=1, le=1000, description="How many rows at most")]
Text = Annotated[str, QueryParameter(max_length=200, description="Part of a name")]
Cursor = Annotated[str, QueryParameter(max_length=20, description="`next_cursor` of the page before")]


def reading_handlers(
    queries: Queries,
    controls: Controls,
    gateway: str,
    version: str,
    node: str,
    history: History,
    prime: Callable[[Sequence[str]], None] = lambda topics: None,
) -> list[HTTPRouteHandler]:
    """The read-only part of the API. `prime` has the stream continue from the snapshot that is about to be read."""
    return [
        *_overview(queries, gateway, version, node, prime),
        *_parts(queries),
        *_subjects(queries, controls),
        *_past(queries, history),
        *_gateway(queries, version, node),
    ]


def _overview(
    queries: Queries, gateway: str, version: str, node: str, prime: Callable[[Sequence[str]], None]
) -> list[HTTPRouteHandler]:
    @get("/whoami", summary="Who this token is", sync_to_thread=False, **READ)
    def whoami(request: Request[Any, Any, Any]) -> Whoami:
        operator: Operator = request.scope["state"]["operator"]
        return Whoami(operator.name, operator.role, operator.expires_at, gateway, version, node)

    @get("/snapshot", summary="Everything a console shows at first", **READ)
    async def snapshot(
        topics: Annotated[
            str, QueryParameter(max_length=200, description="Topics, comma-separated; all when left out")
        ] = "",
    ) -> Response[SnapshotView]:
        view = await queries.snapshot(split_topics(topics), prime)
        return Response(view, headers={"etag": f'"{view.rev}"', "cache-control": "no-store"})

    return [whoami, snapshot]


def _parts(queries: Queries) -> list[HTTPRouteHandler]:
    @get("/services", summary="Upstreams with their targets summed up", sync_to_thread=False, **READ)
    def services() -> Items[ServiceView]:
        return queries.items(queries.overview().services())

    @get("/upstreams", summary="The same as services", sync_to_thread=False, **READ)
    def upstreams() -> Items[ServiceView]:
        return queries.items(queries.overview().services())

    @get("/targets", summary="Targets: configured, probe, breaker and traffic state", sync_to_thread=False, **READ)
    def targets() -> Items[TargetView]:
        return queries.items(queries.overview().targets())

    @get("/breakers", summary="Every circuit, whatever its state", sync_to_thread=False, **READ)
    def breakers() -> Items[BreakerView]:
        return queries.items(queries.overview().breakers())

    @get("/breakers/{name:str}", summary="One circuit; the name percent-encoded", sync_to_thread=False, **READ)
    def breaker(name: FromPath[str]) -> Item[BreakerView]:
        return queries.item(queries.breaker(unquote(name)))

    @get("/routes", summary="Routes in force", **READ)
    async def routes() -> Items[RouteView]:
        return queries.items(await queries.routes())

    return [services, upstreams, targets, breakers, breaker, routes]


def _subjects(queries: Queries, controls: Controls) -> list[HTTPRouteHandler]:
    @get("/limits", summary="Limits and what they refused", **READ)
    async def limits() -> Items[LimitView]:
        rows = await now_or_later(controls.quotas.limits()) if controls.quotas is not None else ()
        return queries.items(rows)

    @get("/quotas", summary="Windows of subjects, the worst first", **READ)
    async def quotas(
        top: Top = 200,
        sort: Annotated[str, QueryParameter(pattern="^(used|refused)$")] = "used",
        q: Text = "",
        cursor: Cursor = "",
    ) -> Items[QuotaView]:
        return await queries.quotas(top, sort, q, cursor)

    @get("/consumers", summary="Consumers seen in the last minutes", sync_to_thread=False, **READ)
    def consumers(
        top: Top = 200,
        sort: Annotated[str, QueryParameter(pattern="^(usage|refusals)$")] = "usage",
        q: Text = "",
        cursor: Cursor = "",
    ) -> Items[ConsumerView]:
        return queries.consumers(top, sort, q, cursor)

    @get("/keys", summary="API keys, without their secrets, in order of id", **READ)
    async def keys(
        consumer: Text = "",
        q: Text = "",
        in_state: Annotated[
            str, QueryParameter(name="state", pattern="^(|active|rotating|revoked|expired)$")
        ] = "",  # `state` is Litestar's own word
        top: Top = 1000,
        cursor: Cursor = "",
    ) -> Items[ApiKeyView]:
        if controls.keys is None:
            return queries.items(())
        found, following = await now_or_later(controls.keys.search(consumer, q, in_state, cursor, top))
        return queries.items(found, following or None)

    @get(
        "/keys/export",
        summary="A page of keys with the digests of their secrets, for records with the same pepper",
        responses=READ["responses"],
        opt={"role": "admin"},
    )
    async def exported_keys(cursor: Cursor = "") -> Items[dict[str, Any]]:
        if controls.keys is None:
            return queries.items(())
        rows, following = await now_or_later(controls.keys.export(cursor))
        return queries.items([dict(row) for row in rows], following or None)

    @get("/sessions", summary="Sessions seen in tokens", **READ)
    async def sessions() -> Items[SessionView]:
        return queries.items(await now_or_later(controls.sessions.sessions()) if controls.sessions is not None else ())

    @get(
        "/connections",
        summary="Live WebSockets, event streams and long downloads of the fleet",
        **READ,
    )
    async def connections(
        consumer: Text = "", route: Text = "", kind: Text = "", top: Top = 1000
    ) -> Items[ConnectionView]:
        control = controls.connections
        rows = await now_or_later(control.views(consumer, route, kind)) if control is not None else []
        return queries.items(rows[:top], total=len(rows))

    @get("/channels", summary="Channels of this node: who listens to what", sync_to_thread=False, **READ)
    def channels(top: Top = 1000) -> Item[ChannelsView]:
        if controls.channels is None:
            raise AdminProblem(404, "There are no channels here.")
        return queries.item(controls.channels.view(top))

    @get("/channels/presence", summary="Who is present on a topic, fleet-wide", **READ)
    async def presence(topic: Text) -> Item[ChannelPresenceView]:
        if controls.channels is None:
            raise AdminProblem(404, "There are no channels here.")
        try:
            users = await controls.channels.present(topic)
        except BrokerGone as error:
            raise AdminProblem(503, "The shared store does not answer.") from error
        return queries.item(ChannelPresenceView(topic, tuple(users)))

    return [limits, quotas, consumers, keys, exported_keys, sessions, connections, channels, presence]


def _gateway(queries: Queries, version: str, node: str) -> list[HTTPRouteHandler]:
    @get("/concerns", summary="What an operator should look at, worst first", sync_to_thread=False, **READ)
    def concerns() -> Items[ConcernView]:
        return queries.concerns()

    @get("/nodes", summary="The gateway processes of the fleet", sync_to_thread=False, **READ)
    def nodes() -> Items[NodeView]:
        return queries.items(queries.node_rows(node, version))

    @get("/components", summary="The parts of the process that answers, each with its own verdict", **READ)
    async def components() -> Items[ComponentHealth]:
        return queries.items(await queries.health())

    return [concerns, nodes, components]


def _past(queries: Queries, history: History) -> list[HTTPRouteHandler]:
    @get("/events", summary="What happened, newest first", sync_to_thread=False, **READ)
    def events(
        after: Annotated[str, QueryParameter(max_length=100, description="Only events after this id")] = "",
        kind: Text = "",
        actor: Text = "",
        q: Text = "",
        limit: Top = 200,
    ) -> Items[EventView]:
        return queries.events(after, kind, actor, q, limit)

    @get("/traffic", summary="The latest requests, sampled when there are many", sync_to_thread=False, **READ)
    def traffic(limit: Top = 200, upstream: Text = "") -> Items[TrafficView]:
        return queries.traffic(limit, upstream)

    @get(
        "/history",
        summary="Up to an hour of rate, errors, p95 and refusals of this process",
        sync_to_thread=False,
        **READ,
    )
    def past(
        kind: Annotated[str, QueryParameter(pattern="^(|total|service|route)$")] = "",
        name: Text = "",
        minutes: Annotated[int, QueryParameter(ge=1, le=60)] = 60,
    ) -> Items[HistoryView]:
        return queries.items(history.rows(kind, name, minutes))

    return [events, traffic, past]


def split_topics(topics: str) -> Sequence[str]:
    return [topic.strip() for topic in topics.split(",") if topic.strip()]
