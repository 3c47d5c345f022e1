"""Gateways side by side: of each how it stands, its counters and what needs attention. Looking only; enter goes there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical

from spork.console.gateway.contexts import Context
from spork.console.keys.actions import BY_NAME
from spork.console.pictures import pulse, status
from spork.console.pictures.attention import ATTENTION, concerns
from spork.console.pictures.columns import select
from spork.console.pictures.gateway_tile import gateway_line
from spork.console.session.session import ConsoleSession
from spork.console.text.spans import Line
from spork.console.ui.host import Handler, Host
from spork.console.ui.screens.pane import Pane
from spork.console.ui.widgets.lines import Box
from spork.console.ui.widgets.live_table import LiveTable

NARROWEST = 58
"""Cells a gateway needs beside others."""
SHORT = replace(
    ATTENTION,
    columns=tuple(
        replace(column, width=min(column.width, 16))
        for column in ATTENTION.columns
        if column.name in ("state", "object", "cause", "since")
    ),
)
BUSY_TOPICS = ("components",)
EVERY = 5


class Beside(Pane):
    """A column for each gateway that fits, each with a session of its own while it is shown."""

    place = "beside"

    def __init__(self, host: Host, contexts: Sequence[Context]) -> None:
        super().__init__(host)
        self.sessions = [
            ConsoleSession(each, host.session.environ, ascii_only=host.session.ascii_only) for each in contexts
        ]
        self.heads = [Box(classes="beside-head", on="bar") for _ in self.sessions]
        self.counters = [Box(classes="beside-counters") for _ in self.sessions]
        self.lists = [LiveTable(SHORT, framed=True) for _ in self.sessions]
        if self.lists:
            self.lists[0].active = True

    def compose(self) -> ComposeResult:
        with Horizontal():
            for head, counters, grid in zip(self.heads, self.counters, self.lists, strict=True):
                with Vertical():
                    yield head
                    yield counters
                    yield grid

    def on_mount(self) -> None:
        super().on_mount()
        for session in self.sessions:
            self.run_worker(session.open(), exit_on_error=False)
        self.set_interval(EVERY, self._read_more)
        self.set_timer(1.5, self._read_more)

    async def on_unmount(self) -> None:
        for session in self.sessions:
            await session.close()

    def _read_more(self) -> None:
        for session in self.sessions:
            if session.feed is not None and session.store.link.state == "UP":
                self.run_worker(session.reread(BUSY_TOPICS), exit_on_error=False, group=session.context.name)

    def versions(self) -> tuple[object, ...]:
        return tuple(session.store.changes for session in self.sessions)

    def side(self) -> Line:
        return [("enter goes there · tab the next", "dim")]

    def tables(self) -> list[LiveTable]:
        return self.lists

    def paint_all(self) -> None:
        parts = zip(self.sessions, self.heads, self.counters, self.lists, strict=True)
        for session, head, counters, grid in parts:
            store, moment, now = session.store, session.moment(), session.mono()
            fresh = store.freshness("pulse", now)
            name = status.gateway_name(session.context)
            head.show([[*name, ("  ", ""), *status.link_words(store.link, fresh, now)]])
            counters.show([*pulse.one_line(store, moment), gateway_line(store)], dimmed=fresh.old)
            rows = select(ATTENTION, concerns(store, moment.now), self.test, self.faults_only)
            open_ones = sum(row.state != "cleared" for row in rows)
            grid.head = [(session.context.name, "title"), (f" {open_ones} open", "bold" if open_ones else "dim")]
            grid.empty = ATTENTION.empty(store, bool(self.test or self.faults_only))
            grid.dimmed = fresh.old
            grid.show(rows, moment)

    # ---------------------------------------------------------------------------------------------- commands

    def handlers(self) -> dict[str, Handler]:
        return super().handlers() | {"open": self.do_open}

    def do_open(self, argument: str = "") -> None:
        for session, grid in zip(self.sessions, self.lists, strict=True):
            if grid.active:
                self.host.go("pulse")
                self.host.run_command(BY_NAME["context"], session.context.name)

    def clear(self) -> bool:
        if self.filter_text:
            self.set_filter("")
            return True
        return False

    def on_live_table_touched(self, message: LiveTable.Touched) -> None:
        message.stop()
        self.activate(message.table)

    def on_live_table_opened(self, message: LiveTable.Opened) -> None:
        message.stop()
        self.do_open()
