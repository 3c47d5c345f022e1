"""`Server-Timing` (W3C) on routes that ask for it: one entry per phase, in milliseconds, with the words of the code.

Only such routes pay, and traced ones: their guards are wrapped when the route is compiled, and note when they were done.
Header and trace are written from the same notes, so that they agree.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from spork.application.exchange.exchange import Exchange, Guard, Verdict
from spork.application.views import GuardVerdict
from spork.domain.http.head import Header


class TimedGuard:
    """A guard that notes how long it took: for the header with `always`, else for traces that are kept only."""

    def __init__(self, guard: Guard, monotonic: Callable[[], float], always: bool = True) -> None:
        self._always = always
        self.phase = guard.phase
        self.response_fields = guard.response_fields
        self.guard = guard
        self._monotonic = monotonic

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        if not self._always and (exchange.trace is None or not exchange.trace.recording):
            return self.guard.admit(exchange)
        began = self._monotonic()
        answer = self.guard.admit(exchange)
        if isinstance(answer, Awaitable):
            return self._wait(exchange, answer, began)
        self._note(exchange, began)
        return answer

    def explain(self, exchange: Exchange) -> GuardVerdict | Awaitable[GuardVerdict]:
        return self.guard.explain(exchange)

    async def _wait(self, exchange: Exchange, answer: Awaitable[Verdict], began: float) -> Verdict:
        try:
            return await answer
        finally:
            self._note(exchange, began)

    def _note(self, exchange: Exchange, began: float) -> None:
        took = self._monotonic() - began
        if exchange.trace is not None and exchange.trace.recording:
            exchange.trace.note_phase(self.phase, began, took)
        if not self._always:
            return
        if exchange.guard_seconds is None:
            exchange.guard_seconds = []
        exchange.guard_seconds.append((self.phase, took))


def server_timing(exchange: Exchange, now: float) -> Header:
    """The header at the moment the answer's head goes out: guards, the target's share, and the total."""
    sums: dict[str, float] = {}
    for phase, took in exchange.guard_seconds or ():
        sums[phase] = sums.get(phase, 0.0) + took
    if exchange.attempts:
        sums["send"] = exchange.upstream_seconds
    total = now - exchange.now
    # What no phase claims is the gateway's own: opening, routing, choosing.
    sums["gateway"] = max(0.0, total - sum(sums.values()))
    sums["total"] = total
    text = ", ".join(f"{_token(phase)};dur={took * 1000:.3f}" for phase, took in sums.items())
    return b"server-timing", text.encode("ascii")


def _token(phase: str) -> str:
    """A phase's word as an HTTP token."""
    return "".join(c if c.isalnum() or c in "-_." else "_" for c in phase)
