"""Numbers as operators read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.console.text import formats
from spork.console.text.labels import severity, state

NUMBERS = st.none() | st.floats(0, 1e12)


@given(NUMBERS)
def test_a_missing_value_is_a_dash_and_a_known_one_is_not(value: float | None) -> None:
    for show in (formats.count, formats.rate, formats.percent, formats.millis, formats.size, formats.lasting):
        assert (show(value) == "-") == (value is None)


@given(st.floats(0, 9.9e14))
def test_counts_fit_six_cells(value: float) -> None:
    assert len(formats.count(value)) <= 6


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (formats.count(1204), "1 204"),
        (formats.count(12_340), "12.3k"),
        (formats.rate(0.42), "0.4"),
        (formats.rate(1842), "1 842"),
        (formats.percent(0.0042), "0.4"),
        (formats.percent(1.0), "100"),
        (formats.millis(0.42), "0.4"),
        (formats.millis(2000), "2.0s"),
        (formats.size(10 * 1024 * 1024), "10.0 MiB"),
        (formats.period(60), "min"),
        (formats.period(86_400), "d"),
        (formats.period(10), "10s"),
        (formats.clock(1_795_262_671), "12:04:31"),
        (formats.clock(1e300), "-"),
        (formats.until(90.0, 100.0), "due"),
        (formats.mask("spk_0123456789abcdef", "key"), "spk_…ef"),
        (formats.mask("user:8841", "user"), "user:8841"),
    ],
)
def test_shown(shown: str, text: str) -> None:
    assert shown == text


@given(st.lists(st.none() | st.floats(0, 1e9), max_size=400), st.integers(0, 80), st.booleans())
def test_a_sparkline_takes_its_width_and_keeps_its_peak(
    points: list[float | None], width: int, ascii_only: bool
) -> None:
    drawn = formats.sparkline(points, width, ascii_only)
    assert len(drawn) == width
    known = [point for point in points[-width:] if point]
    if width and len(points) <= width and known and max(known) == max(point or 0 for point in points) > 1e-6:
        assert ("@" if ascii_only else "█") in drawn


@given(st.floats(0, 2), st.integers(1, 40))
def test_a_bar_shows_something_of_anything(share: float, width: int) -> None:
    drawn = formats.bar(share, width, ascii_only=True)
    assert len(drawn) == width
    assert ("#" in drawn) == (share > 0)


@pytest.mark.parametrize(
    "word", ["closed", "open", "half_open", "forced_open", "up", "down", "draining", "unknown", "degraded"]
)
def test_states_differ_in_words_not_only_in_colour(word: str) -> None:
    assert state(word).word.isupper()
    assert (severity(word) > 0) == (state(word).glyph != " ")


def test_a_state_from_a_newer_gateway_is_unknown_and_not_well() -> None:
    assert state("melting").glyph == "?"
    assert severity("melting") == 1


def test_a_duration_carries_its_unit_once() -> None:
    assert [formats.took(value) for value in (None, 0.4, 410.0, 2000.0, 125_000.0)] == [
        "-",
        "0.4 ms",
        "410 ms",
        "2.0s",
        "2m05",
    ]


def test_what_is_due_is_not_in_due() -> None:
    assert [formats.ahead(at, 100.0) for at in (None, 121.0, 99.0)] == ["-", "in 21s", "due"]
