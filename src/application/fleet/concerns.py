"""Concerns: what an operator should look at, one row per object, with since when and how often it came back.

    absent --found--> opened --ten seconds--> open --not found--> cleared --thirty seconds--> absent
                        ^                       |                    |
                        +-------found again (one flap more)----------+

A concern that clears and comes back within `REMEMBERED` seconds is the same one: its flaps are counted. What is found is
decided elsewhere (`concern_rules`); this is the machine that remembers. Times are Unix seconds and passed in.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from spork.application.views import ConcernView

OPENED, OPEN, CLEARED = "opened", "open", "cleared"
#: Seconds for which a concern is new, and for which a cleared one is still shown.
NEW_FOR: Final = 10.0
SHOWN_CLEARED: Final = 30.0
#: Seconds after which a cleared concern is forgotten, and its flaps with it.
REMEMBERED: Final = 900.0
#: Concerns that are kept at most; beyond it the mildest that are new are left out, and counted in `left_out`.
MOST: Final = 500
_RANK: Final = {"error": 0, "warning": 1}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is not as it should be, now. `kind` and `object` say what it is about: together they are its name.

    `severity` is error (somebody is hurt, or will be soon) or warning. `next_step` is one sentence for the operator,
    `place` and `key` where a console leads to.
    """

    kind: str
    object: str
    severity: str
    cause: str
    next_step: str = ""
    place: str = ""
    key: str = ""
    word: str = ""


@dataclass(slots=True)
class _Kept:
    finding: Finding
    since: float
    cleared_at: float | None = None
    flaps: int = 0


class ConcernLedger:
    """The concerns of one gateway process. `observe` what is found, every few seconds; `rows` to show them."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._kept: dict[str, _Kept] = {}
        self._now = 0.0
        self.left_out = 0

    def observe(self, found: Iterable[Finding], now: float) -> None:
        """All that is found at `now`; what is not among it any more has cleared."""
        self._now = now
        self.left_out = 0
        present = {f"{finding.kind}:{finding.object}": finding for finding in found}
        for key in sorted(present, key=lambda key: _RANK.get(present[key].severity, 2)):
            self._see(key, present[key], now)
        for key, kept in list(self._kept.items()):
            if key in present:
                continue
            if kept.cleared_at is None:
                kept.cleared_at = now
            elif now - kept.cleared_at > REMEMBERED:
                del self._kept[key]

    def _see(self, key: str, finding: Finding, now: float) -> None:
        kept = self._kept.get(key)
        if kept is None:
            if len(self._kept) >= self._most and not self._make_room():
                self.left_out += 1
                return
            self._kept[key] = _Kept(finding, now)
            return
        kept.finding = finding
        if kept.cleared_at is not None:
            kept.cleared_at, kept.since = None, now
            kept.flaps += 1

    def _make_room(self) -> bool:
        cleared = [(kept.cleared_at, key) for key, kept in self._kept.items() if kept.cleared_at is not None]
        if cleared:
            del self._kept[min(cleared)[1]]
        return bool(cleared)

    def rows(self) -> list[ConcernView]:
        """Those to show: open ones worst first and then newest, cleared ones after them."""
        now = self._now
        shown = [
            _view(key, kept, now)
            for key, kept in self._kept.items()
            if kept.cleared_at is None or now - kept.cleared_at <= SHOWN_CLEARED
        ]
        shown.sort(key=lambda row: (row.state == CLEARED, _RANK.get(row.severity, 2), -row.since, row.id))
        return shown

    def samples(self) -> list[tuple[str, tuple[str, ...], float]]:
        """`gateway_concerns` by severity: how many are open."""
        counts = {"error": 0, "warning": 0}
        for kept in self._kept.values():
            if kept.cleared_at is None and kept.finding.severity in counts:
                counts[kept.finding.severity] += 1
        return [("gateway_concerns", (severity,), float(count)) for severity, count in counts.items()]


def _view(key: str, kept: _Kept, now: float) -> ConcernView:
    finding = kept.finding
    state = CLEARED if kept.cleared_at is not None else OPENED if now - kept.since < NEW_FOR else OPEN
    return ConcernView(
        id=key,
        kind=finding.kind,
        object=finding.object,
        severity=finding.severity,
        state=state,
        since=kept.since,
        cleared_at=kept.cleared_at,
        flaps=kept.flaps,
        cause=finding.cause,
        next_step=finding.next_step,
        place=finding.place,
        key=finding.key or finding.object,
        word=finding.word,
    )
