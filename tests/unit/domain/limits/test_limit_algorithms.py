"""The algorithms as pure functions: their rules, their odd inputs, and their bounds over every real interval."""

from __future__ import annotations

import random
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spork.domain.limits import gcra, windows
from spork.domain.limits.calendars import Calendar
from spork.domain.limits.limit import ALGORITHMS, Limit, limit_problems, limit_warnings, local_share
from spork.domain.limits.terms import MAX_SPAN, MICROS
from tests.limit_bounds import bound, most_in_any_interval

TIMED = ["gcra", "sliding_window", "sliding_log", "fixed_window", "calendar"]
T0 = 1_700_000_000 * MICROS


def limit(algorithm: str, quota: int, period: float = 60.0, burst: int | None = None) -> Limit:
    return Limit("l", quota, period, algorithm=algorithm, burst=burst)


class Bucket:
    """One identity of one limit, driven by the pure function alone."""

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self.state: object = None

    def take(self, now: int, cost: int = 1) -> bool:
        return self.ask(now, cost)[0]

    def ask(self, now: int, cost: int = 1) -> tuple[bool, int, int, int]:
        admitted, self.state, left, reset, wait = self.limit.terms.decide(self.limit.terms, self.state, now, cost)
        return admitted, left, reset, wait


@pytest.mark.parametrize("algorithm", [*TIMED, "concurrency"])
def test_a_quota_is_admitted_at_once_and_not_one_unit_more(algorithm: str) -> None:
    bucket = Bucket(limit(algorithm, 3))
    assert [bucket.take(T0) for _ in range(5)] == [True, True, True, False, False]


@pytest.mark.parametrize("algorithm", [*TIMED, "concurrency"])
def test_a_quota_of_zero_refuses_all_also_a_question(algorithm: str) -> None:
    bucket = Bucket(limit(algorithm, 0))
    assert [bucket.take(T0 + i * 10**9, cost) for i, cost in enumerate((0, 1, 5, -1))] == [False] * 4
    assert bucket.ask(T0)[3] > 0


@pytest.mark.parametrize("algorithm", [*TIMED, "concurrency"])
def test_a_cost_above_the_quota_is_never_admitted_and_takes_nothing(algorithm: str) -> None:
    bucket = Bucket(limit(algorithm, 3))
    for cost in (4, 10**9, 10**30):
        admitted, _, _, wait = bucket.ask(T0, cost)
        assert not admitted
        assert wait > 0
    assert bucket.state is None
    assert bucket.take(T0, 3)


@pytest.mark.parametrize("algorithm", [*TIMED, "concurrency"])
@pytest.mark.parametrize("cost", [0, -1, -(10**12)])
def test_a_cost_of_nothing_asks_whether_one_unit_would_fit(algorithm: str, cost: int) -> None:
    bucket = Bucket(limit(algorithm, 1))
    assert [bucket.take(T0, cost) for _ in range(3)] == [True, True, True]
    assert bucket.take(T0)
    assert not bucket.take(T0, cost)


@pytest.mark.parametrize("algorithm", TIMED)
def test_who_waits_as_long_as_told_is_admitted_and_who_waits_less_is_not(algorithm: str) -> None:
    chance = random.Random(algorithm)
    for _ in range(200):
        bucket = Bucket(limit(algorithm, chance.choice([1, 2, 7, 50]), chance.choice([1.0, 10.0, 3600.0])))
        now = T0 + chance.randrange(10**12)
        for _ in range(60):
            cost = chance.choice([1, 1, 1, 2])
            admitted, _, _, wait = bucket.ask(now, cost)
            if not admitted and cost <= bucket.limit.quota:
                assert wait >= 1
                if wait > 1:
                    assert not bucket.take(now + wait - 1, cost), (algorithm, bucket.limit, bucket.state, now, wait)
                assert bucket.take(now + wait, cost), (algorithm, bucket.limit, bucket.state, now, wait)
                now += wait
            now += chance.randrange(int(bucket.limit.period * MICROS))


@pytest.mark.parametrize("algorithm", TIMED)
def test_a_clock_that_jumps_back_admits_nothing_more_and_heals_within_a_period_or_two(algorithm: str) -> None:
    bucket = Bucket(limit(algorithm, 10, 60.0))
    assert [bucket.take(T0) for _ in range(10)] == [True] * 10
    back = T0 - 86_400 * MICROS
    assert not any(bucket.take(back + i * 1000) for i in range(10))
    if algorithm != "calendar":
        assert bucket.take(back + 120 * MICROS)


@pytest.mark.parametrize("algorithm", TIMED)
def test_huge_numbers_stay_exact_in_a_double(algorithm: str) -> None:
    huge = limit(algorithm, 10**30, 10**30, burst=10**30)
    bucket = Bucket(huge)
    assert bucket.take(T0, 10)
    admitted, left, reset, _ = bucket.ask(T0, 1)
    assert admitted
    for number in (left, reset, huge.terms.span, huge.terms.period, T0 + huge.terms.span):
        assert 0 <= number < 2**53
    assert huge.terms.span <= MAX_SPAN


# ------------------------------------------------------------------------------------- never more than the bound says


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window", "sliding_log", "fixed_window"])
@given(data=st.data(), quota=st.integers(1, 20), period=st.sampled_from([1.0, 7.3, 60.0]), burst=st.integers(1, 30))
@settings(max_examples=60, deadline=None)
def test_no_real_interval_holds_more_than_the_bound(
    algorithm: str, data: st.DataObject, quota: int, period: float, burst: int
) -> None:
    bucket = Bucket(limit(algorithm, quota, period, burst if algorithm == "gcra" else None))
    whole = bucket.limit.terms.period
    steps = st.lists(st.tuples(st.integers(0, whole // 2), st.integers(1, 3)), min_size=20, max_size=120)
    now = T0
    admitted: list[tuple[int, int]] = []
    for step, cost in data.draw(steps):
        now += step
        if bucket.take(now, cost):
            admitted.append((now, cost))
    for length in (1, whole // 3, whole, 2 * whole + 1):
        if length:
            assert most_in_any_interval(admitted, length) <= bound(bucket.limit, length)
    if algorithm in ("fixed_window", "sliding_window"):
        aligned: dict[int, int] = {}
        for at, units in admitted:
            aligned[at // whole] = aligned.get(at // whole, 0) + units
        assert max(aligned.values(), default=0) <= quota


def test_the_checker_itself_sees_an_interval_that_is_too_full() -> None:
    assert most_in_any_interval([(0, 1), (5, 1), (9, 1), (10, 1)], 10) == 3
    assert most_in_any_interval([(0, 1), (5, 1), (9, 1)], 10) == 3


def test_the_sliding_window_weighs_the_last_window_by_what_is_still_in_sight() -> None:
    bucket = Bucket(limit("sliding_window", 100, 60.0))
    start = T0 - T0 % (60 * MICROS)
    assert bucket.take(start, 80)
    admitted, left, _, _ = bucket.ask(start + 75 * MICROS, 0)  # a quarter into the next: 80 * 0.75
    assert (admitted, left) == (True, 40)


# --------------------------------------------------------------------------------------------------------- refunds


@pytest.mark.parametrize("algorithm", TIMED)
@given(data=st.data())
@settings(max_examples=60, deadline=None)
def test_a_refund_never_leaves_more_than_if_nothing_had_been_taken(algorithm: str, data: st.DataObject) -> None:
    rule = limit(algorithm, data.draw(st.integers(2, 12)), 10.0)
    refund = ALGORITHMS[algorithm].refund
    with_refund, without = Bucket(rule), Bucket(rule)
    now = T0 + data.draw(st.integers(0, 10**8))
    for _ in range(data.draw(st.integers(0, 6))):
        now += data.draw(st.integers(0, 3 * 10**6))
        with_refund.take(now)
        without.take(now)
    at = now
    taken = with_refund.take(at, 2)
    now += data.draw(st.integers(0, 25 * 10**6))
    between = with_refund.take(now)
    if between:
        assert without.take(now)
    if taken:
        with_refund.state = refund(rule.terms, with_refund.state, at, now, 2)
    assert with_refund.ask(now, 0)[1] <= without.ask(now, 0)[1]


@pytest.mark.parametrize("algorithm", [*TIMED, "concurrency"])
def test_a_refund_at_once_gives_everything_back(algorithm: str) -> None:
    rule = limit(algorithm, 5)
    bucket = Bucket(rule)
    bucket.take(T0, 2)
    before = bucket.ask(T0, 0)
    bucket.take(T0, 3)
    bucket.state = ALGORITHMS[algorithm].refund(rule.terms, bucket.state, T0, T0, 3)
    assert bucket.ask(T0, 0) == before


def test_a_log_is_not_given_back_what_it_no_longer_holds() -> None:
    rule = limit("sliding_log", 2)
    assert windows.refund_log(rule.terms, ((T0, 1),), T0 - 1, T0, 1) == ((T0, 1),)
    assert windows.refund_log(rule.terms, ((T0, 1),), T0, T0, 1) is None
    assert gcra.refund(rule.terms, None, T0, T0, 1) is None


# --------------------------------------------------------------------------------------------------------- calendars


def micros(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()) * MICROS


@pytest.mark.parametrize(
    ("zone", "unit", "inside", "start", "end", "hours"),
    [
        ("UTC", "day", "2026-11-20T13:00", "2026-11-20T00:00", "2026-11-21T00:00", 24),
        ("Europe/Berlin", "day", "2026-03-29T12:00", "2026-03-29T00:00", "2026-03-30T00:00", 23),
        ("Europe/Berlin", "day", "2026-10-25T12:00", "2026-10-25T00:00", "2026-10-26T00:00", 25),
        ("America/New_York", "month", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00", 31 * 24),
        ("Asia/Kolkata", "month", "2028-02-29T00:00", "2028-02-01T00:00", "2028-03-01T00:00", 29 * 24),
    ],
)
def test_calendar_windows_run_from_local_date_to_local_date(
    zone: str, unit: str, inside: str, start: str, end: str, hours: int
) -> None:
    window = Calendar(unit, zone).window(micros(inside, zone))
    assert window == (micros(start, zone), micros(end, zone))
    assert window[1] - window[0] == hours * 3600 * MICROS


def test_a_local_midnight_that_does_not_exist_is_no_hole() -> None:
    calendar = Calendar("day", "America/Sao_Paulo")  # 2018-11-04 began at 01:00
    before = calendar.window(micros("2018-11-03T12:00", "America/Sao_Paulo"))
    after = Calendar("day", "America/Sao_Paulo").window(before[1])
    assert after[0] == before[1]
    assert after[0] <= before[1] < after[1]


def test_a_daily_quota_is_whole_again_at_local_midnight() -> None:
    rule = Limit("day", 2, 86400.0, algorithm="calendar", period_name="day", time_zone="Europe/Berlin")
    bucket = Bucket(rule)
    late = micros("2026-11-20T23:59", "Europe/Berlin")
    assert [bucket.take(late) for _ in range(3)] == [True, True, False]
    assert bucket.ask(late)[3] == 60 * MICROS
    assert bucket.take(late + 60 * MICROS)


@given(st.integers(0, 4 * 10**15), st.sampled_from(["UTC", "Europe/Berlin", "America/Sao_Paulo", "Asia/Kathmandu"]))
@settings(max_examples=200, deadline=None)
def test_every_instant_lies_in_its_window_and_windows_meet(now: int, zone: str) -> None:
    for unit in ("day", "month"):
        start, end = Calendar(unit, zone).window(now)
        assert start <= now < end
        assert Calendar(unit, zone).window(end)[0] == end
        assert Calendar(unit, zone).window(start - 1)[1] == start


@pytest.mark.parametrize(("unit", "zone"), [("week", "UTC"), ("day", "Mars/Olympus"), ("day", "../etc/passwd")])
def test_unknown_words_are_refused(unit: str, zone: str) -> None:
    with pytest.raises(ValueError):
        Calendar(unit, zone)


# ------------------------------------------------------------------------------------------------------- what is wrong


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (Limit("l", -1, 60), "negative"),
        (Limit("l", 10**12, 60), "at most"),
        (Limit("l", 1, 0), "per must"),
        (Limit("l", 1, 400 * 86400), "per must"),
        (Limit("l", 5, 60, burst=0), "burst"),
        (Limit("l", 5, 60, cost=-1), "cost"),
        (Limit("l", 5, 60, burst=2, cost=3), "ever admits"),
        (Limit("l", 5, 60, algorithm="fixed_window", cost=6), "ever admits"),
        (Limit("l", 20_000, 60, algorithm="sliding_log"), "sliding_log"),
        (Limit("l", 5, 60, on_store_error="panic"), "on_store_error"),
        (Limit("l", 5, 60, algorithm="fixed_window", accuracy="hybrid"), "hybrid"),
    ],
)
def test_limit_problems_name_what_is_wrong(wrong: Limit, says: str) -> None:
    problems = limit_problems(wrong)
    assert len(problems) == 1
    assert says in problems[0]


def test_a_sound_limit_has_no_problem_and_rough_ones_a_warning() -> None:
    assert limit_problems(Limit("l", 100, 60, burst=20)) == []
    assert limit_problems(Limit("l", 0, 60)) == []
    assert "twice" in limit_warnings(limit("fixed_window", 5))[0]
    assert "approximate" in limit_warnings(limit("sliding_window", 5))[0]
    assert limit_warnings(limit("gcra", 5)) == []
    with pytest.raises(ValueError, match="no algorithm"):
        limit("leaky", 5)


@given(st.integers(0, 10**6), st.integers(0, 50), st.sampled_from([*TIMED, "concurrency"]))
def test_local_shares_of_all_nodes_are_the_quota_and_less_than_one_more_each(
    quota: int, nodes: int, algorithm: str
) -> None:
    share = local_share(limit(algorithm, quota), nodes)
    together = share.terms.quota * max(nodes, 1)
    assert quota <= together <= quota + max(nodes, 1) - 1
    assert share.algorithm in ("gcra", "concurrency")


@pytest.mark.parametrize("algorithm", ["gcra", "sliding_window", "sliding_log", "fixed_window", "calendar"])
def test_a_quota_that_is_raised_gives_the_rest_at_once_to_who_had_used_up_the_old_one(algorithm: str) -> None:
    bucket = Bucket(limit(algorithm, 5, 3600.0))
    assert [bucket.take(T0) for _ in range(6)] == [True] * 5 + [False]
    bucket.limit = limit(algorithm, 20, 3600.0)
    assert [bucket.take(T0) for _ in range(16)] == [True] * 15 + [False]


def test_what_was_used_weighs_as_much_under_a_lower_quota_and_heals_at_its_pace() -> None:
    bucket = Bucket(limit("gcra", 3600, 3600.0))
    assert all(bucket.take(T0) for _ in range(20))
    bucket.limit = limit("gcra", 30, 3600.0)
    assert [bucket.take(T0) for _ in range(11)] == [True] * 10 + [False]
    assert not bucket.take(T0 + 119 * MICROS)
    assert bucket.take(T0 + 120 * MICROS)


def test_what_is_settled_and_given_back_after_a_raise_is_in_units_too() -> None:
    old, new = limit("gcra", 5, 3600.0).terms, limit("gcra", 10, 3600.0).terms
    _, state, _, _, _ = old.decide(old, None, T0, 5)
    assert new.decide(new, gcra.settle(new, state, T0, 2), T0, 0)[2] == 3
    assert new.decide(new, gcra.refund(new, state, T0, T0, 2), T0, 0)[2] == 7
