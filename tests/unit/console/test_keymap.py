"""Keys as people write them, and the operator's own."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.keys import _character_to_key

from spork.console.gateway.contexts import BadContext
from spork.console.keys.actions import COMMANDS
from spork.console.keys.keymap import key_name, load_commands, read_key, rekeyed
from spork.console.session.session import ConsoleSession
from spork.console.ui.app import ConsoleApp
from tests.unit.console.driving import Console
from tests.unit.console.fake_gateway import FakeGateway


def named(name: str, **wanted: object) -> tuple[str, ...]:
    return next(command.keys for command in rekeyed(wanted) if command.name == name)


def test_every_default_key_is_written_and_read_back() -> None:
    for key in {key for command in COMMANDS for key in command.keys}:
        assert read_key(key_name(key)) == key


@pytest.mark.parametrize("char", "!\"#$%&'()*+,./:;<=>?@[\\]^_`{|}~ aZ5-")
def test_signs_have_the_names_textual_gives_them(char: str) -> None:
    assert read_key(char) == _character_to_key(char)


@pytest.mark.parametrize("text", ["", "ab", "ctrl+", "ctrl+A", "alt+x", "é", "\x1b", "f13"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="no key"):
        read_key(text)


def test_a_command_takes_its_key_from_another_of_the_same_place() -> None:
    assert named("faults", faults="x") == ("x",)
    assert named("faults", faults=["x", "f2"]) == ("x", "f2")
    assert named("mouse", mouse=[]) == ()
    assert named("wide", faults="w") == ()
    assert named("reset", rotate="R") == ("R",)  # another place: both keep it
    assert named("screen_pulse", pulse="f3") == ("f3",)


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"nonesuch": "x"}, "no command 'nonesuch'"),
        ({"trip": "t"}, "a capital letter"),
        ({"trip": "ctrl+t"}, "a capital letter"),
        ({"faults": 5}, "a key or a list of keys"),
        ({"faults": "x", "wide": "x"}, "'x' is given to"),
        ({"faults": "esc"}, "goes back"),
        ({"faults": "ctrl+c"}, "copies"),
    ],
)
def test_what_would_surprise_is_refused(wanted: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        rekeyed(wanted)


def test_the_file_is_named_with_what_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "console.toml"
    assert load_commands(file) is COMMANDS
    file.write_text('[keys]\nfaults = "x"\n')
    assert next(c for c in load_commands(file) if c.name == "faults").keys == ("x",)
    file.write_text('[keys]\ntrip = "t"\n')
    with pytest.raises(BadContext, match=r"console\.toml: keys: trip changes the gateway"):
        load_commands(file)
    file.write_text("keys = 5\n")
    with pytest.raises(BadContext, match="a table is expected"):
        load_commands(file)


async def test_the_operators_keys_work_and_are_what_help_and_footer_show(gateway: FakeGateway) -> None:
    from spork.console.gateway.contexts import Context

    session = ConsoleSession(Context("test", gateway.url, token="admin-token"), {})
    commands = rekeyed({"faults": "x", "breakers": "B", "filter": "f5"})
    app = ConsoleApp(session, {}, write=True, commands=commands)
    async with app.run_test(size=(120, 36)) as pilot:
        running = Console(app, pilot)
        await running.until(lambda: session.store.link.state == "UP", "a link")
        await running.open("B", "B Breakers", "RETRY IN", "x faults", "f5 filter")
        await running.press("x")
        await running.shows("faults only")
        await running.press("z")
        await running.shows("faults only")
        await running.press("f5")
        await running.type("geo")
        await running.shows("1 of 10")
        await running.press("escape", "question_mark")
        await running.shows("B            :breakers")
