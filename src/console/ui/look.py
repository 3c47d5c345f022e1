"""How widgets look: the palette and the characters they may use, as the application that shows them has them."""

from __future__ import annotations

from rich.segment import Segment
from textual import getters
from textual.app import App
from textual.strip import Strip
from textual.widget import Widget

from spork.console.ui.palette import Palette

_ASCII = str.maketrans(
    {
        "…": "~",
        "·": "-",
        "↑": "^",
        "↓": "v",
        "■": "#",
        "›": ">",
        "→": ">",
        "≥": ">",
        "×": "x",
        "▌": ">",
        "─": "-",
        "━": "=",
        "│": "|",
        "╭": "+",
        "╮": "+",
        "╰": "+",
        "╯": "+",
        "Δ": "+",
        "▾": "v",
        "▴": "^",
    }
)


def ascii_strip(strip: Strip) -> Strip:
    """The same cells in ASCII where they are the console's own decoration; what others wrote stays."""
    return Strip([Segment(text.translate(_ASCII), style) for text, style, _ in strip], strip.cell_length)


class LookApp(App[None]):
    """An application whose painted widgets share one palette, and one answer to whether they may leave ASCII."""

    colours: Palette
    ascii_only: bool


class Painted(Widget):
    """Base of widgets that paint by line: subclasses say `line_at`."""

    look = getters.app(LookApp)

    def line_at(self, y: int) -> Strip:
        """Line `y` of the widget, as wide as it is."""
        raise NotImplementedError

    def render_line(self, y: int) -> Strip:
        strip = self.line_at(y)
        return ascii_strip(strip) if self.look.ascii_only else strip

    @property
    def colours(self) -> Palette:
        return self.look.colours
