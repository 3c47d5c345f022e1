"""Lists of how answers are made: the response cache by route, versions of APIs and who still calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spork.console.pictures.columns import Column, Table
from spork.console.text.formats import MISSING, bar, count, percent, size, stamp
from spork.console.text.labels import said, severity
from spork.console.text.moment import Moment
from spork.console.text.spans import Span

if TYPE_CHECKING:
    from spork.application.views import VersionView
    from spork.console.gateway.own_rows import CacheRow


def _of(row: CacheRow, *results: str) -> int:
    return sum(row.requests.get(result, 0) for result in results)


def _rest(row: CacheRow) -> int:
    return sum(row.requests.values()) - _of(row, "hit", "stale", "miss", "bypass")


def _hit_bar(row: CacheRow, moment: Moment) -> Span:
    return (bar(row.hit_ratio or 0.0, 12, moment.ascii_only) if row.hit_ratio is not None else "", "accent")


CACHE = Table(
    name="cache",
    topic="cache",
    title="cache",
    columns=(
        Column("route", "ROUTE", 16, lambda r, m: (r.route, "bold"), lambda r: r.route, grow=True, most=36),
        Column("ratio", "HIT%", 6, lambda r, m: (percent(r.hit_ratio), ""), lambda r: r.hit_ratio, right=True),
        Column("bar", "", 12, _hit_bar, lambda r: r.hit_ratio, priority=3),
        Column("hits", "HITS", 8, lambda r, m: (count(_of(r, "hit")), ""), lambda r: _of(r, "hit"), right=True),
        Column("stale", "STALE", 7, lambda r, m: (count(_of(r, "stale")), ""), lambda r: _of(r, "stale"), priority=2, right=True),
        Column("misses", "MISSES", 8, lambda r, m: (count(_of(r, "miss")), ""), lambda r: _of(r, "miss"), right=True),
        Column("bypass", "BYPASS", 7, lambda r, m: (count(_of(r, "bypass")), "dim"), lambda r: _of(r, "bypass"), priority=3, right=True),
        Column("other", "OTHER", 7, lambda r, m: (count(_rest(r)), "dim"), _rest, priority=4, right=True),
        Column("store", "STORED HERE", 34, lambda r, m: (_stored(r), "dim"), lambda r: r.bytes, priority=4),
        Column("shared", "SHARED", 7, lambda r, m: (r.second_level, "bad" if r.second_level == "away" else "dim"), lambda r: r.second_level, priority=5),
        Column("purges", "PURGES", 6, lambda r, m: (count(r.purges), "dim"), lambda r: r.purges, priority=6, right=True),
        Column("node", "NODE", 12, lambda r, m: (r.node, "dim"), lambda r: r.node, priority=7),
    ),
    order=("misses", True),
    key=lambda r: str(r.route),
    faulty=lambda r: r.second_level == "away",
    search=lambda r: f"{r.route} {r.node} {r.second_level}".lower(),
    nothing="no route is cached (or there is no response cache here)",
    fields=lambda r: {"route": r.route, "node": r.node, "shared": r.second_level},
)  # fmt: skip


def _stored(row: CacheRow) -> str:
    return f"{count(row.entries)} answers, {size(row.bytes)} of {size(row.memory)}"


def _day(at: float | None) -> str:
    return MISSING if at is None else stamp(at)[:10]


def _callers(row: VersionView) -> str:
    names = [f"{caller.name} ({count(caller.requests)})" for caller in (*row.consumers, *row.anonymous)]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _sunset(row: VersionView, moment: Moment) -> Span:
    if row.sunset is None:
        return (MISSING, "dim")
    soon = row.sunset - moment.now < 30 * 86_400
    return (_day(row.sunset), "warn" if soon and row.requests_7d else "")


VERSIONS = Table(
    name="versions",
    topic="versions",
    title="versions",
    columns=(
        Column("state", "STATE", 12, lambda r, m: said(r.state), lambda r: (severity(r.state), r.requests_7d)),
        Column("api", "API", 14, lambda r, m: (r.api, "bold"), lambda r: r.api, grow=True, most=28),
        Column("version", "VERSION", 8, lambda r, m: (r.version, "bold"), lambda r: r.version),
        Column("day", "REQ/1D", 8, lambda r, m: (count(r.requests_1d), ""), lambda r: r.requests_1d, right=True),
        Column("week", "REQ/7D", 8, lambda r, m: (count(r.requests_7d), ""), lambda r: r.requests_7d, priority=2, right=True),
        Column("month", "REQ/30D", 8, lambda r, m: (count(r.requests_30d), "dim"), lambda r: r.requests_30d, priority=4, right=True),
        Column("sunset", "SUNSET", 10, _sunset, lambda r: r.sunset, priority=2),
        Column("projected", "THEN/DAY", 8, lambda r, m: (count(r.projected), "warn" if r.projected else "dim"), lambda r: r.projected, priority=3, right=True),
        Column("callers", "STILL CALLED BY", 24, lambda r, m: (_callers(r) or MISSING, ""), lambda r: len(r.consumers), priority=2, grow=True),
        Column("next", "SUCCESSOR", 10, lambda r, m: (r.successor or MISSING, "dim"), lambda r: r.successor or "", priority=5),
    ),
    order=("state", True),
    key=lambda r: f"{r.api} {r.version}",
    faulty=lambda r: r.state != "current" and r.requests_7d > 0,
    search=lambda r: f"{r.api} {r.version} {r.state} {_callers(r)}".lower(),
    nothing="no API has versions here",
    fields=lambda r: {"api": r.api, "version": r.version, "state": r.state, "caller": _callers(r)},
)  # fmt: skip
