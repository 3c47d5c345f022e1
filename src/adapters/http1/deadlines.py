"""Looks at what is waiting and ends what has waited too long.

A timer per request would cost more than the request's parsing; one timer for all, ticking while anything is busy,
costs nothing that can be measured. The price is that a deadline is kept to within a tick.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

from spork.adapters.http1.connection import Response
from spork.adapters.http1.pool import TargetPool

TICK: Final = 0.025
IDLE_TICK: Final = 0.5


class Sweeper:
    """Sweeps `pools()`: every `TICK` seconds while an exchange is in flight, else every `IDLE_TICK`, else never."""

    __slots__ = ("_clock", "_next_idle", "_pools", "_timer", "fast")

    def __init__(self, pools: Callable[[], Iterable[TargetPool]], clock: Callable[[], float]) -> None:
        self._pools = pools
        self._clock = clock
        self._timer: asyncio.TimerHandle | None = None
        self.fast = False
        self._next_idle = 0.0

    def hasten(self) -> None:
        """An exchange began: tick fast."""
        self.fast = True
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(TICK, self._tick)

    def _tick(self) -> None:
        now = self._clock()
        busy, idle = self.sweep(now)
        self.fast = busy
        self._timer = None
        if busy or idle:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(TICK if busy else IDLE_TICK, self._tick)

    def sweep(self, now: float) -> tuple[bool, bool]:
        """End what is overdue at `now`. Answers whether any connection is busy, and whether any is idle."""
        expired: list[Response] = []
        busy = idle = False
        sweep_idle = now >= self._next_idle
        for pool in self._pools():
            if pool.busy:
                busy = True
                for connection in pool.busy:
                    response = connection.response
                    if response is not None and (now >= response.alarm or now >= response.write_alarm):
                        expired.append(response)
            if sweep_idle:
                pool.sweep(now)
            idle = idle or bool(pool.idle)
        if sweep_idle:
            self._next_idle = now + IDLE_TICK
        for response in expired:
            response.expire(now)
        return busy, idle
