"""Gateway processes that serve together: what each says about itself, who is silent, and how their facts add up.

Every process announces a `NodeReport` each second. A node that was heard of and has stopped reporting is *silent*: it is
named, its numbers are left out, and sums are then lower bounds. Nothing is extrapolated.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from application.tally import SIZE, Window, Windows
from application.views import BreakerView, ConsumerView, EventView, Nodes, TargetView

WindowRow = tuple[int, int, int, int, list[int], list[int]]

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
    routes: dict[str, WindowRow] = field(default_factory=dict)
    upstreams: dict[str, WindowRow] = field(default_factory=dict)
    targets: list[tuple[str, str, WindowRow]] = field(default_factory=list)
    hits: dict[str, int] = field(default_factory=dict)
    series: list[tuple[int, int, int, int]] = field(default_factory=list)
    breakers: list[BreakerView] = field(default_factory=list)
    target_views: list[TargetView] = field(default_factory=list)
    consumers: list[ConsumerView] = field(default_factory=list)
    events: list[EventView] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Heard:
    """A report and how many seconds ago it was made, by the registry's own clock."""

    report: NodeReport
    age: float


class NodeRegistry(Protocol):
    """Where nodes announce themselves and hear of each other. `alone`: there is nobody to hear this one."""

    @property
    def alone(self) -> bool: ...

    def announce(self, report: NodeReport) -> Awaitable[None]:
        """Say what this node is now. Raises nothing: a registry that is gone makes the others silent."""

    def heard(self) -> Awaitable[Sequence[Heard]]:
        """Every known node's latest report, this one's included."""

    def leave(self, node: str) -> Awaitable[None]:
        """This node goes on purpose: it is not silent, it is gone."""


@dataclass(frozen=True, slots=True)
class Drain:
    """An operator took a target out of use. `until` in Unix seconds, None until undrained."""

    upstream: str
    target: str
    until: float | None
    reason: str
    by: str

    @property
    def name(self) -> str:
        return f"{self.upstream}/{self.target}"


class DrainBoard(Protocol):
    """Where replicas tell each other which targets are drained. Raises OSError when the store is gone."""

    def put(self, drain: Drain) -> Awaitable[None]: ...

    def drop(self, name: str) -> Awaitable[None]: ...

    def drains(self) -> Awaitable[Sequence[Drain]]: ...


class LoneNode:
    """The registry of a process that serves alone: nobody needs its reports."""

    alone = True

    def __init__(self) -> None:
        self._report: NodeReport | None = None

    async def announce(self, report: NodeReport) -> None:
        self._report = report

    async def heard(self) -> Sequence[Heard]:
        return [Heard(self._report, 0.0)] if self._report is not None else []

    async def leave(self, node: str) -> None:
        self._report = None


class Picture:
    """The reports of all nodes that speak, added up."""

    def __init__(self, heard: Iterable[Heard], silent_after: float = SILENT_AFTER) -> None:
        everyone = [h for h in heard if h.age < FORGOTTEN_AFTER]
        speaking = [h.report for h in everyone if h.age <= silent_after]
        silent = tuple(sorted(h.report.node for h in everyone if h.age > silent_after))
        self.nodes = Nodes(len(speaking), len(everyone), silent)
        self.reports = speaking
        self.windows = Windows()
        self.in_flight = 0
        self.hits: dict[str, int] = {}
        for report in speaking:
            self._add(report)

    def _add(self, report: NodeReport) -> None:
        windows = Windows()
        windows.total = Window.from_row(report.total)
        windows.overhead = list(report.overhead)
        windows.routes = {name: Window.from_row(row) for name, row in report.routes.items()}
        windows.upstreams = {name: Window.from_row(row) for name, row in report.upstreams.items()}
        windows.targets = {(upstream, name): Window.from_row(row) for upstream, name, row in report.targets}
        self.windows.merge(windows)
        self.in_flight += report.in_flight
        for route, hits in report.hits.items():
            self.hits[route] = self.hits.get(route, 0) + hits

    def series(self) -> list[tuple[int, int, int, int]]:
        """(second, requests, 5xx, 429) of all speaking nodes, by second, newest last."""
        sums: dict[int, tuple[int, int, int]] = {}
        for report in self.reports:
            for second, requests, errors, throttled in report.series:
                known = sums.get(second, (0, 0, 0))
                sums[second] = (known[0] + requests, known[1] + errors, known[2] + throttled)
        return [(second, *sums[second]) for second in sorted(sums)]

    def breakers(self) -> list[BreakerView]:
        """One per circuit: counts added, the worst state with its reason, transitions of all nodes."""
        merged: dict[str, BreakerView] = {}
        for report in self.reports:
            for view in report.breakers:
                known = merged.get(view.name)
                merged[view.name] = view if known is None else _merge_breakers(known, view)
        return [merged[name] for name in sorted(merged)]

    def targets(self) -> list[TargetView]:
        merged: dict[tuple[str, str], TargetView] = {}
        for report in self.reports:
            for view in report.target_views:
                key = (view.upstream, view.name)
                known = merged.get(key)
                merged[key] = view if known is None else _merge_targets(known, view)
        return [merged[key] for key in sorted(merged)]

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
