"""One thing in full: its facts above, what belongs to it below (a service's targets, a target's requests)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from textual.app import ComposeResult

from spork.application.views import TrafficView
from spork.console.gateway.topics import target_key
from spork.console.pictures.columns import Table, order, select
from spork.console.pictures.details import DETAILS, TOPIC_OF
from spork.console.pictures.tables import TABLES
from spork.console.text.formats import count
from spork.console.text.spans import BLANK, Line
from spork.console.ui.host import Handler, Host, Selected
from spork.console.ui.screens.pane import Pane
from spork.console.ui.widgets.lines import Text
from spork.console.ui.widgets.live_table import LiveTable

BELOW: dict[str, str] = {"service": "targets", "target": "traffic", "consumer": "traffic", "quota": "traffic"}
LAST_REQUESTS = 50


class Detail(Pane):
    """The row `key` of a topic. It keeps showing what it knew when the row is gone, and says so."""

    def __init__(self, host: Host, place: str, key: str) -> None:
        super().__init__(host)
        self.place = place
        self.subject = key
        self.topic = TOPIC_OF[place]
        self.topics = (self.topic, TABLES[BELOW[place]].topic) if place in BELOW else (self.topic,)
        if place == "service":
            self.topics = (*self.topics, "history")
        self.row: Any | None = None
        self.facts = Text("facts")
        self.below: LiveTable | None = None
        if place in BELOW:
            self.below = LiveTable(self._table(), framed=True, tail=BELOW[place] == "traffic")
            self.below.active = True
            self.below.badge = self._badge

    def _table(self) -> Table:
        table = TABLES[BELOW[self.place]]
        if self.place != "service":
            return table
        return replace(table, columns=tuple(column for column in table.columns if column.name != "service"))

    def compose(self) -> ComposeResult:
        yield self.facts
        if self.below is not None:
            yield self.below

    def tables(self) -> list[LiveTable]:
        return [self.below] if self.below is not None else []

    def versions(self) -> tuple[object, ...]:
        return (*super().versions(), len(self.session.store.pending))

    def _badge(self, key: str) -> str:
        waiting = self.session.store.pending.get((self._table().topic, key))
        return f"PENDING {waiting.action}" if waiting is not None else ""

    def side(self) -> Line:
        line: Line = []
        waiting = self.session.store.pending.get((self.topic, self.subject))
        if waiting is not None:
            line.append((f"PENDING {waiting.action} · ", "warn"))
        if self.filter_text:
            line.append((f"/{self.filter_text} · ", "accent"))
        return [*line, *self.age_line(self.topic)]

    # ---------------------------------------------------------------------------------------------- painting

    def paint_all(self) -> None:
        store, moment = self.session.store, self.session.moment()
        found = store.row(self.topic, self.subject)
        self.row = found if found is not None else self.row
        width = max(40, self.size.width - 4)
        if self.row is None:
            known = store.known(self.topic)
            gone = "not here (any more): it left the gateway's lists"
            lines: list[Line] = [[(gone if known else f"not known: {store.why_unknown(self.topic)}", "warn")]]
        else:
            lines = DETAILS[self.place](self.row, moment, width)
            if found is None:
                lines = [[("gone from the gateway's lists; last known:", "warn")], BLANK, *lines]
        if self.below is not None:
            self.facts.styles.height = min(len(lines) + 2, max(3, self.size.height // 2))
        self.facts.show(lines, dimmed=self.freshness(self.topic).old)
        if self.below is not None:
            self._below(self.below)

    def _below(self, grid: LiveTable) -> None:
        table = self._table()
        rows = select(table, self._related(), self.test, self.faults_only)
        if table.name != "traffic":
            column = table.column(table.order[0])
            rows = order(rows, column, table.order[1], table.key) if column is not None else rows
        name = "Targets" if table.name == "targets" else f"Last {LAST_REQUESTS} requests seen"
        grid.head = [(name, "title"), (f" {count(len(rows))}", "dim")]
        grid.empty = self.empty_of(table)
        grid.note = self.age_line(table.topic)
        grid.dimmed = self.freshness(table.topic).old
        grid.show(rows, self.session.moment())

    def _related(self) -> list[Any]:
        store, row = self.session.store, self.row
        if self.place == "service":
            return [target for target in store.rows("targets") if target.upstream == self.subject]
        if row is None:
            return []
        return [request for request in store.rows("traffic") if self._concerns(request, row)][:LAST_REQUESTS]

    def _concerns(self, request: TrafficView, row: Any) -> bool:
        if self.place == "target":
            return bool(request.target == row.name and request.upstream == row.upstream)
        if self.place == "quota":
            return bool((row.kind == "ip" and request.client == row.subject) or request.subject == row.subject)
        return bool(request.subject == row.name)

    # ---------------------------------------------------------------------------------------------- commands

    def selected(self) -> list[Selected]:
        if self.place == "service" and self.below is not None and self.below.current is not None:
            return [Selected("targets", target_key(self.below.current), self.below.current)]
        return [] if self.row is None else [Selected(self.topic, self.subject, self.row)]

    def handlers(self) -> dict[str, Handler]:
        return super().handlers() | {
            "open": self.do_open,
        }

    def do_open(self, argument: str = "") -> None:
        if self.below is not None and self.below.current is not None:
            place = {"targets": "target", "traffic": "request"}[self._table().topic]
            self.host.go(place, self._table().key(self.below.current))

    def move(self, rows: int = 0, pages: float = 0.0) -> None:
        if self.below is not None:
            super().move(rows, pages)
        else:
            self.facts.move(rows or int(self.facts.page() * pages))

    def clear(self) -> bool:
        if self.filter_text:
            self.set_filter("")
            return True
        return False

    def on_live_table_opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        self.do_open()
