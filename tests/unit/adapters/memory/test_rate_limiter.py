"""What only the in-process limiter promises: bounded memory, and forgetting what means nothing any more."""

from __future__ import annotations

from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.domain.limits.limit import Admitted, Charge, Limit, Throttled

T0 = 1_700_000_000.0


def fill(limiter: MemoryRateLimiter, limit: Limit, count: int, now: float) -> None:
    for number in range(count):
        limiter.acquire([Charge(limit, f"id-{number}")], now)


def test_a_hundred_thousand_identities_are_forgotten_after_their_period() -> None:
    limiter = MemoryRateLimiter()
    limits = [Limit(a, 5, 1.0, algorithm=a) for a in ("gcra", "sliding_window", "sliding_log", "fixed_window")]
    for number in range(100_000):
        limiter.acquire([Charge(limits[number % 4], f"id-{number}")], T0)
    assert limiter.stats()["entries"] == 100_000
    limiter.sweep(T0 + 3)
    assert limiter.stats() == {"entries": 0, "buckets": 0, "evicted": 0}


def test_new_identities_push_out_forgotten_ones_without_a_sweep() -> None:
    limiter = MemoryRateLimiter()
    limit = Limit("l", 5, 1.0)
    fill(limiter, limit, 1000, T0)
    for number in range(600):
        limiter.acquire([Charge(limit, f"later-{number}")], T0 + 10)
    assert limiter.stats()["entries"] == 600


def test_at_the_bound_the_entry_that_would_go_first_anyway_makes_room() -> None:
    limiter = MemoryRateLimiter(max_entries=100)
    slow = Limit("slow", 1, 3600.0)
    quick = Limit("quick", 1, 1.0)
    limiter.acquire([Charge(slow, "exhausted")], T0)
    fill(limiter, quick, 500, T0)
    assert limiter.stats()["entries"] == 100
    assert limiter.stats()["evicted"] == 401
    assert isinstance(limiter.acquire([Charge(slow, "exhausted")], T0 + 1), Throttled)


def test_permits_are_never_evicted_nor_swept() -> None:
    limiter = MemoryRateLimiter(max_entries=10)
    at_once = Limit("at-once", 1, 1.0, algorithm="concurrency")
    admitted = limiter.acquire([Charge(at_once, "bob")], T0)
    fill(limiter, Limit("l", 5, 1.0), 100, T0)
    limiter.sweep(T0 + 10**6)
    assert isinstance(limiter.acquire([Charge(at_once, "bob")], T0 + 10**6), Throttled)
    assert isinstance(admitted, Admitted)
    limiter.release(admitted.lease)
    assert limiter.stats()["entries"] == 0


def test_a_limit_compiled_anew_goes_on_with_what_was_used() -> None:
    limiter = MemoryRateLimiter()
    limiter.acquire([Charge(Limit("l", 1, 60.0, scope="users"), "bob")], T0)
    assert isinstance(limiter.acquire([Charge(Limit("l", 1, 60.0, scope="users"), "bob")], T0), Throttled)
    assert isinstance(limiter.acquire([Charge(Limit("l", 1, 60.0, scope="items"), "bob")], T0), Admitted)


def test_a_state_left_in_the_future_by_a_clock_step_heals_also_when_only_refusals_see_it() -> None:
    limiter = MemoryRateLimiter()
    limit = Limit("l", 2, 10.0)
    for _ in range(2):
        limiter.acquire([Charge(limit, "bob")], T0 + 86_400)
    tries = [limiter.acquire([Charge(limit, "bob")], T0 + second) for second in range(6)]
    assert [isinstance(each, Admitted) for each in tries] == [False] * 5 + [True]


def test_its_own_clock_is_used_where_no_time_is_given_and_repr_tells_the_state() -> None:
    limiter = MemoryRateLimiter(max_entries=50, clock=lambda: T0)
    limit = Limit("l", 1, 60.0)
    assert isinstance(limiter.acquire([Charge(limit, "bob")]), Admitted)
    assert isinstance(limiter.acquire([Charge(limit, "bob")], T0 + 59), Throttled)
    assert repr(limiter) == "<MemoryRateLimiter 1 of 50 entries in 1 buckets>"
