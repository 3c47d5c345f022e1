"""What operators ask: every answer says when it was true, which nodes it covers, and its revision."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from spork.application.admin.commands import OperationRefused
from spork.application.admin.component_health import Components
from spork.application.admin.controls import Controls
from spork.application.admin.current_overview import CurrentOverview
from spork.application.admin.stream import TOPICS, Revisions
from spork.application.fleet.concerns import ConcernLedger
from spork.application.fleet.overview import Overview
from spork.application.kernel.clock import Clock
from spork.application.kernel.tasks import now_or_later
from spork.application.telemetry.event_log import EventLog, select
from spork.application.telemetry.rolling import Window
from spork.application.telemetry.tail import Traffic
from spork.application.views import (
    BreakerView,
    ComponentHealth,
    ConcernView,
    ConfigView,
    ConsumerView,
    EventView,
    Nodes,
    NodeView,
    PulseView,
    QuotaView,
    RouteView,
    SnapshotView,
    TrafficView,
)

T = TypeVar("T")
#: Routes that are looked at before requests have their turn again.
_PIECE = 50


@dataclass(frozen=True, slots=True)
class Items(Generic[T]):
    """A list in its envelope. `next_cursor` asks for the following page, `total` counts all."""

    rev: int
    as_of: float
    nodes: Nodes
    items: Sequence[T]
    next_cursor: str | None = None
    total: int | None = None


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """One thing in its envelope."""

    rev: int
    as_of: float
    nodes: Nodes
    item: T


class RouteRows(Mapping[str, RouteView]):
    """A configuration's routes by name, each looked at when it is asked for: they may be many."""

    def __init__(self, overview: Overview) -> None:
        self._overview = overview
        self._routes = {route.name: route for route in overview.configuration.routes}

    def __getitem__(self, name: str) -> RouteView:
        return self._overview.route(self._routes[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._routes)

    def __len__(self) -> int:
        return len(self._routes)

    def __contains__(self, name: object) -> bool:
        return name in self._routes


class Queries:
    """Answers from the last heartbeat and this process's present."""

    def __init__(
        self,
        current: CurrentOverview,
        controls: Controls,
        events: EventLog,
        traffic: Traffic,
        revisions: Revisions,
        clock: Clock,
        config: Callable[[], Awaitable[ConfigView]] | None = None,
        components: Components | None = None,
    ) -> None:
        self._current = current
        self._controls = controls
        self._events = events
        self._traffic = traffic
        self._revisions = revisions
        self._clock = clock
        self._config = config
        self._components = components or Components()
        self._quotas: tuple[Sequence[QuotaView], int] = ((), 0)
        self.concern_ledger = ConcernLedger()

    def overview(self) -> Overview:
        """The fleet as it is now (`CurrentOverview.overview`)."""
        return self._current.overview()

    def items(self, rows: Sequence[T], next_cursor: str | None = None, total: int | None = None) -> Items[T]:
        return Items(
            self._revisions.next(), self._clock.unix(), self.overview().picture.nodes, rows, next_cursor, total
        )

    def item(self, row: T) -> Item[T]:
        return Item(self._revisions.next(), self._clock.unix(), self.overview().picture.nodes, row)

    # ---------------------------------------------------------------------------------------------- the gateway itself

    def concerns(self) -> Items[ConcernView]:
        """What an operator should look at, worst first."""
        rows = self.concern_ledger.rows()
        return self.items(rows, None, len(rows) + self.concern_ledger.left_out)

    @property
    def quota_rows(self) -> Sequence[QuotaView]:
        """The windows as last read: see `refresh`."""
        return self._quotas[0]

    def node_rows(self, own: str, version: str) -> list[NodeView]:
        """Every process of the fleet, as it last reported; silent ones without numbers."""
        picture = self.overview().picture
        found = []
        for report in picture.reports:
            window = Window.from_row(report.total)
            found.append(
                NodeView(
                    report.node, "up", report.revision, report.started, report.at, report.in_flight, window.rps,
                    window.error_ratio, version if report.node == own else "", report.node == own,
                )
            )  # fmt: skip
        found += [NodeView(name, "silent", "", None, None, None, None, None) for name in picture.nodes.silent]
        return found

    # ------------------------------------------------------------------------------------------------------ snapshot

    async def snapshot(
        self, topics: Sequence[str], prime: Callable[[Sequence[str]], None] = lambda topics: None
    ) -> SnapshotView:
        """Everything a console shows at first. `prime` is called with the topics just before they are read, so that a
        stream continues from them. Raises OperationRefused for a topic that does not exist."""
        wanted = check_topics(topics)
        await self.refresh(wanted)
        prime(wanted)
        overview = self.overview()
        shown: dict[str, object] = {}
        for topic in wanted:
            shown[topic] = await self._topic(topic, overview)
        return SnapshotView(self._revisions.next(), self._clock.unix(), overview.picture.nodes, shown)

    async def routes(self, overview: Overview | None = None) -> list[RouteView]:
        """Every route in force; where there are many, requests go on meanwhile."""
        rows: list[RouteView] = []
        for at, view in enumerate(RouteRows(overview or self.overview()).values(), 1):
            rows.append(view)
            if at % _PIECE == 0:
                await asyncio.sleep(0)
        return rows

    async def _topic(self, topic: str, overview: Overview) -> object:
        if topic == "pulse":
            return overview.pulse()
        if topic == "traffic":
            return self._traffic.latest(200)
        if topic == "events":
            return overview.picture.events()[:200]
        if topic == "config":
            return await self.config() if self._config is not None else None
        if topic == "routes":
            return await self.routes(overview)
        return list(self.rows([topic])[topic].values())

    def rows(self, topics: Sequence[str]) -> dict[str, Mapping[str, object]]:
        """The present rows of topics by key, for the stream."""
        overview = self.overview()
        makers: dict[str, Callable[[], Mapping[str, object]]] = {
            "services": lambda: {view.name: view for view in overview.services()},
            "targets": lambda: {f"{view.upstream}/{view.name}": view for view in overview.targets()},
            "breakers": lambda: {view.name: view for view in overview.breakers()},
            "routes": lambda: RouteRows(overview),
            "quotas": lambda: {view.id or f"{view.limit}:{view.subject}": view for view in self._quotas[0]},
            "concerns": lambda: {view.id: view for view in self.concern_ledger.rows()},
            "events": lambda: {view.id: view for view in overview.picture.events()[:200]},
            "config": lambda: {"revision": {"revision": overview.configuration.revision}},
        }
        return {topic: makers[topic]() for topic in topics if topic in makers}

    async def refresh(self, topics: Sequence[str] = TOPICS) -> None:
        """Ask the stores for what is kept there."""
        if "quotas" in topics and self._controls.quotas is not None:
            self._quotas = await now_or_later(self._controls.quotas.quotas(200, "used", "", 0))

    # --------------------------------------------------------------------------------------------------------- single

    def tick(self) -> dict[str, object]:
        """What the stream says each second: the pulse, when that was, and which nodes it covers."""
        return {"pulse": self.pulse(), "as_of": self._clock.unix(), "nodes": self.overview().picture.nodes}

    def pulse(self) -> PulseView:
        return self.overview().pulse()

    def breaker(self, name: str) -> BreakerView:
        for view in self.overview().breakers():
            if view.name == name:
                return view
        raise OperationRefused("not_found", f"There is no circuit {name}.")

    async def quotas(self, top: int, sort: str, text: str, cursor: str) -> Items[QuotaView]:
        offset = cursor_offset(cursor)
        if self._controls.quotas is None:
            return self.items([], None, 0)
        rows, total = await now_or_later(self._controls.quotas.quotas(top, sort, text, offset))
        following = offset + len(rows)
        return self.items(rows, str(following) if rows and following < total else None, total)

    def consumers(self, top: int, sort: str, text: str, cursor: str) -> Items[ConsumerView]:
        offset = cursor_offset(cursor)
        found = [c for c in self.overview().picture.consumers() if text.lower() in c.name.lower()]
        found.sort(key=lambda c: (-(c.refused_5m if sort == "refusals" else c.admitted_5m + c.refused_5m), c.name))
        page = found[offset : offset + top]
        following = offset + len(page)
        return self.items(page, str(following) if following < len(found) else None, len(found))

    def events(self, after: str, kind: str, actor: str, text: str, limit: int) -> Items[EventView]:
        return self.items(select(self.overview().picture.events(), after, kind, actor, text, limit))

    def traffic(self, limit: int, upstream: str) -> Items[TrafficView]:
        return self.items(self._traffic.latest(limit, upstream))

    async def config(self) -> ConfigView:
        if self._config is None:
            raise OperationRefused("unavailable", "The configuration cannot be shown by this gateway.")
        return await self._config()

    async def health(self) -> list[ComponentHealth]:
        """Every component's own verdict, each within a second."""
        return await self._components.health()


def check_topics(topics: Sequence[str]) -> tuple[str, ...]:
    """The topics asked for, all when none. Raises OperationRefused."""
    unknown = [topic for topic in topics if topic not in TOPICS]
    if unknown:
        raise OperationRefused(
            "invalid", f"No topic {unknown[0]}.", errors=[{"path": "topics", "message": f"one of {', '.join(TOPICS)}"}]
        )
    return tuple(topics) or TOPICS


def cursor_offset(cursor: str) -> int:
    """Cursors are opaque to callers. Raises OperationRefused."""
    if not cursor:
        return 0
    if cursor.isascii() and cursor.isdigit() and len(cursor) <= 9:
        return int(cursor)
    raise OperationRefused("invalid", "Not a cursor of this list.", errors=[{"path": "cursor", "message": "unknown"}])
