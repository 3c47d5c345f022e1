"""Lists of what is routed and what happened: routes, traffic, events."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from spork.console.pictures.columns import Column, Table
from spork.console.pictures.history import past
from spork.console.text.formats import MISSING, clock, count, millis, percent, rate
from spork.console.text.labels import ratio_tone, said, severity, state, status_tone
from spork.console.text.moment import Moment
from spork.console.text.spans import Span

if TYPE_CHECKING:
    from spork.application.views import EventView, RouteView, TrafficView


def _methods(row: RouteView, moment: Moment) -> Span:
    return (",".join(row.methods) or "any", "")


def _auth(row: RouteView, moment: Moment) -> Span:
    return (",".join(row.auth) or "open", "" if row.auth else "warn")


def _note(row: RouteView, moment: Moment) -> Span:
    if row.problem:
        return (row.problem, "bad")
    if row.shadowed_by:
        return (f"shadowed by {row.shadowed_by}", "warn")
    return (row.origin or MISSING, "dim")


ROUTES = Table(
    name="routes",
    topic="routes",
    measured="rates over 10 s",
    title="routes",
    columns=(
        Column("route", "ROUTE", 14, lambda r, m: (r.name, "bold"), lambda r: r.name, grow=True, most=26),
        Column("methods", "METHOD", 9, _methods, lambda r: r.methods, priority=2),
        Column("pattern", "PATTERN", 20, lambda r, m: (r.pattern, ""), lambda r: r.pattern, grow=True, most=44),
        Column("service", "SERVICE", 12, lambda r, m: (r.upstream or MISSING, ""), lambda r: r.upstream, priority=2),
        Column("auth", "AUTH", 11, _auth, lambda r: r.auth, priority=4),
        Column("rps", "RPS", 6, lambda r, m: (rate(r.rps), ""), lambda r: r.rps, priority=3, right=True),
        Column(
            "err",
            "5XX%",
            6,
            lambda r, m: (percent(r.error_ratio), ratio_tone(r.error_ratio)),
            lambda r: r.error_ratio,
            priority=3,
            right=True,
        ),
        Column("p95", "P95", 6, lambda r, m: (millis(r.p95_ms), ""), lambda r: r.p95_ms, priority=5, right=True),
        Column("past", "REQUESTS", 12, past("route", "rate", 12), lambda r: r.rps, priority=5),
        Column("hits", "HITS", 7, lambda r, m: (count(r.hits), "dim"), lambda r: r.hits, priority=6, right=True),
        Column(
            "limits", "LIMITS", 12, lambda r, m: (", ".join(r.limits) or MISSING, "dim"), lambda r: r.limits, priority=8
        ),
        Column("note", "NOTE", 14, _note, lambda r: (r.problem or "", r.shadowed_by or ""), priority=7, grow=True),
    ),
    order=("rps", True),
    key=attrgetter("name"),
    faulty=lambda r: bool(r.problem or r.shadowed_by) or r.error_ratio >= 0.05,
    search=lambda r: f"{r.name} {r.pattern} {' '.join(r.methods)} {r.upstream or ''} {' '.join(r.hosts)}".lower(),
    nothing="no routes are configured",
    fields=lambda r: {
        "route": r.name,
        "pattern": r.pattern,
        "service": r.upstream or "",
        "method": " ".join(r.methods),
        "auth": " ".join(r.auth),
        "host": " ".join(r.hosts),
    },
)


def _status(row: TrafficView, moment: Moment) -> Span:
    return (str(row.status) if row.status else MISSING, status_tone(row.status))


def _where(row: TrafficView, moment: Moment) -> Span:
    if row.reason:
        return (row.reason, "warn" if row.status < 500 else "bad")
    return (row.target or row.upstream or MISSING, "")


def _own_ms(row: TrafficView) -> float | None:
    return None if row.upstream_ms is None else max(0.0, row.ms - row.upstream_ms)


TRAFFIC = Table(
    name="traffic",
    topic="traffic",
    title="traffic",
    columns=(
        Column("time", "TIME", 11, lambda r, m: (clock(r.at, True), "dim"), lambda r: r.at),
        Column("method", "METHOD", 7, lambda r, m: (r.method, ""), lambda r: r.method),
        Column("path", "PATH", 20, lambda r, m: (r.path, ""), lambda r: r.path, grow=True),
        Column("status", "CODE", 4, _status, lambda r: r.status, right=True),
        Column("ms", "MS", 6, lambda r, m: (millis(r.ms), ""), lambda r: r.ms, right=True),
        Column(
            "upstream_ms",
            "UP MS",
            6,
            lambda r, m: (millis(r.upstream_ms), "dim"),
            lambda r: r.upstream_ms,
            priority=7,
            right=True,
        ),
        Column("own", "GW MS", 6, lambda r, m: (millis(_own_ms(r)), "dim"), _own_ms, priority=6, right=True),
        Column("where", "TARGET / REASON", 16, _where, lambda r: r.reason or r.target, priority=2, grow=True, most=24),
        Column("subject", "SUBJECT", 12, lambda r, m: (r.subject or r.client, "dim"), lambda r: r.subject, priority=3),
        Column("request", "REQUEST ID", 12, lambda r, m: (r.request_id, "dim"), lambda r: r.request_id, priority=5),
        Column(
            "tries",
            "TRY",
            3,
            lambda r, m: (str(r.attempts), "warn" if r.attempts > 1 else "dim"),
            lambda r: r.attempts,
            priority=8,
            right=True,
        ),
    ),
    order=("time", True),
    key=attrgetter("request_id"),
    faulty=lambda r: r.status >= 500 or r.status == 429 or r.status <= 0,
    search=lambda r: (
        f"{r.method} {r.path} {r.status} {r.reason or ''} {r.upstream or ''} {r.target or ''} "
        f"{r.subject or ''} {r.client} {r.request_id} {r.trace_id}"
    ).lower(),
    nothing="no request has been sampled yet",
    fields=lambda r: {
        "method": r.method,
        "path": r.path,
        "status": str(r.status),
        "reason": r.reason or "",
        "service": r.upstream or "",
        "target": r.target or "",
        "subject": r.subject or "",
        "route": r.route or "",
        "client": r.client,
    },
)


def _event_level(row: EventView, moment: Moment) -> Span:
    return said(row.severity)


EVENTS = Table(
    name="events",
    topic="events",
    title="events",
    columns=(
        Column("time", "TIME", 9, lambda r, m: (clock(r.at) + "Z", "dim"), lambda r: r.at),
        Column("level", "LEVEL", 7, _event_level, lambda r: severity(r.severity), priority=2),
        Column(
            "kind",
            "KIND",
            21,
            lambda r, m: (r.kind, state(r.severity).tone if severity(r.severity) else "bold"),
            lambda r: r.kind,
        ),
        Column("object", "OBJECT", 20, lambda r, m: (r.object or MISSING, ""), lambda r: r.object, grow=True, most=32),
        Column("actor", "ACTOR", 10, lambda r, m: (r.actor or MISSING, ""), lambda r: r.actor, priority=3),
        Column("outcome", "OUTCOME", 10, lambda r, m: (r.outcome or MISSING, ""), lambda r: r.outcome, priority=4),
        Column(
            "detail", "DETAIL", 24, lambda r, m: (r.detail or MISSING, "dim"), lambda r: r.detail, priority=5, grow=True
        ),
        Column("node", "NODE", 10, lambda r, m: (r.node or MISSING, "dim"), lambda r: r.node, priority=7),
        Column("audit", "AUDIT ID", 12, lambda r, m: (r.audit_id or MISSING, "dim"), lambda r: r.audit_id, priority=6),
    ),
    order=("time", True),
    key=attrgetter("id"),
    faulty=lambda r: severity(r.severity) > 0,
    search=lambda r: f"{r.kind} {r.actor} {r.object} {r.outcome} {r.detail} {r.audit_id or ''} {r.node}".lower(),
    nothing="nothing has happened since the gateway started",
    fields=lambda r: {
        "actor": r.actor,
        "kind": r.kind,
        "object": r.object,
        "outcome": r.outcome,
        "level": r.severity,
        "node": r.node,
    },
)
