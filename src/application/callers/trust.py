"""Keeping trust current: what was revoked or changed anywhere is honoured here within a second.

Three ways lead here, each enough by itself: announcements (at once, best effort), the records' change feed (polled
twice a second; also carries what `spork keys` did from another process), and the records read at start. A revocation
heard from another replica is written to our own records, so that it survives whatever store carried it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from spork.application.callers.consumers import Consumers
from spork.application.callers.keys import KeyRing
from spork.application.callers.ports import Announcements, Change, ChangeFeed, ChangeKind, RevocationRecords
from spork.application.callers.verdicts import TokenCache
from spork.domain.identity.revocation import Revocation, RevocationSet

_log = logging.getLogger("spork.identity")

#: Seconds between two looks at the change feed.
FOLLOW_EVERY = 0.5
#: Seconds between two rounds of forgetting what is over and writing down what was used.
TIDY_EVERY = 10.0

Sleep = Callable[[float], Awaitable[None]]


class RevocationSync:
    """Everything remembered about callers, and the one place that makes it forget."""

    def __init__(
        self,
        records: RevocationRecords,
        feed: ChangeFeed,
        announcements: Announcements,
        revoked: RevocationSet,
        ring: KeyRing,
        consumers: Consumers,
        unix: Callable[[], float],
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self._records = records
        self._feed = feed
        self._announcements = announcements
        self.revoked = revoked
        self._ring = ring
        self._consumers = consumers
        self._unix = unix
        self._sleep = sleep
        self._verdicts: list[TokenCache] = []
        self._number = -1
        self._follower: asyncio.Task[None] | None = None
        self._writing: set[asyncio.Task[None]] = set()
        self.failure = ""

    def __repr__(self) -> str:
        return f"Trust({len(self.revoked)} revocations, change {self._number})"

    def watch(self, verdicts: TokenCache) -> TokenCache:
        """Have these verdicts forgotten when trust changes."""
        self._verdicts.append(verdicts)
        return verdicts

    def keep_only(self, verdicts: Sequence[TokenCache]) -> None:
        """From now on only these count; those of a former configuration are gone."""
        self._verdicts = list(verdicts)

    async def open(self) -> None:
        """Read what is revoked and follow changes from here on. Raises when the records cannot be read: a gateway that
        does not know what was revoked must not start."""
        self._number, _ = await self._feed.changes_since(-1)
        for revocation in await self._records.in_force(self._unix()):
            self.revoked.add(revocation)
        await self._consumers.reload()
        await self._ring.learn()
        await self._announcements.open(self.hear, lambda: self.revoked)
        self._follower = asyncio.get_running_loop().create_task(self._follow())

    async def close(self) -> None:
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        await self._announcements.close()
        await asyncio.gather(*self._writing, return_exceptions=True)
        try:
            await self._ring.note_use()
        except Exception as error:  # the last use of a key is not worth failing a shutdown
            _log.warning("last uses of keys were not written: %s", error)

    async def revoke(self, revocation: Revocation) -> None:
        """Take trust back here at once, in the records for good, and everywhere within a second."""
        self._apply(revocation)
        await self._records.record(revocation)
        await self._announcements.announce(Change(ChangeKind.REVOCATION, revocation.id, revocation))

    async def key_changed(self, key_id: str) -> None:
        """Look this key up anew, here and everywhere."""
        self._ring.forget(key_id)
        await self._announcements.announce(Change(ChangeKind.KEY, key_id))

    async def consumer_changed(self, name: str) -> None:
        """Tell every replica that a consumer's plan or roles changed."""
        self.forget()
        await self._announcements.announce(Change(ChangeKind.CONSUMER, name))

    def hear(self, change: Change) -> None:
        """A change made elsewhere. Safe to hear twice."""
        if change.kind is ChangeKind.REVOCATION:
            if change.revocation is not None and self._apply(change.revocation):
                self._in_background(self._records.record(change.revocation))
        elif change.kind is ChangeKind.KEY:
            self._ring.forget(change.subject)
        else:
            self._in_background(self._reload(change.kind is ChangeKind.EVERYTHING))

    def forget(self) -> None:
        """Forget every verdict and key looked up."""
        for verdicts in self._verdicts:
            verdicts.forget()
        self._ring.forget()

    def _apply(self, revocation: Revocation) -> bool:
        if not self.revoked.add(revocation):
            return False
        self.forget()
        return True

    async def _reload(self, everything: bool) -> None:
        await self._consumers.reload()
        if everything:
            await self._ring.learn()
            for revocation in await self._records.in_force(self._unix()):
                self.revoked.add(revocation)
        self.forget()

    def _in_background(self, work: Awaitable[None]) -> None:
        async def run() -> None:
            try:
                await work
            except Exception as error:
                self.failure = str(error)
                _log.warning("a change of trust was not recorded: %s", error)

        task = asyncio.get_running_loop().create_task(run())
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    # ---------------------------------------------------------------------------------------------------- following

    async def _follow(self) -> None:
        tidied = self._unix()
        while True:
            await self._sleep(FOLLOW_EVERY)
            try:
                await self.catch_up()
                if abs(self._unix() - tidied) >= TIDY_EVERY:
                    tidied = self._unix()
                    await self.tidy()
                self.failure = ""
            except Exception as error:  # records that are away come back; meanwhile what is known stays in force
                if not self.failure:
                    _log.warning("changes of trust cannot be followed: %s", error)
                self.failure = str(error) or type(error).__name__

    async def catch_up(self) -> None:
        """Apply what the records' change feed says happened since the last look."""
        number, changes = await self._feed.changes_since(self._number)
        for change in changes:
            if change.kind is ChangeKind.REVOCATION and change.revocation is not None:
                self._apply(change.revocation)
            else:
                self.hear(change)
        self._number = number

    async def tidy(self) -> None:
        """Forget what is over; write down when keys were used."""
        self.revoked.forget(self._unix())
        await self._records.forget(self._unix())
        await self._ring.note_use()
