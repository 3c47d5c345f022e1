"""A new concern that hurts somebody is heard, if the operator wants to hear it: a bell, or a desktop notice."""

from __future__ import annotations

from spork.console.text.sanitize import clean
from spork.console.ui.host import Handler, Host

WAYS = ("off", "bell", "notice")


class Hearing:
    """See the module. What was there when the console first looked is seen, not heard."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._session = host.session
        self._heard: frozenset[tuple[str, float]] = frozenset()
        self._heard_nothing = True

    def handlers(self) -> dict[str, Handler]:
        return {"bell": self.do_bell}

    def listen(self) -> None:
        """Once per beat: compare with what was known before."""
        store = self._session.store
        quiet = self._session.quiet_concerns()
        found = {
            (row.id, row.since): row
            for row in store.rows("concerns")
            if row.severity == "error" and row.state != "cleared"
        }
        fresh = [row for spot, row in found.items() if spot not in self._heard and row.id not in quiet]
        first, self._heard = self._heard_nothing, frozenset(found)
        self._heard_nothing = self._heard_nothing and not store.known("concerns")
        how = self._session.remembered.bell
        if first or not fresh or how == "off":
            return
        text = f"spork {self._session.context.name}: {fresh[0].kind} {fresh[0].object}: {fresh[0].cause}"[:120]
        self._host.to_terminal("\a" if how == "bell" else notice("spork", clean(text, 140)))

    def do_bell(self, argument: str = "") -> None:
        remembered = self._session.remembered
        now = remembered.bell if remembered.bell in WAYS else "off"
        remembered.bell = argument if argument in WAYS else WAYS[(WAYS.index(now) + 1) % len(WAYS)]
        self._host.tell(f"new errors: {remembered.bell}", "dim")


def notice(title: str, text: str) -> str:
    """A bell and a desktop notice in the two ways terminals know: OSC 9 (one text) and OSC 777 (title and text)."""
    plain = text.replace(";", ",")
    return f"\a\x1b]9;{text}\a\x1b]777;notify;{title};{plain}\a"
