"""Numbers in filters, rows as files, what is remembered, concerns put aside, keys that come in one piece."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from textual import events

from spork.console.pictures.columns import BadFilter, compile_filter, no_fields, select
from spork.console.pictures.tables import TABLES
from spork.console.plain.exporting import as_text
from spork.console.session.remembered import Remembered, path_of
from spork.console.session.tiers import seconds
from spork.console.session.writes import left_without
from spork.console.text.moment import Moment
from spork.console.text.spans import cells, crop_middle
from tests.unit.console import seeds
from tests.unit.console.driving import console
from tests.unit.console.fake_gateway import FakeGateway

SERVICES = TABLES["services"]


@pytest.mark.parametrize(
    ("text", "test"),
    [
        ("err>5", lambda row: row.error_ratio > 0.05),
        ("err>=5%", lambda row: row.error_ratio >= 0.05),
        ("rps<100", lambda row: row.rps < 100),
        ("p95>0.5s", lambda row: (row.p95_ms or 0) > 500),
        ("err>5 rps>100", lambda row: row.error_ratio > 0.05 and row.rps > 100),
        ("!err>5", lambda row: not row.error_ratio > 0.05),
    ],
)
def test_a_filter_compares_what_a_column_sorts_by(text: str, test: object) -> None:
    rows = seeds.services()
    wanted = [row.name for row in rows if test(row)]  # type: ignore[operator]
    assert 0 < len(wanted) < len(rows)
    assert [row.name for row in select(SERVICES, rows, compile_filter(text, SERVICES))] == wanted


def test_a_column_that_is_not_there_is_named() -> None:
    with pytest.raises(BadFilter, match="no column 'latency'"):
        compile_filter("latency>5", SERVICES)
    plain = compile_filter("a>5")
    assert plain is not None
    assert plain("x a>5 y", no_fields, None)


def test_long_names_are_cut_where_they_do_not_differ() -> None:
    names = [f"geo/127.0.0.1:2410{number}" for number in range(3)]
    assert len({crop_middle(name, 15) for name in names}) == 3
    assert all(cells(crop_middle(name, 15)) == 15 for name in names)
    assert crop_middle("short", 15) == "short"


@pytest.mark.parametrize(
    ("text", "value"), [("1h30m", 5400.0), ("1m30s", 90.0), ("90", 90.0), ("1.5h", 5400.0), ("2d", 172_800.0)]
)
def test_durations_as_the_configuration_writes_them(text: str, value: float) -> None:
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["1h30", "m", "1h m", "60d", "", "1e3"])
def test_other_durations_are_refused(text: str) -> None:
    with pytest.raises(ValueError):
        seconds(text)


def test_targets_taken_out_together_are_judged_together() -> None:
    rows = seeds.targets(0.0)
    name = rows[0].upstream
    own = [row for row in rows if row.upstream == name]
    assert left_without(own, rows) == [name]


def test_rows_as_csv_and_json_and_no_cell_is_a_formula() -> None:
    rows = seeds.services()
    table = list(csv.reader(io.StringIO(as_text(SERVICES, rows, Moment(), "csv"))))
    assert table[0][:3] == ["state", "service", "up"]
    assert len(table) == len(rows) + 1
    assert [row["name"] for row in json.loads(as_text(SERVICES, rows, Moment(), "json"))] == [row.name for row in rows]
    from dataclasses import replace

    evil = as_text(SERVICES, [replace(rows[0], name="=cmd()")], Moment(), "csv")
    assert "'=cmd()" in evil


def test_an_order_is_remembered_and_a_broken_file_forgotten(tmp_path: Path) -> None:
    path = path_of({"XDG_STATE_HOME": str(tmp_path)})
    assert path is not None
    kept = Remembered(path)
    kept.keep_order("services", ("rps", True))
    kept.bell = "notice"
    assert Remembered(path).order("services") == ("rps", True)
    assert Remembered(path).bell == "notice"
    path.write_text("{no json")
    assert Remembered(path).order("services") is None
    assert path_of({}) is None


async def test_an_acknowledged_concern_stays_below_until_it_clears(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        attention = running.app.main.pane.attention  # type: ignore[union-attr]
        await running.until(lambda: len(attention.rows) > 1)
        first = attention.rows[0].id
        await running.press("a")
        await running.shows("acknowledged until it clears")
        await running.until(lambda: attention.rows[0].id != first)
        assert first in {row.id for row in attention.rows}
        assert first in running.session.quiet_concerns()


async def test_keys_sent_in_one_piece_are_typed_into_the_line(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        for key, character in (("colon", ":"), ("k", "k"), ("e", "e"), ("y", "y"), ("s", "s"), ("enter", "\r")):
            running.app.post_message(events.Key(key, character))
        await running.shows("API keys", "acme-batch")


async def test_services_have_lines_of_their_past(gateway: FakeGateway) -> None:
    async with console(gateway, size=(160, 40)) as running:
        await running.open("2", "REQUESTS", "billing")
        await running.until(lambda: running.store.row("history", "service billing") is not None)
        await running.until(
            lambda: any(("billing" in line and "▅" in line) or "█" in line for line in running.text.splitlines())
        )
        await running.press("t")
        await running.shows("last 60 minutes")
