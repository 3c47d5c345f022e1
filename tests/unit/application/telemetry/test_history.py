"""An hour of rates by service and route: exact samples, gaps are gaps, memory is bounded."""

from __future__ import annotations

from spork.application.telemetry.history import History
from spork.application.telemetry.rolling import Windows


def windows(route: str = "r", upstream: str = "u", requests: int = 50, status: int = 200) -> Windows:
    found = Windows()
    found.add(((route, "GET", status, upstream, "t"), requests, 0, 0, [3] * requests))
    return found


def test_a_sample_each_ten_seconds() -> None:
    history = History()
    for step in range(3):
        assert history.due(1000 + 10 * step)
        history.sample(windows(status=500 if step == 2 else 200), 1000 + 10 * step)
        assert not history.due(1009 + 10 * step)
    (row,) = history.rows("service", "u", minutes=1)
    assert row.rate == (None, None, None, 5.0, 5.0, 5.0)
    assert row.errors[-3:] == (0.0, 0.0, 1.0)
    assert row.p95_ms[-1] is not None
    assert row.until == 1020.0
    assert {(row.kind, row.name) for row in history.rows()} == {("total", ""), ("service", "u"), ("route", "r")}


def test_a_service_without_requests_is_at_zero_not_missing() -> None:
    history = History()
    history.sample(windows(), 1000)
    history.sample(Windows(), 1010)
    history.sample(Windows(), 1020)
    history.sample(windows(), 1030)
    (row,) = history.rows("route", "r", minutes=1)
    assert row.rate[-4:] == (5.0, 0.0, 0.0, 5.0)
    history.sample(Windows(), 1040)
    (row,) = history.rows("route", "r", minutes=1)
    assert row.rate[-1] == 0.0
    assert row.p95_ms[-1] is None


def test_an_hour_is_kept_and_no_more() -> None:
    history = History()
    for step in range(400):
        history.sample(windows(requests=10 * (step % 7)), 10_000 + 10 * step)
    (row,) = history.rows("service", "u")
    assert len(row.rate) == 360
    assert row.rate[0] == float((400 - 360) % 7)
    assert row.rate[-1] == float(399 % 7)


def test_names_are_bounded_and_the_longest_idle_makes_room() -> None:
    history = History(most=4)
    history.sample(windows("a", "a"), 1000)
    history.sample(windows("b", "b"), 1010)
    kept = {(row.kind, row.name) for row in history.rows()}
    assert len(kept) == 4
    assert ("service", "b") in kept
    many = Windows()
    for name in "cdefg":
        many.merge(windows(name, name))
        many.routes |= windows(name, name).routes
    history.sample(many, 1020)
    assert len(history.rows()) == 4
    assert history.dropped > 0
