"""The last minutes of a service or route as small lines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from spork.console.text.formats import millis, percent, rate, sparkline
from spork.console.text.moment import Moment
from spork.console.text.spans import Line, Span

_FLOOR = {"rate": 1.0, "errors": 0.05, "p95_ms": 10.0, "refused": 1.0}


def past(kind: str, what: str, width: int) -> Callable[[Any, Moment], Span]:
    """A cell: `what` (rate, errors, p95_ms, refused) of the row's name."""

    def cell(row: Any, moment: Moment) -> Span:
        found = moment.history.get(f"{kind} {row.name}")
        if found is None:
            return ("", "dim")
        points = getattr(found, what)
        bad = what == "errors" and any(point for point in points)
        return (sparkline(points, width, moment.ascii_only, _FLOOR[what]), "bad" if bad else "accent")

    return cell


def lines(kind: str, name: str, moment: Moment, width: int) -> list[Line]:
    """Rate, errors, p95 and refusals, a line each, with what they are at most."""
    found = moment.history.get(f"{kind} {name}")
    if found is None:
        return []
    minutes = round(len(found.rate) * found.step / 60)
    room = max(10, min(60, width - 30))
    shown: list[Line] = [[(f"last {minutes} min", "title"), ("  (this gateway process; t changes the range)", "dim")]]
    for label, points, said, floor in (
        ("requests", found.rate, lambda value: f"{rate(value)}/s", 1.0),
        ("errors", found.errors, lambda value: f"{percent(value)}%", 0.05),
        ("p95", found.p95_ms, millis, 10.0),
        ("refused", found.refused, lambda value: f"{rate(value)}/s", 1.0),
    ):
        most = max((point for point in points if point is not None), default=None)
        line = sparkline(points, room, moment.ascii_only, floor)
        tone = "bad" if label == "errors" and most else "accent"
        shown.append(
            [(f"{label:<13}", "dim"), (line, tone), (f"  {said(most)} at most" if most is not None else "", "dim")]
        )
    return shown
