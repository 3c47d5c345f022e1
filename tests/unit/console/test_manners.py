"""Manners of the console: one word for one thing, the way back is the way that was taken, nothing useful is cut."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from spork.console.gateway.faults import Unreachable
from spork.console.gateway.link_state import Link
from spork.console.keys.actions import COMMANDS
from spork.console.pictures.details import breaker
from spork.console.pictures.explaining import BadQuestion, question
from spork.console.pictures.status import link_words, tabs
from spork.console.pictures.tables import TABLES
from spork.console.plain.printing import WIDEST, text_table
from spork.console.session.store import Store
from spork.console.session.writes import WRITES
from spork.console.text.freshness import Freshness
from spork.console.text.moment import Moment
from spork.console.text.spans import plain
from spork.console.ui.help import TWO_COLUMNS, help_lines
from spork.console.ui.history import History
from tests.unit.console import seeds
from tests.unit.console.driving import console
from tests.unit.console.fake_gateway import FakeGateway


def test_since_the_loss_and_age_of_the_data_are_two_words() -> None:
    link = Link()
    link.up("sse")
    link.lost(Unreachable("refused"), 100.0, 2.0)
    words = plain(link_words(link, Freshness("STALE", 19.0), 104.1))
    assert words.startswith("LOST 4.1s, data 19s old retry in")
    assert plain(link_words(link, Freshness("DOWN", 30.0), 115.0)).startswith("DOWN 15s, data 30s old")


def test_up_follows_the_way_down_and_a_list_begins_anew() -> None:
    history = History()
    for place in (("services", ""), ("service", "geo"), ("target", "geo/a"), ("request", "r1")):
        history.visit(place)
    assert history.trail == (("services", ""), ("service", "geo"), ("target", "geo/a"), ("request", "r1"))
    history.visit(("service", "geo"))
    assert history.trail == (("services", ""), ("service", "geo"))
    assert history.back() and history.here == ("request", "r1")
    assert history.up() and history.here == ("target", "geo/a")
    history.visit(("config", ""))
    assert history.trail == (("config", ""),)
    assert not history.up()


async def test_the_path_is_whole_and_escape_goes_up_it_never_to_another_tab(gateway: FakeGateway) -> None:
    async with console(gateway, size=(160, 40)) as running:
        await running.press("8")
        await running.open("2", "billing")
        await running.press("enter")
        await running.shows("Services › billing")
        await running.press("enter")
        await running.shows("Services › billing › 10.0.7.1:8080")
        await running.press("enter")
        await running.shows("Services › billing › 10.0.7.1:8080 › request 01J9A")
        for path in (" Services › billing › 10.0.7.1:8080  ", " Services › billing  ", " Services  "):
            await running.press("escape")
            await running.until(lambda path=path: running.text.splitlines()[2].startswith(path))  # type: ignore[misc]
        await running.press("escape")  # one too many: the Pulse, not the configuration that was looked at before
        await running.shows("Attention")


@pytest.mark.parametrize("word", ["keys", "targets", "nodes"])
async def test_where_one_is_is_always_lit(gateway: FakeGateway, word: str) -> None:
    async with console(gateway) as running:
        await running.command(word)
        await running.until(lambda: running.text.splitlines()[1].endswith(f":{word}"))
    lit = [name for line, name in tabs("", 120, more=word) for _, tone in line if tone == "tab"]
    assert lit == [word]


async def test_a_filter_on_the_pulse_narrows_every_list_of_it(gateway: FakeGateway) -> None:
    async with console(gateway, size=(160, 60)) as running:
        pulse = running.app.main.pane
        await running.until(lambda: pulse.services.rows and pulse.attention.rows and pulse.tail.rows)  # type: ignore[union-attr]
        await running.press("slash")
        await running.type("billing")
        await running.press("enter")
        await running.until(lambda: {row.name for row in pulse.services.rows} == {"billing"})  # type: ignore[union-attr]
        assert pulse.tail.rows and all("billing" in row.path or row.upstream == "billing" for row in pulse.tail.rows)  # type: ignore[union-attr]
        await running.press("slash")
        for _ in "billing":
            await running.press("backspace")
        await running.type("err>5")
        await running.press("enter")
        await running.until(lambda: all(row.error_ratio > 0.05 for row in pulse.services.rows))  # type: ignore[union-attr]
        assert pulse.attention.rows, "a list without the column stays whole"  # type: ignore[union-attr]
        await running.press("escape", "z")
        await running.until(lambda: all(TABLES["services"].faulty(row) for row in pulse.services.rows))  # type: ignore[union-attr]


async def test_a_field_that_is_not_there_is_said(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("2", "billing")
        await running.press("slash")
        await running.type("nope:x")
        await running.press("enter")
        await running.shows("no field 'nope' here", "breaker")


async def test_a_long_notice_is_wrapped_not_cut(gateway: FakeGateway) -> None:
    async with console(gateway, size=(80, 24)) as running:
        text = "reload refused: " + "routes.users.upstream names no upstream " * 2 + "did you mean users?"
        running.store.notice(text, "bad", running.session.wall())
        await running.shows("did you mean users?")


async def test_a_notice_goes_away_once_it_is_old(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        running.store.notice("APPLIED something", "ok", running.session.wall() - 595)
        await running.shows("APPLIED something")
        running.store.notices.newest(1)
        running.store.notice("APPLIED long ago", "ok", running.session.wall() - 700)
        await running.hides("APPLIED")


async def test_tiles_are_doors(gateway: FakeGateway) -> None:
    for tile, word in (("#tile-traffic", "PATH"), ("#tile-breakers", "FORCED"), ("#tile-targets", "TARGET")):
        async with console(gateway) as running:
            await running.pilot.click(tile)
            await running.shows(word, "esc back")
            assert running.app.main.history.here != ("pulse", "")


async def test_g_and_end_move_the_help_and_another_key_closes_it(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("3", "legacy")
        await running.press("question_mark")
        await running.shows("On this screen (Breakers)")
        await running.press("G")
        await running.shows(":quit")
        await running.press("home")
        await running.shows("On this screen (Breakers)")
        await running.press("x")
        await running.hides("Keys and commands")


def test_a_wide_help_has_two_columns_and_loses_no_command() -> None:
    lines = ["".join(text for text, _ in line) for line in help_lines(COMMANDS, "breakers", TWO_COLUMNS + 20)]
    assert len(lines) < len(COMMANDS)
    words = "\n".join(lines)
    assert all(f":{command.words[0]}" in words for command in COMMANDS if command.words)


def test_no_share_of_no_requests() -> None:
    row = replace(seeds.breakers(0.0)[0], requests=0)
    text = "\n".join(plain(line) for line in breaker(row, Moment(), 100))
    assert "no request in the window" in text
    assert "-%" not in text


def test_the_title_of_a_dialog_says_what_is_revoked() -> None:
    revoke = WRITES["revoke"]
    assert revoke.title_of(seeds.all_topics(0.0)["keys"][0]) == "Revoke API key"
    assert revoke.title_of(seeds.all_topics(0.0)["sessions"][0]) == "Revoke session"


@pytest.mark.parametrize(
    ("typed", "asked"),
    [
        ("/users/1", ("GET", "/users/1", {})),
        ("post /users", ("POST", "/users", {})),
        ("GET /x -H 'Accept: text/html' -H x-a:b", ("GET", "/x", {"accept": "text/html", "x-a": "b"})),
    ],
)
def test_a_request_to_explain_may_have_headers(typed: str, asked: object) -> None:
    assert question(typed) == asked


@pytest.mark.parametrize("typed", ["", "GET /a b", "GET /x -H nonsense", "GET '/x"])
def test_what_is_no_request_says_how_one_is_written(typed: str) -> None:
    with pytest.raises(BadQuestion):
        question(typed)


def test_one_long_path_does_not_push_all_rows_away() -> None:
    rows = [replace(seeds.all_topics(0.0)["traffic"][0], path="/" + "a" * 900)]
    assert max(map(len, text_table(TABLES["traffic"], rows, Moment()))) < 900
    assert WIDEST < 100


def test_a_restart_is_told_once() -> None:
    store = Store()
    assert not store.told_start(100.0, 1.0)
    assert not store.told_start(100.0, 2.0)
    assert store.told_start(160.0, 161.0)
    assert store.notices.newest(1)[0].text.startswith("the gateway was started anew")
    assert not store.told_start(160.0, 170.0)


async def test_a_restarted_gateway_is_on_the_first_screen(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.until(lambda: running.store.started_at is not None)
        node = gateway.topics["nodes"][0]
        gateway.topics["nodes"] = [replace(node, started_at=gateway.now())]
        gateway.cut_streams()
        await running.shows("~ RESTART", "started anew at", seconds=20)


async def test_rates_say_over_what_time(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        for key in ("2", "5"):
            await running.open(key, "rates over 10 s")


async def test_the_colours_of_the_terminal_are_the_terminals(gateway: FakeGateway) -> None:
    async with console(gateway, theme="ansi") as running:
        assert running.app.native_ansi_color
        await running.shows("Attention")
        for strip in running.app.screen._compositor.render_strips():
            for segment in strip:
                for colour in (segment.style.color, segment.style.bgcolor) if segment.style else ():
                    assert colour is None or colour.triplet is None, (segment.text, colour)
        await asyncio.sleep(0)
