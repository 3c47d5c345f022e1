"""A new secret: shown once in a window of its own, kept nowhere."""

from __future__ import annotations

import gc
import logging
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from textual.widgets import Button, Input

from spork.console.keys.actions import BY_NAME
from spork.console.session import session as sessions
from spork.console.ui.secret import SecretWindow
from tests.unit.console.driving import Console, console
from tests.unit.console.fake_gateway import FakeGateway
from tests.unit.console.test_dialogs import at_row, confirm, dialog, fill, said, writes


@pytest.fixture(autouse=True)
def _hearing(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The window's deaf first second has a test of its own; the others need not wait for its end."""
    if "deaf" not in request.node.name:
        monkeypatch.setattr("spork.console.ui.secret.DEAF_SECONDS", 0.0)


async def test_a_deaf_first_second_keeps_keys_typed_ahead_from_closing_it(gateway: FakeGateway) -> None:
    async with console(gateway, write=True) as running:
        window = await issued(running, gateway, consumer="acme", owner="ana")
        window._shown_at += 3600.0  # as if it had only just been shown, however slow the machine is
        await running.press("escape", "escape")
        assert running.app.screen is window
        assert gateway.secret in running.text
        window._shown_at -= 7200.0
        await running.press("escape")
        await running.shows("Not copied")


async def issued(running: Console, gateway: FakeGateway, key: str = "I", **typed: str) -> SecretWindow:
    await at_row(running, (":keys",), "k9f31")
    await running.press(key)
    await dialog(running)
    await fill(running, reason="new team", **typed)
    await confirm(running)
    await running.until(lambda: isinstance(running.app.screen, SecretWindow), "the secret's window")
    await running.shows(gateway.secret)
    window = running.app.screen
    assert isinstance(window, SecretWindow)
    return window


async def test_what_is_sent_is_what_was_typed(gateway: FakeGateway) -> None:
    async with console(gateway, write=True) as running:
        await issued(
            running, gateway, consumer="acme", owner="ana", plan="gold", scopes="a:read b:read", expires_in="never"
        )
        assert writes(gateway)[0][2] == {
            "consumer": "acme",
            "owner": "ana",
            "plan": "gold",
            "scopes": ["a:read", "b:read"],
            "expires_in": None,
            "reason": "new team",
        }
        assert gateway.requests[0][1] != "/keys"
        await running.press("y", "escape")
        await running.shows("acme")
        assert running.store.row("keys", "knew1").consumer == "acme"


@pytest.mark.parametrize("key", ["I", "R"])
async def test_once_the_window_is_closed_nothing_knows_the_secret(
    gateway: FakeGateway, key: str, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    caplog.set_level(logging.DEBUG)
    async with console(gateway, write=True) as running:
        window = await issued(running, gateway, key)
        await running.press("y", "escape")
        await running.until(lambda: running.app.screen is running.app.main, "the list")
        await running.shows("APPLIED")
        running.app.main.run_command(BY_NAME["save"], str(tmp_path / "view.txt"))
        del window
        for _ in range(5):  # what the loop still had to do
            await running.pilot.pause(0.1)
        assert not holders(gateway.secret)
        assert gateway.secret not in running.text
        assert gateway.secret not in (tmp_path / "view.txt").read_text()
        assert gateway.secret not in running.app.clipboard
        assert gateway.secret not in caplog.text
        assert not [text for text in said(running) if gateway.secret in text]


def holders(secret: str) -> list[str]:
    """Objects of this process that refer to the secret as the console received it (the fake gateway's is another)."""
    gc.collect()
    return [
        type(holder).__name__
        for holder in gc.get_objects()
        if isinstance(holder, (dict, list, tuple)) or hasattr(type(holder), "__slots__")
        for value in gc.get_referents(holder)
        if type(value) is str and secret in value and value is not secret
    ]


async def test_an_uncopied_secret_is_not_closed_by_one_key(gateway: FakeGateway) -> None:
    async with console(gateway, write=True) as running:
        window = await issued(running, gateway)
        await running.press("escape")
        await running.shows("Not copied", gateway.secret)
        assert running.app.screen is window
        await running.press("escape")
        await running.hides(gateway.secret)


async def test_copying_goes_to_the_terminal_and_nowhere_else(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with console(gateway, write=True) as running:
        await issued(running, gateway)
        with written(running) as out:
            await running.press("y")
            await running.shows("Sent to the terminal's clipboard")
        assert b64encode(gateway.secret.encode()).decode() in "".join(out)
        assert not running.app.clipboard


@contextmanager
def written(running: Console) -> Iterator[list[str]]:
    """What reaches the terminal's driver meanwhile."""
    driver, out = running.app._driver, list[str]()
    assert driver is not None
    before = driver.write
    driver.write = out.append  # type: ignore[method-assign]
    yield out
    driver.write = before  # type: ignore[method-assign]


async def test_no_row_is_needed_and_a_word_after_the_command_is_the_consumer(gateway: FakeGateway) -> None:
    gateway.topics["keys"] = []
    async with console(gateway, write=True) as running:
        await running.command("keys")
        await running.shows("no API keys have been issued", "I issue")
        await running.command("issue visitor")
        shown = await dialog(running)
        assert shown.query_one("#input-consumer", Input).value == "visitor"


async def test_a_key_for_nobody_is_refused_in_the_dialog(gateway: FakeGateway) -> None:
    async with console(gateway, write=True, production=True) as running:
        await at_row(running, (":keys",), "k9f31")
        await running.press("I")
        shown = await dialog(running)
        button = shown.query_one("#confirm", Button)
        await fill(running, consumer="visitor", reason="x", typed="acme")
        await running.shows("type visitor to confirm")
        assert button.disabled
        await fill(running, typed="visitor")
        await running.until(lambda: not button.disabled, "an unlocked button")


async def test_an_answer_that_never_comes_says_that_the_secret_is_lost(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spork.console.gateway.client.ANSWER_SECONDS", 0.4)
    monkeypatch.setattr(sessions, "VERIFY_AFTER", (0.1, 0.1))
    async with console(gateway, write=True) as running:
        for key, words in (("R", "verified, it was applied; its new secret is lost"), ("I", "its secret is lost")):
            gateway.lose_answers = False
            await at_row(running, (":keys",), "k9f31")
            await running.press(key)
            await dialog(running)
            gateway.lose_answers = True
            await fill(running, reason="x")
            await confirm(running)
            await running.until(lambda words=words: any(words in text for text in said(running)), words)
        assert len(writes(gateway)) == 2
