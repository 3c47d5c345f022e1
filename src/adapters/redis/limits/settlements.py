"""Costs that answers told, on their way to the store: each arrives exactly once, also when the store was gone meanwhile.

A settlement has an id, which the store marks: one that was carried out although its answer was lost is not carried out
again. What the store does not take is kept, up to `MOST`, and sent again when it is back.
"""

from __future__ import annotations

import asyncio
import os
import struct
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from spork.adapters.redis.limits import LUA
from spork.adapters.redis.limits.wire import Wire, slot_of
from spork.adapters.redis.store.scripts import Call, Caller, Script, StoreError
from spork.adapters.redis.store.store_health import StoreHealth
from spork.domain.limits.limit import Charge

#: Settlements kept while the store is gone; the oldest are dropped, and counted.
MOST: Final = 50_000
#: How many go out at once.
_AT_ONCE: Final = 256
#: Milliseconds that a mark is kept, longer than anything is sent again.
_MARKED: Final = b"3600000"
_AGAIN_AFTER: Final = 0.25

_AT: Final = struct.Struct(">d")

#: A charge, its id, the time it is said to be made at (None: the store's), and, where units go back, the store's microseconds at
#: which they were charged; -1 where they are owed.
_Due = tuple[Charge, bytes, float | None, int]


class Settlements:
    """Sends settlements. `timeout` seconds are the most that one round may take; `slack` as for `acquire`."""

    def __init__(
        self, caller: Caller, wire: Wire, health: StoreHealth, cluster: bool, timeout: float, slack: bytes
    ) -> None:
        self._caller = caller
        self._wire = wire
        self._health = health
        self._cluster = cluster
        self._timeout = timeout
        self._slack = slack
        self._script = Script(LUA / "settle.lua")
        self._refund = Script(LUA / "refund.lua")
        self._due: deque[_Due] = deque()
        self._round: asyncio.Task[None] | None = None
        self._run = os.urandom(6).hex().encode("ascii")
        self._number = 0
        self.dropped = 0
        self.settled = 0

    def __len__(self) -> int:
        return len(self._due)

    def add(self, charges: Sequence[Charge], now: float | None) -> None:
        """Owe these units more to the store; `now` None is its own time."""
        self._owe(charges, now, -1)

    def give_back(self, charges: Sequence[Charge], at: int, now: float | None) -> None:
        """Have these units, charged at `at`, given back."""
        self._owe(charges, now, at)

    def _owe(self, charges: Sequence[Charge], now: float | None, at: int) -> None:
        for charge in charges:
            self._number += 1
            self._due.append((charge, b"%b-%d" % (self._run, self._number), now, at))
        while len(self._due) > MOST:
            self._due.popleft()
            self.dropped += 1
        if self._round is None:
            self._round = asyncio.get_running_loop().create_task(self._go())

    async def close(self) -> None:
        """Let what is due go out, if the store takes it."""
        if self._round is not None:
            await asyncio.wait([self._round], timeout=self._timeout)
            self._round.cancel()

    async def _go(self) -> None:
        try:
            while self._due:
                due = [self._due.popleft() for _ in range(min(_AT_ONCE, len(self._due)))]
                left = await self._send(due)
                self.settled += len(due) - len(left)
                if left:
                    self._due.extendleft(reversed(left))
                    await asyncio.sleep(_AGAIN_AFTER)
        finally:
            self._round = None

    async def _send(self, due: list[_Due]) -> list[_Due]:
        """Those that the store did not take."""
        groups: dict[tuple[int, float | None, bool], list[_Due]] = {}
        for each in due:
            slot = slot_of(self._wire.key(each[0])) if self._cluster else 0
            groups.setdefault((slot, each[2], each[3] >= 0), []).append(each)
        calls = [self._back(group, now) if back else self._call(group, now) for (_, now, back), group in groups.items()]
        try:
            async with asyncio.timeout(self._timeout):
                answers = await self._caller.run(calls)
        except StoreError as error:
            self._health.failed(error)
            return due
        except asyncio.CancelledError:
            self._due.extendleft(reversed(due))
            raise
        left: list[_Due] = []
        for answer, group in zip(answers, groups.values(), strict=True):
            if isinstance(answer, Exception):
                self._health.failed(answer)
                left.extend(group)
        return left

    def _call(self, group: list[_Due], now: float | None) -> Call:
        keys: list[bytes] = []
        packed: list[bytes] = []
        micros = int((time.time() if now is None else now) * 1_000_000 + 0.5)
        for charge, mark, _, _ in group:
            key = self._wire.key(charge)
            keys += (key, key + b":settled:" + mark)
            packed.append(self._wire.pack(charge, micros))
        stated = b"-1" if now is None else b"%d" % micros
        return self._script, keys, (stated, b"".join(packed), self._slack, _MARKED)

    def _back(self, group: list[_Due], now: float | None) -> Call:
        keys: list[bytes] = []
        packed: list[bytes] = []
        for charge, mark, _, at in group:
            key = self._wire.key(charge)
            keys += (key, key + b":settled:" + mark)
            packed.append(_AT.pack(at) + self._wire.pack(charge, at))
        stated = b"-1" if now is None else b"%d" % int(now * 1_000_000 + 0.5)
        return self._refund, keys, (stated, b"".join(packed), _MARKED)
