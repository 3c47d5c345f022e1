"""One operator at one gateway: the store, its feed, the write lock, and writes done carefully. No screen.

The HTTP library is imported when the session opens, not before: the first picture need not wait for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from spork.console.gateway.contexts import BadContext, Context
from spork.console.gateway.faults import Broken, Changed, LinkFault, Unauthenticated, Unreachable
from spork.console.keys.settings import Settings
from spork.console.session.remembered import Remembered, path_of
from spork.console.session.store import Pending, Store
from spork.console.session.tiers import Lock, allowed
from spork.console.session.writes import APPLIED, CHANGED, REFUSED, UNKNOWN, Outcome, Write
from spork.console.text.formats import lasting
from spork.console.text.freshness import LIVE as FRESH
from spork.console.text.moment import Moment

if TYPE_CHECKING:
    from spork.application.views import ActionResult, TargetView
    from spork.console.gateway.client import ConsoleClient
    from spork.console.session.feed import Feed
    from spork.console.session.replaying import Player

VERIFY_AFTER = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Pauses in seconds between looks at an object whose write was never answered."""


class ConsoleSession:
    """See the module. `open` starts the feed, `close` ends it; `switch` does both for another context."""

    def __init__(
        self,
        context: Context,
        environ: Mapping[str, str],
        *,
        poll: float | None = None,
        ascii_only: bool = False,
        mono: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        player: Player | None = None,
        settings: Settings | None = None,
    ) -> None:
        """`player` is a recording to read instead of a gateway."""
        self.player = player
        if player is not None:
            mono, wall = player.since_start, player.now
        self.context = context
        self.environ = environ
        self.mono, self.wall = mono, wall
        self.store = Store()
        self.store.url = context.url
        self.lock = Lock()
        self.remembered = Remembered(path_of(environ))
        self.settings = settings or Settings()
        self.minutes = 15
        self.quieted: dict[str, float] = {}
        """Concerns that are acknowledged (no end) or snoozed (monotonic end), by id."""
        self.client: ConsoleClient | None = None
        self.feed: Feed | None = None
        self.ascii_only = ascii_only
        self._poll = poll
        self._running: asyncio.Task[None] | None = None

    # ----------------------------------------------------------------------------------------------------- life cycle

    async def open(self) -> None:
        """Fetch the token and start reading. A token that cannot be had is shown, not raised."""
        await asyncio.to_thread(_load_http)
        from spork.console.gateway.client import ConsoleClient
        from spork.console.session.feed import Feed

        token = await self._token() if self.player is None else ""
        transport = None
        if self.player is not None:
            from spork.console.session.replaying import ReplayTransport

            transport = ReplayTransport(self.player)
        verify = self.context.ca or True
        self.client = ConsoleClient(self.context.url, token or "", verify=verify, transport=transport)
        poll = self._poll if self._poll is not None else self.context.poll
        self.feed = Feed(self.store, self.client, poll=poll, mono=self.mono, wall=self.wall)
        if token is None:
            return
        self._running = asyncio.create_task(self.feed.run(), name="console feed")

    async def _token(self) -> str | None:
        try:
            return await asyncio.to_thread(self.context.fetch_token, self.environ)
        except BadContext as error:
            self.store.link.lost(Unauthenticated(str(error)), self.mono(), None)
            self.store.notice(str(error), "bad", self.wall())
            return None

    async def close(self) -> None:
        running, self._running = self._running, None
        if running is not None:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        if self.client is not None:
            await self.client.aclose()
            self.client = None

    async def switch(self, context: Context) -> None:
        """Leave this gateway for another: nothing of the old one stays, writes are locked."""
        await self.close()
        self.context = context
        self.store = Store()
        self.store.url = context.url
        self.lock.lock()
        await self.open()

    async def login(self) -> None:
        """Fetch the token anew and connect again; what was read stays on the screen meanwhile."""
        await self.close()
        await self.open()

    def retry(self) -> None:
        if self.feed is not None:
            self.feed.nudge()

    # -------------------------------------------------------------------------------------------------------- reading

    def moment(self) -> Moment:
        """What cells need to know besides their row, now."""
        now = self.store.server_now(self.mono(), self.wall())
        return Moment(
            now, self.store.partial, self.ascii_only, self.quiet_concerns(), self.store.shelves["history"].rows
        )

    def quiet_concerns(self) -> frozenset[str]:
        """Concerns the operator has acknowledged, until they clear, or snoozed, until the time is over."""
        now, there = self.mono(), self.store.shelves["concerns"].rows
        for key, until in list(self.quieted.items()):
            row = there.get(key)
            if now >= until or row is None or row.state == "cleared":
                del self.quieted[key]
        return frozenset(self.quieted)

    def look_at(self, topics: tuple[str, ...]) -> None:
        """The visible screen's topics: what polling asks for."""
        if self.feed is not None:
            self.feed.topics = topics
            if self.store.link.mode == "poll":
                self.feed.nudge()

    async def reread(self, topics: tuple[str, ...]) -> None:
        """Read topics again now. Raises a Fault."""
        if self.feed is None:
            raise Unreachable("not connected yet")
        from spork.console.gateway.topics import LIVE, TOPICS

        live = tuple(name for name in topics if name in LIVE)
        if live:
            await self.feed.read(live)
        for name in topics:
            if not TOPICS[name].live:
                await self.feed.refresh(name)

    # -------------------------------------------------------------------------------------------------------- writing

    def refusal(self, write: Write, row: Any) -> str:
        """Why this write cannot be done now; '' if it can. The server decides again."""
        who = self.store.who
        if who is None or self.client is None:
            return "not connected"
        if not allowed(who.role, write.role):
            return f"needs role {write.role}; you are {who.role}"
        if write.tier > 0 and not self.lock.open(self.mono()):
            return "read-only: W unlocks writes for ten minutes"
        blocked = write.blocked(row)
        return f"{write.label(row)} {blocked}" if blocked else ""

    def tier(self, write: Write, row: Any) -> int:
        targets: list[TargetView] = list(self.store.rows("targets"))
        return write.tier_for(row, targets)

    async def fresh_row(self, write: Write, topic: str, key: str, row: Any) -> Any:
        """The row, read again first if what is shown is not LIVE. Raises a Fault if it cannot be read."""
        if self.store.freshness(topic, self.mono()).word == FRESH:
            return self.store.row(topic, key) or row
        await self.reread((topic,))
        return self.store.row(topic, key) or row

    async def preview(self, write: Write, row: Any, values: Mapping[str, object]) -> ActionResult:
        """What the server says would happen. Raises a Fault."""
        if self.client is None:
            raise Unreachable("not connected")
        return await self.client.act(write.path(row), values, dry_run=True)

    async def perform(
        self, write: Write, topic: str, row: Any, values: Mapping[str, object], rev: int | None
    ) -> Outcome:
        """Send the write once and tell how it ended. Never raises a Fault, never repeats."""
        import uuid

        if self.client is None:
            return Outcome(REFUSED, "not connected")
        name = f"{write.verb.lower()} {write.label(row)}"
        try:
            result = await self.client.act(write.path(row), values, dry_run=False, rev=rev, key=uuid.uuid4().hex)
        except Changed as fault:
            return Outcome(CHANGED, f"{name}: changed meanwhile, {fault.current or fault}")
        except Unreachable as fault:
            if isinstance(fault, Broken):
                return Outcome(UNKNOWN, f"{name}: {fault}")
            return Outcome(UNKNOWN, f"{name}: no answer ({fault})")
        except LinkFault as fault:
            return Outcome(REFUSED, f"{name}: {fault.word.lower()}: {fault}")
        if not result.applied:
            warning = "; ".join(result.warnings) or "nothing changed"
            return Outcome(REFUSED, f"{name}: not applied: {warning}", result)
        if write.topic == topic and write.confirmed:
            key = self.store.shelves[topic].topic.key(row)
            self.store.wait_for(topic, key, Pending(write.name, result.revision, self.mono()))
        return Outcome(APPLIED, f"{name}: {result.before} → {result.after}", result)

    async def verify(self, write: Write, topic: str, key: str) -> Outcome:
        """After an UNKNOWN: read the object until it shows the write. Never repeats it, never guesses that it failed."""
        name = f"{write.verb.lower()} {key or write.label(None)}"
        for pause in VERIFY_AFTER:
            await asyncio.sleep(pause)
            try:
                await self.reread((topic,))
            except LinkFault:
                continue
            if write.done(self.store.row(topic, key)):
                return Outcome(APPLIED, _with(f"{name}: verified, it was applied", write.lost))
        total = lasting(sum(VERIFY_AFTER))
        return Outcome(UNKNOWN, _with(f"{name}: does not show after {total}; look before you repeat it", write.lost))


def _with(text: str, more: str) -> str:
    return f"{text}; {more}" if more else text


def _load_http() -> None:
    import spork.console.session.feed  # noqa: F401
