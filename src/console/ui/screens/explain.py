"""A route and the match explainer: type a request, see which route wins and why the others lost. Nothing is sent."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.widgets import Input

from spork.console.gateway.faults import LinkFault
from spork.console.pictures import details, explaining
from spork.console.text.spans import BLANK, Line
from spork.console.ui.host import Handler, Host, Selected
from spork.console.ui.screens.pane import Pane
from spork.console.ui.widgets.lines import Box, Text


class Explain(Pane):
    """For a route (`key` its name) or for a request typed after `:explain` (`key` is 'METHOD URL')."""

    place = "route"
    topics = ("routes",)

    def __init__(self, host: Host, key: str) -> None:
        super().__init__(host)
        self.subject = key
        self.asked = key if " " in key else ""
        self.answer: list[Line] = []
        self.facts = Box("route-facts")
        self.ask = Input(id="ask", placeholder="GET /path?query -H 'accept: text/html'", select_on_focus=False)
        self.result = Text("explained")

    def compose(self) -> ComposeResult:
        yield self.facts
        yield Box("ask-label")
        yield self.ask
        yield self.result

    def on_mount(self) -> None:
        super().on_mount()
        self.ask.value = self.asked or self._suggestion()
        self.query_one("#ask-label", Box).show(
            [[("Which route would take this request?  enter asks, nothing is sent", "dim")]]
        )
        if self.asked:
            self._explain(self.asked)
        else:
            self.ask.focus()

    def _suggestion(self) -> str:
        row = self.session.store.row("routes", self.subject)
        if row is None:
            return "GET /"
        host = f"http://{row.hosts[0]}" if row.hosts else ""
        return f"{row.methods[0] if row.methods else 'GET'} {host}{row.pattern.partition(', ')[0].replace('/*', '/x')}"

    def side(self) -> Line:
        return self.age_line("routes")

    def paint_all(self) -> None:
        row = None if self.asked else self.session.store.row("routes", self.subject)
        lines = [] if row is None else details.route(row, self.session.moment(), max(40, self.size.width - 4))
        self.facts.styles.height = len(lines) + 1 if lines else 0
        self.facts.show(lines)
        self.result.show(self.answer)

    def selected(self) -> list[Selected]:
        row = self.session.store.row("routes", self.subject)
        return [] if row is None else [Selected("routes", self.subject, row)]

    def on_input_submitted(self, message: Input.Submitted) -> None:
        message.stop()
        self._explain(message.value)
        self.host.unfocus()

    def offers(self, name: str) -> bool:
        return name != "filter"

    def handlers(self) -> dict[str, Handler]:
        return super().handlers() | {
            "open": self.do_open,
        }

    def do_open(self, argument: str = "") -> None:
        self.ask.focus()

    def _explain(self, typed: str) -> None:
        try:
            method, url, headers = explaining.question(typed)
        except explaining.BadQuestion as error:
            self.answer = [[(str(error), "warn")]]
            self.result.show(self.answer)
            return
        self.answer = [[("asking the gateway…", "dim")]]
        self.result.show(self.answer)
        self.run_worker(self._ask(method, url, headers), exclusive=True, exit_on_error=False)

    async def _ask(self, method: str, url: str, headers: dict[str, str]) -> None:
        client = self.session.client
        try:
            if client is None:
                raise LinkFault("not connected")
            found = await client.explain(method, url, headers)
            self.answer = explaining.explanation(found, max(40, self.size.width - 4))
        except LinkFault as fault:
            self.answer = [[(f"{fault.word} ", "bad"), (str(fault), "")], BLANK]
        self.result.show(self.answer)

    def move(self, rows: int = 0, pages: float = 0.0) -> None:
        self.result.move(rows or int(self.result.page() * pages))
