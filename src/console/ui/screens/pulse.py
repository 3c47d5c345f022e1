"""The Pulse: is it well, and if not, where? Each part is a door to a list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from textual.app import ComposeResult
from textual.containers import Horizontal

from spork.console.pictures import pulse
from spork.console.pictures.attention import ATTENTION, concerns
from spork.console.pictures.columns import BadFilter, Test, compile_filter, select, top
from spork.console.pictures.gateway_tile import gateway_line, gateway_tile
from spork.console.pictures.tables.health import BREAKERS, TARGETS
from spork.console.text.formats import count
from spork.console.text.spans import Line
from spork.console.ui.host import Handler, Host, Selected
from spork.console.ui.screens.pane import Pane
from spork.console.ui.widgets.lines import Box
from spork.console.ui.widgets.live_table import LiveTable

SHOWN = 50
"""Rows of each short list; the rest is on its own screen."""
SEARCHED = 2_000
"""Requests looked through for those that pass a filter."""
DOORS = {
    "tile-traffic": "traffic",
    "tile-breakers": "breakers",
    "tile-targets": "targets",
    "tile-gateway": "components",
}


class Pulse(Pane):
    """Tiles above, what needs attention below them, then the busiest and the tail; narrow windows keep the first two."""

    place = "pulse"
    topics = ("pulse", "services", "targets", "breakers", "quotas", "traffic", "concerns", "components")

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.held = False
        self.held_total = 0
        self._tests: dict[str, Test | None] = {}
        self.traffic = Box("tile-traffic", framed=True)
        self.breakers = Box("tile-breakers", framed=True)
        self.targets = Box("tile-targets", framed=True)
        self.gateway = Box("tile-gateway", framed=True)
        self.counters = Box("counters")
        self.attention = LiveTable(ATTENTION, "attention", framed=True)
        self.services = LiveTable(pulse.TOP_SERVICES, "top-services", framed=True)
        self.consumers = LiveTable(pulse.TOP_CONSUMERS, "top-consumers", framed=True)
        self.tail = LiveTable(pulse.TAIL, "tail", framed=True, tail=True)
        self.attention.active = True

    def compose(self) -> ComposeResult:
        yield self.counters
        with Horizontal(id="tiles"):
            yield self.traffic
            yield self.breakers
            yield self.targets
            yield self.gateway
        yield self.attention
        with Horizontal(id="tops"):
            yield self.services
            yield self.consumers
        yield self.tail

    def tables(self) -> list[LiveTable]:
        return [table for table in (self.attention, self.services, self.consumers, self.tail) if self._visible(table)]

    def _visible(self, table: LiveTable) -> bool:
        parent = table.parent
        return table.display and (parent is None or getattr(parent, "display", True))

    def side(self) -> Line:
        store = self.session.store
        line: Line = []
        if self.faults_only:
            line.append(("faults only · ", "warn"))
        if self.filter_text:
            line.append((f"/{self.filter_text} · ", "accent"))
        if store.nodes is not None and store.nodes.silent:
            line.append((f"silent: {', '.join(store.nodes.silent)} · ", "warn"))
        return [*line, *self.age_line("pulse")]

    # ---------------------------------------------------------------------------------------------- painting

    def paint_all(self) -> None:
        self._tiles()
        self._attention()
        if self._visible(self.services):
            self._top(self.services, "services", "Services, worst first", [])
        if self._visible(self.consumers):
            self._top(self.consumers, "quotas", "Most refused", [])
        if self._visible(self.tail) and not self.held:
            newest = self.session.store.traffic.newest(SHOWN if not self._narrowed else SEARCHED)
            self.tail.show(self._passing(self.tail, newest)[:SHOWN], self.session.moment())
        self._tail_head()

    def _tiles(self) -> None:
        store, moment = self.session.store, self.session.moment()
        if self.counters.display:
            self.counters.show(
                [*pulse.one_line(store, moment), gateway_line(store)], dimmed=self.freshness("pulse").old
            )
        if not self.traffic.parent or not getattr(self.traffic.parent, "display", True):
            return
        width = self.traffic.size.width - 4
        unknown = "" if store.known("pulse") else f"not known: {store.why_unknown('pulse')}"
        old = self.freshness("pulse").old
        self.traffic.show(
            pulse.traffic_tile(store.one("pulse"), width, moment, unknown),
            [("Traffic", "title"), (" 5 min", "dim")],
            self.age_line("pulse"),
            dimmed=old,
        )
        self.breakers.show(
            pulse.breakers_tile(
                store.rows("breakers"), self.breakers.size.width - 4, moment, self.empty_of(BREAKERS, False)
            ),
            [("Breakers", "title")],
            self.age_line("breakers"),
            dimmed=old,
        )
        self.targets.show(
            pulse.targets_tile(
                store.rows("targets"), self.targets.size.width - 4, moment, self.empty_of(TARGETS, False)
            ),
            [("Targets", "title")],
            self.age_line("targets"),
            dimmed=old,
        )

        self.gateway.show(
            gateway_tile(store, self.gateway.size.width - 4),
            [("Gateway", "title")],
            self.age_line("components"),
            dimmed=self.freshness("components").old,
        )

    def _attention(self) -> None:
        moment = self.session.moment()
        found = concerns(self.session.store, moment.now, moment.quiet)
        rows = self._passing(self.attention, found)
        open_ones = sum(row.state != "cleared" for row in rows)
        self.attention.head = [
            ("Attention", "title"),
            (f" {open_ones}", "bold" if open_ones else "dim"),
            (" open, worst first", "dim"),
        ]
        self.attention.note = self.age_line("concerns")
        self.attention.dimmed = self.freshness("concerns").old
        self.attention.empty = self.empty_of(ATTENTION)
        self.attention.show(rows, moment)

    def _top(self, grid: LiveTable, topic: str, name: str, note: Line) -> None:
        column = grid.table.column(grid.table.order[0])
        store = self.session.store
        rows = store.rows(topic)
        shown = list(rows[:SHOWN])
        if self._narrowed:
            passing = self._passing(grid, rows)
            shown = passing[:SHOWN] if column is None else top(passing, column, SHOWN)
        elif column is not None:
            shown = store.derived(topic, f"top {column.name}", lambda: top(rows, column, SHOWN))
        grid.head = [(name, "title"), (f" {count(len(rows))}", "dim")]
        grid.note = self.age_line(topic)
        grid.dimmed = self.freshness(topic).old
        grid.empty = self.empty_of(grid.table, self._narrowed)
        grid.show(shown, self.session.moment())

    @property
    def _narrowed(self) -> bool:
        return bool(self.filter_text or self.faults_only)

    def _passing(self, grid: LiveTable, rows: Sequence[Any]) -> list[Any]:
        """What filter and faults switch leave of a list. A comparison of a column it does not have leaves it whole."""
        return select(grid.table, rows, self._tests.get(grid.table.name), self.faults_only)

    def set_filter(self, text: str) -> str:
        """Filter every list of the Pulse; answers why it cannot be, if none of them can."""
        tests: dict[str, Test | None] = {}
        problem = ""
        for table in (self.attention, self.services, self.consumers, self.tail):
            try:
                tests[table.table.name] = compile_filter(text, table.table)
            except BadFilter as error:
                problem = str(error)
        if problem and not tests:
            return problem
        self._tests, self.filter_text = tests, text
        self.test = tests.get(ATTENTION.name)
        self.paint_all()
        return ""

    def _tail_head(self) -> None:
        store = self.session.store
        note: Line = [(f"sampled 1:{store.sample_rate}", "dim")] if store.sample_rate > 1 else []
        if self.held:
            note = [(f"PAUSED {count(store.traffic.total - self.held_total)} new", "warn")]
        self.tail.head = [("Latest requests", "title")]
        self.tail.empty = self.empty_of(self.tail.table, self._narrowed)
        self.tail.dimmed = self.freshness("traffic").old
        self.tail.note = note or self.age_line("traffic")
        self.tail.repaint()

    # ---------------------------------------------------------------------------------------------- commands

    def selected(self) -> list[Selected]:
        table = self.active_table()
        row = table.current if table is not None else None
        if table is None or row is None or not table.table.topic:
            return []
        return [Selected(table.table.topic, table.table.key(row), row)]

    def handlers(self) -> dict[str, Handler]:
        return super().handlers() | {
            "open": self.do_open,
            "acknowledge": self.do_acknowledge,
            "snooze": self.do_snooze,
            "pause": self.do_pause,
            "follow": self.do_follow,
        }

    def do_open(self, argument: str = "") -> None:
        table = self.active_table()
        row = table.current if table is not None else None
        if table is None or row is None:
            return
        if table is self.attention:
            if row.place:
                self.host.go(row.place, row.key)
            return
        place = {"services": "service", "quotas": "quota", "traffic": "request"}[table.table.topic]
        self.host.go(place, table.table.key(row))

    def do_acknowledge(self, argument: str = "") -> None:
        """This console stops pointing at the concern until it clears."""
        self._quiet(float("inf"), "acknowledged until it clears")

    def do_snooze(self, argument: str = "") -> None:
        from spork.console.session.tiers import seconds

        try:
            length = seconds(argument or "30m")
        except ValueError as error:
            self.host.tell(f":snooze {error}", "warn")
            return
        self._quiet(self.session.mono() + length, f"snoozed for {argument or '30m'}")

    def _quiet(self, until: float, what: str) -> None:
        row = self.attention.current
        if row is None or row.kind == "link":
            self.host.tell("no concern under the cursor", "dim")
            return
        if row.id in self.session.quieted:
            del self.session.quieted[row.id]
            what = "pointed at again"
        else:
            self.session.quieted[row.id] = until
        self.host.tell(f"{row.kind} {row.object}: {what}", "dim")
        self.paint_all()

    def do_pause(self, argument: str = "") -> None:
        self.held = not self.held
        self.held_total = self.session.store.traffic.total
        self.paint_all()

    def do_follow(self, argument: str = "") -> None:
        self.held = False
        self.paint_all()

    def clear(self) -> bool:
        if self.filter_text:
            self.set_filter("")
        elif self.faults_only:
            self.faults_only = False
        else:
            return False
        self.paint_all()
        return True

    def on_box_pressed(self, message: Box.Pressed) -> None:
        message.stop()
        place = DOORS.get(message.box.id or "")
        if place is not None:
            self.host.go(place)

    def on_live_table_opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        self.do_open()

    def on_live_table_touched(self, message: LiveTable.Touched) -> None:
        message.stop()
        self.activate(message.table)
