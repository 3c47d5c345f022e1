"""Drives a console against a scripted gateway: start it, wait for what it should show, press keys, read the screen."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from textual.pilot import Pilot

from spork.console.gateway.contexts import Context
from spork.console.session.session import ConsoleSession
from spork.console.session.store import Store
from spork.console.ui.app import ConsoleApp, screen_text
from tests.unit.console.fake_gateway import FakeGateway

SIZES = ((120, 36), (80, 24), (60, 20))


class Clock:
    """A monotonic clock of the test's own, with a wall clock that goes with it."""

    def __init__(self, wall: float = 1_795_262_671.0) -> None:
        self.mono = 1000.0
        self._wall = wall

    def now(self) -> float:
        return self.mono

    def wall(self) -> float:
        return self._wall + self.mono - 1000.0


class Console:
    """A running console and its pilot."""

    def __init__(self, app: ConsoleApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot
        self.session = app.session

    @property
    def store(self) -> Store:
        return self.session.store

    @property
    def text(self) -> str:
        return "\n".join(screen_text(self.app))

    async def until(self, check: Callable[[], object], what: str = "", seconds: float = 10.0) -> None:
        """Poll `check` while the console runs."""
        for _ in range(round(seconds / 0.02)):
            if check():
                return
            await self.pilot.pause(0.02)
        raise AssertionError(f"{what or check} did not come true; the screen:\n{self.text}")

    async def shows(self, *words: str, seconds: float = 10.0) -> None:
        for word in words:
            await self.until(lambda word=word: word in self.text, f"{word!r} on the screen", seconds)  # type: ignore[misc]

    async def hides(self, word: str) -> None:
        await self.until(lambda: word not in self.text, f"no {word!r} on the screen")

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause(0.02)

    async def type(self, text: str) -> None:
        await self.pilot.press(
            *[{" ": "space", "/": "slash", ":": "colon", "|": "vertical_line"}.get(c, c) for c in text]
        )

    async def command(self, line: str) -> None:
        await self.press("colon")
        await self.type(line)
        await self.press("enter")

    async def open(self, key: str, *words: str) -> None:
        """A screen by its number, once it shows these words."""
        await self.press(key)
        await self.shows(*words)


@asynccontextmanager
async def console(
    gateway: FakeGateway,
    size: tuple[int, int] = (120, 36),
    *,
    token: str = "admin-token",
    production: bool = False,
    write: bool = False,
    wait: bool = True,
    poll: float | None = None,
    contexts: dict[str, Context] | None = None,
    ascii_only: bool = False,
    clock: Clock | None = None,
    theme: str = "dark",
) -> AsyncIterator[Console]:
    """A console on `gateway`, connected unless `wait` is false."""
    context = Context("test", gateway.url, production, token)
    times: dict[str, Any] = {} if clock is None else {"mono": clock.now, "wall": clock.wall}
    session = ConsoleSession(context, {}, poll=poll, ascii_only=ascii_only, **times)
    app = ConsoleApp(session, contexts or {"test": context}, write=write, theme=theme)
    async with app.run_test(size=size, notifications=True) as pilot:
        running = Console(app, pilot)
        if wait:
            await running.until(lambda: session.store.link.state == "UP", "a link")
            await pilot.pause(0.05)
            app.main.pump(True)
        yield running
        defects = [notice.text for notice in session.store.notices if "defect" in notice.text]
        assert not defects
        assert app.return_code in (None, 0)
