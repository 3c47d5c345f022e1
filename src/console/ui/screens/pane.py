"""What every screen of the console is: a pane the main screen shows, feeds and asks.

A pane reads the store and paints; it never talks to the gateway. Handlers of commands are its `do_NAME` methods.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from textual.containers import Container

from spork.console.pictures.columns import BadFilter, Table, Test, compile_filter
from spork.console.session.session import ConsoleSession
from spork.console.text.freshness import Freshness, age
from spork.console.text.spans import Line, titled
from spork.console.ui.widgets.live_table import LiveTable

if TYPE_CHECKING:
    from spork.console.ui.main import MainScreen


@dataclass(frozen=True, slots=True)
class Selected:
    """A row an action would take: its topic, key and the row as last seen."""

    topic: str
    key: str
    row: Any


class Pane(Container):
    """See the module. `place` names it for the registry, `topics` are what it shows."""

    place = ""
    topics: tuple[str, ...] = ()
    subject = ""

    def __init__(self, session: ConsoleSession) -> None:
        super().__init__()
        self.session = session
        self.filter_text = ""
        self.test: Test | None = None
        self.faults_only = False
        self._seen: tuple[object, ...] = ()
        self._second = 0

    def on_mount(self) -> None:
        self.main.pump_soon()

    @property
    def main(self) -> MainScreen:
        return cast("MainScreen", self.screen)

    # ------------------------------------------------------------------------------- what subclasses say

    def trail(self) -> list[str]:
        """Where this is, outermost first."""
        return [titled(self.place)]

    def side(self) -> Line:
        """What stands at the right of the crumbs: counts, order, filter, age."""
        return []

    def paint_all(self) -> None:
        """Show the store as it is."""

    def tables(self) -> list[LiveTable]:
        """Tables with a cursor, in tab order."""
        return []

    def selected(self) -> list[Selected]:
        return []

    def offers(self, name: str) -> bool:
        """Is the command worth a hint here? What would do nothing is not."""
        return bool(self.tables()) or name not in ("open", "filter")

    # --------------------------------------------------------------------------------------------- the pump

    def versions(self) -> tuple[object, ...]:
        return tuple(self.session.store.version(topic) for topic in self.topics)

    def update(self, second: int, force: bool = False) -> bool:
        """Repaint if anything shown changed, and once a second because ages are shown. Answers whether it did."""
        versions = self.versions()
        if not force and versions == self._seen:
            if second == self._second:
                return False
            self._second = second
            self.paint_ages()
            return True
        self._seen, self._second = versions, second
        self.paint_all()
        return True

    def paint_ages(self) -> None:
        """Nothing changed but the time. Panes whose rows do not depend on it only paint them again."""
        self.paint_all()

    def set_filter(self, text: str) -> str:
        """Filter by what was typed; answers why it cannot be ('' if it can)."""
        try:
            self.test = compile_filter(text, self.filtered_table())
        except BadFilter as error:
            return str(error)
        self.filter_text = text
        self.paint_all()
        return ""

    def filtered_table(self) -> Table | None:
        """The table whose columns a filter may compare; None where there is none."""
        tables = self.tables()
        return tables[0].table if tables else None

    def freshness(self, topic: str) -> Freshness:
        return self.session.store.freshness(topic, self.session.mono())

    def empty_of(self, table: Table, filtered: bool | None = None) -> str:
        """What stands in place of the table's rows when there are none."""
        return table.empty(self.session.store, bool(self.test or self.faults_only) if filtered is None else filtered)

    def age_line(self, topic: str) -> Line:
        """The topic's age and trouble, for titles: a quiet `0.3s` while all is well, words otherwise."""
        shelf = self.session.store.shelves[topic]
        fresh = self.freshness(topic)
        if shelf.fault is not None:
            return [(shelf.fault.word, "bad"), (f" {shelf.fault}"[:60], "dim")]
        line: Line = [("reading… ", "dim")] if shelf.reading and not fresh.live else []
        if fresh.age is None:
            return [*line, (fresh.word, "dim")]
        if fresh.live:
            return [*line, (age(fresh.age), "dim")]
        return [*line, (f"{fresh.word} {age(fresh.age)}", fresh.tone)]

    # -------------------------------------------------------------------------------------------- commands

    def active_table(self) -> LiveTable | None:
        return next((table for table in self.tables() if table.active), None)

    def activate(self, wanted: LiveTable) -> None:
        for table in self.tables():
            if table.active != (table is wanted):
                table.active = table is wanted
                table.refresh()

    def do_next_part(self) -> None:
        there = [table for table in self.tables() if table.display and table.parent is not None]
        if there:
            now = self.active_table()
            index = there.index(now) + 1 if now in there else 0
            self.activate(there[index % len(there)])

    def do_down(self) -> None:
        self._move(1)

    def do_up(self) -> None:
        self._move(-1)

    def do_page_down(self) -> None:
        self._move(pages=1.0)

    def do_page_up(self) -> None:
        self._move(pages=-1.0)

    def do_half_down(self) -> None:
        self._move(pages=0.5)

    def do_half_up(self) -> None:
        self._move(pages=-0.5)

    def do_top(self) -> None:
        self._move(-(10**9))

    def do_bottom(self) -> None:
        self._move(10**9)

    def do_left(self) -> None:
        table = self.active_table()
        if table is not None:
            table.sideways(-12)

    def do_right(self) -> None:
        table = self.active_table()
        if table is not None:
            table.sideways(12)

    def _move(self, rows: int = 0, pages: float = 0.0) -> None:
        table = self.active_table()
        if table is not None:
            table.move_by(rows or int(table.page() * pages) or (1 if pages > 0 else -1))

    def do_faults(self, argument: str = "") -> None:
        self.faults_only = not self.faults_only
        self.paint_all()
