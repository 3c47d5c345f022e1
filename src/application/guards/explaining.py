"""What a guard would say, in the words of `spork explain`."""

from __future__ import annotations

from application.ports import Verdict
from application.views import GuardVerdict
from domain.outcomes import Denial, Respond


def explained(phase: str, verdict: Verdict, passed: str, note: str = "") -> GuardVerdict:
    """A verdict as operators read it. `passed` is said when nothing is refused, `note` beside a refusal."""
    if isinstance(verdict, Denial):
        return GuardVerdict(phase, "refuse", f"{verdict.reason}: {note}" if note else verdict.reason)
    if isinstance(verdict, Respond):
        return GuardVerdict(phase, "pass", f"answered here: {verdict.kind}")
    return GuardVerdict(phase, "pass", passed)
