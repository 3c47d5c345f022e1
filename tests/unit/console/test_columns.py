"""Tables without a screen: what fits, what sorts, what a filter keeps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.console.pictures.columns import BadFilter, Table, compile_filter, layout, order, select, total_width
from spork.console.pictures.tables import TABLES
from spork.console.text.moment import Moment
from spork.console.text.spans import cells, crop, fit
from tests.unit.console import seeds

AT = 1_795_262_671.0
ROWS: dict[str, list[Any]] = {name: seeds.all_topics(AT)[name] for name in TABLES}  # type: ignore[misc]
MOMENT = Moment(AT)


@given(st.sampled_from(sorted(TABLES)), st.integers(20, 240))
def test_a_layout_never_exceeds_its_width_and_keeps_what_matters_most(name: str, width: int) -> None:
    table = TABLES[name]
    placed = layout(table.columns, width)
    assert total_width(placed) <= width or len(placed) == 1
    kept = {column.name for column, _ in placed}
    if 2 <= len(kept) < len(table.columns):
        dropped = min(column.priority for column in table.columns if column.name not in kept)
        assert all(column.priority <= dropped for column, _ in placed)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_eighty_cells_show_the_columns_of_first_rank(name: str) -> None:
    kept = {column.name for column, _ in layout(TABLES[name].columns, 77)}
    assert {column.name for column in TABLES[name].columns if column.priority == 1} <= kept


@pytest.mark.parametrize("name", sorted(TABLES))
def test_every_cell_of_every_table_can_be_drawn_and_sorted_by(name: str) -> None:
    table = TABLES[name]
    for column in table.columns:
        for row in ROWS[name]:
            text, _ = column.cell(row, MOMENT)
            assert isinstance(text, str)
        for descending in (True, False):
            assert len(order(list(ROWS[name]), column, descending, table.key)) == len(ROWS[name])


@pytest.mark.parametrize("name", sorted(TABLES))
def test_no_table_shows_a_missing_number_as_zero(name: str) -> None:
    table = TABLES[name]
    for row in ROWS[name]:
        blank = replace(
            row, **{field: None for field in row.__dataclass_fields__ if field in OPTIONAL and field != "id"}
        )
        for column in table.columns:
            if column.raw(blank) is None and column.raw(row) is not None:
                assert column.cell(blank, MOMENT)[0].strip() in ("-", "")


OPTIONAL = {
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "availability",
    "upstream_ms",
    "last_probe_at",
    "probe_ms",
    "expires_at",
    "burst",
}


def test_sorting_puts_missing_values_last_both_ways() -> None:
    table = TABLES["services"]
    column = table.column("p95")
    assert column is not None
    for descending in (True, False):
        rows = order(list(ROWS["services"]), column, descending, table.key)
        values = [row.p95_ms for row in rows]
        known = [value for value in values if value is not None]
        assert values[: len(known)] == sorted(known, reverse=descending)


def test_equal_rows_keep_their_places() -> None:
    table = TABLES["services"]
    column = table.column("throttled")
    assert column is not None
    names = [row.name for row in order(list(reversed(ROWS["services"])), column, True, table.key)]
    assert names[1:] == sorted(names[1:])


def kept(table: Table, text: str) -> set[str]:
    return {table.key(row) for row in select(table, ROWS[table.name], compile_filter(text))}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("billing", {"billing"}),
        ("BILL", {"billing"}),
        ("open|half", {"billing", "geo", "search", "legacy"}),
        ("state:forced_open", {"legacy"}),
        ("!half state:open", {"billing", "geo", "legacy"}),
        ("re:^(geo|use)", {"geo", "users"}),
        ("nothing-such", set()),
        ("by:ana", {"legacy"}),
    ],
)
def test_filters(text: str, names: set[str]) -> None:
    assert kept(TABLES["breakers"], text) == names


def test_an_empty_filter_keeps_everything_and_a_broken_one_says_why() -> None:
    assert compile_filter("  ") is None
    with pytest.raises(BadFilter, match="regular expression"):
        compile_filter("re:(")


@given(st.text(max_size=30))
def test_no_filter_text_upsets_the_console(text: str) -> None:
    try:
        kept(TABLES["events"], text)
    except BadFilter:
        assert text.strip().startswith("re:")


def test_faults_only_keeps_what_is_not_well() -> None:
    table = TABLES["breakers"]
    assert {row.name for row in select(table, ROWS["breakers"], None, True)} == {"billing", "geo", "search", "legacy"}


@given(st.text(alphabet="ab東京é\u0301 ", max_size=20), st.integers(0, 12), st.booleans())
def test_texts_take_exactly_their_cells(text: str, width: int, right: bool) -> None:
    assert cells(fit(text, width, right)) == width
    assert cells(crop(text, width)) <= width
