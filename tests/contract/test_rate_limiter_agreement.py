"""The same random history through the pure functions, the in-process limiter and Redis gives the same decisions."""

from __future__ import annotations

import asyncio
import itertools
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spork.adapters.memory.rate_limiter import MemoryRateLimiter
from spork.adapters.redis.limits.rate_limiter import RedisRateLimiter
from spork.adapters.redis.store.connection import connect
from spork.domain.limits.limit import Admitted, Charge, Limit, Throttled
from spork.domain.limits.terms import MICROS

T0 = 1_700_000_000 * MICROS
ALGORITHMS = ["gcra", "sliding_window", "sliding_log", "fixed_window", "calendar"]
_numbers = itertools.count()

#: What is compared: admitted, and per limit what is left, until whole, until a retry, in whole microseconds.
Ruling = tuple[bool, tuple[tuple[int, int, int], ...]]


def limits(algorithm: st.SearchStrategy[str]) -> st.SearchStrategy[Limit]:
    return st.builds(
        lambda algorithm, quota, period, burst: Limit(
            f"{quota}-{period}-{burst}",
            quota,
            period,
            algorithm=algorithm,
            burst=burst if algorithm == "gcra" else None,
        ),
        algorithm,
        st.sampled_from([0, 1, 2, 3, 7, 50, 1000, 10**12]),
        st.sampled_from([10.0, 60.0, 1234.567891, 86400.0]),
        st.sampled_from([None, 1, 2, 10, 10**12]),
    )


costs = st.sampled_from([1, 1, 1, 1, 2, 3, 0, -1, 51, 10**12])
steps = st.one_of(
    st.integers(0, 5),
    st.integers(0, 30 * MICROS),
    st.integers(-2 * MICROS, 0),
    st.sampled_from([10 * MICROS, 60 * MICROS, 86_400 * MICROS, -70 * MICROS, -3600 * MICROS, -100 * 86_400 * MICROS]),
)
#: (microseconds since the last request, its costs under each limit). One identity only: what a clock that steps back
#: finds of others depends on when expired states were collected, which no adapter promises.
History = list[tuple[int, list[int]]]
asks = st.lists(st.tuples(steps, st.lists(costs, min_size=1, max_size=3)), min_size=5, max_size=40)


class Pure:
    """The pure functions and a dictionary: what every adapter must agree with."""

    def __init__(self) -> None:
        self.states: dict[tuple[str, str], object] = {}

    def acquire(self, charges: list[Charge], now: int) -> Ruling:
        keys = [(charge.limit.bucket, charge.identity) for charge in charges]
        rulings = [
            charge.limit.terms.decide(charge.limit.terms, self.states.get(key), now, charge.cost)
            for charge, key in zip(charges, keys, strict=True)
        ]
        admitted = all(ruling[0] for ruling in rulings)
        rows = []
        for charge, key, (fits, state, left, reset, wait) in zip(charges, keys, rulings, strict=True):
            if not admitted and fits:
                left, reset = charge.limit.terms.decide(charge.limit.terms, self.states.get(key), now, 0)[2:4]
            elif state is not None:
                self.states[key] = state
            rows.append((left, reset, wait))
        return admitted, tuple(rows)


def seen(decision: Admitted | Throttled) -> Ruling:
    rows = tuple((s.remaining, round(s.reset_after * MICROS), round(s.retry_after * MICROS)) for s in decision.states)
    return isinstance(decision, Admitted), rows


@pytest.fixture(scope="module")
def url(redis_url: str) -> str:
    return redis_url


@given(
    chosen=st.lists(limits(st.sampled_from(ALGORITHMS)), min_size=3, max_size=3, unique_by=lambda each: each.bucket),
    history=asks,
)
@settings(max_examples=100, deadline=None)
def test_several_limits_at_once_agree(url: str, chosen: list[Limit], history: History) -> None:
    asyncio.run(compare(url, chosen, history))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
@given(data=st.data(), history=asks)
@settings(max_examples=80, deadline=None)
def test_one_limit_agrees(url: str, algorithm: str, data: st.DataObject, history: History) -> None:
    asyncio.run(compare(url, [data.draw(limits(st.just(algorithm)))], history))


@given(
    quotas=st.lists(
        st.tuples(st.sampled_from([1, 3, 7, 50, 1000, 10**12]), st.sampled_from([1.0, 60.0, 1234.567891, 86400.0])),
        min_size=2,
        max_size=4,
    ),
    history=asks,
)
@settings(max_examples=100, deadline=None)
def test_a_bucket_whose_quota_changes_agrees(url: str, quotas: list[tuple[int, float]], history: History) -> None:
    in_turn = [Limit("moving", quota, period) for quota, period in quotas]
    asyncio.run(compare(url, in_turn, history, in_turn=True))


async def compare(url: str, chosen: list[Limit], history: History, in_turn: bool = False) -> None:
    """`in_turn`: each request is under the next of `chosen` alone, as when a configuration changes between them."""
    connection = connect(url, operation=5.0)
    prefix = f"a{os.getpid()}-{next(_numbers)}".encode()
    shared = RedisRateLimiter(connection, MemoryRateLimiter(), prefix=prefix, timeout=5.0, slack=3600)
    pure, memory = Pure(), MemoryRateLimiter()
    now = T0
    try:
        for turn, (step, asked) in enumerate(history):
            now += step
            under = [chosen[turn % len(chosen)]] if in_turn else chosen
            charges = [Charge(limit, "bob", cost) for limit, cost in zip(under, asked, strict=False)]
            expected = pure.acquire(charges, now)
            waited = shared.acquire(charges, now / MICROS)
            assert not isinstance(waited, (Admitted, Throttled)), "Redis was not asked"
            assert seen(memory.acquire(charges, now / MICROS)) == expected, (charges, now)
            assert seen(await waited) == expected, (charges, now)
        assert shared.stats()["errors"] == 0
    finally:
        await shared.close()
        await connection.close()
