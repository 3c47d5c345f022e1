"""The help: every key and `:` word, from the registry."""

from __future__ import annotations

from collections.abc import Iterable

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from spork.console.keys.actions import GROUPS, Command
from spork.console.keys.keymap import keys_of
from spork.console.text.spans import BLANK, Line, crop, fit, line_cells, titled
from spork.console.ui.widgets.lines import Box, Text

TWO_COLUMNS = 150
GAP = 3


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
        end = 10**6
        steps: dict[str, int] = {
            "j": 1, "down": 1, "k": -1, "up": -1, "pagedown": text.page(), "pageup": -text.page(),
            "ctrl+f": text.page(), "ctrl+b": -text.page(), "ctrl+d": text.page() // 2, "ctrl+u": -text.page() // 2,
            "g": -end, "home": -end, "G": end, "end": end,
        }  # fmt: skip
        if event.key in steps:
            text.move(steps[event.key])
        else:
            self.dismiss(None)


def help_lines(commands: Iterable[Command], place: str, width: int) -> list[Line]:
    """The help, for any width: first what works in `place` only, then the rest by group, in two columns where they fit."""
    known = tuple(commands)
    here = [command for command in known if place in command.places]
    blocks = [_block(f"On this screen ({titled(place)})", here, place, _half(width))] if here else []
    for group in GROUPS:
        rest = [command for command in known if command.group == group and command not in here]
        if rest:
            blocks.append(_block(group, rest, place, _half(width)))
    if width < TWO_COLUMNS:
        return [line for block in blocks for line in block]
    return _side_by_side(blocks, _half(width))


def _half(width: int) -> int:
    return width if width < TWO_COLUMNS else (width - GAP) // 2


def _block(heading: str, commands: Iterable[Command], place: str, width: int) -> list[Line]:
    return [BLANK, [(heading, "title")], *(_help_row(command, place, width) for command in commands)]


def _side_by_side(blocks: list[list[Line]], width: int) -> list[Line]:
    """Blocks in order, in two columns of about the same height."""
    total, left, at = sum(map(len, blocks)), list[Line](), 0
    while at < len(blocks) and len(left) + len(blocks[at]) // 2 <= total / 2:
        left += blocks[at]
        at += 1
    right = [line for block in blocks[at:] for line in block]
    height = max(len(left), len(right))
    left += [[]] * (height - len(left))
    right += [[]] * (height - len(right))
    return [[*one, (" " * (width + GAP - line_cells(one)), ""), *other] for one, other in zip(left, right, strict=True)]


def _help_row(command: Command, place: str, width: int) -> Line:
    here = not command.places or place in command.places
    word = f":{command.words[0]}" if command.words else ""
    tier = "" if command.tier is None else f"  tier {command.tier}, {command.role}"
    return [
        (fit(keys_of(command), 13), "key" if here else "dim"),
        (fit(word, 12), "" if here else "dim"),
        (crop(command.help + tier, max(10, width - 27)), "" if here else "dim"),
    ]
