"""The tail keeps what people can watch, however busy it gets, and says one in how many that is."""

from __future__ import annotations

from spork.application.telemetry.tail import KEPT, PER_SECOND, Traffic
from tests.closed_exchanges import closed_exchange

SECOND = 1_800_000_000


def send(traffic: Traffic, second: int, count: int, status: int = 200) -> None:
    for at in range(count):
        traffic.closed(closed_exchange(unix=second + at / count, status=status))


def test_a_quiet_second_is_kept_whole() -> None:
    traffic = Traffic()
    send(traffic, SECOND, 20)
    rows, number = traffic.since(0)
    assert len(rows) == 20
    assert [row.at for row in rows] == sorted(row.at for row in rows)
    assert traffic.since(number) == ([], number)


def test_a_busy_second_is_sampled_and_says_so() -> None:
    traffic = Traffic()
    send(traffic, SECOND, 5000)
    first, number = traffic.since(0)
    assert len(first) < 500  # even the first second of a burst
    send(traffic, SECOND + 1, 5000)
    rows, number = traffic.since(number)
    assert 0.5 * PER_SECOND <= len(rows) <= PER_SECOND
    send(traffic, SECOND + 2, 1)
    assert 100 <= traffic.rate <= 200


def test_exchanges_that_close_out_of_order_do_not_end_the_sampling() -> None:
    traffic = Traffic()
    send(traffic, SECOND, 5000)
    number = traffic.since(0)[1]
    for _ in range(50):  # as at the turn of each second: what began before closes after what began later
        traffic.closed(closed_exchange(unix=SECOND + 1.0))
        traffic.closed(closed_exchange(unix=SECOND + 0.999))
    send(traffic, SECOND + 1, 4900)
    assert len(traffic.since(number)[0]) <= 2 * PER_SECOND


def test_a_clock_that_was_set_back_goes_on() -> None:
    traffic = Traffic()
    send(traffic, SECOND, 100)
    send(traffic, SECOND - 200_000, 10, 503)
    assert sum(row.status == 503 for row in traffic.latest(KEPT)) == 10


def test_failures_have_room_of_their_own() -> None:
    traffic = Traffic()
    send(traffic, SECOND, 5000)
    for _ in range(1000):
        traffic.closed(closed_exchange(unix=SECOND + 1.0))
    send(traffic, SECOND + 1, 30, 503)
    assert sum(row.status == 503 for row in traffic.latest(KEPT)) == 30


def test_what_a_client_put_into_a_path_is_shown_as_it_is_logged() -> None:
    """Keys and tokens in targets are redacted in every view by the log's own mechanism."""
    from spork.adapters.structlog.redaction import redact

    traffic = Traffic(redact=redact)
    exchange = closed_exchange(unix=SECOND)
    exchange.head.path = b"/x/spk_DVdt5K6KXswc_lROIg6YoW0igqgXLiQOKkthvVDQ8DnpC1ayOmD"
    traffic.closed(exchange)
    [shown] = traffic.latest()
    [streamed], _ = traffic.since(0)
    assert shown.path == streamed.path == "/x/spk_DVdt5K6KXswc_[redacted]"
