"""The help: every key and `:` word, from the registry."""

from __future__ import annotations

from collections.abc import Iterable

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from spork.console.keys.actions import GROUPS, Command
from spork.console.keys.keymap import keys_of
from spork.console.text.spans import BLANK, Line, crop, fit
from spork.console.ui.widgets.lines import Box, Text


class Help(ModalScreen[None]):
    """Every key, from the registry. Any other key closes it."""

    def __init__(self, place: str, commands: Iterable[Command]) -> None:
        super().__init__()
        self.commands = tuple(commands)
        self.place = place

    def compose(self) -> ComposeResult:
        with Vertical(id="help"):
            yield Box("help-title", on="bar")
            yield Text("help-text")

    def on_mount(self) -> None:
        self.query_one("#help-title", Box).show(
            [[("Keys and commands", "title"), ("   j k scroll, any other key closes", "dim")]]
        )
        self._paint()

    def on_resize(self) -> None:
        self._paint()

    def _paint(self) -> None:
        text = self.query_one("#help-text", Text)
        text.show(help_lines(self.commands, self.place, max(40, text.size.width)))

    def on_key(self, event: events.Key) -> None:
        event.stop()
        text = self.query_one("#help-text", Text)
        steps: dict[str, int] = {"j": 1, "down": 1, "k": -1, "up": -1, "pagedown": text.page(), "pageup": -text.page()}
        if event.key in steps:
            text.move(steps[event.key])
        else:
            self.dismiss(None)


def help_lines(commands: Iterable[Command], place: str, width: int) -> list[Line]:
    """The help, for any width; what works in `place` is bright, the rest dim."""
    lines: list[Line] = []
    for group in GROUPS:
        lines += [BLANK, [(group, "title")]]
        for command in commands:
            if command.group == group:
                lines.append(_help_row(command, place, width))
    return lines


def _help_row(command: Command, place: str, width: int) -> Line:
    here = not command.places or place in command.places
    word = f":{command.words[0]}" if command.words else ""
    tier = "" if command.tier is None else f"  tier {command.tier}, {command.role}"
    return [
        (fit(keys_of(command), 16), "key" if here else "dim"),
        (fit(word, 12), "" if here else "dim"),
        (crop(command.help + tier, max(10, width - 30)), "" if here else "dim"),
    ]
