"""What operators arrange for themselves: columns, hotkeys, gateways side by side, a row taken along."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest

from spork.console.gateway.contexts import BadContext, Context
from spork.console.keys.settings import Settings, load_settings
from spork.console.pictures.columns import BadFilter, arranged
from spork.console.pictures.tables import TABLES
from spork.console.session.session import ConsoleSession
from spork.console.ui.app import ConsoleApp
from spork.console.ui.commands.hearing import notice
from tests.unit.console.driving import Console, console
from tests.unit.console.fake_gateway import FakeGateway, fake_gateway


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "console.toml"
    path.write_text(text)
    return path


def test_columns_and_hotkeys_are_read_from_the_file(tmp_path: Path) -> None:
    path = written(
        tmp_path, '[columns]\nservices = ["service", "err"]\n[hotkeys]\nf5 = "services err>5"\n"ctrl+g" = "breakers"\n'
    )
    found = load_settings(path)
    assert found.columns == {"services": ("service", "err")}
    assert found.hotkeys == {"f5": "services err>5", "ctrl+g": "breakers"}
    assert load_settings(tmp_path / "none.toml") == Settings()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('[hotkeys]\nx = "frobnicate"', "hotkeys: x: no command 'frobnicate'"),
        ('[hotkeys]\nx = "trip"', "trip changes the gateway: a capital letter"),
        ('[hotkeys]\nesc = "breakers"', "goes back, whatever is configured"),
        ('[hotkeys]\nhyper = "breakers"', "no key 'hyper'"),
        ('[columns]\nservices = "err"', "columns: services: a list"),
        ("hotkeys = 1", "hotkeys: a table"),
    ],
)
def test_what_is_wrong_with_them_is_named(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(BadContext, match=why):
        load_settings(written(tmp_path, text))


def test_columns_that_are_not_there_are_named() -> None:
    with pytest.raises(BadFilter, match="no column 'nope' in services"):
        arranged(TABLES["services"], ("nope",))
    chosen = arranged(TABLES["services"], ("rps", "service", "rps"))
    assert [column.name for column in chosen.columns] == ["rps", "service"]


async def test_columns_are_chosen_remembered_and_taken_back(gateway: FakeGateway, tmp_path: Path) -> None:
    for attempt in ("choose", "again"):
        session = ConsoleSession(Context("test", gateway.url, False, "admin-token"), {"XDG_STATE_HOME": str(tmp_path)})
        app = ConsoleApp(session, {})
        async with app.run_test(size=(120, 36)) as pilot:
            running = Console(app, pilot)
            await running.press("2")
            await running.shows("billing")
            if attempt == "choose":
                await running.shows("BREAKER")
                await running.command("columns service err p95")
            else:
                await running.hides("BREAKER")
            await running.shows("5XX%", "P95", "SERVICE")
            await running.hides("BREAKER ")
            await running.press("slash")
            await running.type("rps>0")  # filters still know the columns that are not shown
            await running.press("enter")
            await running.shows("billing")
            if attempt == "again":
                await running.command("columns nope")
                await running.shows("no column 'nope'")
                await running.command("columns default")
                await running.shows("BREAKER")


async def test_a_hotkey_is_a_line(gateway: FakeGateway) -> None:
    settings = Settings(hotkeys={"f5": "services err>5"})
    session = ConsoleSession(Context("test", gateway.url, False, "admin-token"), {}, settings=settings)
    app = ConsoleApp(session, {})
    async with app.run_test(size=(120, 36)) as pilot:
        running = Console(app, pilot)
        await running.shows("LIVE")
        await running.press("f5")
        await running.shows("Services", "/err>5")


async def test_a_row_is_copied_whole(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        sent: list[str] = []
        running.app._driver.write = sent.append  # type: ignore[union-attr,method-assign,assignment]
        await running.open("2", "billing")
        await running.press("c")
        await running.shows("copied {")
        sequence = next(text for text in sent if "]52;c;" in text)
        row = json.loads(b64decode(sequence.partition("]52;c;")[2].rstrip("\a")))
        assert row["name"] == "billing"
        assert row["routes"]


async def test_gateways_stand_side_by_side_and_enter_goes_there(gateway: FakeGateway) -> None:
    with fake_gateway() as other:
        other.topics["breakers"] = []
        contexts = {
            "test": Context("test", gateway.url, False, "admin-token"),
            "other": Context("other", other.url, True, "admin-token"),
            "gone": Context("gone", "http://127.0.0.1:1", False, "x"),
        }
        async with console(gateway, size=(180, 40), contexts=contexts) as running:
            await running.command("beside nowhere")
            await running.shows("no context 'nowhere'")
            await running.command("beside")
            await running.shows("test", "PROD  other", "gone", "billing", seconds=20)
            await running.press("tab", "enter")
            await running.until(lambda: running.session.context.name == "other")
            await running.shows("PROD", "Attention")


def test_a_notice_is_both_of_what_terminals_know() -> None:
    text = notice("spork", "breaker a;b opened")
    assert "\x1b]9;breaker a;b opened\a" in text
    assert "\x1b]777;notify;spork;breaker a,b opened\a" in text
    assert text.startswith("\a")
