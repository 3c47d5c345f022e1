"""What needs an operator's eye, gathered from every topic, worst first and then newest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spork.console.gateway.topics import target_key
from spork.console.pictures.columns import Column, Table
from spork.console.pictures.tables.usage import share
from spork.console.session.store import Store
from spork.console.text.formats import ahead, clock, count, mask, percent, period, rate, until
from spork.console.text.labels import State, severity, state
from spork.console.text.moment import Moment
from spork.console.text.spans import Span

if TYPE_CHECKING:
    from spork.application.views import BreakerView, ConfigView, EventView, QuotaView, TargetView

QUOTAS_SHOWN = 5
EVENT_SECONDS = 900.0
EVENTS_LOOKED_AT = 500


@dataclass(frozen=True, slots=True)
class Concern:
    """One thing to look at. `place` and `key` say where `enter` leads."""

    at: float | None
    state: State
    what: str
    object: str
    detail: str
    extra: str
    place: str
    key: str


def concerns(store: Store, now: float) -> list[Concern]:
    """All of them at server time `now`, sorted."""
    latest = _latest_events(store, now)
    breakers = store.derived("breakers", "trouble", lambda: _kept(store, "breakers", _not_closed))
    targets = store.derived("targets", "trouble", lambda: _kept(store, "targets", _own_trouble))
    found = [_breaker(row, now) for row in breakers]
    found += [_target(row, store, latest) for row in targets]
    found += store.derived("quotas", "full", lambda: _full(store))
    known = {concern.object for concern in found}
    found += [concern for concern in _events(store, now) if concern.object not in known]
    config = store.one("config")
    if config is not None:
        found += _config(config)
    if store.nodes is not None:
        found += [_silent(node) for node in store.nodes.silent]
    found.sort(key=lambda concern: (-concern.state.severity, -(concern.at or 0.0), concern.what, concern.object))
    return found


def _kept(store: Store, topic: str, test: Callable[[Any], bool]) -> list[Any]:
    return [row for row in store.rows(topic) if test(row)]


def _not_closed(row: BreakerView) -> bool:
    return state(row.state).severity > 0


def _full(store: Store) -> list[Concern]:
    full = _kept(store, "quotas", lambda row: row.refused_5m > 0 and share(row) >= 1)
    full.sort(key=lambda row: (-row.refused_5m, row.id))
    return [_quota(row) for row in full[:QUOTAS_SHOWN]]


def _latest_events(store: Store, now: float) -> dict[str, float]:
    found: dict[str, float] = {}
    for row in store.events.newest(EVENTS_LOOKED_AT):
        found.setdefault(row.object, row.at)
    return found


def _breaker(row: BreakerView, now: float) -> Concern:
    detail = (
        f"{percent(row.error_ratio)}% of {count(row.requests)} failed" if row.requests else row.cause or "no requests"
    )
    limit = f" (limit {row.threshold:.0%})"
    if row.state == "forced_open":
        detail = (
            f"by {row.forced_by or '-'}: {row.forced_reason or row.cause or '-'}, {until(row.expires_at, now)} left"
        )
    elif row.state == "open":
        detail += f", retry {ahead(row.next_try, now)}{limit}"
    elif row.state == "half_open":
        detail = f"recovering: {row.cause}" if row.ramp is None else f"recovering: {percent(row.ramp)}% admitted"
    return Concern(
        row.since, state(row.state), "breaker", row.name, detail, f"{rate(row.rps)} rps", "breaker", row.name
    )


def _own_trouble(row: TargetView) -> bool:
    """The target's own state, not that of its service's breaker, which is a concern by itself."""
    return max(severity(row.config), severity(row.probe), severity(row.traffic)) > 0


def _target(row: TargetView, store: Store, latest: dict[str, float]) -> Concern:
    worst = max((row.probe, row.traffic, row.config), key=lambda word: state(word).severity)
    name = target_key(row)
    service = store.row("services", row.upstream)
    left = f"{service.targets_up} of {service.targets_total} up" if service is not None else ""
    detail = row.last_error or f"config {row.config}, probe {row.probe}, traffic {row.traffic}"
    at = latest.get(name, latest.get(row.name))
    return Concern(at, state(worst), "target", name, detail, left, "target", name)


def _quota(row: QuotaView) -> Concern:
    detail = f"{row.limit}: {count(row.used)} of {count(row.quota)} per {period(row.period)} used"
    if row.owner:
        detail += f", owner {row.owner}"
    return Concern(
        None,
        State("QUOTA", "!", "warn", 1),
        row.kind,
        mask(row.subject, row.kind),
        detail,
        f"{count(row.refused_5m)} × 429",
        "quota",
        row.id,
    )


def _events(store: Store, now: float) -> list[Concern]:
    found: list[Concern] = []
    for row in store.events.newest(EVENTS_LOOKED_AT):
        if now - row.at > EVENT_SECONDS or len(found) >= 20:
            break
        if row.audit_id or row.severity == "error":
            found.append(_event(row))
    return found


def _event(row: EventView) -> Concern:
    word = State("AUDIT", "#", "accent", 0) if row.audit_id else state(row.severity)
    return Concern(
        row.at, word, row.kind, row.object or row.actor, row.detail or row.outcome, row.actor, "event", row.id
    )


def _config(row: ConfigView) -> list[Concern]:
    found = [
        Concern(
            None,
            State("CONFIG", "x", "bad", 2),
            "reload",
            _place(problem),
            str(problem.get("message", "")),
            "not loaded",
            "config",
            "",
        )
        for problem in row.problems[:3]
    ]
    if row.restart_needed:
        names = ", ".join(row.restart_needed)
        found.append(
            Concern(
                None, State("RESTART", "~", "warn", 1), "config", names, "changed; takes a restart", "", "config", ""
            )
        )
    return found


def _place(problem: dict[str, object]) -> str:
    return ":".join(str(problem[part]) for part in ("file", "line") if problem.get(part) is not None) or "-"


def _silent(node: str) -> Concern:
    return Concern(
        None, State("SILENT", "?", "unknown", 2), "node", node, "does not answer; sums are lower bounds", "", "", ""
    )


def _word(row: Concern, moment: Moment) -> Span:
    return (str(row.state), row.state.tone)


ATTENTION = Table(
    name="attention",
    topic="",
    title="attention",
    columns=(
        Column(
            "time",
            "TIME",
            9,
            lambda r, m: ("-" if r.at is None else clock(r.at) + "Z", "dim"),
            lambda r: r.at,
            priority=3,
        ),
        Column("state", "STATE", 9, _word, lambda r: (r.state.severity, r.at or 0.0)),
        Column("what", "WHAT", 9, lambda r, m: (r.what, "dim"), lambda r: r.what, priority=4),
        Column("object", "OBJECT", 18, lambda r, m: (r.object, "bold"), lambda r: r.object, grow=True, most=24),
        Column("detail", "DETAIL", 30, lambda r, m: (r.detail, ""), lambda r: r.detail, grow=True),
        Column("extra", "", 12, lambda r, m: (r.extra, "dim"), lambda r: r.extra, priority=2, right=True),
    ),
    order=("state", True),
    key=lambda r: f"{r.place}:{r.what}:{r.key or r.object}",
    faulty=lambda r: r.state.severity > 0,
    search=lambda r: f"{r.state.word} {r.what} {r.object} {r.detail} {r.extra}".lower(),
    nothing="all well: nothing needs attention",
    needs=("pulse", "services", "targets", "breakers", "quotas", "events", "config"),
    fields=lambda r: {"state": r.state.word, "what": r.what, "object": r.object},
)
