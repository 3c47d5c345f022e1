"""The configuration: what runs against the file and against the revision before, its history, its problems."""

from __future__ import annotations

from textual.app import ComposeResult

from spork.console.pictures.columns import no_fields
from spork.console.pictures.explaining import CONFIG_TABS, config_head, config_tab
from spork.console.text.spans import BLANK, Line
from spork.console.ui.host import Host, Selected
from spork.console.ui.screens.pane import Pane
from spork.console.ui.widgets.lines import Bar, Box, Text

TITLES = {
    "file": "running → file",
    "previous": "previous → running",
    "running": "running",
    "history": "history",
    "problems": "problems",
}


class Config(Pane):
    """Five tabs of one ConfigView; h and l change between them."""

    place = "config"
    topics = ("config",)

    def __init__(self, host: Host) -> None:
        super().__init__(host)
        self.tab = CONFIG_TABS[0]
        self.facts = Box("config-facts")
        self.choice = Bar("config-tabs", on="body")
        self.body = Text("config-body")

    def compose(self) -> ComposeResult:
        yield self.facts
        yield self.choice
        yield self.body

    def part(self) -> str:
        return TITLES[self.tab]

    def side(self) -> Line:
        waiting = self.session.store.pending.get(("config", ""))
        line: Line = [(f"PENDING {waiting.action} · ", "warn")] if waiting is not None else []
        return [*line, *self.age_line("config")]

    def paint_all(self) -> None:
        view = self.session.store.one("config")
        self.choice.show(
            [([(f" {TITLES[tab]} ", "tab" if tab == self.tab else "dim"), (" ", "")], tab) for tab in CONFIG_TABS]
        )
        if view is None:
            self.body.show([BLANK, [(f"  not known: {self.session.store.why_unknown('config')}", "dim")]])
            return
        head = config_head(view, self.session.moment())
        self.facts.styles.height = len(head) + 1
        self.facts.show(head, dimmed=self.freshness("config").old)
        lines = config_tab(view, self.tab)
        if self.filter_text and self.test is not None:
            test = self.test
            lines = [line for line in lines if test("".join(text for text, _ in line).lower(), no_fields, line)]
        self.body.show([BLANK, *lines], dimmed=self.freshness("config").old)

    def offers(self, name: str) -> bool:
        return name != "open"

    def selected(self) -> list[Selected]:
        view = self.session.store.one("config")
        return [] if view is None else [Selected("config", "", view)]

    def do_next_part(self, argument: str = "") -> None:
        self.sideways(1)

    def sideways(self, steps: int) -> None:
        self.show_tab(CONFIG_TABS[(CONFIG_TABS.index(self.tab) + steps) % len(CONFIG_TABS)])

    def show_tab(self, tab: str) -> None:
        self.tab = tab
        self.body.scroll_to(y=0, animate=False, immediate=True)
        self.paint_all()

    def on_bar_pressed(self, message: Bar.Pressed) -> None:
        message.stop()
        self.show_tab(message.name)

    def move(self, rows: int = 0, pages: float = 0.0) -> None:
        self.body.move(rows or int(self.body.page() * pages))

    def clear(self) -> bool:
        if self.filter_text:
            self.set_filter("")
            return True
        return False
