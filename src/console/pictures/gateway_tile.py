"""The gateway's own health in a tile: what of it is not well, in words; else the figures that would tell first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from spork.console.session.store import Store
from spork.console.text.formats import count, millis, size
from spork.console.text.labels import said, severity, state
from spork.console.text.spans import Line, crop, line_cells

if TYPE_CHECKING:
    from spork.application.views import ComponentHealth

LINES = 5
BEHIND = "upstreams"


def gateway_tile(store: Store, width: int) -> list[Line]:
    """Five lines: bad parts first, worst first, then figures as far as there is room."""
    if not store.known("components"):
        return [[(f"not known: {store.why_unknown('components')}", "dim")]]
    parts: Sequence[ComponentHealth] = store.rows("components")
    bad = sorted(_bad(parts), key=lambda part: -severity(part.status))
    lines: list[Line] = [
        [said(part.status), (f" {part.name.replace('_', ' ')}  ", "bold"), (part.detail, "")] for part in bad[:4]
    ]
    if len(bad) > 4:
        lines[3] = [(f"and {len(bad) - 3} parts more, :components", "bad")]
    if not bad:
        watched = sum(part.status == "ok" for part in parts)
        lines.append([said("ok"), (f"  all {watched} parts", "")])
    lines += _figures(store, {part.name: part for part in parts}, width)
    return lines[:LINES]


def gateway_line(store: Store) -> Line:
    """The same in one line, for narrow windows."""
    line: Line = [("gateway   ", "dim")]
    if not store.known("components"):
        return [*line, (f"not known: {store.why_unknown('components')}", "dim")]
    bad = _bad(store.rows("components"))
    for part in bad:
        line += [(f"{state(part.status).word} ", state(part.status).tone), (f"{part.name.replace('_', ' ')}  ", "")]
    return line if bad else [*line, ("OK", "ok"), ("  all its parts", "dim")]


def _bad(parts: Sequence[ComponentHealth]) -> list[ComponentHealth]:
    """Its own parts that are not well; what is behind it has tiles of its own."""
    return [part for part in parts if severity(part.status) > 0 and part.name != BEHIND]


def _figures(store: Store, parts: dict[str, Any], width: int) -> list[Line]:
    loop, redis, records = (parts.get(name) for name in ("event_loop", "redis", "records"))
    pairs: list[list[tuple[str, str]]] = [
        [("loop lag", millis(loop.latency_ms) if loop else ""), ("redis", _took(redis)), ("records", _took(records))],
        [("log lines lost", _lost(parts)), ("disk", _first_words(parts.get("disk")))],
        [("cert", _first_words(parts.get("certificates") or parts.get("certificate"))), ("nodes", _nodes(store))],
        [("revision", _revision(store, parts)), ("memory", _memory(parts))],
    ]
    lines: list[Line] = [[]]
    for label, value in (pair for row in pairs for pair in row if pair[1]):
        piece: Line = [(f"{label} ", "dim"), (crop(value, width), "")]
        if lines[-1] and line_cells(lines[-1]) + 3 + line_cells(piece) > width:
            lines.append([])
        lines[-1] += [("   ", ""), *piece] if lines[-1] else piece
    return lines


def _took(part: ComponentHealth | None) -> str:
    if part is None or part.status == "off":
        return ""
    return f"{millis(part.latency_ms)} ms" if part.latency_ms is not None and part.status == "ok" else part.status


def _lost(parts: dict[str, Any]) -> str:
    logs = [part.facts.get("lost") for name, part in parts.items() if name.endswith("_log")]
    known = [lost for lost in logs if isinstance(lost, int)]
    return count(sum(known)) if known else ""


def _first_words(part: ComponentHealth | None) -> str:
    if part is None or part.status == "off":
        return ""
    return part.detail.partition(" in the ")[0]


def _memory(parts: dict[str, Any]) -> str:
    held = parts["process"].facts.get("resident_bytes") if "process" in parts else None
    return size(float(held)) if isinstance(held, (int, float)) else ""


def _revision(store: Store, parts: dict[str, Any]) -> str:
    facts = parts["configuration"].facts if "configuration" in parts else {}
    version = store.who.version if store.who is not None else ""
    return f"{str(facts.get('revision', ''))[:12]}{f'   version {version}' if version else ''}"


def _nodes(store: Store) -> str:
    nodes = store.nodes
    return "" if nodes is None else f"{nodes.seen}/{nodes.total}"
