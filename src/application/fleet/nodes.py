"""Gateway processes that serve together: what each says about itself, who is silent, and how their facts add up.

Every process announces a `NodeReport` each second. A node that was heard of and has stopped reporting is *silent*: it is
named, its numbers are left out, and sums are then lower bounds. Nothing is extrapolated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from spork.application.limits.reports import LimitReport
from spork.application.telemetry.rolling import SIZE, Window, WindowRow, Windows
from spork.application.views import BreakerOnNode, BreakerView, ConsumerView, EventView, Nodes, TargetOnNode, TargetView

N = TypeVar("N", BreakerOnNode, TargetOnNode)
W = TypeVar("W", Window, Windows)

#: Seconds without a report after which a node is silent, and after which it is forgotten.
SILENT_AFTER = 5.0
FORGOTTEN_AFTER = 600.0

#: Worst first: what a fleet's circuit is when its nodes disagree.
_STATES = ("forced_open", "open", "half_open", "closed")


@dataclass(slots=True)
class NodeReport:
    """One process about itself. Times in Unix seconds. Fit for msgpack as it stands."""

    node: str
    at: float
    started: float
    revision: str = ""
    config_generation: int = 0
    in_flight: int = 0
    ready: bool = True
    total: WindowRow = field(default_factory=lambda: Window().row())
    overhead: list[int] = field(default_factory=lambda: [0] * SIZE)
    upstreams: dict[str, WindowRow] = field(default_factory=dict)
    targets: list[tuple[str, str, WindowRow]] = field(default_factory=list)
    series: list[tuple[int, int, int, int]] = field(default_factory=list)
    breakers: list[BreakerView] = field(default_factory=list)
    target_views: list[TargetView] = field(default_factory=list)
    #: (probes, those that passed) of the last hour, by upstream.
    probed: dict[str, tuple[int, int]] = field(default_factory=dict)
    consumers: list[ConsumerView] = field(default_factory=list)
    events: list[EventView] = field(default_factory=list)
    limits: LimitReport = field(default_factory=LimitReport)


@dataclass(slots=True)
class RouteReport:
    """The part of a report that is long, and read only when somebody looks at routes: requests since the start by route,
    and the windows of those that had any lately."""

    hits: dict[str, int] = field(default_factory=dict)
    windows: dict[str, WindowRow] = field(default_factory=dict)


class NodeState:
    """A report and how many seconds ago it was made, by the registry's own clock."""

    def __init__(
        self,
        report: NodeReport,
        age: float,
        routes: Callable[[], RouteReport] = RouteReport,
        windows: Windows | None = None,
    ) -> None:
        """`windows` are the report's, where they are at hand as such."""
        self.report = report
        self.age = age
        self._read = routes
        self._routes: RouteReport | None = None
        self.windows = windows

    def __repr__(self) -> str:
        return f"Heard({self.report.node!r}, {self.age:.1f})"

    @property
    def routes(self) -> RouteReport:
        if self._routes is None:
            self._routes = self._read()
        return self._routes

    def older(self, seconds: float) -> NodeState:
        """The same report, heard that much longer ago."""
        return NodeState(self.report, self.age + seconds, lambda: self.routes, self.windows)

    def hits(self, route: str) -> int:
        return self.routes.hits.get(route, 0)

    def route(self, name: str) -> Window | None:
        if self.windows is not None:
            return self.windows.routes.get(name)
        row = self.routes.windows.get(name)
        return None if row is None else Window.from_row(row)


class LocalNodeState(NodeState):
    """What this process knows of itself: nothing has to be read."""

    def __init__(self, report: NodeReport, windows: Windows, hits: Mapping[str, int]) -> None:
        super().__init__(report, 0.0, windows=windows)
        self._hits = hits

    def hits(self, route: str) -> int:
        return self._hits.get(route, 0)


class NodeRegistry(Protocol):
    """Where nodes announce themselves and hear of each other. `alone`: there is nobody to hear this one."""

    @property
    def alone(self) -> bool: ...

    def announce(self, report: NodeReport, routes: RouteReport) -> Awaitable[None]:
        """Say what this node is now. Raises nothing: a registry that is gone makes the others silent."""

    def nodes(self) -> Awaitable[Sequence[NodeState]]:
        """Every known node's latest report, this one's included."""

    def leave(self, node: str) -> Awaitable[None]:
        """This node goes on purpose: it is not silent, it is gone."""


class NodeCount:
    """How many nodes of the fleet speak, this one included, as of the last heartbeat; 1 before the first."""

    def __init__(self) -> None:
        self._live = 1

    def live(self) -> int:
        """The number, at least 1."""
        return self._live

    def update(self, others: int) -> None:
        """So many others speak now."""
        self._live = 1 + others


class SingleNodeRegistry:
    """The registry of a process that serves alone: nobody needs its reports."""

    alone = True

    def __init__(self) -> None:
        self._said: NodeState | None = None

    async def announce(self, report: NodeReport, routes: RouteReport) -> None:
        self._said = NodeState(report, 0.0, lambda: routes)

    async def nodes(self) -> Sequence[NodeState]:
        return [self._said] if self._said is not None else []

    async def leave(self, node: str) -> None:
        self._said = None


class FleetState:
    """The reports of all nodes that speak, added up."""

    def __init__(self, heard: Iterable[NodeState], silent_after: float = SILENT_AFTER) -> None:
        everyone = [h for h in heard if h.age < FORGOTTEN_AFTER]
        self._speaking = [h for h in everyone if h.age <= silent_after]
        silent = tuple(sorted(h.report.node for h in everyone if h.age > silent_after))
        self.nodes = Nodes(len(self._speaking), len(everyone), silent)
        self.reports = [heard.report for heard in self._speaking]
        self._breakers: list[BreakerView] | None = None
        self._targets: list[TargetView] | None = None
        self.in_flight = sum(report.in_flight for report in self.reports)
        #: By total, upstream and target; routes are many, and added up when asked for.
        self.windows = _sum([heard.windows or _windows(heard.report) for heard in self._speaking], Windows)

    def route(self, name: str) -> Window:
        """A route's window."""
        found = [window for heard in self._speaking if (window := heard.route(name)) is not None]
        return _sum(found, Window)

    def hits(self, route: str) -> int:
        """Requests of a route since the nodes that speak have started."""
        return sum(heard.hits(route) for heard in self._speaking)

    def series(self) -> list[tuple[int, int, int, int]]:
        """(second, requests, 5xx, 429) of all speaking nodes, by second, newest last."""
        sums: dict[int, tuple[int, int, int]] = {}
        for report in self.reports:
            for second, requests, errors, throttled in report.series:
                known = sums.get(second, (0, 0, 0))
                sums[second] = (known[0] + requests, known[1] + errors, known[2] + throttled)
        return [(second, *sums[second]) for second in sorted(sums)]

    def breakers(self) -> Sequence[BreakerView]:
        """One per circuit: counts added, the worst state with its reason, transitions of all nodes, and each one's own."""
        if self._breakers is None:
            self._breakers = self._merged_breakers()
        return self._breakers

    def targets(self) -> Sequence[TargetView]:
        """One per target: as bad as the worst node finds it, counts added, and what each node finds."""
        if self._targets is None:
            self._targets = self._merged_targets()
        return self._targets

    def _merged_breakers(self) -> list[BreakerView]:
        merged: dict[str, BreakerView] = {}
        each: dict[str, list[BreakerOnNode]] = {}
        for report in self.reports:
            for view in report.breakers:
                known = merged.get(view.name)
                merged[view.name] = view if known is None else _merge_breakers(known, view)
                each.setdefault(view.name, []).append(
                    BreakerOnNode(
                        report.node, view.state, view.since, view.cause, view.requests, view.failures, view.slow
                    )
                )
        return [replace(merged[name], by_node=_in_order(each[name])) for name in sorted(merged)]

    def _merged_targets(self) -> list[TargetView]:
        merged: dict[tuple[str, str], TargetView] = {}
        each: dict[tuple[str, str], list[TargetOnNode]] = {}
        for report in self.reports:
            for view in report.target_views:
                key = (view.upstream, view.name)
                known = merged.get(key)
                merged[key] = view if known is None else _merge_targets(known, view)
                each.setdefault(key, []).append(_on_node(report.node, view))
        return [replace(merged[key], by_node=_in_order(each[key])) for key in sorted(merged)]

    def availability(self, upstream: str) -> float | None:
        """Share of the last hour's probes by all nodes that passed; None when there were none."""
        counts = [report.probed[upstream] for report in self.reports if upstream in report.probed]
        probes = sum(made for made, _ in counts)
        return sum(passed for _, passed in counts) / probes if probes else None

    def events(self) -> list[EventView]:
        """Newest first."""
        found = {event.id: event for report in self.reports for event in report.events}
        return [found[key] for key in sorted(found, reverse=True)]

    def consumers(self) -> list[ConsumerView]:
        merged: dict[str, ConsumerView] = {}
        for report in self.reports:
            for view in report.consumers:
                known = merged.get(view.name)
                merged[view.name] = view if known is None else _merge_consumers(known, view)
        return list(merged.values())


def _on_node(node: str, view: TargetView) -> TargetOnNode:
    return TargetOnNode(
        node=node,
        config=view.config,
        probe=view.probe,
        breaker=view.breaker,
        traffic=view.traffic,
        in_flight=view.in_flight,
        ejected_until=view.ejected_until,
        last_error=view.last_error,
        last_probe_at=view.last_probe_at,
        probe_ms=view.probe_ms,
    )


def _in_order(facts: list[N]) -> tuple[N, ...]:
    return tuple(sorted(facts, key=lambda fact: fact.node))


def _windows(report: NodeReport) -> Windows:
    windows = Windows()
    windows.total = Window.from_row(report.total)
    windows.overhead = list(report.overhead)
    windows.upstreams = {name: Window.from_row(row) for name, row in report.upstreams.items()}
    windows.targets = {(upstream, name): Window.from_row(row) for upstream, name, row in report.targets}
    return windows


def _sum(parts: Sequence[W], empty: Callable[[], W]) -> W:
    """What one node counted as it is, of several added up."""
    if len(parts) == 1:
        return parts[0]
    total = empty()
    for part in parts:
        total.merge(part)
    return total


def _merge_breakers(one: BreakerView, other: BreakerView) -> BreakerView:
    worst = min(one, other, key=lambda view: (_STATES.index(view.state) if view.state in _STATES else 9, view.since))
    requests = one.requests + other.requests
    failures = one.failures + other.failures
    seen = {(t.at, t.after, t.cause): t for t in (*one.transitions, *other.transitions)}
    return replace(
        worst,
        requests=requests,
        failures=failures,
        slow=one.slow + other.slow,
        error_ratio=failures / requests if requests else 0.0,
        trips=max(one.trips, other.trips),
        ramp=min((ramp for ramp in (one.ramp, other.ramp) if ramp is not None), default=None),
        transitions=tuple(seen[key] for key in sorted(seen))[-20:],
        window=_add_windows(one.window, other.window),
    )


def _add_windows(one: tuple[tuple[int, int], ...], other: tuple[tuple[int, int], ...]) -> tuple[tuple[int, int], ...]:
    """Element by element from the newest."""
    length = max(len(one), len(other))
    left = ((0, 0),) * (length - len(one)) + tuple(one)
    right = ((0, 0),) * (length - len(other)) + tuple(other)
    return tuple((a[0] + b[0], a[1] + b[1]) for a, b in zip(left, right, strict=True))


_PROBES = ("down", "up", "unknown", "off")
_TRAFFIC = ("ejected", "failing", "ok", "idle")


def _worst(order: tuple[str, ...], one: str, other: str) -> str:
    return min(one, other, key=lambda word: order.index(word) if word in order else len(order))


def _merge_targets(one: TargetView, other: TargetView) -> TargetView:
    later = one if (one.last_probe_at or 0) >= (other.last_probe_at or 0) else other
    return replace(
        later,
        probe=_worst(_PROBES, one.probe, other.probe),
        breaker=_worst(_STATES, one.breaker, other.breaker),
        traffic=_worst(_TRAFFIC, one.traffic, other.traffic),
        in_flight=one.in_flight + other.in_flight,
        connections=one.connections + other.connections,
        ejections=one.ejections + other.ejections,
        ejected_until=max((at for at in (one.ejected_until, other.ejected_until) if at is not None), default=None),
        last_error=later.last_error or one.last_error or other.last_error,
        flaps=one.flaps + other.flaps,
    )


def _merge_consumers(one: ConsumerView, other: ConsumerView) -> ConsumerView:
    return replace(
        one,
        plan=one.plan or other.plan,
        owner=one.owner or other.owner,
        rps=one.rps + other.rps,
        admitted_5m=one.admitted_5m + other.admitted_5m,
        refused_5m=one.refused_5m + other.refused_5m,
        last_seen=max((at for at in (one.last_seen, other.last_seen) if at is not None), default=None),
    )
