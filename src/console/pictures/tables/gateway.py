"""Lists of the gateway itself: its processes and parts, objectives, audit, usage, live connections."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from spork.console.pictures.columns import Column, Table
from spork.console.text.formats import MISSING, clock, count, millis, percent, rate, since, size, stamp
from spork.console.text.labels import ratio_tone, said, severity
from spork.console.text.moment import Moment
from spork.console.text.spans import Span

if TYPE_CHECKING:
    from spork.application.views import ComponentHealth, ObjectiveView

NODES = Table(
    name="nodes",
    topic="nodes",
    measured="rates over 10 s",
    title="nodes",
    columns=(
        Column("state", "STATE", 9, lambda r, m: said(r.state), lambda r: severity(r.state)),
        Column("node", "NODE", 18, lambda r, m: (r.name, "bold"), lambda r: r.name, grow=True, most=40),
        Column("answers", "", 8, lambda r, m: ("answers" if r.answers else "", "dim"), lambda r: r.answers, priority=5),
        Column("rps", "RPS", 7, lambda r, m: (rate(r.rps), ""), lambda r: r.rps, right=True),
        Column(
            "err",
            "5XX%",
            6,
            lambda r, m: (percent(r.error_ratio), ratio_tone(r.error_ratio)),
            lambda r: r.error_ratio,
            right=True,
        ),
        Column("inflight", "INFL", 5, lambda r, m: (count(r.in_flight), ""), lambda r: r.in_flight, right=True),
        Column("revision", "REVISION", 13, lambda r, m: (r.revision or MISSING, ""), lambda r: r.revision, priority=2),
        Column(
            "up",
            "RUNS",
            7,
            lambda r, m: (since(r.started_at, m.now), ""),
            lambda r: r.started_at,
            priority=3,
            right=True,
        ),
        Column(
            "seen",
            "SEEN",
            6,
            lambda r, m: (since(r.seen_at, m.now), "dim"),
            lambda r: r.seen_at,
            priority=4,
            right=True,
        ),
        Column("version", "VERSION", 8, lambda r, m: (r.version or MISSING, "dim"), lambda r: r.version, priority=6),
    ),
    order=("state", True),
    key=attrgetter("name"),
    faulty=lambda r: r.state != "up",
    search=lambda r: f"{r.name} {r.state} {r.revision}".lower(),
    nothing="no node has reported",
    fields=lambda r: {"node": r.name, "state": r.state, "revision": r.revision},
)


def _facts(row: ComponentHealth, moment: Moment) -> Span:
    return (", ".join(f"{name} {value}" for name, value in row.facts.items()) or MISSING, "dim")


COMPONENTS = Table(
    name="components",
    topic="components",
    title="parts of this gateway",
    columns=(
        Column("state", "STATE", 10, lambda r, m: said(r.status), lambda r: severity(r.status)),
        Column(
            "part", "PART", 16, lambda r, m: (r.name.replace("_", " "), "bold"), lambda r: r.name, grow=True, most=22
        ),
        Column("detail", "DETAIL", 34, lambda r, m: (r.detail, ""), lambda r: r.detail, grow=True),
        Column(
            "took",
            "TOOK",
            7,
            lambda r, m: (millis(r.latency_ms), "dim"),
            lambda r: r.latency_ms,
            priority=3,
            right=True,
        ),
        Column("facts", "FACTS", 20, _facts, lambda r: r.name, priority=4, grow=True),
    ),
    order=("state", True),
    key=attrgetter("name"),
    faulty=lambda r: severity(r.status) > 0,
    search=lambda r: f"{r.name} {r.status} {r.detail}".lower(),
    nothing="this gateway tells of no part",
    fields=lambda r: {"part": r.name, "state": r.status},
)


def _burn(window: str) -> Column:
    def cell(row: ObjectiveView, moment: Moment) -> Span:
        value = row.burn.get(window)
        tone = "" if value is None or value < 1 else "warn" if value < 6 else "bad"
        return (MISSING if value is None else f"{value:.1f}", tone)

    return Column(f"burn_{window}", f"BURN {window}", 8, cell, lambda r: r.burn.get(window), priority=2, right=True)


def _budget(row: ObjectiveView, moment: Moment) -> Span:
    tone = "bad" if row.budget_left <= 0 else "warn" if row.budget_left < 0.25 else ""
    return (f"{row.budget_left * 100:.1f}%", tone)


OBJECTIVES = Table(
    name="objectives",
    topic="objectives",
    title="objectives",
    columns=(
        Column("objective", "OBJECTIVE", 18, lambda r, m: (r.name, "bold"), lambda r: r.name, grow=True, most=36),
        Column("target", "TARGET", 7, lambda r, m: (f"{r.target * 100:g}%", ""), lambda r: r.target, right=True),
        Column(
            "within",
            "WITHIN",
            7,
            lambda r, m: (millis(r.latency_ms), "dim"),
            lambda r: r.latency_ms,
            priority=4,
            right=True,
        ),
        Column("budget", "BUDGET", 8, _budget, lambda r: -r.budget_left, right=True),
        *(_burn(window) for window in ("5m", "30m", "1h", "6h")),
        Column(
            "requests",
            "REQUESTS",
            9,
            lambda r, m: (count(r.requests), ""),
            lambda r: r.requests,
            priority=3,
            right=True,
        ),
        Column("bad", "BAD", 7, lambda r, m: (count(r.bad), ""), lambda r: r.bad, priority=3, right=True),
        Column(
            "of", "OF", 14, lambda r, m: (r.route or r.consumer or "all", "dim"), lambda r: r.route or "", priority=5
        ),
        Column(
            "kept",
            "KEPT IN",
            8,
            lambda r, m: (r.remark or r.kept_in, "warn" if r.remark else "dim"),
            lambda r: r.kept_in,
            priority=6,
        ),
    ),
    order=("budget", True),
    key=attrgetter("name"),
    faulty=lambda r: r.budget_left <= 0 or any(value >= 6 for value in r.burn.values()),
    search=lambda r: f"{r.name} {r.route or ''} {r.consumer or ''}".lower(),
    nothing="no objectives are configured",
    fields=lambda r: {"objective": r.name, "route": r.route or "", "consumer": r.consumer or ""},
)

AUDIT = Table(
    name="audit",
    topic="audit",
    title="audit",
    columns=(
        Column("time", "TIME", 20, lambda r, m: (stamp(r.at), "dim"), lambda r: r.at),
        Column("action", "ACTION", 16, lambda r, m: (r.action, "bold"), lambda r: r.action),
        Column("actor", "ACTOR", 10, lambda r, m: (r.actor or MISSING, ""), lambda r: r.actor),
        Column("object", "OBJECT", 18, lambda r, m: (r.object or MISSING, ""), lambda r: r.object, grow=True, most=34),
        Column("outcome", "OUTCOME", 9, lambda r, m: (r.outcome or MISSING, ""), lambda r: r.outcome, priority=2),
        Column(
            "change",
            "CHANGE",
            18,
            lambda r, m: (f"{r.before} → {r.after}" if r.after else MISSING, "dim"),
            lambda r: r.after,
            priority=3,
            grow=True,
        ),
        Column(
            "reason", "REASON", 16, lambda r, m: (r.reason or MISSING, ""), lambda r: r.reason, priority=4, grow=True
        ),
        Column("number", "NR", 6, lambda r, m: (str(r.number), "dim"), lambda r: r.number, priority=6, right=True),
    ),
    order=("time", True),
    key=attrgetter("id"),
    faulty=lambda r: r.outcome not in ("done", "applied", "ok", "success"),
    search=lambda r: f"{r.action} {r.actor} {r.object} {r.outcome} {r.reason} {r.detail}".lower(),
    nothing="the audit trail is empty",
    fields=lambda r: {"action": r.action, "actor": r.actor, "object": r.object, "outcome": r.outcome},
)

USAGE = Table(
    name="usage",
    topic="usage",
    title="usage per hour",
    columns=(
        Column("hour", "HOUR", 6, lambda r, m: (clock(r.hour * 3600)[:5] + "Z", "dim"), lambda r: r.hour),
        Column(
            "consumer",
            "CONSUMER",
            16,
            lambda r, m: (r.consumer or "anonymous", "bold"),
            lambda r: r.consumer,
            grow=True,
            most=32,
        ),
        Column("route", "ROUTE", 14, lambda r, m: (r.route or MISSING, ""), lambda r: r.route, grow=True, most=28),
        Column("requests", "REQUESTS", 9, lambda r, m: (count(r.requests), ""), lambda r: r.requests, right=True),
        Column(
            "errors",
            "5XX",
            7,
            lambda r, m: (count(r.errors), "bad" if r.errors else "dim"),
            lambda r: r.errors,
            right=True,
        ),
        Column(
            "refused",
            "REFUSED",
            8,
            lambda r, m: (count(r.refused), "warn" if r.refused else "dim"),
            lambda r: r.refused,
            right=True,
        ),
        Column("units", "UNITS", 8, lambda r, m: (count(r.units), ""), lambda r: r.units, priority=3, right=True),
        Column("in", "IN", 9, lambda r, m: (size(r.bytes_in), "dim"), lambda r: r.bytes_in, priority=4, right=True),
        Column("out", "OUT", 9, lambda r, m: (size(r.bytes_out), "dim"), lambda r: r.bytes_out, priority=4, right=True),
    ),
    order=("hour", True),
    key=lambda r: f"{r.hour} {r.consumer} {r.route}",
    faulty=lambda r: r.errors > 0 or r.refused > 0,
    search=lambda r: f"{r.consumer} {r.route}".lower(),
    nothing="no usage has been recorded yet",
    fields=lambda r: {"consumer": r.consumer, "route": r.route},
)

CONNECTIONS = Table(
    name="connections",
    topic="connections",
    title="live connections",
    columns=(
        Column("kind", "KIND", 10, lambda r, m: (r.kind, ""), lambda r: r.kind),
        Column("route", "ROUTE", 14, lambda r, m: (r.route or MISSING, "bold"), lambda r: r.route, grow=True, most=28),
        Column(
            "consumer",
            "CONSUMER",
            14,
            lambda r, m: (r.consumer or r.subject or "anonymous", ""),
            lambda r: r.consumer,
            grow=True,
            most=28,
        ),
        Column("client", "CLIENT", 16, lambda r, m: (r.client, "dim"), lambda r: r.client, priority=2),
        Column("open", "OPEN", 7, lambda r, m: (since(r.since, m.now), ""), lambda r: r.since, right=True),
        Column("node", "NODE", 14, lambda r, m: (r.node, "dim"), lambda r: r.node, priority=4),
        Column("id", "ID", 14, lambda r, m: (r.id, "dim"), lambda r: r.id, priority=5),
    ),
    order=("open", False),
    key=attrgetter("id"),
    faulty=lambda r: False,
    search=lambda r: f"{r.kind} {r.route} {r.consumer} {r.subject} {r.client} {r.id}".lower(),
    nothing="nobody holds a connection open",
    fields=lambda r: {"kind": r.kind, "route": r.route, "consumer": r.consumer, "client": r.client, "node": r.node},
)
