"""Permits of concurrency limits held through Redis: given back when a request ends, renewed while it lasts.

A permit lapses a lease after it was last renewed (every third of one), so that a process that dies holds none for long.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from typing import Final

from spork.adapters.redis.limits import LUA
from spork.adapters.redis.limits.wire import Wire, slot_of
from spork.adapters.redis.store.scripts import Call, Script
from spork.domain.limits.limit import Charge

_PERMIT: Final = struct.Struct(">dd")


class PermitLease:
    """The permits of one admission: (key, how many) pairs under one id; and a local limiter's lease, if any."""

    __slots__ = ("id", "local", "permits")

    def __init__(self, id: int, permits: tuple[tuple[bytes, int], ...]) -> None:
        self.id = id
        self.permits = permits
        self.local: object | None = None

    def joined_by(self, local: object | None) -> PermitLease:
        self.local = local
        return self


class PermitKeeper:
    """Knows the permits this process holds."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.renew_every = wire.permit_lease / 3_000_000
        self._script = Script(LUA / "permits.lua")
        self._held: dict[int, PermitLease] = {}
        # Ids are unlike another process's: 24 random bits above a counter, exact in a double.
        self._next = int.from_bytes(os.urandom(3), "big") << 28

    def __len__(self) -> int:
        return len(self._held)

    def next_id(self) -> int:
        self._next += 1
        return self._next

    def taken(self, charges: Sequence[Charge], id: int, missing: Sequence[int]) -> PermitLease | None:
        """The lease of an admission whose charges, but for those at `missing`, were decided by the store."""
        permits = tuple(
            (self._wire.key(charge), charge.cost)
            for index, charge in enumerate(charges)
            if charge.limit.algorithm == "concurrency" and charge.cost > 0 and index not in missing
        )
        if not permits:
            return None
        lease = self._held[id] = PermitLease(id, permits)
        return lease

    def give_back(self, leases: Sequence[PermitLease], cluster: bool) -> list[Call]:
        """The calls that give the permits of `leases` back; none for those given back before."""
        returned = [each for each in leases if self._forget(each)]
        permits = [(key, lease.id, count) for lease in returned for key, count in lease.permits]
        return self._calls(permits, 0, cluster)

    def _forget(self, lease: PermitLease) -> bool:
        return self._held.pop(lease.id, None) is not None

    def renewals(self, cluster: bool) -> list[Call]:
        """The calls that renew every permit held."""
        held = [(key, lease.id, count) for lease in self._held.values() for key, count in lease.permits]
        return self._calls(held, self._wire.permit_lease, cluster)

    def _calls(self, permits: Sequence[tuple[bytes, int, int]], lease: int, cluster: bool) -> list[Call]:
        groups: dict[int, list[tuple[bytes, int, int]]] = {}
        for permit in permits:
            groups.setdefault(slot_of(permit[0]) if cluster else 0, []).append(permit)
        return [
            (
                self._script,
                [key for key, _, _ in group],
                (b"%d" % lease, b"".join(_PERMIT.pack(id, count) for _, id, count in group)),
            )
            for group in groups.values()
        ]
