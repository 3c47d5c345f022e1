"""The window that shows a new secret, once: here and nowhere else, and forgotten when it closes."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button

from spork.console.text.spans import BLANK, Line
from spork.console.ui.widgets.lines import Box

DEAF_SECONDS = 1.0
"""For so long after it opens the window takes no key: what was typed meanwhile must not close it unseen."""


class SecretWindow(ModalScreen[None]):
    """`y` copies through the terminal; `esc` closes, at once if it was copied, else when pressed twice."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape", "leave", ""),
        ("left", "app.focus_previous", ""),
        ("right", "app.focus_next", ""),
    ]
    AUTO_FOCUS = "#copy"

    def __init__(self, heading: str, secret: str, audit: str, to_clipboard: Callable[[str], str]) -> None:
        """`to_clipboard` copies through the terminal and answers why it could not, '' if it did."""
        super().__init__()
        self._to_clipboard = to_clipboard
        self.heading = heading
        self.audit = audit
        self._secret = secret
        self._may_leave = False
        self._shown_at = monotonic()

    def compose(self) -> ComposeResult:
        with Vertical(id="secret"):
            yield Box("secret-title", on="bar")
            yield Box("secret-text")
            yield Box("secret-say", on="bar")
            with Horizontal(id="secret-buttons"):
                yield Button("Copy (y)", id="copy", compact=True)
                yield Button("Close (esc)", id="leave", compact=True)

    def on_mount(self) -> None:
        audit = [(f"   audit {self.audit}", "dim")] if self.audit else []
        self.query_one("#secret-title", Box).show([[(self.heading, "title"), *audit]])
        self.query_one("#secret-text", Box).show([BLANK, [("  ", ""), (self._secret, "key")], BLANK])
        self._say([("Shown this once. ", "warn"), ("Neither the gateway nor the console keeps it.", "")])

    def _say(self, line: Line) -> None:
        self.query_one("#secret-say", Box).show([line])

    async def on_event(self, event: events.Event) -> None:
        """Keys typed before the window could be seen are not meant for it."""
        if isinstance(event, events.Key) and monotonic() - self._shown_at < DEAF_SECONDS:
            event.stop()
            return
        await super().on_event(event)

    def on_key(self, event: events.Key) -> None:
        if event.key == "y":
            event.stop()
            self._copy()

    def on_button_pressed(self, message: Button.Pressed) -> None:
        message.stop()
        if message.button.id == "copy":
            self._copy()
        else:
            self.action_leave()

    def _copy(self) -> None:
        problem = self._to_clipboard(self._secret)
        if problem:
            self._say([(problem, "bad")])
            return
        self._may_leave = True
        self._say(
            [
                ("Sent to the terminal's clipboard. ", "ok"),
                ("Paste it before you close: not every terminal takes it.", ""),
            ]
        )

    def action_leave(self) -> None:
        """The first time, unless it was copied, only ask."""
        if not self._may_leave:
            self._may_leave = True
            self._say([("Not copied. ", "warn"), ("esc again closes, and it cannot be shown again.", "")])
            return
        self._secret = ""
        self.query_one("#secret-text", Box).show([])
        self.dismiss(None)
