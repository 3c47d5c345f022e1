"""Balancers: exact sequences where there is one, statistics where chance decides, movement bounds for the ring."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

import pytest

from spork.domain.upstreams.balancing import (
    Balancer,
    HashRing,
    LeastRequest,
    PeakEwma,
    Sticky,
    WeightedRotation,
    balancer_for,
    first_level,
    peak_average,
    ring_position,
    smooth_weighted,
    token_of,
)


@dataclass(eq=False)
class Spot:
    name: str
    weight: float = 1.0
    active: int = 0
    ewma: float = 0.0
    ewma_at: float = 0.0


def spots(*weights: float) -> list[Spot]:
    return [Spot(f"10.0.0.{i}:80", weight) for i, weight in enumerate(weights, 1)]


def arranged(balancer: Balancer[Spot], available: list[Spot], everyone: list[Spot] | None = None) -> Balancer[Spot]:
    balancer.arrange(available, everyone or available)
    return balancer


def test_smooth_weighted_is_nginxs_sequence() -> None:
    assert "".join("abc"[i] for i in smooth_weighted([5, 1, 1])) == "aabacaa"
    assert smooth_weighted([10, 2, 2]) == smooth_weighted([5, 1, 1])
    assert smooth_weighted([]) == []
    assert smooth_weighted([3]) == [0]


def test_weighted_rotation_gives_exact_shares() -> None:
    pool = spots(5, 1, 1)
    balancer = arranged(WeightedRotation(), pool)
    picked = [balancer.pick(None, 0, ()) for _ in range(14)]
    assert [pool.index(p) for p in picked if p] == [0, 0, 1, 0, 2, 0, 0] * 2


def test_round_robin_of_equal_weights_takes_turns() -> None:
    pool = spots(1, 1, 1)
    balancer = arranged(WeightedRotation(), pool)
    assert [balancer.pick(None, 0, ()) for _ in range(6)] == pool * 2


def test_huge_and_fractional_weights_keep_their_proportion() -> None:
    pool = spots(100_000, 33_333.3)
    balancer = arranged(WeightedRotation(), pool)
    counts = Counter(balancer.pick(None, 0, ()).name for _ in range(10_000))  # type: ignore[union-attr]
    assert counts[pool[0].name] / counts[pool[1].name] == pytest.approx(3.0, rel=0.03)


@pytest.mark.parametrize("algorithm", ["round_robin", "weighted", "least_request", "peak_ewma", "hash"])
def test_edges_every_balancer_meets(algorithm: str) -> None:
    balancer: Balancer[Spot] = balancer_for(algorithm, random.Random(1).random)
    assert balancer.pick(b"k", 0, ()) is None
    one, two = spots(1, 1)
    arranged(balancer, [one])
    assert balancer.pick(b"k", 0, ()) is one
    assert balancer.pick(b"k", 0, [one]) is one, "the only target, tried or not"
    arranged(balancer, [one, two])
    assert all(balancer.pick(b"k", 0, [one]) is two for _ in range(20))
    assert all(balancer.pick(None, 0, [two]) is one for _ in range(20))
    arranged(balancer, [])
    assert balancer.pick(b"k", 0, ()) is None


def test_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ValueError, match="magic"):
        balancer_for("magic", random.random)


def test_least_request_avoids_the_busiest_and_honours_weight() -> None:
    pool = spots(1, 1, 1, 1)
    pool[0].active = 10
    balancer = arranged(LeastRequest(random.Random(2).random), pool)
    assert all(balancer.pick(None, 0, ()) is not pool[0] for _ in range(500))
    light, heavy = spots(1, 4)
    light.active, heavy.active = 1, 5
    balancer = arranged(LeastRequest(random.Random(2).random), [light, heavy])
    assert all(balancer.pick(None, 0, ()) is heavy for _ in range(100)), "2/1 is more than 6/4"


def test_two_choices_keep_the_longest_queue_short() -> None:
    """10 000 balls into 100 bins: two choices stay near the mean of 100, one choice would reach about 130."""
    pool = spots(*[1] * 100)
    balancer = arranged(LeastRequest(random.Random(3).random), pool)
    for _ in range(10_000):
        chosen = balancer.pick(None, 0, ())
        assert chosen is not None
        chosen.active += 1
    assert max(s.active for s in pool) <= 105


def test_least_request_spreads_evenly_when_idle() -> None:
    pool = spots(1, 1, 1)
    balancer = arranged(LeastRequest(random.Random(4).random), pool)
    counts = Counter(balancer.pick(None, 0, ()).name for _ in range(9_000))  # type: ignore[union-attr]
    expected = 3_000
    chi_square = sum((n - expected) ** 2 / expected for n in counts.values())
    assert chi_square < 13.8, "p < 0.001 for two degrees of freedom"


def test_peak_ewma_prefers_the_fast_and_forgets_the_slow_past() -> None:
    fast, slow = spots(1, 1)
    fast.ewma, slow.ewma = 0.010, 0.500
    balancer = arranged(PeakEwma(random.Random(5).random), [fast, slow])
    assert all(balancer.pick(None, 1, ()) is fast for _ in range(100))
    fast.ewma_at = 200.0
    assert any(balancer.pick(None, 200, ()) is slow for _ in range(100))


def test_peak_average_jumps_up_and_decays_down() -> None:
    assert peak_average(0.1, 0.9, 1) == 0.9
    down = peak_average(0.9, 0.1, 10)
    assert 0.1 < down < 0.9
    assert peak_average(0.9, 0.1, -5) == 0.9, "no time passed on a clock that ran backwards"


KEYS = [f"consumer-{n}".encode() for n in range(10_000)]


@pytest.mark.parametrize("count", [2, 3, 5, 10, 20])
def test_removing_one_of_n_moves_at_most_its_share_and_five_percent(count: int) -> None:
    pool = spots(*[1] * count)
    whole = arranged(HashRing(), pool)
    before = [whole.pick(key, 0, ()) for key in KEYS]
    for gone in pool:
        rest = [s for s in pool if s is not gone]
        without = arranged(HashRing(), rest)
        moved = sum(without.pick(key, 0, ()) is not was for key, was in zip(KEYS, before, strict=True))
        assert moved / len(KEYS) <= 1 / count + 0.05


def test_an_unhealthy_target_moves_only_its_own_keys() -> None:
    pool = spots(1, 1, 1, 1)
    ring = arranged(HashRing(), pool)
    before = [ring.pick(key, 0, ()) for key in KEYS]
    ring.arrange(pool[1:], pool)
    for key, was in zip(KEYS, before, strict=True):
        now = ring.pick(key, 0, ())
        assert now is not pool[0]
        assert was is pool[0] or now is was


def test_ring_shares_follow_weights_and_are_the_same_in_every_process() -> None:
    pool = spots(3, 1)
    ring = arranged(HashRing(), pool)
    heavy = sum(ring.pick(key, 0, ()) is pool[0] for key in KEYS) / len(KEYS)
    assert heavy == pytest.approx(0.75, abs=0.05)
    assert ring_position(b"spork") == 7141977840715393


def test_without_a_key_the_ring_rotates() -> None:
    pool = spots(1, 1)
    ring = arranged(HashRing(), pool)
    assert [ring.pick(None, 0, ()) for _ in range(4)] == pool * 2


def test_spares_serve_when_too_few_of_the_first_are_healthy() -> None:
    a, b, spare = spots(1, 1, 1)
    assert first_level([([a, b], [a, b]), ([spare], [spare])], 0.5) == ([a, b], False)
    assert first_level([([a, b], [b]), ([spare], [spare])], 0.5) == ([b], False)
    assert first_level([([a, b], []), ([spare], [spare])], 0.5) == ([spare], False)


def test_panic_uses_everyone_when_too_few_are_healthy() -> None:
    a, b, c = spots(1, 1, 1)
    assert first_level([([a, b, c], [c])], 0.5) == ([a, b, c], True)
    assert first_level([([a, b, c], [])], 0.5) == ([a, b, c], True)
    assert first_level([([a, b, c], [c])], 0.3) == ([c], False)
    assert first_level([], 0.5) == ([], False)


def test_a_shown_token_keeps_its_target_while_that_is_available() -> None:
    first, second = Spot("10.0.0.1:80"), Spot("10.0.0.2:80")
    sticky: Sticky[Spot] = Sticky(WeightedRotation())
    sticky.arrange([first, second], [first, second])
    token = token_of(second.name)
    assert second.name.encode() not in token
    assert [sticky.pick(token, 0.0, ()) for _ in range(5)] == [second] * 5
    assert sticky.pick(token, 0.0, (second,)) is first, "tried before: another one"
    assert {sticky.pick(b"made up", 0.0, ()), sticky.pick(b"made up", 0.0, ())} == {first, second}
    sticky.arrange([first], [first, second])
    assert sticky.pick(token, 0.0, ()) is first
