"""A list kept in order by what changed is the list sorted whole, whatever happened in between."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import example, given, settings
from hypothesis import strategies as st

from spork.console.pictures.columns import compile_filter, order, select
from spork.console.pictures.sorted_rows import SortedRows
from spork.console.pictures.tables import TABLES
from spork.console.session.store import STEPS, Store
from tests.unit.console import seeds

QUOTAS = TABLES["quotas"]
ROW = seeds.quotas()[0]
KEYS = [f"q{number}" for number in range(8)]

changes = st.lists(
    st.one_of(
        st.tuples(st.just("row"), st.sampled_from(KEYS), st.integers(0, 9)),
        st.tuples(st.just("gone"), st.sampled_from(KEYS), st.just(0)),
        st.tuples(st.just("all"), st.sampled_from(KEYS), st.integers(0, 9)),
        st.tuples(st.just("look"), st.just(""), st.just(0)),
    ),
    max_size=40,
)


def quota(key: str, used: int) -> object:
    return replace(ROW, id=key, subject=f"s{used}", used=used, quota=10, refused_5m=used % 2)


@settings(max_examples=200, deadline=None)
@example([("look", "", 0), ("row", "q0", 0), ("look", "", 0), ("row", "q0", 1)], "used", False, "")
@given(
    changes, st.sampled_from(["used", "refused", "override", "owner"]), st.booleans(), st.sampled_from(["", "s1|s3"])
)
def test_it_is_the_whole_sort(steps: list[tuple[str, str, int]], by: str, descending: bool, typed: str) -> None:
    store, kept = Store(), SortedRows(QUOTAS)
    column = QUOTAS.column(by)
    assert column is not None
    test = compile_filter(typed)
    kept.wants(column, descending, test, False, "")
    for at, (what, key, used) in enumerate([*steps, ("look", "", 0)]):
        if what == "row":
            store.delta("quotas", [quota(key, used)], (), at)
        elif what == "gone":
            store.delta("quotas", [], [key], at)
        elif what == "all":
            store.replace("quotas", [quota(each, used) for each in KEYS if each != key], at)
        else:
            rows, keys = kept.rows(store)
            whole = order(select(QUOTAS, store.rows("quotas"), test), column, descending, QUOTAS.key)
            assert sorted(keys) == sorted(QUOTAS.key(row) for row in whole)
            assert [column.raw(row) for row in rows] == [column.raw(row) for row in whole]
            assert [QUOTAS.key(row) for row in rows] == keys


def test_another_gateways_store_is_another_list() -> None:
    kept, column = SortedRows(QUOTAS), QUOTAS.column("used")
    assert column is not None
    kept.wants(column, True, None, False, "")
    one, two = Store(), Store()
    one.delta("quotas", [quota("q1", 1)], (), 1)
    two.delta("quotas", [quota("q2", 1)], (), 1)
    assert kept.rows(one)[1] == ["q1"]
    assert kept.rows(two)[1] == ["q2"]


def test_what_changed_is_told_as_long_as_it_is_known() -> None:
    store = Store()
    start = store.version("quotas")
    store.delta("quotas", [quota("q1", 1)], (), 1)
    seen = store.version("quotas")
    store.delta("quotas", [quota("q2", 2)], ["q1"], 2)
    assert store.changed_since("quotas", start) == {"q1", "q2"}
    assert store.changed_since("quotas", seen) == {"q1", "q2"}
    assert store.changed_since("quotas", store.version("quotas")) == set()
    store.replace("quotas", [quota("q3", 1)], 3)
    assert store.changed_since("quotas", seen) is None
    for number in range(STEPS + 1):
        store.delta("quotas", [quota("q1", number)], (), 4 + number)
    assert store.changed_since("quotas", seen) is None


def test_the_same_row_again_changes_nothing() -> None:
    store = Store()
    store.delta("quotas", [quota("q1", 1)], (), 1)
    version = store.version("quotas")
    store.delta("quotas", [quota("q1", 1)], (), 2)
    assert store.version("quotas") == version
    assert store.shelves["quotas"].written["q1"] == 2


def test_what_is_derived_is_found_once_per_version() -> None:
    store, found = Store(), []

    def count() -> int:
        found.append(1)
        return len(store.rows("quotas"))

    assert [store.derived("quotas", "count", count) for _ in range(3)] == [0, 0, 0]
    store.delta("quotas", [quota("q1", 1)], (), 1)
    assert [store.derived("quotas", "count", count) for _ in range(3)] == [1, 1, 1]
    assert len(found) == 2
