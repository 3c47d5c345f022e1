"""Lists of who may call: API keys and sessions."""

from __future__ import annotations

from operator import attrgetter

from spork.console.pictures.columns import Column, Table
from spork.console.text.formats import MISSING, mask, since, until
from spork.console.text.labels import said, severity

KEYS = Table(
    name="keys",
    topic="keys",
    title="API keys",
    columns=(
        Column("state", "STATE", 10, lambda r, m: said(r.state), lambda r: severity(r.state)),
        Column("key", "KEY", 14, lambda r, m: (mask(r.id, "key"), "bold"), lambda r: r.id),
        Column("consumer", "CONSUMER", 16, lambda r, m: (r.consumer, ""), lambda r: r.consumer, grow=True, most=30),
        Column("plan", "PLAN", 10, lambda r, m: (r.plan or MISSING, ""), lambda r: r.plan, priority=3),
        Column(
            "used",
            "LAST USED",
            9,
            lambda r, m: (since(r.last_used_at, m.now), ""),
            lambda r: r.last_used_at,
            priority=2,
            right=True,
        ),
        Column(
            "age",
            "AGE",
            6,
            lambda r, m: (since(r.created_at, m.now), "dim"),
            lambda r: r.created_at,
            priority=4,
            right=True,
        ),
        Column(
            "expires",
            "EXPIRES",
            7,
            lambda r, m: (until(r.expires_at, m.now), ""),
            lambda r: r.expires_at,
            priority=2,
            right=True,
        ),
        Column("owner", "OWNER", 14, lambda r, m: (r.owner or MISSING, "dim"), lambda r: r.owner, priority=5),
        Column(
            "scopes",
            "SCOPES",
            14,
            lambda r, m: (" ".join(r.scopes) or MISSING, "dim"),
            lambda r: r.scopes,
            priority=6,
            grow=True,
        ),
    ),
    order=("used", True),
    key=attrgetter("id"),
    faulty=lambda r: severity(r.state) > 0,
    search=lambda r: f"{r.id} {r.consumer} {r.owner} {r.plan} {r.state} {' '.join(r.scopes)}".lower(),
    nothing="no API keys have been issued",
    fields=lambda r: {"state": r.state, "key": r.id, "consumer": r.consumer, "owner": r.owner, "plan": r.plan},
    watch=lambda r: r.state,
)

SESSIONS = Table(
    name="sessions",
    topic="sessions",
    title="sessions",
    columns=(
        Column("subject", "SUBJECT", 20, lambda r, m: (r.subject, "bold"), lambda r: r.subject, grow=True, most=40),
        Column("session", "SESSION", 14, lambda r, m: (mask(r.id, "key"), ""), lambda r: r.id),
        Column(
            "issuer",
            "ISSUER",
            18,
            lambda r, m: (r.issuer or MISSING, "dim"),
            lambda r: r.issuer,
            priority=4,
            grow=True,
            most=40,
        ),
        Column(
            "started",
            "AGE",
            6,
            lambda r, m: (since(r.started_at, m.now), ""),
            lambda r: r.started_at,
            priority=3,
            right=True,
        ),
        Column("seen", "SEEN", 6, lambda r, m: (since(r.last_seen, m.now), ""), lambda r: r.last_seen, right=True),
        Column(
            "expires",
            "EXPIRES",
            7,
            lambda r, m: (until(r.expires_at, m.now), ""),
            lambda r: r.expires_at,
            priority=2,
            right=True,
        ),
        Column("client", "CLIENT", 16, lambda r, m: (r.client or MISSING, "dim"), lambda r: r.client, priority=5),
    ),
    order=("seen", True),
    key=attrgetter("id"),
    faulty=lambda r: False,
    search=lambda r: f"{r.subject} {r.id} {r.issuer} {r.client}".lower(),
    nothing="no sessions are known",
    fields=lambda r: {"subject": r.subject, "session": r.id, "issuer": r.issuer, "client": r.client},
)
