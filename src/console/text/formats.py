"""Numbers and times as an operator reads them: short, aligned, a missing one as `-`, never as 0."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from spork.console.text.freshness import age

MISSING = "-"


def count(value: float | None) -> str:
    """0 999 1 204 12.3k 4.5M."""
    if value is None:
        return MISSING
    if value < 10_000:
        return f"{value:,.0f}".replace(",", " ")
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9), ("T", 1e12)):
        scaled = value / size
        if scaled < 99.95:
            return f"{scaled:.1f}{unit}"
        if scaled < 999.5:
            return f"{scaled:.0f}{unit}"
    return f"{value:.0e}"


def rate(value: float | None) -> str:
    """Requests per second: 0 0.4 9.9 310 1 842."""
    if value is None:
        return MISSING
    if 0 < value < 9.95:
        return f"{value:.1f}"
    return count(value)


def percent(ratio: float | None) -> str:
    """0.42 as 42.0; 100 without a decimal. The column's title carries the sign."""
    if ratio is None:
        return MISSING
    value = ratio * 100
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}"


def millis(value: float | None) -> str:
    """0.4 12 410 2.0s 1m05."""
    if value is None:
        return MISSING
    if value < 9.95:
        return f"{value:.1f}"
    if value < 999.5:
        return f"{value:.0f}"
    seconds = value / 1000
    if seconds < 99.95:
        return f"{seconds:.1f}s"
    return f"{int(seconds // 60)}m{int(seconds % 60):02d}"


def took(value: float | None) -> str:
    """A duration with its unit: 410 ms, 2.0s, 2m05."""
    text = millis(value)
    return text if value is None or text[-1] == "s" or "m" in text else f"{text} ms"


def size(value: float | None) -> str:
    """Bytes: 812 B, 4.2 KiB, 10 MiB."""
    if value is None:
        return MISSING
    amount = float(value)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 99.5 else f"{amount:.1f} {unit}"
        amount /= 1024
    return MISSING


def clock(at: float | None, fraction: bool = False) -> str:
    """12:03:58, in UTC; with hundredths on request. Times outside the calendar are missing."""
    moment = _moment(at)
    if moment is None:
        return MISSING
    text = moment.strftime("%H:%M:%S")
    return f"{text}.{moment.microsecond // 10_000:02d}" if fraction else text


def stamp(at: float | None) -> str:
    """2026-11-20 12:03:58Z."""
    moment = _moment(at)
    return MISSING if moment is None else moment.strftime("%Y-%m-%d %H:%M:%SZ")


def since(at: float | None, now: float) -> str:
    """How long ago: 14s, 2m10s, 3h12m."""
    return MISSING if at is None else age(max(0.0, now - at)) if now - at >= 9.95 else f"{max(0.0, now - at):.0f}s"


def until(at: float | None, now: float) -> str:
    """How long until: 21s, 4m10s, 3h12m; `due` when past."""
    if at is None:
        return MISSING
    left = at - now
    return "due" if left <= 0 else lasting(left)


def ahead(at: float | None, now: float) -> str:
    """When something comes, within a sentence: in 21s, or due."""
    left = until(at, now)
    return left if left in (MISSING, "due") else f"in {left}"


def lasting(seconds: float | None) -> str:
    """A duration: 5s 1m30s 1h00m 30d."""
    if seconds is None:
        return MISSING
    return f"{seconds:.0f}s" if seconds < 99.5 else age(seconds)


def period(seconds: float | None) -> str:
    """A limit's period: s 10s min h d."""
    if seconds is None:
        return MISSING
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length and seconds % length == 0:
            times = int(seconds // length)
            return unit if times == 1 else f"{times}{unit}"
    return "s" if seconds == 1 else f"{seconds:g}s"


def mask(subject: str, kind: str) -> str:
    """A key's subject is shown as its ends, should the gateway ever send more than that."""
    if kind == "key" and len(subject) > 14 and "…" not in subject and "..." not in subject:
        return f"{subject[:4]}…{subject[-2:]}"
    return subject


_BLOCKS = " ▁▂▃▄▅▆▇█"
_ASCII_BLOCKS = " .:-=+*#@"


def sparkline(points: Sequence[float | None], width: int, ascii_only: bool = False, floor: float = 0.0) -> str:
    """The newest points in `width` cells, newest right, scaled to the largest (at least `floor`); gaps are blanks.

    More points than cells are taken in equal groups, each shown by its largest member: a spike must not vanish.
    """
    if width <= 0 or not points:
        return " " * max(0, width)
    blocks = _ASCII_BLOCKS if ascii_only else _BLOCKS
    groups = _grouped(points, width)
    top = max((value for value in groups if value is not None), default=0.0)
    top = max(top, floor) or 1.0
    drawn = "".join(" " if value is None else blocks[max(1, min(8, round(value / top * 8)))] for value in groups)
    return drawn.rjust(width)


def _grouped(points: Sequence[float | None], width: int) -> list[float | None]:
    if len(points) <= width:
        return list(points)
    each = -(-len(points) // width)
    tail = points[-(len(points) // each) * each :]
    groups = [tail[start : start + each] for start in range(0, len(tail), each)]
    return [max((value for value in group if value is not None), default=None) for group in groups]


def bar(share: float | None, width: int, ascii_only: bool = False) -> str:
    """A filled share of `width` cells."""
    if share is None:
        return " " * width
    full, empty = ("#", ".") if ascii_only else ("━", "─")
    filled = round(max(0.0, min(1.0, share)) * width)
    if share > 0 and filled == 0:
        filled = 1
    return full * filled + empty * (width - filled)


def arrow(now: float | None, before: float | None, tolerance: float = 0.1) -> str:
    """↑ ↓ or a blank: a change beyond `tolerance` of the earlier value."""
    if now is None or before is None:
        return " "
    if now > before * (1 + tolerance) and now - before > 1e-9:
        return "↑"
    return "↓" if now < before * (1 - tolerance) else " "


def _moment(at: float | None) -> datetime | None:
    if at is None:
        return None
    try:
        return datetime.fromtimestamp(at, UTC)
    except (ValueError, OverflowError, OSError):
        return None
