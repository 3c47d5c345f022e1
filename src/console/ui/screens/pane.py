"""What every screen of the console is: a pane its host shows, feeds and asks.

A pane reads the store and paints; it never talks to the gateway. What it does at a command is in its table `handlers`.
"""

from __future__ import annotations

from textual.containers import Container

from spork.console.pictures.columns import BadFilter, Table, Test, compile_filter
from spork.console.text.freshness import Freshness, age
from spork.console.text.spans import Line
from spork.console.ui.host import Handler, Host, Selected, checked
from spork.console.ui.widgets.live_table import LiveTable


class Pane(Container):
    """See the module. `place` names it for the registry, `topics` are what it shows."""

    place = ""
    topics: tuple[str, ...] = ()
    subject = ""

    def __init__(self, host: Host) -> None:
        super().__init__()
        self.host = host
        self.session = host.session
        self.filter_text = ""
        self.test: Test | None = None
        self.faults_only = False
        self._seen: tuple[object, ...] = ()
        self._second = 0
        self._handlers = checked(type(self).__name__, self.handlers())

    def on_mount(self) -> None:
        self.host.pump_soon()

    # ------------------------------------------------------------------------------- what subclasses say

    def part(self) -> str:
        """Which part of the place is looked at, if it has parts: the last step of the path above."""
        return ""

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

    def arrive(self, argument: str) -> None:
        """The pane was asked for by its `:` word with an argument: a filter."""
        problem = self.set_filter(argument)
        if problem:
            self.host.tell(problem, "bad")

    def clear(self) -> bool:
        """Forget filter and the like, innermost first; answers whether there was anything to forget."""
        return False

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

    def filter_hint(self) -> str:
        """What is odd about the filter: a field that the rows do not have is looked for as it stands."""
        table = self.filtered_table()
        rows = self.session.store.rows(table.topic) if table is not None else ()
        if table is None or table.fields is None or not rows:
            return ""
        known = table.fields(rows[0])
        for word in self.filter_text.split():
            name, colon, value = word.removeprefix("!").partition(":")
            if colon and value and name.isidentifier() and name != "re" and name not in known:
                return f"no field {name!r} here: looked for as it stands; there are {', '.join(known)}"
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

    def handlers(self) -> dict[str, Handler]:
        """What it does at which command, beyond what screen and console do everywhere."""
        return {
            "next_part": self.do_next_part,
            "down": lambda argument: self.move(1),
            "up": lambda argument: self.move(-1),
            "page_down": lambda argument: self.move(pages=1.0),
            "page_up": lambda argument: self.move(pages=-1.0),
            "half_down": lambda argument: self.move(pages=0.5),
            "half_up": lambda argument: self.move(pages=-0.5),
            "top": lambda argument: self.move(-(10**9)),
            "bottom": lambda argument: self.move(10**9),
            "left": lambda argument: self.sideways(-1),
            "right": lambda argument: self.sideways(1),
            "faults": self.do_faults,
        }

    def handler(self, name: str) -> Handler | None:
        return self._handlers.get(name)

    def active_table(self) -> LiveTable | None:
        return next((table for table in self.tables() if table.active), None)

    def activate(self, wanted: LiveTable) -> None:
        for table in self.tables():
            if table.active != (table is wanted):
                table.active = table is wanted
                table.refresh()

    def do_next_part(self, argument: str = "") -> None:
        there = [table for table in self.tables() if table.display and table.parent is not None]
        if there:
            now = self.active_table()
            index = there.index(now) + 1 if now in there else 0
            self.activate(there[index % len(there)])

    def sideways(self, steps: int) -> None:
        table = self.active_table()
        if table is not None:
            table.sideways(12 * steps)

    def move(self, rows: int = 0, pages: float = 0.0) -> None:
        table = self.active_table()
        if table is not None:
            table.move_by(rows or int(table.page() * pages) or (1 if pages > 0 else -1))

    def do_faults(self, argument: str = "") -> None:
        self.faults_only = not self.faults_only
        self.paint_all()
