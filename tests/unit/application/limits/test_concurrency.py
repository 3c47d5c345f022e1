"""The gradient controller against a simulated target: it finds the capacity, and finds it again."""

from __future__ import annotations

import random

import pytest

from spork.application.limits.concurrency import SHARES, AdaptiveConcurrency, OwnDelay
from spork.domain.upstreams.gradient_limit import AdaptivePolicy, AdaptiveState, moved, percentile, start

POLICY = AdaptivePolicy()


def after(state: AdaptiveState, latency: float, windows: int, now: float = 0.0) -> AdaptiveState:
    for _ in range(windows):
        state = moved(POLICY, state, [latency] * 10, now, peak=state.limit)
    return state


def test_good_latency_lets_the_limit_grow_to_its_bound_and_bad_latency_shrinks_it() -> None:
    steady = AdaptiveState(10, minimum=0.010, due=1e9)
    assert after(steady, 0.010, 1).limit == 16
    assert after(steady, 0.010, 100).limit == POLICY.most
    assert after(steady, 0.050, 1).limit < 10
    assert after(steady, 10.0, 4).limit == POLICY.least


def test_one_window_never_more_than_halves_before_the_headroom() -> None:
    assert after(AdaptiveState(400, 0.01, 1e9), 1e6, 1).limit == 200 + 14


def test_a_limit_that_was_not_half_used_is_not_raised() -> None:
    steady = AdaptiveState(100, 0.01, 1e9)
    assert moved(POLICY, steady, [0.01], 0.0, peak=49).limit == 100
    assert moved(POLICY, steady, [0.01], 0.0, peak=50).limit > 100
    assert moved(POLICY, steady, [0.1], 0.0, peak=1).limit < 100


def test_the_gateways_own_delay_is_not_blamed_on_the_target() -> None:
    delay = OwnDelay()
    live = AdaptiveConcurrency(POLICY, lambda: 0.5, delay)
    target = Target(live, workers=20, seconds=0.010)
    target.run(5, rate=1500)
    before = live.state.limit
    for _ in range(100):
        delay.note(0.010)
    assert delay.seconds == pytest.approx(0.010, rel=0.01)
    target.late = 0.010  # every answer is seen ten milliseconds later
    target.run(5, rate=1500)
    assert live.state.limit >= before / 2


def test_a_window_without_answers_says_nothing() -> None:
    steady = AdaptiveState(10, 0.01, 1e9)
    assert moved(POLICY, steady, [], 5.0, 10) == steady


def test_the_minimum_is_measured_again_when_due_and_when_the_limit_is_stuck_at_the_least() -> None:
    assert moved(POLICY, AdaptiveState(10, 0.01, due=5.0), [0.01], 5.0, 10) == start(POLICY)
    assert after(AdaptiveState(10, 0.01, 1e9), 10.0, 20).measuring


@pytest.mark.parametrize(("share", "value"), [(0.0, 1.0), (0.5, 3.0), (0.99, 5.0), (1.0, 5.0)])
def test_percentiles_are_by_nearest_rank(share: float, value: float) -> None:
    assert percentile([5.0, 1.0, 3.0, 2.0, 4.0], share) == value


class Target:
    """A target that serves `workers` at once, `seconds` each, and queues the rest; driven in simulated time."""

    def __init__(self, live: AdaptiveConcurrency, workers: int, seconds: float) -> None:
        self.live = live
        self.workers = workers
        self.seconds = seconds
        self.now = 0.0
        self.queue: list[float] = []
        self.served = self.refused = 0
        self.carry = 0.0
        self.late = 0.0

    def run(self, seconds: float, rate: float, priority: str = "normal") -> float:
        """Goodput per second under `rate` requests per second; steps of one service time."""
        served = self.served
        end = self.now + seconds
        while self.now < end:
            self.carry += rate * self.seconds
            while self.carry >= 1.0:
                self.carry -= 1.0
                if self.live.admit(SHARES[priority]):
                    self.queue.append(self.now)
                else:
                    self.refused += 1
            self.now += self.seconds
            done, self.queue = self.queue[: self.workers], self.queue[self.workers :]
            for began in done:
                self.served += 1
                self.live.done(self.now - began + self.late, self.now)
        return (self.served - served) / seconds


def test_four_times_the_capacity_still_gives_most_of_the_capacity_and_short_queues() -> None:
    live = AdaptiveConcurrency(POLICY, lambda: 0.5)
    target = Target(live, workers=20, seconds=0.010)  # capacity: 2000 per second
    target.run(5, rate=500)
    goodput = target.run(20, rate=8000)
    assert goodput >= 0.8 * 2000
    assert len(target.queue) < 4 * target.workers
    assert target.refused > 0


def test_after_the_load_is_gone_everything_is_admitted_again_within_two_seconds() -> None:
    live = AdaptiveConcurrency(POLICY, lambda: 0.5)
    target = Target(live, workers=20, seconds=0.010)
    target.run(10, rate=8000)
    target.run(2, rate=400)
    refused = target.refused
    target.run(5, rate=400)
    assert target.refused == refused


def test_a_target_that_slows_down_is_given_less() -> None:
    live = AdaptiveConcurrency(POLICY, lambda: 0.5)
    target = Target(live, workers=20, seconds=0.010)
    target.run(10, rate=1900)
    before = live.state.limit
    target.workers = 2
    target.run(3, rate=1900)
    assert live.state.limit < before / 2


def test_lower_priorities_are_refused_first_and_one_may_always_try() -> None:
    live = AdaptiveConcurrency(POLICY, lambda: 0.5)
    live.state = AdaptiveState(10, 0.01, 1e9)
    admitted = {"low": 0, "normal": 0, "high": 0}
    for priority in ("low", "normal", "high"):
        while live.admit(SHARES[priority]):
            admitted[priority] += 1
    assert admitted == {"low": 7, "normal": 2, "high": 1}
    assert live.refused == 3
    lone = AdaptiveConcurrency(AdaptivePolicy(least=1), lambda: 0.5)
    assert lone.admit(SHARES["low"])


def test_requests_that_never_got_there_give_their_place_back_and_say_nothing() -> None:
    live = AdaptiveConcurrency(POLICY, lambda: 0.5)
    for _ in range(200):
        assert live.admit(1.0)
        live.done(None, 1.0)
    assert live.in_flight == 0
    assert live.state.measuring
    assert repr(live) == "<AdaptiveConcurrency 0 of 3, measuring>"


@pytest.mark.parametrize(("workers", "seconds"), [(5, 0.05), (20, 0.01), (100, 0.02)])
def test_at_four_times_the_capacity_the_high_priority_is_served_nearly_whole(workers: int, seconds: float) -> None:
    chance = random.Random(7)
    live = AdaptiveConcurrency(POLICY, chance.random)
    step, now = seconds / 10, 0.0
    ends: list[tuple[float, float, float, str]] = []  # (when it ends, when it began, its share, its priority)
    free_at = [0.0] * workers
    asked = {"high": 0, "normal": 0, "low": 0}
    served = dict(asked)
    parts = {"high": 0.2, "normal": 1.8, "low": 2.0}
    while now < 30.0:
        now += step
        for end in [each for each in ends if each[0] <= now]:
            ends.remove(end)
            live.done(end[0] - end[1], now, end[2])
        for priority, part in parts.items():
            rate = part * workers / seconds * step
            arrivals = sum(chance.random() < rate / 20 for _ in range(20))
            for _ in range(arrivals):
                counted = now > 5.0
                asked[priority] += counted
                if live.admit(SHARES[priority]):
                    served[priority] += counted
                    worker = min(range(workers), key=free_at.__getitem__)
                    free_at[worker] = max(now, free_at[worker]) + seconds
                    ends.append((free_at[worker], now, SHARES[priority], priority))
    assert served["high"] > 0.9 * asked["high"]
    assert sum(served.values()) > 0.8 * workers / seconds * 25
    assert served["normal"] / asked["normal"] > served["low"] / asked["low"]
