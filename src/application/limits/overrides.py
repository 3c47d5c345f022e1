"""Raised limits: an operator gives one identity another quota for a while, with a reason. Shared by every replica.

What is in force is a small dictionary asked only when it is not empty. A `ports`-like store keeps the overrides for the
fleet; each replica reads it again every second, so a raise holds everywhere within two.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from spork.domain.limits.limit import Charge, Limit


@dataclass(frozen=True, slots=True)
class Override:
    """`quota` instead of the limit's own for `identity`, until `expires_at` (Unix seconds). `bucket`: Limit.bucket."""

    bucket: str
    identity: str
    quota: int
    expires_at: float
    reason: str
    actor: str


class OverrideStore(Protocol):
    """Keeps overrides where every replica sees them. Raises OSError when the store is gone."""

    async def load(self) -> Iterable[Override]: ...

    async def put(self, override: Override) -> None: ...

    async def drop(self, bucket: str, identity: str) -> None: ...


class NoStore:
    """One process alone: its own memory is all there is to share."""

    async def load(self) -> Iterable[Override]:
        raise OSError("nothing is shared")

    async def put(self, override: Override) -> None:
        return None

    async def drop(self, bucket: str, identity: str) -> None:
        return None


class LimitOverrides:
    """The overrides in force in this process."""

    def __init__(self, store: OverrideStore | None = None) -> None:
        self._store: OverrideStore = store or NoStore()
        self._by_identity: dict[tuple[str, str], Override] = {}
        #: Whether there is any; kept beside the dictionary because every request asks.
        self.any = False
        self._raised: dict[tuple[str, str], Limit] = {}

    def apply(self, charges: list[Charge]) -> list[Charge]:
        """The charges, with raised limits where there are any."""
        return [self._raise(charge) for charge in charges]

    def _raise(self, charge: Charge) -> Charge:
        key = (charge.limit.bucket, charge.identity)
        override = self._by_identity.get(key)
        if override is None:
            return charge
        raised = self._raised.get(key)
        if raised is None or raised.period != charge.limit.period or raised.quota != override.quota:
            burst = None if charge.limit.burst is None else max(charge.limit.burst, 1)
            raised = self._raised[key] = replace(charge.limit, quota=override.quota, burst=burst)
        return charge._replace(limit=raised)

    def of(self, bucket: str, identity: str) -> Override | None:
        return self._by_identity.get((bucket, identity))

    async def put(self, override: Override) -> None:
        """In force here at once, everywhere within two seconds. Raises OSError when the store did not take it."""
        await self._store.put(override)
        self._by_identity[(override.bucket, override.identity)] = override
        self.any = True
        self._raised.pop((override.bucket, override.identity), None)

    async def drop(self, bucket: str, identity: str) -> None:
        await self._store.drop(bucket, identity)
        self._by_identity.pop((bucket, identity), None)
        self.any = bool(self._by_identity)
        self._raised.pop((bucket, identity), None)

    async def refresh(self, now: float) -> None:
        """Read the store again and forget what has expired. A store that is gone leaves what was known."""
        try:
            known = {(each.bucket, each.identity): each for each in await self._store.load()}
        except OSError:
            known = self._by_identity
        self._by_identity = {key: each for key, each in known.items() if each.expires_at > now}
        self.any = bool(self._by_identity)
        self._raised = {key: limit for key, limit in self._raised.items() if key in self._by_identity}
