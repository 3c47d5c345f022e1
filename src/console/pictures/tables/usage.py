"""Lists of who uses how much: quota windows, limits, consumers."""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING

from spork.console.pictures.columns import Column, Table
from spork.console.text.formats import MISSING, bar, count, lasting, mask, period, rate, since
from spork.console.text.labels import said, severity
from spork.console.text.moment import Moment
from spork.console.text.spans import Span

if TYPE_CHECKING:
    from spork.application.views import LimitView, QuotaView


def share(row: QuotaView) -> float:
    """How much of the window is used; a quota of zero is full."""
    return row.used / row.quota if row.quota > 0 else 1.0


def share_tone(row: QuotaView) -> str:
    used = share(row)
    return "bad" if used >= 1 else ("warn" if used >= 0.8 else "")


def _bar(row: QuotaView, moment: Moment) -> Span:
    return (bar(share(row), 10, moment.ascii_only), share_tone(row) or "accent")


def _used(row: QuotaView, moment: Moment) -> Span:
    return (f"{count(row.used)}/{count(row.quota)}", share_tone(row))


def _subject(row: QuotaView, moment: Moment) -> Span:
    return (mask(row.subject, row.kind), "bold")


QUOTAS = Table(
    name="quotas",
    topic="quotas",
    title="quotas",
    columns=(
        Column("subject", "SUBJECT", 16, _subject, lambda r: r.subject, grow=True, most=36),
        Column("kind", "BY", 6, lambda r, m: (r.kind, "dim"), lambda r: r.kind, priority=4),
        Column("limit", "LIMIT", 12, lambda r, m: (r.limit, ""), lambda r: r.limit, priority=3),
        Column("used", "USED", 13, _used, share, right=True),
        Column("bar", "", 10, _bar, share, priority=3),
        Column("per", "PER", 5, lambda r, m: (period(r.period), "dim"), lambda r: r.period, priority=5),
        Column(
            "refused",
            "429/5M",
            7,
            lambda r, m: (count(r.refused_5m), "warn" if r.refused_5m else "dim"),
            lambda r: r.refused_5m,
            priority=2,
            right=True,
        ),
        Column("left", "LEFT", 6, lambda r, m: (count(r.remaining), ""), lambda r: r.remaining, priority=6, right=True),
        Column(
            "resets",
            "RESETS",
            6,
            lambda r, m: (lasting(r.resets_in), ""),
            lambda r: r.resets_in,
            priority=2,
            right=True,
        ),
        Column("plan", "PLAN", 9, lambda r, m: (r.plan or MISSING, ""), lambda r: r.plan, priority=6),
        Column(
            "owner",
            "OWNER",
            12,
            lambda r, m: (r.owner or MISSING, "dim"),
            lambda r: r.owner,
            priority=7,
            grow=True,
            most=24,
        ),
        Column(
            "override",
            "RAISED",
            8,
            lambda r, m: (r.override or MISSING, "forced" if r.override else "dim"),
            lambda r: r.override,
            priority=8,
            grow=True,
            most=30,
        ),
    ),
    order=("used", True),
    key=attrgetter("id"),
    faulty=lambda r: share(r) >= 1 or r.refused_5m > 0,
    search=lambda r: f"{r.subject} {r.kind} {r.limit} {r.plan or ''} {r.owner or ''}".lower(),
    nothing="no limit has been touched yet",
    groups=("key", "user", "ip", "route", "tenant"),
    group_of=lambda r: str(r.kind),
    fields=lambda r: {
        "subject": r.subject,
        "by": r.kind,
        "kind": r.kind,
        "limit": r.limit,
        "plan": r.plan or "",
        "owner": r.owner or "",
    },
)


def _store(row: LimitView, moment: Moment) -> Span:
    return said(row.store)


LIMITS = Table(
    name="limits",
    topic="limits",
    title="limits",
    columns=(
        Column("limit", "LIMIT", 18, lambda r, m: (r.name, "bold"), lambda r: r.name, grow=True, most=32),
        Column("by", "BY", 10, lambda r, m: (r.by, ""), lambda r: r.by),
        Column("quota", "QUOTA", 8, lambda r, m: (count(r.quota), ""), lambda r: r.quota, right=True),
        Column("per", "PER", 5, lambda r, m: (period(r.period), ""), lambda r: r.period),
        Column("burst", "BURST", 6, lambda r, m: (count(r.burst), ""), lambda r: r.burst, priority=4, right=True),
        Column(
            "admitted",
            "ADMITTED",
            9,
            lambda r, m: (count(r.admitted), ""),
            lambda r: r.admitted,
            priority=2,
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
        Column("store", "STORE", 10, _store, lambda r: severity(r.store), priority=2),
        Column("algorithm", "ALGORITHM", 16, lambda r, m: (r.algorithm, "dim"), lambda r: r.algorithm, priority=5),
        Column(
            "loss", "STORE LOST", 10, lambda r, m: (r.on_store_error, "dim"), lambda r: r.on_store_error, priority=6
        ),
        Column(
            "routes",
            "ROUTES",
            10,
            lambda r, m: (", ".join(r.routes) or MISSING, "dim"),
            lambda r: len(r.routes),
            priority=7,
            grow=True,
        ),
    ),
    order=("refused", True),
    key=attrgetter("name"),
    faulty=lambda r: r.refused > 0 or severity(r.store) > 0,
    search=lambda r: f"{r.name} {r.by} {r.algorithm} {r.store} {' '.join(r.routes)}".lower(),
    nothing="no limits are configured",
    fields=lambda r: {"limit": r.name, "by": r.by, "store": r.store, "route": " ".join(r.routes)},
)

CONSUMERS = Table(
    name="consumers",
    topic="consumers",
    measured="rates over 10 s",
    title="consumers",
    columns=(
        Column("consumer", "CONSUMER", 18, lambda r, m: (r.name, "bold"), lambda r: r.name, grow=True, most=36),
        Column("plan", "PLAN", 10, lambda r, m: (r.plan or MISSING, ""), lambda r: r.plan),
        Column("rps", "RPS", 7, lambda r, m: (rate(r.rps), ""), lambda r: r.rps, right=True),
        Column(
            "admitted", "LET IN/5M", 9, lambda r, m: (count(r.admitted_5m), ""), lambda r: r.admitted_5m, right=True
        ),
        Column(
            "refused",
            "429/5M",
            8,
            lambda r, m: (count(r.refused_5m), "warn" if r.refused_5m else "dim"),
            lambda r: r.refused_5m,
            right=True,
        ),
        Column(
            "seen",
            "SEEN",
            6,
            lambda r, m: (since(r.last_seen, m.now), "dim"),
            lambda r: r.last_seen,
            priority=2,
            right=True,
        ),
        Column(
            "owner", "OWNER", 14, lambda r, m: (r.owner or MISSING, "dim"), lambda r: r.owner, priority=3, grow=True
        ),
    ),
    order=("rps", True),
    key=attrgetter("name"),
    faulty=lambda r: r.refused_5m > 0,
    search=lambda r: f"{r.name} {r.plan or ''} {r.owner or ''}".lower(),
    nothing="no consumer has called yet",
    fields=lambda r: {"consumer": r.name, "plan": r.plan or "", "owner": r.owner or ""},
)
