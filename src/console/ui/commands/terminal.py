"""The terminal itself: whose the mouse is, everything drawn anew, given back however the console ends."""

from __future__ import annotations

import asyncio
import signal
from typing import Any

from textual.app import App

from spork.console.ui.host import Handler, Host


class Terminal:
    """See the module. It knows Textual's driver, which nothing else here does."""

    def __init__(self, host: Host, app: App[Any]) -> None:
        self._host = host
        self._app = app

    def handlers(self) -> dict[str, Handler]:
        return {"mouse": self.do_mouse, "redraw": self.do_redraw, "suspend": self.do_suspend}

    def write(self, sequence: str) -> None:
        """Past the screen, if there is a terminal."""
        if self._app._driver is not None:
            self._app._driver.write(sequence)

    def mind_signals(self) -> None:
        """However the console is ended, the terminal is given back as it was; after `fg` it is drawn anew."""
        if self._app.is_headless:
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._ended_by, number)
        self._app.app_resume_signal.subscribe(self._app, lambda app: self.do_redraw())

    def _ended_by(self, number: int) -> None:
        self._app.exit(return_code=128 + number)

    def do_redraw(self, argument: str = "") -> None:
        """Everything anew, whatever others wrote over it."""
        if not self._app.is_headless:
            self.write("\x1b[2J")
        for screen in self._app.screen_stack:
            for widget in screen.query("*"):
                widget.refresh()
            screen.refresh(layout=True)

    def do_suspend(self, argument: str = "") -> None:
        """As ctrl+z in a shell; a window of a browser or a terminal without job control stays."""
        driver = self._app._driver
        if driver is None or not driver.can_suspend:
            self._host.tell("this terminal cannot put the console aside", "dim")
            return
        self._app.action_suspend_process()

    def do_mouse(self, argument: str = "") -> None:
        driver: Any = self._app._driver
        if driver is None or not hasattr(driver, "_disable_mouse_support"):
            return
        on = not getattr(driver, "_mouse", True)
        driver._mouse = on
        if on:
            driver._enable_mouse_support()
            self._host.tell("mouse: console", "dim")
        else:
            driver._mouse = True
            driver._disable_mouse_support()
            driver._mouse = False
            self._host.tell("mouse: terminal (select text as usual; m takes it back)", "dim")
