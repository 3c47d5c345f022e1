"""Collapsing: of many requests for the same missing answer one goes to the target, the others wait for what it brings.

What is not storable marks its key for two minutes (hit-for-miss): its requests go on at once, none waits for another.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Final

from spork.application.caching.filling import Filling
from spork.domain.http.caching.keys import CacheKey
from spork.domain.http.caching.stored import StoredResponse

#: Seconds for which a key whose answer was not storable is not collapsed.
HIT_FOR_MISS: Final = 120.0
#: Keys remembered as not storable.
_MOST_MARKS: Final = 20_000

FlightKey = tuple[CacheKey, tuple[bytes, ...]]
#: What a flight brought: an answer that arrives, one that is here, or nothing that others may have.
Brought = Filling | StoredResponse | None


class Flight:
    """One request on its way for all who wait. Lands once."""

    __slots__ = ("_waiting", "alone", "brought", "landed", "waiters")

    def __init__(self) -> None:
        self.landed = False
        #: Whoever waited is to go on without waiting again: the target failed, or its answer is not for others.
        self.alone = False
        self.brought: Brought = None
        self.waiters = 0
        self._waiting: asyncio.Future[None] | None = None

    def land(self, brought: Brought, alone: bool = False) -> None:
        """Tell those who wait; the first word counts."""
        if self.landed:
            return
        self.landed = True
        self.alone = alone
        self.brought = brought
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    async def wait(self, seconds: float) -> bool:
        """Wait for the landing; False when it took longer than `seconds`."""
        if self.landed:
            return True
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
        self.waiters += 1
        try:
            await asyncio.wait((self._waiting,), timeout=max(0.0, seconds))
        finally:
            self.waiters -= 1
        return self.landed


class Flights:
    """The flights of this process, and the keys that are not worth one."""

    def __init__(self) -> None:
        self._flights: dict[FlightKey, Flight] = {}
        self._marked: OrderedDict[CacheKey, tuple[float, str]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._flights)

    def of(self, key: FlightKey) -> Flight | None:
        return self._flights.get(key)

    def begin(self, key: FlightKey) -> Flight:
        flight = self._flights[key] = Flight()
        return flight

    def end(self, key: FlightKey, flight: Flight, brought: Brought = None) -> None:
        """The flight is over; who still waits gets what it brought."""
        flight.land(brought)
        if self._flights.get(key) is flight:
            del self._flights[key]

    # ----------------------------------------------------------------------------------------------------- hit-for-miss

    def mark(self, key: CacheKey, now: float, why: str) -> None:
        """The answer to `key` was not storable."""
        self._marked[key] = (now + HIT_FOR_MISS, why)
        self._marked.move_to_end(key)
        if len(self._marked) > _MOST_MARKS:
            self._marked.popitem(last=False)

    def unmark(self, key: CacheKey) -> None:
        self._marked.pop(key, None)

    def marked(self, key: CacheKey, now: float) -> str:
        """Why the last answer to `key` was not stored, or "" when requests for it may wait for each other."""
        found = self._marked.get(key)
        if found is None:
            return ""
        if now >= found[0]:
            del self._marked[key]
            return ""
        return found[1]
