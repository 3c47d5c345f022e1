"""A table for rows that never stand still: thousands of them, painted a line at a time, the cursor tied to a key.

Only the lines in view are made. Rows are sorted and filtered by `spork.console.pictures.columns`; here they are placed, coloured
and pointed at. A cursor the operator moved stays on its key while rows move; an untouched one is the first row, so that the
worst never leaves the view by itself. A table that is not the active one never scrolls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rich.segment import Segment
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from spork.console.pictures.columns import GAP, Column, Table, layout, total_width
from spork.console.text.moment import Moment
from spork.console.text.spans import Line, Span, cells, crop, crop_middle, fit
from spork.console.ui.look import Painted
from spork.console.ui.widgets.lines import paint, paint_framed

GUTTER = 2
KEPT_LINES = 500
"""Painted lines kept for the next picture."""
MARKED_SECONDS = 5.0
WATCHED = 2_000
"""Tables longer than this mark no changes: there are always some."""
Sign = tuple[Any, ...]


class LiveTable(ScrollView, Painted, can_focus=False, inherit_bindings=False):
    """See the module. `show` gives it rows in order; `active` is whether its cursor is painted."""

    class Opened(Message):
        """The operator wants the row under the cursor."""

        def __init__(self, table: LiveTable) -> None:
            super().__init__()
            self.table = table

    class Touched(Message):
        """The table was clicked; it wants to be the active one."""

        def __init__(self, table: LiveTable) -> None:
            super().__init__()
            self.table = table

    class Headed(Message):
        """A column's title was clicked."""

        def __init__(self, table: LiveTable, column: str) -> None:
            super().__init__()
            self.table = table
            self.column = column

    def __init__(self, table: Table, id: str | None = None, *, framed: bool = False, tail: bool = False) -> None:
        super().__init__(id=id)
        self.table = table
        self.framed = framed
        self.tail = tail
        self.rows: Sequence[Any] = ()
        self.keys: list[str] = []
        self.moment = Moment()
        self.cursor = 0
        self.cursor_key: str | None = None
        self.active = False
        self.wide = False
        self.dimmed = False
        self.head: Line = []
        self.note: Line = []
        self.sorted_by: tuple[str, bool] = table.order
        self.marks: dict[str, None] = {}
        self.moved = False
        """Did the operator move the cursor? An untouched one stays on the first row, whichever that is."""
        self.empty = ""
        """What stands in place of rows when there are none."""
        self.badge: Callable[[str], str] = lambda key: ""
        self._placed: list[tuple[Column, int]] = []
        self._placed_for: tuple[int, bool] = (0, False)
        self._signs: dict[int, Sign] = {}
        self._edge: tuple[Line, Line, bool] = ([], [], False)
        self._made: dict[Sign, Strip] = {}
        self._made_for: tuple[Any, ...] = ()
        self._states: dict[str, Any] = {}
        self._changed: dict[str, float] = {}
        self.set_reactive(LiveTable.virtual_size, Size(1, self._chrome))  # as `_measure` will: no arrangement anew

    # ----------------------------------------------------------------------------------------------- rows

    @property
    def _chrome(self) -> int:
        return 3 if self.framed else 1

    @property
    def _visible(self) -> int:
        return max(1, self.size.height - self._chrome)

    def show(self, rows: Sequence[Any], moment: Moment, keys: list[str] | None = None) -> None:
        """New rows, in the order they are to stand, and their keys if they are known.

        A cursor that was moved finds its key again; one that was not stays on the first row, and the view at the top.
        """
        self.rows, self.moment = rows, moment
        self.keys = list(map(self.table.key, rows)) if keys is None else keys
        top = int(self.scroll_offset.y)
        offset = self.cursor - top
        self._find_cursor()
        self._measure()
        if not self.moved:
            if top > 0:
                self._scroll_top(0)
        elif self.active and top > 0:
            self._scroll_top(self.cursor - offset)
        elif self.active and self.cursor - top >= self._visible:
            self._scroll_top(self.cursor - self._visible + 1)
        self._note_changes()
        self.repaint()

    def repaint(self) -> None:
        """Ask for the lines that would look different now, and only for those."""
        edge = (self.head, self.note, self.active)
        height = self.size.height
        first, last = (1, height - 1) if self.framed else (0, height)
        stale = [y for y in range(first, last) if self._signs.get(y) != self._sign(y - first)]
        if self.framed and edge != self._edge:
            stale.append(0)
        if (self.framed and self.active != self._edge[2]) or 2 * len(stale) > height:
            self.refresh()
        elif stale:
            self.refresh(*[Region(0, y, self.size.width, 1) for y in stale])

    def _note_changes(self) -> None:
        """Rows whose state is another than when they were last shown are marked for a while; new tables mark nothing."""
        watch, now = self.table.watch, self.moment.now
        if watch is None or len(self.keys) > WATCHED:
            return
        states = {key: watch(row) for key, row in zip(self.keys, self.rows, strict=True)}
        for key, state in states.items():
            if self._states.get(key, state) != state:
                self._changed[key] = now
        self._states |= states
        self._changed = {key: at for key, at in self._changed.items() if 0 <= now - at < MARKED_SECONDS}

    def _find_cursor(self) -> None:
        if not self.moved:
            self.cursor = 0
        elif self.cursor_key is not None:
            if self.cursor < len(self.keys) and self.keys[self.cursor] == self.cursor_key:
                return
            try:
                self.cursor = self.keys.index(self.cursor_key)
                return
            except ValueError:
                pass
        self.cursor = max(0, min(self.cursor, len(self.keys) - 1))
        self.cursor_key = self.keys[self.cursor] if self.keys else None

    def _measure(self) -> None:
        width = self.size.width - (4 if self.framed else 2) - GUTTER
        if (width, self.wide) != self._placed_for:
            self._placed_for = (width, self.wide)
            self._placed = layout(self.table.columns, max(10, width), self.wide)
            self._made.clear()
        across = total_width(self._placed) + GUTTER + 1 if self.wide else 1
        self.virtual_size = Size(across, len(self.rows) + self._chrome)

    def on_resize(self) -> None:
        self._measure()
        self.refresh()

    @property
    def current(self) -> Any | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None

    # ----------------------------------------------------------------------------------------------- moving

    def move_to(self, index: int) -> None:
        """The cursor to a row, which is brought into view."""
        if not self.keys:
            return
        self.cursor = max(0, min(index, len(self.keys) - 1))
        self.cursor_key = self.keys[self.cursor]
        self.moved = self.cursor > 0
        top = int(self.scroll_offset.y)
        if self.cursor < top:
            self._scroll_top(self.cursor)
        elif self.cursor >= top + self._visible:
            self._scroll_top(self.cursor - self._visible + 1)
        self.repaint()

    def move_by(self, rows: int) -> None:
        self.move_to(self.cursor + rows)

    def page(self) -> int:
        return max(1, self._visible - 1)

    def use(self, table: Table) -> None:
        """The same rows with other columns."""
        self.table = table
        self._placed_for = (0, False)
        self._measure()
        self.refresh()

    def sideways(self, columns: int) -> None:
        if self.wide:
            self.scroll_to(x=self.scroll_x + columns, animate=False, immediate=True)

    def toggle_wide(self) -> None:
        self.wide = not self.wide
        self.scroll_to(x=0, animate=False, immediate=True)
        self._measure()
        self.refresh()

    def _scroll_top(self, top: int) -> None:
        self.scroll_to(y=max(0, top), animate=False, immediate=True)

    # --------------------------------------------------------------------------------------------- painting

    def line_at(self, y: int) -> Strip:
        width, height = self.size
        if not self.framed:
            return self._content(y, width, y)
        edge = paint_framed(y, height, width, self.colours, self.head, self.note, self.active)
        if edge is not None:
            self._edge = (self.head, self.note, self.active)
            return edge
        side = paint([("│", "accent" if self.active else "line")], 1, self.colours)
        return Strip.join([side, self._content(y - 1, width - 2, y), side])

    def _content(self, y: int, width: int, at: int) -> Strip:
        """Line `y` of header and rows, painted at line `at` of the widget; made once for each way it can look."""
        sign = self._signs[at] = self._sign(y)
        left = int(self.scroll_offset.x)
        made_for = (width, left, self.colours)
        if made_for != self._made_for or len(self._made) > KEPT_LINES:
            self._made_for = made_for
            self._made.clear()
        strip = self._made.get(sign)
        if strip is None:
            strip = self._header() if sign[0] == "header" else self._row(*sign)
            if left:
                strip = strip.crop(left, left + width)
            ground = "head" if sign[0] == "header" else sign[0]
            strip = self._made[sign] = strip.adjust_cell_length(width, self.colours.style("", ground))
        return strip

    def _sign(self, y: int) -> Sign:
        """All that decides how line `y` of header and rows looks: its ground, pointers, badge and cells."""
        if y == 0:
            return ("header", *self.sorted_by)
        index = int(self.scroll_offset.y) + y - 1
        if index >= len(self.rows):
            empty = not self.rows and y == 2
            return ("body", " ", "", (("  " + self.empty if empty else "", "dim"),), True)
        row, key, moment = self.rows[index], self.keys[index], self.moment
        ground = "cursor" if self.active and index == self.cursor else "body"
        mark = "*" if key in self.marks else "Δ" if moment.now - self._changed.get(key, 0.0) < MARKED_SECONDS else " "
        return (
            ground,
            mark,
            self.badge(key),
            tuple([column.cell(row, moment) for column, _ in self._placed]),
            self.dimmed,
        )

    def _header(self) -> Strip:
        colours = self.colours
        name, descending = self.sorted_by
        arrow = "▾" if descending else "▴"
        segments = [Segment(" " * GUTTER, colours.style("", "head"))]
        for column, width in self._placed:
            here = column.name == name
            title = column.title + arrow if here else column.title
            if cells(title) > width:
                title = crop(column.title, width)
            segments.append(
                Segment(fit(title, width, column.right) + " " * GAP, colours.style("bold" if here else "dim", "head"))
            )
        return Strip(segments)

    def _row(self, ground: str, mark: str, badge: str, spans: tuple[Span, ...], quiet: bool) -> Strip:
        colours = self.colours
        if len(spans) != len(self._placed):  # a line below the rows
            return Strip([Segment(text, colours.style(tone, ground)) for text, tone in spans])
        pointer = "▌" if ground == "cursor" else " "
        tone = "accent" if mark == "Δ" else "forced"
        segments = [Segment(pointer, colours.style("accent", ground)), Segment(mark, colours.style(tone, ground))]
        gap = Segment(" " * GAP, colours.style("", ground))
        for (column, width), (text, tone) in zip(self._placed, spans, strict=True):
            text = crop_middle(text, width) if column.middle else text
            segments.append(Segment(fit(text, width, column.right), colours.style("dim" if quiet else tone, ground)))
            segments.append(gap)
        strip = Strip(segments)
        if not badge:
            return strip
        room = self.size.width - (2 if self.framed else 0) - cells(badge) - 3
        return Strip.join([strip.crop(0, room), Strip([Segment(f" {badge} ", colours.style("warn", ground))])])

    # ------------------------------------------------------------------------------------------------ mouse

    def on_click(self, event: events.Click) -> None:
        self.post_message(self.Touched(self))
        y = event.y - (1 if self.framed else 0)
        if y == 0:
            self._click_header(event.x + int(self.scroll_offset.x) - (1 if self.framed else 0) - GUTTER)
            return
        index = int(self.scroll_offset.y) + y - 1
        if 0 <= index < len(self.rows):
            again = self.active and index == self.cursor
            self.move_to(index)
            if again or event.chain == 2:
                self.post_message(self.Opened(self))

    def _click_header(self, x: int) -> None:
        at = 0
        for column, width in self._placed:
            at += width + GAP
            if 0 <= x < at:
                self.post_message(self.Headed(self, column.name))
                return
