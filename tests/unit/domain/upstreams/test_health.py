"""Rise and fall, ejection that grows and decays, caps, histories and the words for a whole."""

from __future__ import annotations

import pytest

from spork.domain.upstreams.health import (
    Ejection,
    OutlierPolicy,
    ProbeHistory,
    ProbePolicy,
    ProbeRecord,
    ProbeVerdict,
    may_eject,
    overall,
    passes,
    probe_pause,
)


def verdicts(results: str, policy: ProbePolicy = ProbePolicy(rise=2, fall=3)) -> str:
    record = ProbeRecord(policy)
    letters = {ProbeVerdict.UNKNOWN: "?", ProbeVerdict.UP: "u", ProbeVerdict.DOWN: "d"}
    said = ""
    for result in results:
        record.observe(result == "+")
        said += letters[record.verdict]
    return said


@pytest.mark.parametrize(
    ("results", "said"),
    [
        ("+", "u"),
        ("-", "d"),
        ("+---", "uuud"),
        ("+--+--+---", "uuuuuuuuud"),
        ("-+-++", "ddddu"),
        ("-++---++", "dduuuddu"),
    ],
)
def test_first_check_decides_then_rise_and_fall(results: str, said: str) -> None:
    assert verdicts(results) == said


def test_observe_tells_of_changes_only() -> None:
    record = ProbeRecord(ProbePolicy(rise=1, fall=1))
    assert [record.observe(ok) for ok in (True, True, False, False, True)] == [True, False, True, False, True]


def test_expected_statuses_and_jitter() -> None:
    policy = ProbePolicy(statuses=((200, 299), (401, 401)), every=10)
    assert [passes(policy, s) for s in (199, 200, 299, 300, 401, 402)] == [False, True, True, False, True, False]
    assert [probe_pause(policy, c) for c in (0.0, 0.5, 1.0)] == [9.0, 10.0, 11.0]


def test_ejection_needs_failures_in_a_row_and_grows_to_its_cap() -> None:
    ejection = Ejection(OutlierPolicy(consecutive=3, eject_for=30, max_eject_for=70))
    assert [ejection.failed() for _ in range(3)] == [False, False, True]
    assert ejection.eject(100) == 130
    assert ejection.out(129.9)
    assert not ejection.out(130)
    assert ejection.eject(130) == 190
    assert ejection.eject(190) == 260, "capped at 70 s"


def test_ejection_time_shrinks_with_good_behaviour() -> None:
    ejection = Ejection(OutlierPolicy(eject_for=30))
    for now in (0, 30, 90):
        ejection.eject(now)
    assert ejection.until == 180
    ejection.eject(180 + 60)
    assert ejection.until == 240 + 60, "two of three steps decayed in 60 s"
    assert ejection.total == 4


def test_zero_consecutive_is_off() -> None:
    ejection = Ejection(OutlierPolicy(consecutive=0))
    assert not any(ejection.failed() for _ in range(100))


@pytest.mark.parametrize(
    ("ejected", "targets", "may"),
    [(0, 1, False), (0, 2, True), (1, 2, False), (0, 3, True), (1, 3, False), (4, 10, True)],
)
def test_at_most_half_is_ejected(ejected: int, targets: int, may: bool) -> None:
    assert may_eject(OutlierPolicy(max_ejected=0.5), ejected, targets) is may


def test_history_keeps_an_hour_by_minutes() -> None:
    history = ProbeHistory()
    assert history.availability(0) is None
    history.add(True, 0.1, 30)
    history.add(False, 0.3, 31)
    history.add(True, 0.2, 90)
    assert history.availability(100) == pytest.approx(2 / 3)
    assert history.response_seconds(100) == pytest.approx(0.2)
    assert history.minutes(100) == [(0.0, 0.5, pytest.approx(0.2)), (60.0, 1.0, 0.2)]
    assert history.availability(60 * 60) == 1.0, "the first minute is an hour ago"
    assert history.availability(61 * 60) is None


def test_words_for_a_whole() -> None:
    assert [overall(s) for s in ([], ["healthy", "unknown"], ["healthy", "down"], ["down"], ["degraded"])] == [
        "unknown",
        "healthy",
        "degraded",
        "down",
        "degraded",
    ]
