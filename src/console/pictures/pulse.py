"""The Pulse: what each tile says, in lines, for any width."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from spork.console.gateway.topics import target_key
from spork.console.pictures.columns import Table
from spork.console.pictures.tables.health import BREAKERS, SERVICES, TARGETS
from spork.console.pictures.tables.records import TRAFFIC
from spork.console.pictures.tables.usage import QUOTAS
from spork.console.session.store import Store
from spork.console.text.formats import arrow, bar, clock, count, millis, percent, rate, sparkline
from spork.console.text.labels import ratio_tone, state
from spork.console.text.moment import Moment
from spork.console.text.spans import BLANK, Line, Span, line_cells

if TYPE_CHECKING:
    from spork.application.views import BreakerView, PulseView, TargetView

ORDER = ("closed", "open", "half_open", "forced_open")


def _part(table: Table, *names: str) -> Table:
    return replace(table, columns=tuple(column for column in table.columns if column.name in names))


TOP_SERVICES = _part(SERVICES, "state", "service", "up", "rps", "err", "p95", "breaker")
TOP_CONSUMERS = replace(
    _part(QUOTAS, "subject", "limit", "used", "bar", "refused", "plan", "owner"), order=("refused", True)
)
TAIL = _part(TRAFFIC, "time", "method", "path", "status", "ms", "where", "subject", "request")


def series(pulse: PulseView, name: str) -> tuple[float | None, ...]:
    for found in pulse.series:
        if found.name == name:
            return found.points
    return ()


def traffic_tile(pulse: PulseView | None, width: int, moment: Moment, unknown: str = "") -> list[Line]:
    """Rates with five minutes of history, latencies, load. `unknown` is said before the first numbers."""
    if pulse is None:
        return [[(unknown or "waiting for the first numbers", "dim")]]
    more = "≥" if moment.partial else ""
    rows: list[tuple[str, str, str, tuple[float | None, ...], float]] = [
        ("rps", more + rate(pulse.rps), "", series(pulse, "rps"), 1.0),
        ("5xx", percent(pulse.error_ratio) + "%", ratio_tone(pulse.error_ratio), series(pulse, "5xx"), 0.05),
        ("429", percent(pulse.throttled_ratio) + "%", "", series(pulse, "429"), 0.05),
    ]
    lines: list[Line] = []
    for label, value, tone, points, floor in rows:
        before = _earlier(points)
        now = points[-1] if points else None
        graph = sparkline(points, max(0, width - 18), moment.ascii_only, floor)
        graph_tone = "accent" if label == "rps" else (tone or "dim")
        lines.append(
            [
                (f"{label:<5}", "dim"),
                (f"{value:>9}", tone or "bold"),
                (f" {arrow(now, before)} ", "dim"),
                (" ", ""),
                (graph, graph_tone),
            ]
        )
    lines.append(_pairs(("p50", millis(pulse.p50_ms)), ("p95", millis(pulse.p95_ms)), ("p99", millis(pulse.p99_ms))))
    score = "-" if pulse.health_score is None else f"{pulse.health_score:.0f}"
    load = (
        ("gw p95", millis(pulse.overhead_p95_ms)),
        ("in flight", more + count(pulse.in_flight)),
        ("health", f"{score}/100"),
    )
    lines.append(_pairs(*load) if line_cells(_pairs(*load)) <= width else _pairs(*load[:2]))
    return lines


def _earlier(points: Sequence[float | None]) -> float | None:
    known = [point for point in points[-70:-50] if point is not None]
    return sum(known) / len(known) if known else None


def _pairs(*pairs: tuple[str, str]) -> Line:
    line: Line = []
    for label, value in pairs:
        if line:
            line.append(("   ", ""))
        line += [(label + " ", "dim"), (value, "")]
    return line


def breakers_tile(rows: Sequence[BreakerView], width: int, moment: Moment, empty: str = "") -> list[Line]:
    """How many are in each state, and which are not closed. `empty` is said when there are none."""
    if not rows:
        return [[(empty or BREAKERS.nothing, "dim")]]
    lines: list[Line] = []
    for word in ORDER:
        there = sorted((row for row in rows if row.state == word), key=lambda row: -row.rps)
        said = state(word)
        quiet = not there or word == "closed"
        names = "" if word == "closed" else ", ".join(row.name for row in there)
        tone = "dim" if not there else (said.tone if not quiet else "")
        lines.append(
            [(f"{said!s:<9}", tone), (f"{len(there):>4}  ", "" if there else "dim"), (names, "dim" if quiet else "")]
        )
    recent = [
        t.at for row in rows for t in row.transitions if t.after in ("open", "forced_open") and moment.now - t.at < 300
    ]
    last = f", last {clock(max(recent))}Z" if recent else ""
    trips = f"{len(recent)}" + (last if 10 + len(last) + 3 <= width else "")
    lines.append([("trips/5m  ", "dim"), (trips, "" if recent else "dim")])
    return lines


def targets_tile(rows: Sequence[TargetView], width: int, moment: Moment, empty: str = "") -> list[Line]:
    """By probe, by configuration, by traffic: three different questions. `empty` is said when there are none."""
    if not rows:
        return [[(empty or TARGETS.nothing, "dim")]]
    up = [row for row in rows if row.probe == "up"]
    down = [row for row in rows if row.probe == "down"]
    unknown = [row for row in rows if row.probe not in ("up", "down", "off")]
    unprobed = [row for row in rows if row.probe == "off"]
    draining = [row for row in rows if row.config in ("draining", "drained")]
    failing = [row for row in rows if row.traffic in ("failing", "ejected")]
    flapping = [row for row in rows if row.flaps >= 3]
    graph = bar(len(up) / len(rows), max(0, min(14, width - 16)), moment.ascii_only)
    lines = [_counted("  UP", up, "ok", [(graph, "ok" if up else "dim")])]
    lines.append(_counted("v DOWN", down, "bad", _by_service(down)))
    lines.append(_counted("x FAILING", failing, "bad", _by_service(failing)))
    lines.append(_counted("> DRAIN", draining, "warn", [(", ".join(target_key(row) for row in draining), "")]))
    note = ", ".join(f"{row.name} flaps {row.flaps}×" for row in flapping[:2]) or (
        f"{len(unprobed)} unprobed" if unprobed else ""
    )
    lines.append(_counted("? UNKNOWN", unknown, "unknown", [(note, "dim")]))
    return lines


def _counted(label: str, rows: Sequence[TargetView], tone: str, more: Line) -> Line:
    return [(f"{label:<9}", tone if rows else "dim"), (f"{len(rows):>4}  ", "" if rows else "dim"), *more]


def _by_service(rows: Sequence[TargetView]) -> Line:
    counts = Counter(row.upstream for row in rows)
    return [(" ".join(f"{name}({times})" for name, times in counts.most_common()), "")]


def one_line(store: Store, moment: Moment) -> list[Line]:
    """The Pulse in three lines, for narrow windows and for the card shown below 80x24."""
    pulse = store.one("pulse")
    more = "≥" if moment.partial else ""
    first: Line = [("traffic   ", "dim")]
    if pulse is None:
        first.append((f"not known: {store.why_unknown('pulse')}", "dim"))
    else:
        first += [(f"{more}{rate(pulse.rps)}", "bold"), (" rps  ", "dim")]
        first += [(f"{percent(pulse.error_ratio)}%", ratio_tone(pulse.error_ratio) or ""), (" 5xx  ", "dim")]
        first += [
            (f"{percent(pulse.throttled_ratio)}%", ""),
            (" 429  ", "dim"),
            ("p95 ", "dim"),
            (millis(pulse.p95_ms), ""),
        ]
        first += [("  gw ", "dim"), (millis(pulse.overhead_p95_ms), "")]
    breakers = Counter(row.state for row in store.rows("breakers"))
    second: Line = [
        ("breakers  ", "dim"),
        *_counts([(str(state(word)).strip(), breakers[word], state(word).tone) for word in ORDER]),
    ]
    targets = store.rows("targets")
    third: Line = [
        ("targets   ", "dim"),
        *_counts(
            [
                ("UP", sum(row.probe == "up" for row in targets), "ok"),
                ("v DOWN", sum(row.probe == "down" for row in targets), "bad"),
                ("x FAILING", sum(row.traffic in ("failing", "ejected") for row in targets), "bad"),
                ("> DRAIN", sum(row.config in ("draining", "drained") for row in targets), "warn"),
            ]
        ),
    ]
    return [first, second, third]


def _counts(pairs: Sequence[tuple[str, int, str]]) -> list[Span]:
    line: list[Span] = []
    for label, times, tone in pairs:
        line += [(f"{times} ", "" if times else "dim"), (f"{label}  ", tone if times else "dim")]
    return line


__all__ = [
    "BLANK",
    "TAIL",
    "TOP_CONSUMERS",
    "TOP_SERVICES",
    "breakers_tile",
    "one_line",
    "targets_tile",
    "traffic_tile",
]
