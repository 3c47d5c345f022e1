"""Writes are locked until the operator unlocks them, and again after ten minutes."""

from __future__ import annotations

from spork.console.ui.host import Handler, Host


class Unlocking:
    """See the module."""

    def __init__(self, host: Host) -> None:
        self._host = host

    def handlers(self) -> dict[str, Handler]:
        return {"unlock": self.do_unlock}

    def do_unlock(self, argument: str = "") -> None:
        session = self._host.session
        lock, now, who = session.lock, session.mono(), session.store.who
        if lock.open(now):
            lock.lock()
            self._host.tell("read-only", "dim")
        elif who is None or who.role == "viewer":
            self._host.tell("writes need role operator" + (f"; you are {who.role}" if who else ""), "bad")
        else:
            lock.unlock(now)
            self._host.tell("writes unlocked for ten minutes", "forced")
        self._host.pump(True)
