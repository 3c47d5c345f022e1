"""The order of the sampling decision, and that the ratio is one for every sampler that goes by trace ids."""

from __future__ import annotations

import random

import pytest

from spork.domain.tracing.sampling import SecondCap, bound_of, head_sampled, within

ALWAYS, NEVER = bound_of(1.0), bound_of(0.0)
TRACE = b"0af7651916cd43dd8448eb211c80319c"


def test_a_trusted_callers_flag_goes_before_everything() -> None:
    full = SecondCap(1)
    assert full.take(0.0)
    assert head_sampled(True, False, TRACE, NEVER, full, 0.0)
    assert not head_sampled(False, True, TRACE, ALWAYS, SecondCap(0), 0.0)


def test_a_forced_trace_is_kept_whatever_ratio_and_cap_say() -> None:
    full = SecondCap(1)
    assert full.take(0.0)
    assert head_sampled(None, True, TRACE, NEVER, full, 0.0)


def test_the_ratio_is_capped_by_the_second() -> None:
    cap = SecondCap(2)
    assert [head_sampled(None, False, TRACE, ALWAYS, cap, 1.0 + n / 10) for n in range(4)] == [True, True, False, False]
    assert head_sampled(None, False, TRACE, ALWAYS, cap, 2.0)
    assert all(SecondCap(0).take(1.0) for _ in range(5)), "0 is no cap"


@pytest.mark.parametrize("ratio", [0.01, 0.25, 0.5])
def test_the_ratio_goes_by_the_low_64_bits_as_opentelemetrys_does(ratio: float) -> None:
    chance = random.Random(7)
    ids = [b"%032x" % chance.getrandbits(128) for _ in range(20_000)]
    kept = {i for i in ids if within(i, bound_of(ratio))}
    assert kept == {i for i in ids if int(i, 16) & (1 << 64) - 1 < round(ratio * 2**64)}
    assert kept <= {i for i in ids if within(i, bound_of(ratio * 1.5))}, "a higher ratio keeps all of a lower one"
    assert abs(len(kept) / len(ids) - ratio) < 0.02


def test_the_ends_of_the_ratio() -> None:
    assert within(b"f" * 32, ALWAYS)
    assert not within(b"0" * 31 + b"1", NEVER)
