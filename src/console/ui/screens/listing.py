"""A full-screen list: any of `spork.console.pictures.tables`, filtered, sorted, marked, paused."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult

from spork.console.pictures.columns import BadFilter, Table, arranged, order, select
from spork.console.pictures.details import DETAIL_OF
from spork.console.pictures.sorted_rows import SortedRows
from spork.console.text.formats import count
from spork.console.text.spans import Line
from spork.console.ui.host import Handler, Host, Selected
from spork.console.ui.screens.pane import Pane
from spork.console.ui.widgets.live_table import LiveTable

MAX_MARKS = 20
TAILS = ("traffic", "events")
LONG = 1_000
"""Lists from this length on are kept in order rather than sorted at each beat."""


class Listing(Pane):
    """One list. Its place is the table's name."""

    def __init__(self, host: Host, table: Table) -> None:
        super().__init__(host)
        self.table = table
        self.place = table.name
        self.topics = (table.topic, "history") if table.name in ("services", "routes") else (table.topic,)
        kept = self.session.remembered.order(table.name)
        self.sorted_by = kept if kept is not None and table.column(kept[0]) is not None else table.order
        self.group = ""
        self.held: Sequence[Any] | None = None
        self.held_total = 0
        self.order = SortedRows(table)
        self.grid = LiveTable(self._arranged(), tail=table.name in TAILS)
        self.grid.active = True
        self.grid.badge = self._badge

    def compose(self) -> ComposeResult:
        yield self.grid

    def tables(self) -> list[LiveTable]:
        return [self.grid]

    def filtered_table(self) -> Table:
        return self.table

    def _arranged(self) -> Table:
        """The table with the columns chosen at the screen, else those of the file. One that went since is no reason to fail."""
        names = self.session.remembered.columns(self.table.name) or self.session.settings.columns.get(
            self.table.name, ()
        )
        return arranged(self.table, [name for name in names if self.table.column(name) is not None])

    def versions(self) -> tuple[object, ...]:
        store = self.session.store
        return (*super().versions(), len(store.pending))

    # ---------------------------------------------------------------------------------------------- painting

    def all_rows(self) -> Sequence[Any]:
        if self.held is not None:
            return self.held
        return self.session.store.rows(self.table.topic)

    def paint_all(self) -> None:
        grid = self.grid
        grid.sorted_by = self.sorted_by
        grid.dimmed = self.freshness(self.table.topic).old
        grid.empty = self.empty_of(self.table, bool(self.test or self.faults_only or self.group))
        kept = None if self.held is not None else self._standing()
        if kept is not None:
            grid.show(kept[0], self.session.moment(), kept[1])
            return
        grid.show(self._sorted(), self.session.moment())

    def _standing(self) -> tuple[Sequence[Any], list[str]] | None:
        """A long list, put in order by what changed in it."""
        column = self.table.column(self.sorted_by[0])
        if self.table.name in TAILS or column is None or len(self.session.store.shelves[self.table.topic].rows) < LONG:
            return None
        self.order.wants(column, self.sorted_by[1], self.test, self.faults_only, self.group)
        return self.order.rows(self.session.store)

    def _sorted(self) -> Sequence[Any]:
        rows = select(self.table, self.all_rows(), self.test, self.faults_only, self.group)
        name, descending = self.sorted_by
        column = self.table.column(name)
        newest_first = self.table.name in TAILS and self.sorted_by == self.table.order
        if column is not None and not newest_first:
            rows = order(rows, column, descending, self.table.key)
        return rows

    def paint_ages(self) -> None:
        self.grid.moment = self.session.moment()
        self.grid.dimmed = self.freshness(self.table.topic).old
        self.grid.repaint()

    def _badge(self, key: str) -> str:
        waiting = self.session.store.pending.get((self.table.topic, key))
        return f"PENDING {waiting.action}" if waiting is not None else ""

    def side(self) -> Line:
        store, shelf = self.session.store, self.session.store.shelves[self.table.topic]
        line: Line = []
        shown, there = len(self.grid.rows), len(self.all_rows())
        if shelf.total is not None and shelf.total > there:
            line.append((f"{count(shown)} of {count(shelf.total)}", ""))
        else:
            line.append((f"{count(shown)}" if shown == there else f"{count(shown)} of {count(there)}", ""))
        if self.group:
            line.append((f" · {self.group} only", "accent"))
        if self.faults_only:
            line.append((" · faults only", "warn"))
        if self.filter_text:
            line.append((f" · /{self.filter_text}", "accent"))
        if self.held is not None:
            line.append((f" · PAUSED {count(self._news())} new", "warn"))
        elif self.table.name == "traffic" and store.sample_rate > 1:
            line.append((f" · sampled 1:{store.sample_rate}", "warn"))
        if self.table.measured:
            line.append((f" · {self.table.measured}", "dim"))
        if self.table.name in TAILS:
            line += self._losses()
        if self.grid.marks:
            line.append((f" · {len(self.grid.marks)} marked", "forced"))
        return [*line, (" · ", "dim"), *self.age_line(self.table.topic)]

    def _losses(self) -> Line:
        store = self.session.store
        ring = store.traffic if self.table.name == "traffic" else store.events
        line: Line = []
        lost = store.gaps.newest(1)
        if lost:
            number = "some" if lost[0].lost is None else count(lost[0].lost)
            line.append((f" · GAP {number} lost", "warn"))
        if ring.dropped:
            line.append((f" · last {count(len(ring))} of {count(ring.total)}", "dim"))
        return line

    # ---------------------------------------------------------------------------------------------- commands

    def _news(self) -> int:
        return self._total() - self.held_total

    def _total(self) -> int:
        store = self.session.store
        return store.traffic.total if self.table.name == "traffic" else store.events.total

    def selected(self) -> list[Selected]:
        topic, key_of = self.table.topic, self.table.key
        if self.grid.marks:
            rows = {key_of(row): row for row in self.all_rows()}
            return [Selected(topic, key, rows[key]) for key in self.grid.marks if key in rows]
        row = self.grid.current
        return [] if row is None else [Selected(topic, key_of(row), row)]

    def offers(self, name: str) -> bool:
        return name != "open" or self.table.topic in DETAIL_OF

    def handlers(self) -> dict[str, Handler]:
        return super().handlers() | {
            "open": self.do_open,
            "mark": self.do_mark,
            "sort": self.do_sort,
            "reverse": self.do_reverse,
            "columns": self.do_columns,
            "wide": self.do_wide,
            "group": self.do_group,
            "pause": self.do_pause,
            "follow": self.do_follow,
        }

    def do_open(self, argument: str = "") -> None:
        row = self.grid.current
        place = DETAIL_OF.get(self.table.topic)
        if row is not None and place is not None:
            self.host.go(place, self.table.key(row))

    def do_mark(self, argument: str = "") -> None:
        key = self.grid.cursor_key
        if key is None:
            return
        if key in self.grid.marks:
            del self.grid.marks[key]
        elif len(self.grid.marks) >= MAX_MARKS:
            self.host.tell(f"at most {MAX_MARKS} rows can be marked", "warn")
        else:
            self.grid.marks[key] = None
        self.grid.move_by(1)

    def do_sort(self, argument: str = "") -> None:
        if not argument:
            self.host.pick_column(self.table, self.sorted_by, self.sort_by)
        elif self.table.column(argument) is None:
            known = ", ".join(column.name for column in self.table.columns)
            self.host.tell(f"no column {argument!r}; there are {known}", "warn")
        else:
            self.sort_by(argument)

    def sort_by(self, name: str) -> None:
        """By that column; again on it turns the order."""
        column = self.table.column(name)
        if column is not None:
            turned = self.sorted_by[0] == column.name
            self.sorted_by = (column.name, not self.sorted_by[1] if turned else column.right)
            self.session.remembered.keep_order(self.table.name, self.sorted_by)
            self.paint_all()

    def do_reverse(self, argument: str = "") -> None:
        self.sorted_by = (self.sorted_by[0], not self.sorted_by[1])
        self.paint_all()

    def do_columns(self, argument: str = "") -> None:
        """Choose and remember columns; `default` goes back to those of the file."""
        names = tuple(argument.replace(",", " ").split())
        shown = ", ".join(column.name for column in self.grid.table.columns)
        if not names:
            known = ", ".join(column.name for column in self.table.columns)
            self.host.tell(f"shown: {shown}; there are {known}", "dim", 15)
            return
        try:
            arranged(self.table, () if names == ("default",) else names)
        except BadFilter as error:
            self.host.tell(str(error), "warn", 12)
            return
        self.session.remembered.keep_columns(self.table.name, () if names == ("default",) else names)
        self.grid.use(self._arranged())
        self.paint_all()

    def do_wide(self, argument: str = "") -> None:
        self.grid.toggle_wide()

    def do_group(self, argument: str = "") -> None:
        circle = ("", *self.table.groups)
        if argument:
            self.group = argument if argument in circle else ""
        else:
            self.group = circle[(circle.index(self.group) + 1) % len(circle)]
        self.paint_all()

    def do_pause(self, argument: str = "") -> None:
        if self.held is None:
            self.held, self.held_total = self.all_rows(), self._total()
        else:
            self.held = None
        self.paint_all()

    def do_follow(self, argument: str = "") -> None:
        self.held = None
        self.sorted_by = self.table.order
        self.paint_all()
        self.grid.move_to(0)

    def clear(self) -> bool:
        """Forget filter, group, faults only and marks, innermost first; answers whether there was anything to forget."""
        if self.grid.marks:
            self.grid.marks.clear()
        elif self.filter_text:
            self.set_filter("")
        elif self.faults_only or self.group:
            self.faults_only, self.group = False, ""
        else:
            return False
        self.paint_all()
        return True

    def on_live_table_headed(self, message: LiveTable.Headed) -> None:
        message.stop()
        self.sort_by(message.column)

    def on_live_table_opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        self.do_open()
