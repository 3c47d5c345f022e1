"""The registry: one table behind keys, words, help and documentation."""

from __future__ import annotations

import string
from pathlib import Path

import pytest

from spork.console.gateway.contexts import Context
from spork.console.keys import actions
from spork.console.keys.actions import BY_NAME, COMMANDS, for_place
from spork.console.keys.command_line import UnknownCommand, complete, parse
from spork.console.keys.keymap import key_table
from spork.console.pictures.details import TOPIC_OF
from spork.console.pictures.status import footer
from spork.console.pictures.tables import TABLES
from spork.console.session.session import ConsoleSession
from spork.console.session.writes import WRITES
from spork.console.ui.app import ConsoleApp
from spork.console.ui.host import UnknownHandlers
from spork.console.ui.screens.places import pane_for

ROOT = Path(__file__).resolve().parents[3]
PLACES = {"pulse", "config", *TABLES, *TOPIC_OF}


def test_no_key_means_two_things_in_one_place() -> None:
    for place in PLACES:
        special = [key for command in COMMANDS if place in command.places for key in command.keys]
        anywhere = [key for command in COMMANDS if not command.places for key in command.keys]
        assert len(special) == len(set(special)), place
        assert len(anywhere) == len(set(anywhere))
        assert not set(special) & set(anywhere) - {"space"}, place


def test_no_word_means_two_commands() -> None:
    words = [word for command in COMMANDS for word in command.words]
    assert len(words) == len(set(words))


@pytest.fixture
def app() -> ConsoleApp:
    return ConsoleApp(ConsoleSession(Context("test", "http://127.0.0.1:1"), {}), {})


def test_every_command_has_a_handler_in_each_of_its_places(app: ConsoleApp) -> None:
    for command in COMMANDS:
        if command.name.startswith("screen_"):
            assert command.name.removeprefix("screen_") in PLACES
        elif command.tier is not None:
            assert command.name in WRITES
        elif command.places:
            for place in command.places:
                pane = pane_for(app.main, place, "x")
                assert pane.handler(command.name) or app.main.handler(command.name), (command.name, place)
        else:
            everywhere = all(pane_for(app.main, place, "x").handler(command.name) for place in ("pulse", "config"))
            assert app.main.handler(command.name) or everywhere or command.name == "open", command.name
    assert set(WRITES) == {command.name for command in COMMANDS if command.tier is not None}


def test_a_handler_of_no_command_is_refused_at_the_start(app: ConsoleApp) -> None:
    with pytest.raises(UnknownHandlers, match="the console handles flushh: no such command"):
        app.main.learn({"flushh": lambda argument: None})


def test_places_exist() -> None:
    for command in COMMANDS:
        assert set(command.places) <= PLACES, command.name


def test_writes_are_shifted_letters_only_and_say_their_role() -> None:
    for name in WRITES:
        command = BY_NAME[name]
        assert all(key in string.ascii_uppercase for key in command.keys)
        assert command.role in ("operator", "admin")


def test_back_never_quits_and_q_is_back() -> None:
    assert "q" in BY_NAME["back"].keys
    assert BY_NAME["quit"].keys == ("ctrl+q",)


@pytest.mark.parametrize(
    ("line", "name", "argument"),
    [
        (":brk", "screen_breakers", ""),
        ("quota acme", "screen_quotas", "acme"),
        ("ctx prod-eu1", "context", "prod-eu1"),
        ("q", "quit", ""),
        ("expl GET /x y", "explain", "GET /x y"),
        ("  BREAKERS ", "screen_breakers", ""),
    ],
)
def test_lines_are_understood(line: str, name: str, argument: str) -> None:
    typed = parse(line)
    assert (typed.command.name, typed.argument) == (name, argument)


@pytest.mark.parametrize("line", ["", "nonsense", ":", "re"])
def test_lines_that_mean_nothing_or_too_much_say_so(line: str) -> None:
    with pytest.raises(UnknownCommand):
        parse(line)


def test_completion_offers_words_and_arguments() -> None:
    assert "breakers" in complete("br", {})
    assert complete("ctx p", {"context": ["prod-eu1", "prod-us1", "lab"]}) == ["ctx prod-eu1", "ctx prod-us1"]
    assert complete("nonsense x", {}) == []


def test_the_key_table_in_the_docs_is_current() -> None:
    text = (ROOT / "docs" / "console.md").read_text()
    begin, end = "<!-- keys: from src/console/keys/actions.py -->\n", "<!-- end of keys -->"
    assert text.partition(begin)[2].partition(end)[0].strip() == key_table().strip()


def test_help_footer_and_table_name_every_command() -> None:
    table = key_table()
    assert all(command.help in table.replace(r"a\|b", "a|b") for command in actions.COMMANDS)


def test_what_may_be_changed_here_stands_in_the_narrowest_footer() -> None:
    commands = [command for command in for_place("keys") if command.name != "open"]  # a key has no details
    shown = [name for _, name in footer(commands, 80)]
    assert {"issue", "rotate", "back", "help"} <= set(shown)
    assert "sort" not in shown
    assert "sort" in [name for _, name in footer(commands, 160)]
