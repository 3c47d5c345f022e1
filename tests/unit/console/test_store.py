"""The store ends in the same state whatever order, duplicates and gaps the stream brings."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spork.application.views import BreakerView
from spork.console.gateway.faults import AccessDenied, BadData
from spork.console.session.store import EVENTS_RING, PENDING_SECONDS, TRAFFIC_RING, Pending, Store
from tests.unit.console import seeds

AT = 1_795_262_671.0
BASE: BreakerView = seeds.breakers(AT)[0]


def breaker(name: str, rps: float) -> BreakerView:
    return replace(BASE, name=name, rps=rps)


# One history: at each revision one key is written or goes away.
HISTORY = st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), min_size=1, max_size=30)


def truth(history: list[tuple[str, bool]], upto: int | None = None) -> dict[str, BreakerView]:
    rows: dict[str, BreakerView] = {}
    for rev, (name, gone) in enumerate(history[:upto], 1):
        if gone:
            rows.pop(name, None)
        else:
            rows[name] = breaker(name, rev)
    return rows


def apply(store: Store, history: list[tuple[str, bool]], rev: int) -> None:
    name, gone = history[rev - 1]
    store.delta("breakers", [] if gone else [breaker(name, rev)], [name] if gone else [], rev)


def shown(store: Store) -> dict[str, BreakerView]:
    return {row.name: row for row in store.rows("breakers")}


@given(HISTORY, st.data())
def test_reordered_and_repeated_deltas_end_as_the_ordered_history(history: list[tuple[str, bool]], data: Any) -> None:
    revs = list(range(1, len(history) + 1))
    arrival = data.draw(st.permutations(revs + data.draw(st.lists(st.sampled_from(revs), max_size=10))))
    store = Store()
    store.settle(0)
    for rev in arrival:
        apply(store, history, rev)
    assert shown(store) == truth(history)


@given(HISTORY, st.data())
def test_a_snapshot_fills_the_gap_and_takes_nothing_newer_away(history: list[tuple[str, bool]], data: Any) -> None:
    """Some deltas are lost; a snapshot of revision R comes while newer ones already have."""
    at = data.draw(st.integers(0, len(history)))
    lost = data.draw(st.sets(st.integers(1, max(1, at))))
    store = Store()
    store.settle(0)
    before = data.draw(st.integers(at, len(history)))
    for rev in range(1, before + 1):
        if rev not in lost or rev > at:
            apply(store, history, rev)
    store.replace("breakers", list(truth(history, at).values()), at)
    store.settle(at)
    for rev in range(before + 1, len(history) + 1):
        apply(store, history, rev)
    assert shown(store) == truth(history)


def test_a_restarted_gateway_counts_from_the_start_again() -> None:
    store = Store()
    store.replace("breakers", [breaker("old", 1)], 90_000)
    store.settle(90_000)
    store.new_link()
    store.replace("breakers", [breaker("new", 1)], 3)
    store.settle(3)
    assert set(shown(store)) == {"new"}
    assert store.rev == 3
    store.delta("breakers", [breaker("new", 2)], [], 4)
    assert shown(store)["new"].rps == 2


def test_rings_are_bounded_and_count_what_they_drop() -> None:
    store = Store()
    for start in range(0, TRAFFIC_RING + 400, 200):
        store.sample(seeds.traffic(AT + start, 200, start), 20)
    assert len(store.traffic) == TRAFFIC_RING
    assert store.traffic.dropped == 400
    assert store.sample_rate == 20
    assert len(store._traffic_ids) <= 2 * TRAFFIC_RING


def test_an_event_seen_twice_is_one_event() -> None:
    store = Store()
    rows = seeds.events(AT)
    store.replace("events", rows, 1)
    store.audit(rows[:2])
    assert [row.id for row in store.rows("events")] == [row.id for row in sorted(rows, key=lambda row: -row.at)]
    assert len(store.events) == len(rows) < EVENTS_RING


def test_time_passes_by_our_clock_and_a_frozen_as_of_grows_old() -> None:
    store = Store()
    store.renew(["breakers"], 100.0, as_of=AT, wall=AT + 0.5)
    assert store.freshness("breakers", 100.0).age == 0.5
    assert store.freshness("breakers", 101.0).word == "LIVE"
    store.renew(["breakers"], 110.0, as_of=AT, wall=AT + 10.5)  # the same as_of again: nothing was renewed
    assert store.freshness("breakers", 110.0).word == "STALE"
    store.renew(["breakers"], 111.0, as_of=AT + 11, wall=AT + 11.0)
    assert store.freshness("breakers", 111.5).word == "LIVE"


def test_failures_make_down_and_keep_the_rows() -> None:
    store = Store()
    store.replace("breakers", [BASE], 1)
    store.renew(["breakers"], 100.0)
    for _ in range(3):
        store.fail(["breakers"], AccessDenied("needs role operator"))
    assert store.freshness("breakers", 100.1).word == "DOWN"
    assert store.rows("breakers") == [BASE]
    store.replace("breakers", [BASE], 2)
    store.renew(["breakers"], 101.0)
    assert store.freshness("breakers", 101.1).word == "LIVE"
    assert store.shelves["breakers"].fault is None


def test_one_topic_of_bad_data_leaves_the_others_alone() -> None:
    store = Store()
    store.renew(["breakers", "targets"], 100.0)
    store.fail(["targets"], BadData("targets: $[0].weight"))
    assert store.freshness("breakers", 100.1).word == "LIVE"
    assert store.shelves["targets"].fault is not None


def test_pending_ends_with_a_revision_that_confirms_it() -> None:
    store = Store()
    store.settle(10)
    store.wait_for("breakers", "billing", Pending("trip", 12, 0.0))
    store.delta("breakers", [replace(BASE, rps=1.0)], [], 11)
    assert ("breakers", "billing") in store.pending
    store.delta("breakers", [replace(BASE, rps=2.0)], [], 12)
    assert not store.pending


def test_pending_that_nobody_confirms_is_given_up_and_told() -> None:
    store = Store()
    store.wait_for("breakers", "billing", Pending("trip", 12, 100.0))
    assert store.give_up(100.0 + PENDING_SECONDS) == []
    assert store.give_up(100.1 + PENDING_SECONDS) == [("breakers", "billing")]
    assert not store.pending


def test_a_delta_that_came_before_the_answer_leaves_nothing_pending() -> None:
    store = Store()
    store.delta("breakers", [BASE], [], 12)
    store.wait_for("breakers", BASE.name, Pending("trip", 12, 0.0))
    assert not store.pending
