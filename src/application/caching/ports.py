"""Where stored answers live: one port for the first level in the process and for the second one a fleet shares."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from spork.application.caching.journal import PurgeJournal
from spork.application.kernel.tasks import Soon
from spork.domain.http.caching.keys import CacheKey
from spork.domain.http.caching.stored import StoredResponse


class CacheStoreGone(Exception):
    """The store does not answer."""


@dataclass(frozen=True, slots=True)
class PurgeReceipt:
    """A purge that was made: where the journal stands, and whether the fleet was told."""

    position: float
    told: bool = True


class FirstLevel(Protocol):
    """Answers held in the process: at hand at once, and never away."""

    journal: PurgeJournal

    def find(self, key: CacheKey) -> Sequence[StoredResponse]: ...

    def keep(self, key: CacheKey, entry: StoredResponse) -> bool: ...

    def drop(self, key: CacheKey) -> None: ...

    def clear(self, why: str) -> None:
        """Forget everything; `why` is its word in the metrics."""

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]: ...


class CacheStore(Protocol):
    """Variants of stored answers by key. Answers at once, or an awaitable; raises CacheStoreGone.

    Nothing that a purge covers is ever found: `journal` says which purges are known.
    """

    journal: PurgeJournal

    def find(self, key: CacheKey) -> Soon[Sequence[StoredResponse]]:
        """The variants kept under `key`, the newest first."""

    def look(self, key: CacheKey) -> Soon[Sequence[StoredResponse]]:
        """Like `find`, but what the fleet has counts also where this process has something of its own."""

    def keep(self, key: CacheKey, entry: StoredResponse) -> Soon[bool]:
        """Keep `entry` in place of an older one of its variant; False when it is not taken."""

    def drop(self, key: CacheKey) -> Soon[None]:
        """Forget every variant of `key`."""

    def purge(self, tags: Collection[bytes], soft: bool) -> Soon[PurgeReceipt]:
        """Purge everything kept under one of `tags` whose fill began before now. Never raises: a store that is away is told
        later."""

    def claim(self, key: CacheKey, variant: bytes, seconds: float) -> Soon[bool]:
        """Take the one fill of `key` for at most `seconds`; False when another process has it."""

    def release(self, key: CacheKey, variant: bytes) -> Soon[None]:
        """Give the fill back."""

    async def confirmations(self, position: float) -> dict[str, bool]:
        """For each node that shares this store: whether it has read the journal up to `position`."""

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
