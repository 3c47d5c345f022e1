"""Lists of what APIs say of themselves and push: OpenAPI documents of upstreams, topics of channels."""

from __future__ import annotations

from typing import TYPE_CHECKING

from spork.console.pictures.columns import Column, Table
from spork.console.text.formats import MISSING, count, since
from spork.console.text.labels import said, severity
from spork.console.text.moment import Moment
from spork.console.text.spans import Span

if TYPE_CHECKING:
    from spork.application.views import OpenApiDocumentView
    from spork.console.gateway.own_rows import ChannelRow


def _broker(row: ChannelRow, moment: Moment) -> Span:
    return (row.broker, "bad" if row.broker == "away" else "dim")


CHANNELS = Table(
    name="channels",
    topic="channels",
    title="channels",
    columns=(
        Column("topic", "TOPIC", 24, lambda r, m: (r.match, "bold"), lambda r: r.match, grow=True, middle=True),
        Column("type", "TYPE", 11, lambda r, m: (r.type, "dim"), lambda r: r.type, priority=3),
        Column("subscribers", "LISTEN", 8, lambda r, m: (count(r.subscribers), ""), lambda r: r.subscribers, right=True),
        Column("published", "PUBLISHED", 9, lambda r, m: (count(r.published), "dim"), lambda r: r.published, priority=4, right=True),
        Column("deliveries", "DELIVERED", 9, lambda r, m: (count(r.deliveries), "dim"), lambda r: r.deliveries, priority=4, right=True),
        Column("slow", "TOO SLOW", 8, lambda r, m: (count(r.slow), "warn" if r.slow else "dim"), lambda r: r.slow, priority=3, right=True),
        Column("broker", "BROKER", 7, _broker, lambda r: r.broker, priority=2),
        Column("node", "NODE", 14, lambda r, m: (r.node, "dim"), lambda r: r.node, priority=5),
    ),
    order=("subscribers", True),
    key=lambda r: f"{r.type} {r.match}",
    faulty=lambda r: r.broker == "away",
    search=lambda r: f"{r.match} {r.type} {r.node}".lower(),
    nothing="nobody listens to a channel",
    fields=lambda r: {"topic": r.match, "type": r.type, "node": r.node, "broker": r.broker},
)  # fmt: skip


def _changes(row: OpenApiDocumentView, moment: Moment) -> Span:
    breaking = [change for change in row.changes if change.severity == "breaking"]
    if row.error:
        return (row.error, "bad")
    if breaking:
        return (f"{len(breaking)} breaking: {breaking[0].operation} {breaking[0].detail}", "warn")
    return (f"{len(row.changes)} changes" if row.changes else MISSING, "dim")


DOCUMENTS = Table(
    name="documents",
    topic="documents",
    title="OpenAPI documents",
    columns=(
        Column("state", "STATE", 10, lambda r, m: said(r.state), lambda r: severity(r.state)),
        Column("service", "SERVICE", 14, lambda r, m: (r.upstream, "bold"), lambda r: r.upstream, grow=True, most=28),
        Column("operations", "OPERATIONS", 10, lambda r, m: (count(r.operations), ""), lambda r: r.operations, right=True),
        Column("checked", "CHECKED", 7, lambda r, m: (since(r.checked, m.now), ""), lambda r: r.checked, priority=2, right=True),
        Column("changed", "CHANGED", 7, lambda r, m: (since(r.changed, m.now), ""), lambda r: r.changed, priority=3, right=True),
        Column("changes", "CHANGES / ERROR", 24, _changes, lambda r: len(r.changes), grow=True),
        Column("source", "SOURCE", 16, lambda r, m: (r.source, "dim"), lambda r: r.source, priority=4, grow=True, most=40),
    ),
    order=("state", True),
    key=lambda r: str(r.upstream),
    faulty=lambda r: bool(severity(r.state) or r.error),
    search=lambda r: f"{r.upstream} {r.state} {r.source} {r.error}".lower(),
    nothing="no upstream has an OpenAPI document",
    fields=lambda r: {"service": r.upstream, "state": r.state},
)  # fmt: skip
