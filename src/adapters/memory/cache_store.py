"""Stored answers in this process: the least recently used key goes first when the bytes are used up."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Final

from spork.application.caching.journal import Purged, PurgeJournal
from spork.application.caching.ports import PurgeReceipt
from spork.domain.http.caching.keys import CacheKey
from spork.domain.http.caching.selection import MOST as MOST_VARIANTS
from spork.domain.http.caching.stored import StoredResponse

#: A larger answer is taken on its second fill only: most large ones are asked for once.
LARGE: Final = 256 * 1024
#: Keys of large answers remembered until they come again.
_MOST_SEEN: Final = 4096
#: Seconds between two looks at everything that is kept.
SWEEP_EVERY: Final = 30.0
_NONE: Final[tuple[StoredResponse, ...]] = ()


class MemoryCacheStore:
    """`spork.application.caching.ports.CacheStore` in a process. `most` bytes in all, entries counted with their overhead."""

    def __init__(self, most: int, unix: Callable[[], float], journal: PurgeJournal | None = None) -> None:
        self.most = most
        self._unix = unix
        self.journal = PurgeJournal() if journal is None else journal
        self.size = 0
        self.entries = 0
        self.evicted: dict[str, int] = {}
        self._kept: OrderedDict[CacheKey, list[StoredResponse]] = OrderedDict()
        self._seen: OrderedDict[CacheKey, None] = OrderedDict()
        self._unswept: list[CacheKey] = []
        self._swept = 0
        self._sweep_at = 0.0

    def __repr__(self) -> str:
        return f"<MemoryCacheStore {self.entries} entries, {self.size} of {self.most} bytes>"

    def __len__(self) -> int:
        return self.entries

    def find(self, key: CacheKey) -> Sequence[StoredResponse]:
        variants = self._kept.get(key)
        if variants is None:
            return _NONE
        changes = self.journal.changes
        for entry in variants:
            if entry.checked != changes:
                variants = self._check(key, variants)
                if not variants:
                    return _NONE
                break
        self._kept.move_to_end(key)
        return variants

    def look(self, key: CacheKey) -> Sequence[StoredResponse]:
        return self.find(key)

    def keep(self, key: CacheKey, entry: StoredResponse) -> bool:
        if self.journal.covers(entry) is not Purged.NO:
            return False
        size = entry.size
        if size > self.most or (size > LARGE and not self._came_again(key)):
            return False
        entry.checked = self.journal.changes
        variants = self._kept.get(key, [])
        # The most recent one first, in a new list: a reader may stand in the old one.
        left = [other for other in variants if other.vary != entry.vary or other.variant != entry.variant]
        self._count_out(variants, left)
        kept = [entry, *left]
        if len(kept) > MOST_VARIANTS:
            self._lose("variants", kept[MOST_VARIANTS:])
            kept = kept[:MOST_VARIANTS]
        self._kept[key] = kept
        self._kept.move_to_end(key)
        self.size += size
        self.entries += 1
        while self.size > self.most:
            _, oldest = self._kept.popitem(last=False)
            self._lose("memory", oldest)
        return True

    def drop(self, key: CacheKey) -> None:
        self._count_out(self._kept.pop(key, []), [])

    def purge(self, tags: Collection[bytes], soft: bool) -> PurgeReceipt:
        return PurgeReceipt(self.journal.note(tags, soft))

    def claim(self, key: CacheKey, variant: bytes, seconds: float) -> bool:
        return True

    def release(self, key: CacheKey, variant: bytes) -> None:
        """Nobody else could have had it."""

    async def confirmations(self, position: float) -> dict[str, bool]:
        return {}

    def sweep(self, most: int = 20_000) -> bool:
        """Look at up to `most` keys and let go of what purges cover or nobody can use, so that memory returns without anybody
        asking for them. False when there is more to look at."""
        if not self._unswept:
            if self._swept == self.journal.changes and self._unix() < self._sweep_at:
                return True
            self._swept = self.journal.changes
            self._sweep_at = self._unix() + SWEEP_EVERY
            self._unswept = list(self._kept)
        now = self._unix()
        for key in self._unswept[-most:]:
            variants = self._kept.get(key)
            if variants is not None and (variants := self._check(key, variants)):
                self._expire(key, variants, now)
        del self._unswept[-most:]
        return not self._unswept

    def clear(self, why: str) -> None:
        """Forget everything."""
        for variants in self._kept.values():
            self._lose(why, variants)
        self._kept.clear()

    def resize(self, most: int) -> None:
        """Another bound, from now on."""
        self.most = most
        while self.size > self.most and self._kept:
            self._lose("memory", self._kept.popitem(last=False)[1])

    def of_path(self, host: bytes, path: bytes) -> Iterator[tuple[CacheKey, StoredResponse]]:
        """Everything kept of a path, for operators: looks at every key."""
        for key in [key for key in self._kept if key[2] == host and key[3] == path]:
            for entry in self.find(key):
                yield key, entry

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        yield ("gateway_cache_bytes", (), float(self.size))
        yield ("gateway_cache_entries", (), float(self.entries))
        for why, count in self.evicted.items():
            yield ("gateway_cache_evictions_total", (why,), float(count))

    # ------------------------------------------------------------------------------------------------------- the counts

    def _check(self, key: CacheKey, variants: list[StoredResponse]) -> list[StoredResponse]:
        """The variants that no purge covers; those covered softly are stale from the moment that is found out."""
        left: list[StoredResponse] = []
        changes = self.journal.changes
        for entry in variants:
            purged = self.journal.covers(entry)
            if purged is Purged.HARD:
                continue
            if purged is Purged.SOFT and entry.soft_at is None:
                entry.soft_at = self._unix()
            entry.checked = changes
            left.append(entry)
        if len(left) < len(variants):
            self._lose("purged", [entry for entry in variants if entry not in left])
            self._put_back(key, left)
        return left

    def _expire(self, key: CacheKey, variants: list[StoredResponse], now: float) -> None:
        left = [e for e in variants if now < e.kept_until or e.etag or e.last_modified]
        if len(left) < len(variants):
            self._lose("expired", [e for e in variants if e not in left])
            self._put_back(key, left)

    def _put_back(self, key: CacheKey, left: list[StoredResponse]) -> None:
        if left:
            self._kept[key] = left
        else:
            del self._kept[key]

    def _came_again(self, key: CacheKey) -> bool:
        if key in self._seen or key in self._kept:
            self._seen.pop(key, None)
            return True
        self._seen[key] = None
        if len(self._seen) > _MOST_SEEN:
            self._seen.popitem(last=False)
        return False

    def _lose(self, why: str, entries: Collection[StoredResponse]) -> None:
        self.evicted[why] = self.evicted.get(why, 0) + len(entries)
        self._count_out(entries, ())

    def _count_out(self, before: Collection[StoredResponse], after: Collection[StoredResponse]) -> None:
        for entry in before:
            if entry not in after:
                self.size -= entry.size
                self.entries -= 1
