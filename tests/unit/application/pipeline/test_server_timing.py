"""Server-Timing: one entry per phase on routes that ask for it, and nothing on the others."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.pipeline.server_timing import TimedGuard, server_timing
from spork.application.views import GuardVerdict
from spork.domain.outcomes import Denial
from tests.closed_exchanges import closed_exchange


class Clock:
    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


class Slow:
    """A guard that takes `seconds` of the clock and answers at once or later."""

    def __init__(self, phase: str, clock: Clock, seconds: float, verdict: Verdict = None, later: bool = False) -> None:
        self.phase = phase
        self.response_fields = NO_FIELDS
        self._clock, self._seconds, self._verdict, self._later = clock, seconds, verdict, later

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        if self._later:
            return self._wait()
        self._clock.at += self._seconds
        return self._verdict

    def explain(self, exchange: Exchange) -> GuardVerdict:
        return GuardVerdict(self.phase, "unknown", "")

    async def _wait(self) -> Verdict:
        await asyncio.sleep(0)
        self._clock.at += self._seconds
        return self._verdict


async def test_every_phase_has_its_time_and_they_add_up() -> None:
    clock = Clock()
    exchange = closed_exchange(upstream_seconds=0.005)
    assert TimedGuard(Slow("limits", clock, 0.001), clock).admit(exchange) is None
    waiting = TimedGuard(Slow("credentials", clock, 0.002, later=True), clock).admit(exchange)
    assert isinstance(waiting, Awaitable)
    assert await waiting is None
    TimedGuard(Slow("limits", clock, 0.001), clock).admit(exchange)
    name, value = server_timing(exchange, 1000.0 + 0.010)
    assert name == b"server-timing"
    assert value == (b"limits;dur=2.000, credentials;dur=2.000, send;dur=5.000, gateway;dur=1.000, total;dur=10.000")


def test_a_refusal_goes_through_and_is_timed() -> None:
    clock = Clock()
    exchange = closed_exchange(attempts=0)
    denial = Denial("address_denied")
    assert TimedGuard(Slow("addresses", clock, 0.5, denial), clock).admit(exchange) is denial
    assert b"addresses;dur=500.000" in server_timing(exchange, 1000.5)[1]


def test_a_phase_is_written_as_a_token() -> None:
    clock = Clock()
    exchange = closed_exchange(attempts=0)
    TimedGuard(Slow('odd phase"', clock, 0.0), clock).admit(exchange)
    assert server_timing(exchange, 1000.0)[1].startswith(b"odd_phase_;dur=")
