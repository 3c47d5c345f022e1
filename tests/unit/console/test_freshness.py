"""Ages and their words, with a clock of our own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.console.text.freshness import age, judge, lag_on_arrival, skewed

WORDS = ("LIVE", "LAG", "STALE")


@pytest.mark.parametrize(
    ("seconds", "interval", "failures", "word"),
    [
        (0.3, 1.0, 0, "LIVE"),
        (1.99, 1.0, 0, "LIVE"),
        (2.0, 1.0, 0, "LAG"),
        (4.9, 1.0, 0, "LAG"),
        (5.0, 1.0, 0, "STALE"),
        (6.0, 5.0, 0, "LIVE"),
        (0.3, 1.0, 2, "LIVE"),
        (0.3, 1.0, 3, "DOWN"),
        (None, 1.0, 0, "WAITING"),
        (None, 1.0, 3, "DOWN"),
    ],
)
def test_words(seconds: float | None, interval: float, failures: int, word: str) -> None:
    assert judge(seconds, interval, failures).word == word


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0.1, 60))
def test_older_is_never_fresher(one: float, other: float, interval: float) -> None:
    young, old = sorted((one, other))
    assert WORDS.index(judge(young, interval, 0).word) <= WORDS.index(judge(old, interval, 0).word)


@given(st.floats(0, 1e9))
def test_ages_are_short(seconds: float) -> None:
    assert len(age(seconds)) <= 6


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.34, "0.3s"), (14.2, "14s"), (99.6, "1m39s"), (130, "2m10s"), (11_520, "3h12m"), (400_000, "4d"), (-5, "0.0s")],
)
def test_ages(seconds: float, text: str) -> None:
    assert age(seconds) == text


def test_a_skewed_clock_is_skew_and_not_age() -> None:
    assert lag_on_arrival(100.0, 101.5) == 1.5
    assert lag_on_arrival(100.0, 160.0) == 0.0
    assert lag_on_arrival(160.0, 100.0) == 0.0
    assert not skewed(1.9)
    assert skewed(-2.1)
