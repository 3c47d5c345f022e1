"""The words for states. Always word + glyph + tone, so that no state is told by colour alone.

Glyphs are ASCII: they survive any font. What is well stays quiet; what is not well stands out.
"""

from __future__ import annotations

from dataclasses import dataclass

from spork.console.text.spans import Span


@dataclass(frozen=True, slots=True)
class State:
    """`severity` 0 well, 1 look, 2 act: the order of 'worst first'."""

    word: str
    glyph: str
    tone: str
    severity: int = 0

    def __str__(self) -> str:
        return f"{self.glyph} {self.word}"


_STATES = {
    # breakers
    "closed": State("CLOSED", " ", "ok"),
    "open": State("OPEN", "x", "bad", 2),
    "half_open": State("HALF", "~", "warn", 1),
    "forced_open": State("FORCED", "!", "forced", 2),
    # targets: configuration, probe, traffic
    "active": State("ACTIVE", " ", ""),
    "registered": State("REGIST", " ", ""),
    "draining": State("DRAIN", ">", "warn", 1),
    "drained": State("DRAINED", ">", "warn", 1),
    "up": State("UP", " ", "ok"),
    "down": State("DOWN", "v", "bad", 2),
    "unknown": State("UNKNOWN", "?", "unknown", 1),
    "off": State("OFF", " ", "dim"),
    "ok": State("OK", " ", "ok"),
    "failing": State("FAILING", "x", "bad", 2),
    "ejected": State("EJECTED", "x", "bad", 2),
    "idle": State("IDLE", " ", "dim"),
    "silent": State("SILENT", "?", "unknown", 2),
    "ramping": State("RAMP", "~", "warn", 1),
    # services
    "healthy": State("HEALTHY", " ", "ok"),
    "degraded": State("DEGRADED", "~", "warn", 1),
    # keys
    "rotating": State("ROTATING", "~", "warn", 1),
    "revoked": State("REVOKED", "x", "bad", 1),
    "expired": State("EXPIRED", "v", "dim", 1),
    # versions of APIs
    "current": State("CURRENT", " ", "ok"),
    "deprecated": State("DEPRECATED", "~", "warn", 1),
    "brownout": State("BROWNOUT", "!", "warn", 1),
    "retired": State("RETIRED", "v", "dim", 1),
    # documents of APIs
    "missing": State("MISSING", "x", "bad", 2),
    "stale": State("STALE", "~", "warn", 1),
    "pending": State("PENDING", "!", "warn", 1),
    # events
    "info": State("INFO", " ", "dim"),
    "warning": State("WARN", "!", "warn", 1),
    "error": State("ERROR", "x", "bad", 2),
    # limits' stores
    "memory": State("MEMORY", " ", ""),
    "redis": State("REDIS", " ", ""),
}


def state(word: str) -> State:
    """How to say a state the gateway named; a state this console does not know is said as it came, and is unknown."""
    known = _STATES.get(word)
    return known if known is not None else State(word.upper()[:8] or "UNKNOWN", "?", "unknown", 1)


def is_state(word: str) -> bool:
    """Is it a state this console has a word for?"""
    return word in _STATES


def said(word: str) -> Span:
    """Glyph and word in their tone."""
    found = state(word)
    return (str(found), found.tone)


def severity(word: str) -> int:
    return state(word).severity


def status_tone(status: int) -> str:
    """The tone of an HTTP status."""
    if status >= 500 or status <= 0:
        return "bad"
    if status == 429:
        return "warn"
    return "dim" if status >= 400 else ""


def ratio_tone(ratio: float | None, warn: float = 0.01, bad: float = 0.05) -> str:
    """The tone of a share of errors: quiet under 1 %, bad from 5 % on."""
    if ratio is None or ratio < warn:
        return ""
    return "bad" if ratio >= bad else "warn"
