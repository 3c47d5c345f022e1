"""What goes back to the store: units of refused requests, permits of ended ones, and the renewal of permits held.

Nobody waits for it. All of one turn goes in one round, and one round is under way at a time; what does not arrive ages
out by itself.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Sequence
from typing import Final

from spork.adapters.redis.limits import LUA
from spork.adapters.redis.limits.permits import PermitKeeper, PermitLease
from spork.adapters.redis.limits.wire import Wire, slot_of
from spork.adapters.redis.store.scripts import Call, Caller, Script, StoreError
from spork.adapters.redis.store.store_health import StoreHealth
from spork.domain.limits.limit import Charge
from spork.domain.limits.terms import MICROS

_AT: Final = struct.Struct(">d")


class LimitReturns:
    """`timeout` seconds are the most a round may take."""

    def __init__(
        self,
        caller: Caller,
        wire: Wire,
        permits: PermitKeeper,
        health: StoreHealth,
        cluster: bool,
        timeout: float,
    ) -> None:
        self._caller = caller
        self._wire = wire
        self._permits = permits
        self._health = health
        self._cluster = cluster
        self._timeout = timeout
        self._script = Script(LUA / "refund.lua")
        self._refunds: list[tuple[Charge, int, float | None]] = []
        self._leases: list[PermitLease] = []
        self._renew = False
        self._round: asyncio.Task[None] | None = None
        self.count = 0

    def refund(self, charges: Sequence[Charge], at: int, now: float | None) -> None:
        """Units charged at `at` (the store's microseconds) go back; `now` None is the store's own."""
        self._refunds.extend((charge, at, now) for charge in charges)
        self._start()

    def release(self, lease: object) -> object | None:
        """Permits go back. Answers what of the lease is not the store's: a local limiter's, or a lease not known."""
        if not isinstance(lease, PermitLease):
            return lease
        self._leases.append(lease)
        self._start()
        return lease.local

    def renew(self) -> None:
        if len(self._permits):
            self._renew = True
            self._start()

    async def close(self) -> None:
        """Let what is waiting go out."""
        if self._round is not None:
            await asyncio.wait([self._round], timeout=self._timeout)

    def _start(self) -> None:
        if self._round is None:
            self._round = asyncio.get_running_loop().create_task(self._go())

    async def _go(self) -> None:
        try:
            while calls := self._calls():
                self.count += len(calls)
                async with asyncio.timeout(self._timeout):
                    answers = await self._caller.run(calls)
                for answer in answers:
                    if isinstance(answer, Exception):
                        self._health.failed(answer)
        except StoreError as error:
            self._health.failed(error)
        finally:
            self._round = None

    def _calls(self) -> list[Call]:
        refunds, self._refunds = self._refunds, []
        leases, self._leases = self._leases, []
        renew, self._renew = self._renew, False
        calls = self._permits.give_back(leases, self._cluster)
        if renew:
            calls += self._permits.renewals(self._cluster)
        groups: dict[tuple[int, float | None], list[tuple[bytes, Charge, int]]] = {}
        for charge, at, now in refunds:
            key = self._wire.key(charge)
            groups.setdefault((slot_of(key) if self._cluster else 0, now), []).append((key, charge, at))
        for (_, now), group in groups.items():
            stated = b"-1" if now is None else b"%d" % int(now * MICROS + 0.5)
            packed = b"".join(_AT.pack(at) + self._wire.pack(charge, at) for _, charge, at in group)
            calls.append((self._script, [key for key, _, _ in group], (stated, packed)))
        return calls
