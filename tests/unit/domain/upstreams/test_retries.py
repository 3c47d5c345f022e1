"""Whether to send again: each condition alone, the budget's bound over any ten seconds, the jitter."""

from __future__ import annotations

import random

import pytest

from spork.domain.outcomes import Fault, FaultKind, Side
from spork.domain.upstreams.retries import (
    Again,
    Attempt,
    RetryBudget,
    RetryPolicy,
    Stop,
    backoff,
    may_retry,
    retry_after_seconds,
    try_timeout,
)

POLICY = RetryPolicy(attempts=2)
REFUSED = Fault(FaultKind.CONNECTION_REFUSED, Side.UPSTREAM, retry_safe=True)
CUT = Fault(FaultKind.CONNECTION_TERMINATED, Side.UPSTREAM)


def decide(attempt: Attempt, policy: RetryPolicy | None = POLICY, budget: RetryBudget | None = None) -> Again | Stop:
    return may_retry(policy, budget, attempt, now=100, deadline=110, chance=0.5)


@pytest.mark.parametrize(
    ("attempt", "answer"),
    [
        (Attempt(1, "GET", status=503), Again(0.0125)),
        (Attempt(2, "GET", status=503), Again(0.025)),
        (Attempt(3, "GET", status=503), Stop("attempts")),
        (Attempt(1, "GET", status=500), Stop("status")),
        (Attempt(1, "POST", status=503), Stop("method")),
        (Attempt(1, "POST", fault=REFUSED), Again(0.0125)),
        (Attempt(1, "POST", fault=CUT), Stop("method")),
        (Attempt(1, "PUT", fault=CUT), Again(0.0125)),
        (Attempt(1, "POST", fault=CUT, has_key=True), Stop("method")),
        (Attempt(1, "GET", fault=CUT, replayable=False), Stop("body")),
        (Attempt(1, "GET", fault=CUT, answer_started=True), Stop("answer_started")),
        (Attempt(1, "GET", status=503, retry_after=2.0), Again(2.0)),
        (Attempt(1, "GET", status=503, retry_after=10.0), Stop("deadline")),
    ],
)
def test_each_condition(attempt: Attempt, answer: Again | Stop) -> None:
    assert decide(attempt) == answer


def test_an_idempotency_key_helps_where_the_route_opts_in() -> None:
    keyed = RetryPolicy(idempotency_key=True)
    assert isinstance(decide(Attempt(1, "POST", fault=CUT, has_key=True), keyed), Again)
    assert decide(Attempt(1, "POST", fault=CUT), keyed) == Stop("method")


def test_without_a_policy_nothing_is_sent_again() -> None:
    assert decide(Attempt(1, "GET", fault=REFUSED), None) == Stop("off")


def test_only_a_retry_that_goes_out_costs_budget() -> None:
    budget = RetryBudget(RetryPolicy(budget=0, min_per_second=0.1), 100)
    assert decide(Attempt(1, "POST", status=503), budget=budget) == Stop("method")
    assert isinstance(decide(Attempt(1, "GET", status=503), budget=budget), Again)
    assert decide(Attempt(1, "GET", status=503), budget=budget) == Stop("budget")


@pytest.mark.parametrize(("rate", "failing"), [(1000, 0.5), (1000, 1.0), (20, 0.5), (5, 1.0)])
@pytest.mark.parametrize("offset", [0.0, 0.37, 0.999])
def test_half_failing_for_ten_seconds_stays_within_the_budget(rate: int, failing: float, offset: float) -> None:
    """The acceptance bound: upstream requests <= 1.2 x client requests + 10/s, with every retry failing too."""
    rng = random.Random(11)
    budget = RetryBudget(RetryPolicy(attempts=3), offset)
    upstream = clients = 0
    for i in range(rate * 10):
        now = offset + i / rate
        budget.deposit(now)
        clients += 1
        upstream += 1
        number = 1
        failed = rng.random() < failing
        while failed and isinstance(
            may_retry(RetryPolicy(attempts=3), budget, Attempt(number, "GET", status=503), now, now + 60, 0.0), Again
        ):
            upstream += 1
            number += 1
    assert upstream <= 1.2 * clients + 100
    if rate == 1000:
        assert upstream >= 1.15 * clients, "the budget is there to be used"


def test_the_bound_holds_over_every_window_of_a_long_outage() -> None:
    budget = RetryBudget(POLICY, 0.0)
    retries = []
    for i in range(100 * 40):
        now = 0.5 + i / 100
        budget.deposit(now)
        while budget.withdraw(now):
            retries.append(now)
    for start in range(30):
        within = sum(start + 0.5 <= at < start + 10.5 for at in retries)
        assert within <= 0.2 * 1100 + 100


def test_a_quiet_time_empties_the_window() -> None:
    budget = RetryBudget(RetryPolicy(budget=0.2, min_per_second=0), 0)
    for _ in range(10):
        budget.deposit(0)
    assert budget.withdraw(0)
    assert budget.per_second(0) == 0.1
    assert not budget.withdraw(100)
    assert budget.requests == budget.retries == 0


def test_full_jitter_is_uniform_below_a_growing_cap() -> None:
    policy = RetryPolicy(backoff_base=0.1, backoff_cap=0.5)
    assert [backoff(policy, n, 1.0) for n in (1, 2, 3, 4, 100)] == [0.1, 0.2, 0.4, 0.5, 0.5]
    assert backoff(policy, 3, 0.0) == 0.0


def test_retry_after_in_seconds_only() -> None:
    assert [retry_after_seconds(v) for v in (None, b"3", b"-1", b"soon", b"1.5", b"9999999")] == [
        None,
        3.0,
        None,
        None,
        None,
        None,
    ]


def test_a_try_ends_within_the_total_deadline() -> None:
    assert try_timeout(RetryPolicy(per_try=2), 110, 100) == 102
    assert try_timeout(RetryPolicy(per_try=2), 101, 100) == 101
    assert try_timeout(None, 101, 100) == 101
