"""The circuit against its table: what each event does, what permits and records mean in each state."""

from __future__ import annotations

import random
from dataclasses import fields
from itertools import product

import pytest

from spork.domain.outcomes import Fault, FaultKind, Side
from spork.domain.upstreams.circuit import (
    TRANSITIONS,
    BreakerPolicy,
    BreakerState,
    CallResult,
    CircuitEvent,
    Open,
    Permit,
    result_of_fault,
    result_of_status,
)
from spork.domain.upstreams.circuit_machine import RAMP_FLOOR, Circuit

POLICY = BreakerPolicy(window=10, min_requests=10, failure_ratio=0.5, open_for=5, probes=1, probe_lease=10, ramp=10)


def circuit(**changes: object) -> Circuit:
    policy = BreakerPolicy(**{f.name: getattr(POLICY, f.name) for f in fields(POLICY)} | changes)  # type: ignore[arg-type]
    return Circuit("users", policy, lambda: 0.5, now=100.0)


def call(c: Circuit, result: CallResult, now: float, duration: float = 0.01) -> Permit | Open:
    permit = c.permit(now)
    if isinstance(permit, Permit):
        c.record(permit, result, duration, now)
    return permit


def opened(c: Circuit, now: float = 100.0) -> Circuit:
    for _ in range(c.policy.min_requests):
        call(c, CallResult.FAILED, now)
    assert c.state is BreakerState.OPEN
    return c


def test_opens_at_the_ratio_and_not_before_the_minimum() -> None:
    c = circuit()
    for _ in range(5):
        call(c, CallResult.OK, 100)
    for _ in range(4):
        call(c, CallResult.FAILED, 100)
    assert c.state is BreakerState.CLOSED
    call(c, CallResult.FAILED, 100)
    assert c.state is BreakerState.OPEN
    assert c.status(100).cause == "5 of 10 calls failed in 10 s"


def test_failures_leave_the_window() -> None:
    c = circuit()
    for _ in range(9):
        call(c, CallResult.FAILED, 100)
    for _ in range(10):
        call(c, CallResult.OK, 110)
    call(c, CallResult.FAILED, 110)
    assert c.state is BreakerState.CLOSED
    assert c.status(110).requests == 11


def test_clock_running_backwards_keeps_counting() -> None:
    c = circuit()
    for now in (100, 90, 95, 10, 100, 99, 98, 97, 96, 95):
        call(c, CallResult.FAILED, now)
    assert c.state is BreakerState.OPEN


def test_slow_calls_open_it_even_when_they_succeed() -> None:
    c = circuit(slow_call=2.0, slow_ratio=0.5)
    for i in range(10):
        call(c, CallResult.OK, 100, duration=2.0 if i % 2 else 0.1)
    assert c.state is BreakerState.OPEN
    assert "took 2 s or more" in c.status(100).cause


def test_consecutive_failures_open_it_at_low_traffic() -> None:
    c = circuit(consecutive=3, min_requests=1000)
    for result in (CallResult.FAILED, CallResult.UNREACHED, CallResult.OK, CallResult.FAILED, CallResult.FAILED):
        call(c, result, 100)
    assert c.state is BreakerState.CLOSED
    call(c, CallResult.UNREACHED, 100)
    assert c.state is BreakerState.OPEN


def test_ignored_calls_count_for_nothing() -> None:
    c = circuit()
    for _ in range(100):
        call(c, CallResult.IGNORED, 100)
    assert c.status(100).requests == 0


def test_not_reached_and_answered_failures_are_told_apart() -> None:
    c = circuit()
    for result in (CallResult.UNREACHED, CallResult.FAILED, CallResult.FAILED):
        call(c, result, 100)
    status = c.status(100)
    assert (status.failures, status.unreached) == (3, 1)


@pytest.mark.parametrize(("chance", "open_for"), [(0.0, 4.0), (0.5, 5.0), (0.999999, 6.0)])
def test_open_time_is_spread_by_a_fifth(chance: float, open_for: float) -> None:
    c = circuit()
    c.chance = lambda: chance
    opened(c)
    refused = c.permit(100.0)
    assert isinstance(refused, Open)
    assert refused.retry_after == pytest.approx(open_for, abs=1e-4)


def test_open_refuses_until_its_time_then_one_probe_goes() -> None:
    c = opened(circuit())
    assert isinstance(c.permit(104.9), Open)
    probe = c.permit(105.0)
    assert isinstance(probe, Permit)
    assert probe.probe
    assert isinstance(c.permit(105.0), Open)
    assert c.state is BreakerState.HALF_OPEN


def test_a_good_probe_closes_it_and_a_bad_one_opens_it_again() -> None:
    c = opened(circuit())
    call(c, CallResult.OK, 105)
    assert c.state is BreakerState.CLOSED
    c = opened(circuit())
    call(c, CallResult.FAILED, 105)
    assert c.state is BreakerState.OPEN
    assert c.status(105).next_try == 110


def test_a_slow_probe_is_a_bad_one() -> None:
    c = opened(circuit(slow_call=1.0))
    call(c, CallResult.OK, 105, duration=1.5)
    assert c.state is BreakerState.OPEN


def test_several_probes_must_all_do_well() -> None:
    c = opened(circuit(probes=3))
    permits = [c.permit(105) for _ in range(4)]
    assert [isinstance(p, Permit) for p in permits] == [True, True, True, False]
    for done, permit in enumerate(permits[:3]):
        assert c.state is BreakerState.HALF_OPEN, done
        assert isinstance(permit, Permit)
        c.record(permit, CallResult.OK, 0.01, 106)
    assert c.state is BreakerState.CLOSED


def test_a_probe_that_never_returns_does_not_wedge_it() -> None:
    c = opened(circuit(probe_lease=10))
    hung = c.permit(105)
    assert isinstance(c.permit(114.9), Open)
    second = c.permit(115)
    assert isinstance(second, Permit)
    assert second.probe
    assert isinstance(hung, Permit)
    c.record(hung, CallResult.FAILED, 20, 125)
    assert c.state is BreakerState.HALF_OPEN
    c.record(second, CallResult.OK, 0.1, 116)
    assert c.state is BreakerState.CLOSED


def test_a_probe_that_outlived_its_lease_says_nothing() -> None:
    c = opened(circuit())
    late = c.permit(105)
    assert isinstance(late, Permit)
    c.record(late, CallResult.OK, 0.1, 115)
    assert c.state is BreakerState.HALF_OPEN


def test_an_abandoned_probe_gives_its_lease_back() -> None:
    c = opened(circuit())
    call(c, CallResult.IGNORED, 105)
    assert c.state is BreakerState.HALF_OPEN
    assert isinstance(c.permit(105), Permit)


def test_calls_from_before_a_transition_say_nothing_about_after() -> None:
    c = circuit()
    old = c.permit(100)
    opened(c)
    call(c, CallResult.OK, 105)
    assert isinstance(old, Permit)
    for _ in range(50):
        c.record(old, CallResult.FAILED, 1, 106)
    assert c.state is BreakerState.CLOSED
    assert c.status(106).requests == 0


def test_recovery_ramps_up_linearly() -> None:
    c = opened(circuit())
    call(c, CallResult.OK, 105)
    admitted = []
    for second in range(10):
        permits = [c.permit(105 + second + i / 200) for i in range(200)]
        admitted.append(sum(isinstance(p, Permit) for p in permits) / 200)
    assert admitted == sorted(admitted)
    for second, share in enumerate(admitted):
        assert share == pytest.approx(max(RAMP_FLOOR, (second + 0.5) / 10), abs=0.03)
    assert all(isinstance(c.permit(115.0), Permit) for _ in range(100))
    assert c.status(107).ramp == pytest.approx(0.2)
    assert c.status(115).ramp is None


def test_operators_force_it_open_with_an_end_and_reset_it() -> None:
    c = circuit()
    c.force_open("maintenance", "ada", 60, 100)
    refused = c.permit(159)
    assert isinstance(refused, Open)
    assert (refused.retry_after, refused.state) == (pytest.approx(1.0), BreakerState.FORCED_OPEN)
    forced = c.status(159).forced
    assert forced is not None
    assert (forced.by, forced.reason, forced.until) == ("ada", "maintenance", 160)
    probe = c.permit(160)
    assert isinstance(probe, Permit)
    assert probe.probe
    c.force_open("again", "ada", None, 161)
    assert isinstance(c.permit(1e9), Open)
    c.reset("done", "ada", 200)
    assert c.state is BreakerState.CLOSED
    assert all(isinstance(c.permit(200), Permit) for _ in range(50)), "a reset does not ramp"


def test_last_transitions_are_kept_with_their_cause() -> None:
    c = opened(circuit())
    call(c, CallResult.OK, 105)
    assert [(t.before.value, t.after.value, t.event.value) for t in c.status(106).transitions] == [
        ("closed", "open", "tripped"),
        ("open", "half_open", "cooled"),
        ("half_open", "closed", "probed_well"),
    ]


def test_every_state_and_event_either_follows_the_table_or_does_nothing() -> None:
    for state, event in product(BreakerState, CircuitEvent):
        c = circuit()
        c._state = state
        c._move(event, "test", 101)
        assert c.state is TRANSITIONS.get((state, event), state), (state, event)


def test_every_state_can_be_reached_and_left() -> None:
    reached = set(TRANSITIONS.values())
    left = {before for (before, _), after in TRANSITIONS.items() if before is not after}
    assert reached == left == set(BreakerState)


def test_what_faults_and_statuses_say_of_a_target() -> None:
    up = Side.UPSTREAM
    assert result_of_fault(Fault(FaultKind.CONNECTION_REFUSED, up)) is CallResult.UNREACHED
    assert result_of_fault(Fault(FaultKind.CONNECTION_LIMIT_REACHED, up)) is CallResult.IGNORED
    assert result_of_fault(Fault(FaultKind.CLIENT_GONE, Side.DOWNSTREAM)) is CallResult.IGNORED
    assert result_of_fault(Fault(FaultKind.CONNECTION_TERMINATED, up, fresh_connection=False)) is CallResult.IGNORED
    assert [result_of_status(s, (502, 503, 504)).value for s in (200, 404, 429, 500, 503)] == [
        "ok",
        "ok",
        "ok",
        "ok",
        "failed",
    ]


def test_chance_is_injected() -> None:
    one, other = (Circuit("a", POLICY, random.Random(7).random, 0.0) for _ in range(2))
    assert opened(one, 0).status(0).next_try == opened(other, 0).status(0).next_try
