"""Reading what no stream carries, while it is looked at, and reading anew because the operator asks."""

from __future__ import annotations

from spork.console.gateway.faults import LinkFault
from spork.console.gateway.topics import TOPICS
from spork.console.ui.host import Handler, Host

POLLED_SECONDS = 5.0
WHOLE_PAGE = 500
RANGES = (5, 15, 60)
"""Minutes that lines of the past may span."""


class Reading:
    """See the module."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._session = host.session
        self._polled: dict[str, float] = {}
        self._store = host.session.store

    def handlers(self) -> dict[str, Handler]:
        return {"reread": self.do_reread, "range": self.do_range}

    def poll_visible(self) -> None:
        """Lists without a stream are read each five seconds while they are what is shown."""
        pane, session = self._host.shown, self._session
        if pane is None or session.feed is None or session.store.link.state != "UP":
            return
        if session.store is not self._store:  # another gateway, or another moment of a recording
            self._store = session.store
            self._polled.clear()
        now = session.mono()
        for topic in pane.topics:
            if not TOPICS[topic].ticking and now - self._polled.get(topic, -1e9) >= POLLED_SECONDS:
                self._polled[topic] = now
                session.store.shelves[topic].interval = POLLED_SECONDS
                self._host.work(self._refresh(topic), f"poll-{topic}")

    async def _refresh(self, topic: str) -> None:
        try:
            if self._session.feed is not None:
                more: dict[str, str | int] = {"top": WHOLE_PAGE}
                if topic == "history":
                    pane = self._host.shown
                    of_routes = pane is not None and pane.place in ("routes", "route")
                    more = {"minutes": self._session.minutes, "kind": "route" if of_routes else "service"}
                await self._session.feed.refresh(topic, **more)
        except LinkFault:
            pass  # the shelf holds the fault, and the box says it

    def do_range(self, argument: str = "") -> None:
        """How far back the lines of services and routes go."""
        session = self._session
        wanted = int(argument.rstrip("m")) if argument.rstrip("m").isdigit() else 0
        session.minutes = wanted if wanted in RANGES else RANGES[(RANGES.index(session.minutes) + 1) % len(RANGES)]
        self._polled.pop("history", None)
        self._host.tell(f"lines of the last {session.minutes} minutes", "dim")
        self.poll_visible()

    def do_reread(self, argument: str = "") -> None:
        self._session.retry()
        pane = self._host.shown
        if pane is not None and self._session.store.link.state == "UP":
            self._host.work(self._reread(pane.topics), "reread")

    async def _reread(self, topics: tuple[str, ...]) -> None:
        try:
            await self._session.reread(topics)
            self._host.tell("read again", "dim", 2.0)
        except LinkFault as fault:
            self._host.tell(f"{fault.word} {fault}", "bad")
