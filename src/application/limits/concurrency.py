"""Load shedding by concurrency, per upstream: a live holder around the pure controller, and who goes first.

Priorities share one limit: a route of priority `low` is refused when 70 % of it is taken, `normal` at 90 %, `high` only when
all of it is. While more is asked for than ends, places are kept for those who go first, as many as they have lately asked for. What the gateway answers itself (health, admin) is no exchange of an upstream and is never shed here.
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
#: While this many times as much is asked for as ends, places are kept for higher priorities: this many times what they
#: need on average, and one more, for they do not come evenly.
PRESSED = 1.3
SPARE = 1.6
#: Part of what a priority may fill that is kept from it at most: without any of its own nobody would learn what the target can.
MOST_KEPT = 0.55
#: What is left of the best rate from one window to the next.
FORGOTTEN = 0.97
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
        "_asked",
        "_began",
        "_best",
        "_chance",
        "_ended",
        "_ends",
        "_last",
        "_latencies",
        "_looked_at",
        "_places",
        "_wanted",
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
        #: By share: who asked in this window, who holds places now, and which part of the places is kept; nothing is kept
        #: while there is room for all.
        self._asked: dict[float, int] = {}
        self._places: dict[float, int] = {}
        self._wanted: dict[float, float] = {}
        self._ended = 0
        self._began = 0.0
        self._best = 0.0
        self._looked_at = 0.0
        self._chance = chance
        self._latencies: list[float] = []
        self._ends = 0.0
        self._last = policy.least

    def admit(self, share: float) -> bool:
        """Whether one more may go. At least one of any priority may when nothing is in flight."""
        self._asked[share] = self._asked.get(share, 0) + 1
        taken = self.in_flight
        if taken:
            if self._wanted:
                taken += self._kept_from(share)
            if taken >= self.state.limit * share:
                self.refused += 1
                return False
        self.in_flight += 1
        self._places[share] = self._places.get(share, 0) + 1
        if self.in_flight > self.peak:
            self.peak = self.in_flight
        return True

    def _kept_from(self, share: float) -> int:
        """Places that are kept for those who go before `share`, and not taken by them now."""
        kept = 0.0
        for other, part in self._wanted.items():
            if other > share:
                kept += max(0.0, part * self.state.limit * SPARE + 1 - self._places.get(other, 0))
        return int(min(kept, MOST_KEPT * share * self.state.limit))

    def free(self, streaming: Callable[[H], bool], now: float) -> bool:
        """Take the places of answers that stream: they are no work in wait, and would hold the limit for as long as they
        last. Looks through all that are held, and so at most every `LOOK_EVERY`. True when there was any."""
        if now - self._looked_at < LOOK_EVERY:
            return False
        self._looked_at = now
        streams = [each for each in self.held if streaming(each)]
        self.held.difference_update(streams)
        self.in_flight -= len(streams)
        if streams:  # whose places they were is not known any more; those that are over count as given back
            self._places.clear()
        self.refused -= bool(streams)  # who was refused for them is asked about again
        return bool(streams)

    def done(self, latency: float | None, now: float, share: float = 1.0) -> None:
        """One ended; `latency` is None when it says nothing about the target (it never got there, the client left)."""
        self.in_flight -= 1
        self._ended += 1
        self._places[share] = max(0, self._places.get(share, 0) - 1)
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
        self._foresee(now)
        self.peak = self.in_flight
        self._ends = now + self.policy.window

    def _foresee(self, now: float) -> None:
        """From what was asked in the window, and what the target can: which part of the places each priority will need."""
        seconds = now - self._began
        if seconds <= 0.0:
            return
        # Places that are kept and not used end less: what the target can is the best it lately did.
        self._best = max(self._best * FORGOTTEN, self._ended / seconds)
        could = self._best * seconds
        if could and sum(self._asked.values()) > PRESSED * could:
            self._wanted = {share: min(1.0, count / could) for share, count in self._asked.items()}
        else:
            self._wanted = {}
        self._asked = {}
        self._ended = 0
        self._began = now

    def __repr__(self) -> str:
        word = "measuring" if self.state.measuring else f"minimum {self.state.minimum:.4f} s"
        return f"<AdaptiveConcurrency {self.in_flight} of {self.state.limit}, {word}>"
