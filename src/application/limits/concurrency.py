"""Load shedding by concurrency, per upstream: a live holder around the pure controller, and who goes first.

Priorities share one limit: a route of priority `low` is refused when 70 % of it is taken, `normal` at 90 %, `high` only when
all of it is. What the gateway answers itself (health, admin) is no exchange of an upstream and is never shed here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

from spork.domain.upstreams.gradient_limit import AdaptivePolicy, AdaptiveState, measured, moved, start

#: What holds a place: an exchange.
H = TypeVar("H")

#: Share of the limit that routes of a priority may fill.
SHARES = {"low": 0.7, "normal": 0.9, "high": 1.0}
#: Seconds between two looks for streams among those that hold places.
LOOK_EVERY = 0.05
#: Seconds an answer may take from its head on before it counts as a stream.
STREAM_AFTER = 1.0
#: Seconds a refused caller is asked to wait.
RETRY_AFTER = 1.0


class OwnDelay:
    """How late this process is: what its busy event loop adds to every latency it measures. `seconds` is recent.

    Taken off before latencies are compared; otherwise a gateway that is busy refusing would blame its targets.
    """

    EVERY = 0.02

    def __init__(self) -> None:
        self.seconds = 0.0

    def note(self, late: float) -> None:
        self.seconds += (max(late, 0.0) - self.seconds) * 0.2

    async def watch(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self.EVERY
            await asyncio.sleep(self.EVERY)
            self.note(loop.time() - due)


class AdaptiveConcurrency(Generic[H]):
    """One upstream's limit. `admit` and `done` are called once each per request that was let in."""

    __slots__ = (
        "_chance",
        "_ends",
        "_last",
        "_latencies",
        "_looked_at",
        "held",
        "in_flight",
        "own_delay",
        "peak",
        "policy",
        "refused",
        "state",
    )

    def __init__(self, policy: AdaptivePolicy, chance: Callable[[], float], own_delay: OwnDelay | None = None) -> None:
        self.own_delay = own_delay or OwnDelay()
        self.policy = policy
        self.state: AdaptiveState = start(policy)
        self.in_flight = self.peak = 0
        self.refused = 0
        #: Whoever holds a place.
        self.held: set[H] = set()
        self._looked_at = 0.0
        self._chance = chance
        self._latencies: list[float] = []
        self._ends = 0.0
        self._last = policy.least

    def admit(self, share: float) -> bool:
        """Whether one more may go. At least one of any priority may when nothing is in flight."""
        if self.in_flight and self.in_flight >= self.state.limit * share:
            self.refused += 1
            return False
        self.in_flight += 1
        if self.in_flight > self.peak:
            self.peak = self.in_flight
        return True

    def free(self, streaming: Callable[[H], bool], now: float) -> bool:
        """Take the places of answers that stream: they are no work in wait, and would hold the limit for as long as they
        last. Looks through all that are held, and so at most every `LOOK_EVERY`. True when there was any."""
        if now - self._looked_at < LOOK_EVERY:
            return False
        self._looked_at = now
        streams = [each for each in self.held if streaming(each)]
        self.held.difference_update(streams)
        self.in_flight -= len(streams)
        self.refused -= bool(streams)  # who was refused for them is asked about again
        return bool(streams)

    def done(self, latency: float | None, now: float) -> None:
        """One ended; `latency` is None when it says nothing about the target (it never got there, the client left)."""
        self.in_flight -= 1
        if latency is not None:
            self._latencies.append(max(latency - self.own_delay.seconds, 1e-6))
        if self.state.measuring:
            if len(self._latencies) >= self.policy.requests:
                self._settle(now)
        elif now >= self._ends:
            self._move(now)

    def _settle(self, now: float) -> None:
        """The minimum was measured: go on from half of the limit that held before."""
        known = AdaptiveState(max(self._last // 2, self.policy.least))
        self.state = measured(self.policy, known, self._latencies, now, self._chance())
        self._open_window(now)

    def _move(self, now: float) -> None:
        self._last = self.state.limit
        self.state = moved(self.policy, self.state, self._latencies, now, self.peak)
        self._open_window(now)

    def _open_window(self, now: float) -> None:
        self._latencies.clear()
        self.peak = self.in_flight
        self._ends = now + self.policy.window

    def __repr__(self) -> str:
        word = "measuring" if self.state.measuring else f"minimum {self.state.minimum:.4f} s"
        return f"<AdaptiveConcurrency {self.in_flight} of {self.state.limit}, {word}>"
