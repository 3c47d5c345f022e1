"""What a guard would say, in the words of `spork explain`."""

from __future__ import annotations

from spork.application.exchange.exchange import Verdict
from spork.application.views import GuardVerdict
from spork.domain.outcomes import Denial, LocalResponse


def explained(phase: str, verdict: Verdict, passed: str, note: str = "") -> GuardVerdict:
    """A verdict as operators read it. `passed` is said when nothing is refused, `note` beside a refusal."""
    if isinstance(verdict, Denial):
        return GuardVerdict(phase, "refuse", f"{verdict.reason}: {note}" if note else verdict.reason)
    if isinstance(verdict, LocalResponse):
        return GuardVerdict(phase, "answer", f"answered here: {verdict.kind}")
    return GuardVerdict(phase, "pass", passed)
