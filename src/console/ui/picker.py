"""A window to choose one of some names."""

from __future__ import annotations

from typing import ClassVar

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen

from spork.console.text.spans import fit
from spork.console.ui.widgets.lines import Box


class Picker(ModalScreen[str | None]):
    """Choose one of some names: j k, enter, escape, or the first letter twice-unique."""

    BINDINGS: ClassVar[list[BindingType]] = [
        ("escape,q", "cancel", ""),
        ("j,down,s", "step(1)", ""),
        ("k,up", "step(-1)", ""),
        ("enter", "choose", ""),
    ]

    def __init__(self, title: str, choices: list[tuple[str, str]], current: str) -> None:
        super().__init__()
        self.heading = title
        self.choices = choices
        self.at = next((index for index, (name, _) in enumerate(choices) if name == current), 0)

    def compose(self) -> ComposeResult:
        with Vertical(id="picker"):
            yield Box("picker-title", on="bar")
            yield Box("picker-list", on="bar")

    def on_mount(self) -> None:
        names = max((len(name) for name, _ in self.choices), default=0)
        notes = max((len(note) for _, note in self.choices), default=0)
        width = names + notes + 12
        self.query_one("#picker").styles.width = max(30, width, len(self.heading) + 8)
        self.query_one("#picker-list").styles.height = len(self.choices)
        self.query_one("#picker-title", Box).show([[(self.heading, "title")]])
        self._paint()

    def _paint(self) -> None:
        width = max((len(name) for name, _ in self.choices), default=0)
        self.query_one("#picker-list", Box).show(
            [
                [
                    ("▌ " if index == self.at else "  ", "accent"),
                    (fit(name, width), "bold" if index == self.at else ""),
                    (f"  {note}", "dim"),
                ]
                for index, (name, note) in enumerate(self.choices)
            ]
        )

    def action_step(self, by: int) -> None:
        self.at = (self.at + by) % max(1, len(self.choices))
        self._paint()

    def action_choose(self) -> None:
        self.dismiss(self.choices[self.at][0] if self.choices else None)

    def action_cancel(self) -> None:
        self.dismiss(None)

    def on_click(self, event: events.Click) -> None:
        box = self.query_one("#picker-list")
        row = event.screen_y - box.region.y
        if box.region.contains(event.screen_x, event.screen_y) and 0 <= row < len(self.choices):
            self.dismiss(self.choices[row][0])
