"""Widgets that paint lines of spans: a box, a scrolling text, a bar with places to click."""

from __future__ import annotations

from collections.abc import Sequence

from rich.segment import Segment
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from spork.console.text.spans import Line, cells, crop, crop_line, line_cells, quiet
from spork.console.ui.look import Painted
from spork.console.ui.palette import Palette


def paint(line: Line, width: int, colours: Palette, on: str = "body") -> Strip:
    """A line in exactly `width` cells of the ground `on`. The text of a span is never parsed, only styled."""
    segments = [Segment(text, colours.style(tone, on)) for text, tone in line if text]
    return Strip(segments).adjust_cell_length(width, colours.style("", on))


def paint_framed(
    y: int, height: int, width: int, colours: Palette, title: Line, note: Line, focused: bool = False
) -> Strip | None:
    """The top or bottom line of a box, None for the lines between. The note stands at the right of the top."""
    edge = "accent" if focused else "line"
    corner, rule = "╭╮╰╯", "─"
    if y == 0:
        note = crop_line([*note, (" ", "")] if note else [], width - 8)
        head = crop_line(title, max(0, width - 8 - line_cells(note)))
        lead: Line = [(corner[0] + rule + " ", edge), *head, (" ", "")] if head else [(corner[0] + rule, edge)]
        tail: Line = [(" ", ""), *note, (rule + corner[1], edge)] if note else [(rule + corner[1], edge)]
        fill = width - line_cells(lead) - line_cells(tail)
        line: Line = [*lead, (rule * max(0, fill), edge), *tail]
        return paint(line, width, colours)
    if y == height - 1:
        return paint([(corner[2] + rule * (width - 2) + corner[3], edge)], width, colours)
    return None


class Box(Painted):
    """Lines with an optional frame. `show` repaints only if something changed."""

    class Pressed(Message):
        """The box was clicked."""

        def __init__(self, box: Box) -> None:
            super().__init__()
            self.box = box

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Pressed(self))

    def __init__(
        self, id: str | None = None, *, framed: bool = False, on: str = "body", classes: str | None = None
    ) -> None:
        super().__init__(id=id, classes=classes)
        self.framed = framed
        self.on = on
        self.lines: list[Line] = []
        self.head: Line = []
        self.note: Line = []

    def show(
        self, lines: list[Line], head: Line | None = None, note: Line | None = None, *, dimmed: bool = False
    ) -> None:
        """`dimmed` paints every tone quietly: the numbers are old."""
        head, note = head or [], note or []
        if dimmed:
            lines = quiet(lines)
        stale = [y for y, (old, new) in enumerate(zip(self.lines, lines, strict=False)) if old != new]
        whole = len(lines) != len(self.lines) or 2 * len(stale) > len(lines)
        if self.framed:
            stale = [y + 1 for y in stale] + ([0] if (head, note) != (self.head, self.note) else [])
        self.lines, self.head, self.note = lines, head, note
        if whole:
            self.refresh()
        elif stale:
            self.refresh(*[Region(0, y, self.size.width, 1) for y in stale])

    def line_at(self, y: int) -> Strip:
        width, height = self.size
        if not self.framed:
            return paint(self.lines[y] if y < len(self.lines) else [], width, self.colours, self.on)
        edge = paint_framed(y, height, width, self.colours, self.head, self.note)
        if edge is not None:
            return edge
        return framed_row(self.lines[y - 1] if y <= len(self.lines) else [], width, self.colours)


def framed_row(line: Line, width: int, colours: Palette) -> Strip:
    """A line between the sides of a box."""
    side = paint([("│", "line")], 1, colours)
    return Strip.join([side, paint([(" ", ""), *crop_line(line, width - 4)], width - 2, colours), side])


class Bar(Painted):
    """One line of parts, each of which may be clicked."""

    DEFAULT_CSS = "Bar { height: 1; }"

    class Pressed(Message):
        """A part was clicked; `name` is what it stands for."""

        def __init__(self, bar: Bar, name: str) -> None:
            super().__init__()
            self.bar = bar
            self.name = name

    def __init__(self, id: str, on: str = "bar") -> None:
        super().__init__(id=id)
        self.on = on
        self.parts: list[tuple[Line, str]] = []

    def show(self, parts: Sequence[tuple[Line, str]]) -> None:
        if parts != self.parts:
            self.parts = list(parts)
            self.refresh()

    def text(self) -> str:
        return "".join(text for line, _ in self.parts for text, _ in line)

    def line_at(self, y: int) -> Strip:
        return paint([span for line, _ in self.parts for span in line], self.size.width, self.colours, self.on)

    def on_click(self, event: events.Click) -> None:
        at = 0
        for line, name in self.parts:
            at += line_cells(line)
            if event.x < at:
                if name:
                    self.post_message(self.Pressed(self, name))
                return


class Text(ScrollView, Painted, can_focus=False):
    """Lines that scroll. No wrapping: whoever makes the lines knows the width."""

    def __init__(self, id: str | None = None) -> None:
        super().__init__(id=id)
        self.lines: list[Line] = []

    def show(self, lines: list[Line], *, dimmed: bool = False) -> None:
        """`dimmed` as in a Box."""
        lines = quiet(lines) if dimmed else lines
        if lines != self.lines:
            self.lines = lines
            width = max((line_cells(line) for line in lines), default=0)
            self.virtual_size = Size(width, len(lines))
            self.refresh()

    def line_at(self, y: int) -> Strip:
        left, top = self.scroll_offset
        width = self.size.width
        row = top + y
        line = self.lines[row] if row < len(self.lines) else []
        if left == 0:
            return paint(crop_line(line, width), width, self.colours)
        whole = paint(line, max(line_cells(line), left + width), self.colours)
        return whole.crop(left, left + width)

    def move(self, rows: int = 0, columns: int = 0) -> None:
        self.scroll_to(self.scroll_x + columns, self.scroll_y + rows, animate=False, immediate=True)

    def page(self) -> int:
        return max(1, self.size.height - 1)


def padded(text: str, width: int) -> str:
    """`text` in `width` cells, for painters outside of lines."""
    text = crop(text, width)
    return text + " " * (width - cells(text))


__all__ = ["Bar", "Box", "Text", "framed_row", "padded", "paint", "paint_framed"]
