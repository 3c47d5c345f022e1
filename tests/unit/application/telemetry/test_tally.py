"""Counting exchanges, windows over the last seconds, percentiles, and how workers' reports add up."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.application.callers.failures import too_many
from spork.application.telemetry.families import FAMILIES, MetricSums, report_of
from spork.application.telemetry.rolling import BOUNDS, PIECE, SIZE, WINDOW, Window, percentile_ms
from spork.application.telemetry.tally import LOOKED, OTHER, RequestCounters
from spork.domain.identity.tokens import Principal
from spork.domain.outcomes import Denied
from tests.closed_exchanges import closed_exchange


def sums(*tallies: RequestCounters) -> MetricSums:
    return MetricSums(report_of(f"w{i}", 0.0, 1.0, tally, ()) for i, tally in enumerate(tallies))


def test_each_exchange_is_counted_once_under_its_labels() -> None:
    tally = RequestCounters()
    for status in (200, 200, 404, 502):
        reason = {502: "connection_refused", 404: ""}.get(status, "")
        tally.closed(closed_exchange(status=status, reason=reason))
    values = sums(tally).values
    assert values["gateway_requests_total"] == {
        ("users", "GET", "200"): 2, ("users", "GET", "404"): 1, ("users", "GET", "502"): 1,
    }  # fmt: skip
    assert values["gateway_refusals_total"] == {("users", "connection_refused"): 1}
    assert values["upstream_requests_total"]["users", "127.0.0.1:7001", "502"] == 1
    assert values["gateway_response_bytes_total"] == {("users",): 400}


def test_workers_add_up_and_a_gone_one_keeps_its_counters_only() -> None:
    one, two = RequestCounters(), RequestCounters()
    one.closed(closed_exchange())
    two.closed(closed_exchange())
    first, second = (report_of("w", 0.0, 1.0, t, ()) for t in (one, two))
    second.samples.append(("gateway_requests_in_flight", (), 7.0))
    second.gone = True
    added = MetricSums([first, second])
    assert added.values["gateway_requests_total"]["users", "GET", "200"] == 2
    assert "gateway_requests_in_flight" not in added.values
    assert added.values["gateway_workers"][()] == 1


def test_gauges_merge_as_their_family_says() -> None:
    reports = [report_of("w", 0.0, 1.0, RequestCounters(), ()) for _ in range(2)]
    for report, lag, health in zip(reports, (0.1, 0.4), (1.0, 0.0), strict=True):
        report.samples += [
            ("gateway_event_loop_lag_seconds", (), lag),
            ("upstream_health_status", ("u", "t"), health),
            ("gateway_requests_in_flight", (), 3.0),
            ("nobody_knows_this", (), 1.0),
        ]
    values = MetricSums(reports).values
    assert values["gateway_event_loop_lag_seconds"][()] == 0.4
    assert values["upstream_health_status"]["u", "t"] == 0.0
    assert values["gateway_requests_in_flight"][()] == 6.0
    assert "nobody_knows_this" not in values


def test_a_window_forgets_after_ten_seconds() -> None:
    tally = RequestCounters()
    tally.closed(closed_exchange(status=503, reason="destination_unavailable"))
    tally.tick(100.0)
    assert (tally.windows().total.requests, tally.windows().total.errors) == (1, 1)
    tally.closed(closed_exchange())
    tally.tick(105.0)
    assert tally.windows().total.requests == 2
    tally.tick(110.0)
    assert (tally.windows().total.requests, tally.windows().total.errors) == (1, 0)
    tally.tick(115.0)
    assert tally.windows().total.requests == 0
    assert tally.windows().total.percentile_ms(0.5) is None


def test_a_busy_cell_has_a_window_of_its_last_ten_seconds() -> None:
    tally = RequestCounters()
    for second in range(1000, 1060):
        for _ in range(second - 999):
            tally.closed(closed_exchange())
        tally.tick(float(second))
    assert tally.windows().total.requests == sum(range(51, 61))
    assert tally.windows().targets["users", "127.0.0.1:7001"].rps == pytest.approx(sum(range(51, 61)) / 10)


def test_seconds_without_traffic_stand_in_the_series_as_zero() -> None:
    tally = RequestCounters()
    tally.closed(closed_exchange())
    tally.tick(100.0)
    tally.closed(closed_exchange(status=429, reason="quota_exceeded", attempts=0))
    tally.tick(103.0)
    assert tally.series() == [(100, 1, 0, 0), (101, 0, 0, 0), (102, 0, 0, 0), (103, 1, 0, 1)]
    tally.tick(99.0)
    assert len(tally.series()) == 4, "a clock that runs backwards adds nothing"


def test_labels_are_bounded() -> None:
    tally = RequestCounters(max_cells=3)
    for number in range(50):
        tally.closed(closed_exchange(method=f"M{number}", target=f"t{number}"))
    labels = sums(tally).values["gateway_requests_total"]
    assert labels == {("users", OTHER, "200"): 50}
    assert len(list(tally.cells())) <= 4


def test_cells_of_removed_routes_go_once_they_are_still() -> None:
    tally = RequestCounters()
    tally.closed(closed_exchange(route="old"))
    tally.tick(100.0)
    tally.forget(frozenset({"new"}))
    assert len(list(tally.cells())) == 1, "it is in the window still"
    tally.tick(120.0)
    tally.forget(frozenset({"new"}))
    assert list(tally.cells()) == []


def test_authentications_by_method_and_result() -> None:
    tally = RequestCounters()
    tally.closed(closed_exchange(principal=Principal("alice", "jwt")))
    tally.closed(closed_exchange(status=401, reason="invalid_credentials", attempts=0))
    assert tally.authentications == {("jwt", "success"): 1, ("any", "invalid_credentials"): 1}


def test_throttled_exchanges_name_their_limits() -> None:
    tally = RequestCounters()
    tally.closed(
        closed_exchange(
            status=429, reason="quota_exceeded", attempts=0, members={"violated-policies": ["per-ip", "plan"]}
        )
    )
    assert tally.throttled == {("users", "per-ip"): 1, ("users", "plan"): 1}


def test_an_address_that_failed_too_often_is_refused_by_a_limit_with_a_name() -> None:
    """The client is told no policy, but the metric names the bucket; and a refusal that names none goes by its reason."""
    tally = RequestCounters()
    exchange = closed_exchange(status=429, reason="too_many_failures", attempts=0)
    denial = too_many(2.0)
    assert "violated-policies" not in denial.members
    exchange.outcome = Denied(denial, 429)
    tally.closed(exchange)
    tally.closed(closed_exchange(status=429, reason="concurrency_exceeded", attempts=0))
    assert tally.throttled == {("users", "failed-authentication"): 1, ("users", "concurrency_exceeded"): 1}


@pytest.mark.parametrize("status", [401, 429])
def test_a_targets_own_refusal_is_none_of_ours(status: int) -> None:
    tally = RequestCounters()
    tally.closed(closed_exchange(status=status))
    tally.tick(100.0)
    assert (tally.windows().total.requests, tally.windows().total.throttled) == (1, 0)
    assert tally.series() == [(100, 1, 0, 0)]
    assert not tally.throttled
    assert not tally.authentications


def test_throttled_is_counted_in_the_window_and_the_second_it_happened() -> None:
    tally = RequestCounters()
    for second in (100, 101):
        tally.closed(closed_exchange(status=429, reason="concurrency_exceeded", attempts=0))
        tally.closed(closed_exchange(status=429))
        tally.tick(float(second))
    assert tally.windows().routes["users"].throttled == 2
    assert tally.series() == [(100, 2, 0, 1), (101, 2, 0, 1)]
    tally.closed(closed_exchange())
    tally.tick(110.0)
    assert tally.windows().total.throttled == 1, "that of second 100 has left the window"


def test_histograms_are_cumulative_and_end_with_everything() -> None:
    tally = RequestCounters()
    for seconds in (0.0001, 0.004, 0.3, 99.0):
        tally.closed(closed_exchange(seconds=seconds, upstream_seconds=seconds))
    rows = sums(tally).histograms["gateway_response_time_seconds"]["users", "GET"].exposed()
    assert [count for _, count in rows] == sorted(count for _, count in rows)
    assert rows[-1] == (float("inf"), 4)
    assert dict(rows)[0.005] == 2


@given(st.lists(st.floats(0.0001, 29.0), min_size=1, max_size=200), st.sampled_from([0.5, 0.95, 0.99]))
def test_percentiles_are_within_the_bucket_of_the_exact_value(values: list[float], share: float) -> None:
    buckets = [0] * SIZE
    for value in values:
        buckets[next((i for i, bound in enumerate(BOUNDS) if value <= bound), len(BOUNDS))] += 1
    exact = sorted(values)[max(0, -(-int(share * 1000) * len(values) // 1000) - 1)]
    index = next(i for i, bound in enumerate(BOUNDS) if exact <= bound)
    low = BOUNDS[index - 1] if index else 0.0
    estimate = percentile_ms(buckets, share)
    assert estimate is not None
    assert low * 1000 - 1e-6 <= estimate <= BOUNDS[index] * 1000 + 1e-6


def test_windows_travel_as_rows_and_merge() -> None:
    chance = random.Random(7)
    tally = RequestCounters()
    for _ in range(100):
        tally.closed(closed_exchange(seconds=chance.random()))
    tally.tick(50.0)
    window = tally.windows().total
    copy = Window.from_row(window.row())
    copy.merge(window)
    assert copy.requests == 200
    assert copy.percentile_ms(0.95) == window.percentile_ms(0.95)


def test_family_names_and_kinds_are_fit_for_prometheus() -> None:
    assert len({family.name for family in FAMILIES}) == len(FAMILIES)
    for family in FAMILIES:
        assert (family.kind == "counter") == family.name.endswith("_total")
        assert family.meaning.endswith((".", ")"))


# ---------------------------------------------------------------------------------------------------------- many routes


def counting(tally: RequestCounters, routes: int) -> None:
    for number in range(routes):
        tally.closed(closed_exchange(route=f"r{number}", upstream=f"u{number % 7}", target=f"t{number % 5}"))


def steps_of(tally: RequestCounters, second: int) -> list[int]:
    """How many requests each step of closing a second took note of."""
    seen = sum(tally.hits.values())
    took: list[int] = []
    for _ in tally.closing(float(second)):
        took.append(sum(tally.hits.values()) - seen)
        seen += took[-1]
    return took


def test_a_second_of_many_routes_is_closed_in_steps_that_are_short() -> None:
    tally = RequestCounters()
    counting(tally, 3000)
    took = steps_of(tally, 100)
    assert max(took) <= PIECE
    assert (sum(took), len(took)) == (3000, 12), "nobody looks: nothing is added up"
    assert tally.windows().total.requests == 3000
    counting(tally, 3000)
    took = steps_of(tally, 101)
    assert (sum(took), len(took)) == (3000, 24), "somebody does: added up, in as many steps again"
    assert len(steps_of(tally, 111)) == 24, "both seconds are taken off"
    assert tally.windows().total.requests == 0
    counting(tally, 3000)
    assert len(steps_of(tally, 111 + LOOKED)) == 12, "a while after the last look it is left"


def test_a_second_costs_what_moved_in_it_not_what_there_is() -> None:
    tally = RequestCounters()
    counting(tally, 3000)
    tally.tick(100.0)
    tally.windows()
    counting(tally, 10)
    assert len(steps_of(tally, 101)) == 2


@given(st.data())
def test_windows_are_the_sums_of_their_seconds_whenever_somebody_looks(data: st.DataObject) -> None:
    """Against sums made anew; looks come between any two steps, requests too, and seconds may be missing."""
    tally, second = RequestCounters(), 100
    happened: list[tuple[int, str, str]] = []

    def look() -> None:
        windows = tally.windows()
        for name, of in ((0, windows.routes), (1, windows.upstreams)):
            expected: dict[str, int] = {}
            for at, *names in happened:
                if at > second - WINDOW:
                    expected[names[name]] = expected.get(names[name], 0) + 1
            assert {key: window.requests for key, window in of.items()} == expected
            assert {key: sum(window.buckets) for key, window in of.items()} == expected
        assert sum(windows.total.upstream_buckets) == windows.total.requests == sum(expected.values())

    for _ in range(data.draw(st.integers(1, 12))):
        second += data.draw(st.sampled_from([1, 1, 1, 4, 11]))
        for route in data.draw(st.lists(st.integers(0, 600), max_size=600)):
            happened.append((second, f"r{route}", f"u{route % 3}"))
            tally.closed(closed_exchange(route=f"r{route}", upstream=f"u{route % 3}"))
        looks = data.draw(st.sets(st.integers(0, 4)))
        for at, _ in enumerate(tally.closing(float(second))):
            if at in looks:
                tally.windows()
        if data.draw(st.booleans()):
            look()
    look()


def test_a_busy_route_counts_right_in_its_window() -> None:
    tally = RequestCounters()
    for number in range(5000):
        tally.closed(closed_exchange(seconds=0.004 if number % 2 else 0.4))
    tally.tick(100.0)
    window = tally.windows().routes["users"]
    assert (window.requests, sum(window.buckets), max(window.buckets), sum(window.upstream_buckets)) == (
        5000, 5000, 2500, 5000,
    )  # fmt: skip
    tally.tick(110.0)
    assert not tally.windows().routes
    assert not any(tally.windows().total.marks)
