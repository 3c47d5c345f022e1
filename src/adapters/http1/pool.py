"""The connections to one target, and which request gets which.

The decision is `assign`, a pure function of four numbers; everything else here carries it out. Rules:

- the connection that became idle last is used first (it is the least likely to have been closed by the target);
- a slot is taken by every connection, idle, busy or being made; there are at most `policy.connections`;
- when all are taken, an exchange whose client has sent nothing of its body for `STALLED` seconds gives its slot up for each that waits;
- when all are taken, at most `policy.pending` requests wait, in order; a connection or slot that becomes free goes
  to the first of them directly, so idle connections and waiting requests never exist at once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Final

from spork.adapters.http1 import faults
from spork.adapters.http1.connection import Connection, Home
from spork.domain.outcomes import FaultKind
from spork.domain.upstreams.model import PoolPolicy

#: Seconds without a byte of the request's body after which an exchange gives way to one that waits.
STALLED: Final = 1.0
#: Waits longer than this need no timer.
_FOREVER: Final = 86400.0


class Assignment(Enum):
    REUSE = "reuse"
    CONNECT = "connect"
    WAIT = "wait"
    REFUSE = "refuse"


def assign(idle: int, taken: int, waiting: int, policy: PoolPolicy) -> Assignment:
    """What a request that arrives now gets. `taken` counts all slots in use, idle connections among them."""
    if idle:
        return Assignment.REUSE
    if taken < policy.connections:
        return Assignment.CONNECT
    if waiting < policy.pending:
        return Assignment.WAIT
    return Assignment.REFUSE


@dataclass(frozen=True, slots=True)
class PoolStats:
    """Counts of one target's connections; `opened` and `closed` only grow."""

    idle: int
    busy: int
    connecting: int
    pending: int
    opened: int
    closed: int

    def __add__(self, other: PoolStats) -> PoolStats:
        return PoolStats(
            self.idle + other.idle,
            self.busy + other.busy,
            self.connecting + other.connecting,
            self.pending + other.pending,
            self.opened + other.opened,
            self.closed + other.closed,
        )


class TargetPool(Home):
    """Connections to one address under one policy. `clock` answers monotonic seconds."""

    def __init__(self, label: str, policy: PoolPolicy, clock: Callable[[], float]) -> None:
        self.label = label
        self.policy = policy
        self.clock = clock
        self.idle: list[Connection] = []
        self.busy: set[Connection] = set()
        self.connecting = 0
        self.opened = 0
        self.closed = 0
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._shut = False

    def __repr__(self) -> str:
        return (
            f"<TargetPool {self.label} idle={len(self.idle)} busy={len(self.busy)}"
            f" connecting={self.connecting} pending={len(self._waiters)}>"
        )

    @property
    def taken(self) -> int:
        return len(self.idle) + len(self.busy) + self.connecting

    @property
    def unused(self) -> bool:
        return not (self.idle or self.busy or self.connecting or self._waiters)

    def stats(self) -> PoolStats:
        return PoolStats(len(self.idle), len(self.busy), self.connecting, len(self._waiters), self.opened, self.closed)

    # ------------------------------------------------------------------------------------------ a request wants one

    def reuse(self, now: float) -> Connection | None:
        """The idle connection used last, now busy; None when there is none fit to be used."""
        idle = self.idle
        while idle:
            connection = idle.pop()
            if connection.alive and not self._expired(connection, now):
                self.busy.add(connection)
                return connection
            self._end(connection)
        return None

    async def reserve(self, timeout: float) -> Connection | None:
        """A connection that came free, or None: then the caller holds a slot and must `adopt` or `forgo` it.

        Waits at most `timeout` seconds. Raises FaultError when the pool is full, or stays so.
        """
        match assign(len(self.idle), self.taken, len(self._waiters), self.policy):
            case Assignment.REUSE:
                return self.reuse(self.clock()) or await self.reserve(timeout)
            case Assignment.CONNECT:
                self.connecting += 1
                return None
            case Assignment.REFUSE:
                raise self._full("too many requests wait for a connection")
            case Assignment.WAIT:
                self.make_room(1)
                return await self._wait(timeout)

    async def _wait(self, timeout: float) -> Connection | None:
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout if timeout < _FOREVER else None):
                return await waiter
        except BaseException as error:
            self._leave(waiter)
            if isinstance(error, TimeoutError):
                raise self._full("no connection came free in time") from None
            raise

    def _leave(self, waiter: asyncio.Future[Connection | None]) -> None:
        """A request stops waiting; what it was given in the same turn goes to the next."""
        if not waiter.done() or waiter.cancelled():
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            return
        if waiter.exception() is not None:
            return
        connection = waiter.result()
        if connection is None:
            self.forgo()
        else:
            self.release(connection, None)

    def _full(self, note: str) -> BaseException:
        return faults.gateway(FaultKind.CONNECTION_LIMIT_REACHED, note, retry_safe=True)

    # ------------------------------------------------------------------------------------- a slot changes its state

    def adopt(self, connection: Connection) -> None:
        """The slot held by `reserve` now has a connection, which is busy."""
        self.connecting -= 1
        self.opened += 1
        self.busy.add(connection)

    def forgo(self) -> None:
        """The slot held by `reserve` is not needed after all."""
        self.connecting -= 1
        self._vacated()

    def renew(self, connection: Connection) -> None:
        """A busy connection turned out dead: the caller keeps its slot to connect anew, as after `reserve`."""
        self.busy.discard(connection)
        self._end(connection)
        self.connecting += 1

    def release(self, connection: Connection, keep_alive: float | None) -> None:
        """A busy connection is fit for another request. `keep_alive` is how long the target said it keeps it."""
        now = self.clock()
        connection.idle_since = now
        if keep_alive is not None:
            connection.idle_limit = min(self.policy.idle, max(keep_alive - 1.0, 0.5))
        if self._shut or now - connection.opened >= self.policy.lifetime or not connection.alive:
            self.retire(connection)
            return
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self.busy.discard(connection)
        self.idle.append(connection)

    def retire(self, connection: Connection) -> None:
        """A busy connection is not fit for another request."""
        self.busy.discard(connection)
        self._end(connection)
        self._vacated()

    def lost(self, connection: Connection) -> None:
        """The target closed a connection that no exchange was using."""
        if connection in self.idle:
            self.idle.remove(connection)
            self._end(connection)
            self._vacated()

    def make_room(self, wanted: int) -> None:
        """End up to `wanted` exchanges whose clients send nothing, those that have been silent for longest first."""
        now = self.clock()
        silent = [
            (response.waits_since, response)
            for connection in self.busy
            if (response := connection.response) is not None
            and now - response.waits_since >= STALLED
            and not response.status
            and response.error is None
        ]
        silent.sort(key=lambda found: found[0])
        for _, response in silent[:wanted]:
            response.give_way()

    def sweep(self, now: float) -> None:
        """End idle connections whose time is over. They lie in the order in which they became idle."""
        if self._waiters:
            self.make_room(len(self._waiters))
        kept = [connection for connection in self.idle if not self._expired(connection, now)]
        if len(kept) != len(self.idle):
            expired = [connection for connection in self.idle if self._expired(connection, now)]
            self.idle[:] = kept
            for connection in expired:
                self._end(connection)

    def end_idle(self) -> None:
        """End what nobody uses now."""
        while self.idle:
            self._end(self.idle.pop())

    def shut(self) -> None:
        """End idle connections now, and busy ones when they are given back. Waiting requests are refused."""
        self._shut = True
        self.end_idle()
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_exception(self._full("the gateway is closing"))

    def _expired(self, connection: Connection, now: float) -> bool:
        return now - connection.idle_since >= connection.idle_limit or now - connection.opened >= self.policy.lifetime

    def _end(self, connection: Connection) -> None:
        self.closed += 1
        connection.transport.close()

    def _vacated(self) -> None:
        while self._waiters and self.taken < self.policy.connections:
            waiter = self._waiters.popleft()
            if not waiter.done():
                self.connecting += 1
                waiter.set_result(None)
                return
