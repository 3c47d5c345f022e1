"""Raised limits: an operator gives one identity another quota for a while, with a reason. Shared by every replica.

What is in force is a small dictionary asked only when it is not empty. A `ports`-like store keeps the overrides for the
fleet; each replica reads it again every second, so a raise holds everywhere within two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from spork.domain.limits.limit import Charge, Limit


@dataclass(frozen=True, slots=True)
class Override:
    """`quota` instead of the limit's own for `identity`, until `expires_at` (Unix seconds). `bucket`: Limit.bucket.

    `id` names the window where `identity` is not known: it holds in every process that knows whose window that is.
    """

    bucket: str
    identity: str
    quota: int
    expires_at: float
    reason: str
    actor: str
    id: str = ""

    @property
    def name(self) -> tuple[str, str]:
        """What tells one override from another."""
        return self.bucket, self.identity or f"#{self.id}"


class OverrideStore(Protocol):
    """Keeps overrides where every replica sees them. Raises OSError when the store is gone."""

    async def load(self) -> Iterable[Override] | None:
        """All that last; None when the store knows nothing of this fleet: then it wants to be told."""

    async def put(self, override: Override) -> None: ...

    async def found(self, overrides: Iterable[Override]) -> None:
        """Tell an empty store what there is."""


class NoStore:
    """One process alone: its own memory is all there is to share."""

    async def load(self) -> Iterable[Override] | None:
        raise OSError("nothing is shared")

    async def put(self, override: Override) -> None:
        return None

    async def found(self, overrides: Iterable[Override]) -> None:
        return None


class LimitOverrides:
    """The overrides in force in this process.

    `known` finds whose window a handle names, as far as this process knows: the identity, or None.
    """

    def __init__(
        self, store: OverrideStore | None = None, known: Callable[[str, str], str | None] = lambda bucket, id: None
    ) -> None:
        self._store: OverrideStore = store or NoStore()
        self._known = known
        self._all: dict[tuple[str, str], Override] = {}
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
            raised = self._raised[key] = self.raised(charge.limit, override)
        return charge._replace(limit=raised)

    @staticmethod
    def raised(limit: Limit, override: Override) -> Limit:
        """The limit with the quota of the override."""
        burst = None if limit.burst is None else max(limit.burst, 1)
        return replace(limit, quota=override.quota, burst=burst)

    def of(self, bucket: str, identity: str, id: str = "") -> Override | None:
        """The override of a window, by its identity or by its handle."""
        return self._by_identity.get((bucket, identity)) or self._all.get((bucket, f"#{id}"))

    async def put(self, override: Override) -> None:
        """In force here at once, everywhere within two seconds. Raises OSError when the store did not take it."""
        await self._store.put(override)
        self._all[override.name] = override
        self._adopt()

    async def refresh(self, now: float) -> None:
        """Read the store again and forget what has expired. A store that is gone leaves what was known; one that came
        back empty is told what was known."""
        try:
            loaded = await self._store.load()
            if loaded is None:
                await self._store.found([each for each in self._all.values() if each.expires_at > now])
            else:
                self._all = {each.name: each for each in loaded}
        except OSError:
            pass
        self._all = {name: each for name, each in self._all.items() if each.expires_at > now}
        self._adopt()

    def _adopt(self) -> None:
        found: dict[tuple[str, str], Override] = {}
        for each in self._all.values():
            identity = each.identity or self._known(each.bucket, each.id)
            if identity is not None:
                found[each.bucket, identity] = each
        self._raised = {
            key: limit for key, limit in self._raised.items() if found.get(key) == self._by_identity.get(key)
        }
        self._by_identity = found
        self.any = bool(found)
