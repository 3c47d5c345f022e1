"""What needs an operator's eye: the gateway's concerns, one row per object, and the link to the gateway itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spork.console.gateway.link_state import CONNECTING, UP
from spork.console.pictures.columns import Column, Table
from spork.console.session.store import Store
from spork.console.text.formats import clock, since
from spork.console.text.labels import State, is_state, state
from spork.console.text.moment import Moment
from spork.console.text.spans import Span

if TYPE_CHECKING:
    from spork.application.views import ConcernView

_RANK = {"error": 2, "warning": 1}
RESTART_SECONDS = 600.0
"""For so long a restart is worth a row."""
_CLEARED = State("CLEARED", " ", "dim", 0)
_WORDS = {
    "ramping": State("RAMP", "~", "warn", 1),
    "refused": State("REFUSED", "x", "bad", 2),
    "restart": State("RESTART", "~", "warn", 1),
    "silent": State("SILENT", "?", "unknown", 2),
    "burning": State("BURNING", "x", "bad", 2),
    "quota": State("QUOTA", "!", "warn", 1),
    "lost": State("LOST", "x", "bad", 2),
}


def concerns(store: Store, now: float, quiet: frozenset[str] = frozenset()) -> list[ConcernView]:
    """All of them, worst first, cleared and `quiet` ones (acknowledged, snoozed) last. A lost link comes before all."""
    rows: list[ConcernView] = list(store.rows("concerns"))
    rows.sort(key=lambda row: (row.state == "cleared", row.id in quiet, -severity_of(row), -row.since, row.id))
    if store.restarted_at is not None and now - store.restarted_at < RESTART_SECONDS:
        rows.insert(0, _restarted(store.restarted_at))
    link = store.link
    if link.state not in (UP, CONNECTING) and link.fault is not None:
        rows.insert(0, _lost_link(store, now))
    return rows


def _restarted(at: float) -> ConcernView:
    from spork.application.views import ConcernView

    cause = f"started anew at {clock(at)}Z: counts and lines begin there"
    return ConcernView(
        "gateway:restart", "gateway", "this gateway", "warning", "open", at, None, 0, cause, ":events say what was before",
        "events", "", "restart",
    )  # fmt: skip


def _lost_link(store: Store, now: float) -> ConcernView:
    from spork.application.views import ConcernView

    link = store.link
    assert link.fault is not None
    step = ":login fetches the token again" if link.state == "UNAUTHENTICATED" else "r tries at once"
    return ConcernView(
        "link:gateway", "link", store.url, "error", "open", now, None, 0, f"{link.fault.word} {link.fault}", step,
        "", "", "lost",
    )  # fmt: skip


def severity_of(row: ConcernView) -> int:
    return _RANK.get(row.severity, 1)


def state_of(row: ConcernView) -> State:
    """The concern in the object's own word; its severity decides the tone."""
    if row.state == "cleared":
        return _CLEARED
    known = _WORDS.get(row.word) or (
        state(row.word) if is_state(row.word) else State(row.kind.upper()[:8], "!", "warn", 1)
    )
    severity = severity_of(row)
    tone = known.tone if known.severity == severity else {2: "bad", 1: "warn"}[severity]
    return State(known.word, known.glyph if known.glyph.strip() else "!", tone, severity)


def _word(row: ConcernView, moment: Moment) -> Span:
    said = state_of(row)
    return (str(said), said.tone if row.id not in moment.quiet else "dim")


def _cause(row: ConcernView, moment: Moment) -> Span:
    if row.state == "cleared":
        return (f"cleared {since(row.cleared_at, moment.now)} ago: {row.cause}", "dim")
    return (f"(acknowledged) {row.cause}", "dim") if row.id in moment.quiet else (row.cause, "")


def _flaps(row: ConcernView, moment: Moment) -> Span:
    return (f"{row.flaps}×" if row.flaps else "", "warn")


def _open(row: Any) -> bool:
    return bool(row.state != "cleared")


ATTENTION = Table(
    name="attention",
    topic="concerns",
    title="attention",
    columns=(
        Column("state", "STATE", 9, _word, lambda r: (severity_of(r), r.since)),
        Column("what", "WHAT", 9, lambda r, m: (r.kind, "dim"), lambda r: r.kind, priority=4),
        Column(
            "object", "OBJECT", 16, lambda r, m: (r.object, "bold"), lambda r: r.object, grow=True, most=24, middle=True
        ),
        Column("cause", "CAUSE", 30, _cause, lambda r: r.cause, grow=True),
        Column("next", "NEXT", 22, lambda r, m: (r.next_step, "dim"), lambda r: r.next_step, priority=6),
        Column("flaps", "BACK", 4, _flaps, lambda r: r.flaps, priority=5, right=True),
        Column(
            "since", "SINCE", 6, lambda r, m: (since(r.since, m.now), "dim"), lambda r: r.since, priority=2, right=True
        ),
        Column("time", "AT", 9, lambda r, m: (clock(r.since) + "Z", "dim"), lambda r: r.since, priority=7),
    ),
    order=("state", True),
    key=lambda r: r.id,
    faulty=_open,
    search=lambda r: f"{r.word} {r.kind} {r.object} {r.cause} {r.next_step}".lower(),
    nothing="all well: nothing needs attention",
    needs=("concerns", "pulse"),
    fields=lambda r: {"state": r.word, "what": r.kind, "kind": r.kind, "object": r.object, "severity": r.severity},
    watch=lambda r: r.state,
)
