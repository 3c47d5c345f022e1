"""What an operator takes along: a row's id, a call, the screen as text, the rows shown as a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from spork.console.gateway.topics import TOPICS
from spork.console.text.formats import clock
from spork.console.ui.clipboard import Clipboard
from spork.console.ui.host import Handler, Host, Selected


class Taking:
    """See the module. `screen` gives the lines as painted; `last_audit` the id of the last write's record."""

    def __init__(
        self, host: Host, clipboard: Clipboard, screen: Callable[[], list[str]], last_audit: Callable[[], str]
    ) -> None:
        self._host = host
        self._session = host.session
        self._clipboard = clipboard
        self._screen = screen
        self._last_audit = last_audit

    def handlers(self) -> dict[str, Handler]:
        return {
            "copy": self.do_copy,
            "copy_row": self.do_copy_row,
            "copy_curl": self.do_copy_curl,
            "save": self.do_save,
            "export": self.do_export,
        }

    def do_copy(self, argument: str = "") -> None:
        chosen = self._host.selected()
        if chosen:
            self._copy("\n".join(_id_of(one) for one in chosen))
        elif self._last_audit():
            self._copy(self._last_audit())

    def do_copy_row(self, argument: str = "") -> None:
        import msgspec

        chosen = self._host.selected()
        if chosen:
            self._copy("\n".join(msgspec.json.encode(one.row).decode() for one in chosen))

    def do_copy_curl(self, argument: str = "") -> None:
        for one in self._host.selected()[:1]:
            url, path = self._session.context.url, TOPICS[one.topic].path
            self._copy(f'curl -H "Authorization: Bearer $SPORK_TOKEN" {url}/admin/v1{path}')

    def _copy(self, text: str) -> None:
        problem = self._clipboard.to_terminal(text)
        if problem:
            self._host.tell(problem, "bad")
            return
        self._host.tell(f"copied {text if len(text) < 60 else text[:57] + '…'}", "ok")

    def do_save(self, argument: str = "") -> None:
        """The screen as text. Tokens are never on it."""
        place = self._host.shown.place if self._host.shown is not None else "view"
        name = argument or f"spork-{place}-{self._clock()}.txt"
        if self._write(name, "\n".join(self._screen()) + "\n", "save"):
            self._host.tell(f"saved {name}", "ok")

    def do_export(self, argument: str = "") -> None:
        """The rows shown, as CSV or JSON by the file's name."""
        from spork.console.plain.exporting import as_text

        table = self._host.shown.active_table() if self._host.shown is not None else None
        if table is None:
            self._host.tell("nothing to export here: a list is needed", "warn")
            return
        name = argument or f"spork-{table.table.name}-{self._clock()}.csv"
        kind = "json" if name.endswith(".json") else "csv"
        if self._write(name, as_text(table.table, list(table.rows), self._session.moment(), kind), "write"):
            self._host.tell(f"{len(table.rows)} rows written to {name}", "ok")

    def _write(self, name: str, text: str, verb: str) -> bool:
        try:
            Path(name).write_text(text)
        except OSError as error:
            self._host.tell(f"cannot {verb} {name}: {error.strerror}", "bad")
            return False
        return True

    def _clock(self) -> str:
        return clock(self._session.wall()).replace(":", "")


def _id_of(one: Selected) -> str:
    return str(getattr(one.row, "audit_id", None) or one.key or getattr(one.row, "revision", ""))
