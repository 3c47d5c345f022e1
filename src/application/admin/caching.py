"""The response cache as operators see it: what it holds, what it did, and purges for the whole fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from typing import Final, Protocol
from urllib.parse import urlsplit

from spork.application.caching.response_cache import ResponseCache
from spork.application.exchange.exchange import Snapshot
from spork.application.pipeline.invalidating import url_tags
from spork.application.views import CacheEntryView, CacheRouteView, CacheView
from spork.domain.http.caching import tags as tagging
from spork.domain.http.caching.keys import CacheKey
from spork.domain.http.caching.policy import CachePolicy
from spork.domain.http.caching.reuse import Use, remaining, usable
from spork.domain.http.caching.stored import StoredResponse
from spork.domain.http.head import canonical_path

#: How long the nodes of a fleet have to confirm a purge, seconds.
CONFIRM_WITHIN: Final = 1.0
_LOOK_EVERY: Final = 0.05
_SECRET: Final = frozenset((b"authorization", b"cookie", b"x-api-key"))


class HeldHere(Protocol):
    """What is held in this process (`spork.adapters.memory.cache_store.MemoryCacheStore`)."""

    size: int
    entries: int
    most: int

    def of_path(self, host: bytes, path: bytes) -> Iterable[tuple[CacheKey, StoredResponse]]: ...


class CacheOperations:
    """`spork.application.admin.controls.CacheControl`."""

    def __init__(
        self,
        cache: ResponseCache,
        first: HeldHere,
        snapshot: Callable[[], Snapshot],
        node: str,
        second_level: Callable[[], str] = lambda: "none",
    ) -> None:
        self._cache = cache
        self._first = first
        self._snapshot = snapshot
        self._node = node
        self._second_level = second_level

    def view(self) -> CacheView:
        counts = self._cache.counts
        cached = [name for name, plan in self._snapshot().plans.items() if plan.config.cache is not None]
        routes = tuple(
            CacheRouteView(
                name, {result: n for (route, result), n in counts.requests.items() if route == name}, counts.ratio(name)
            )
            for name in cached
        )
        return CacheView(
            self._node, self._first.entries, self._first.size, self._first.most, self._second_level(),
            sum(counts.purges.values()), dict(counts.fills), routes,
        )  # fmt: skip

    def entries(self, url: str) -> Sequence[CacheEntryView]:
        host, path, query = parts_of(url)
        now = self._cache.unix()
        sections = {
            plan.cache.section: (name, plan.cache.policy)
            for name, plan in self._snapshot().plans.items()
            if plan.cache is not None and plan.cache.policy is not None
        }
        found: list[CacheEntryView] = []
        for key, entry in self._first.of_path(host, path):
            name, policy = sections.get(key[0][:12], ("", None))
            wanted = {tagging.of_url(host, path + key[4])} & set(url_tags(host, path, query, policy))
            if name and wanted:
                found.append(_entry(name, key, entry, now))
        return found

    async def purge(
        self, urls: Sequence[str], tags: Sequence[str], routes: Sequence[str], everything: bool, soft: bool
    ) -> tuple[str, ...]:
        purged: list[bytes] = []
        for url in urls:
            purged += self._tags_of(url)
        purged += [tagging.named(tag.encode()) for tag in tags]
        purged += [tagging.of_route(route) for route in routes]
        if everything:
            purged.append(tagging.EVERYTHING)
        receipt = await self._cache.purge(purged, soft, "admin")
        return await self._unconfirmed(receipt.position)

    async def forget(self, subject: str) -> None:
        await self._cache.purge((tagging.of_consumer(subject.encode()),), False, "erasure")

    async def _unconfirmed(self, position: float) -> tuple[str, ...]:
        waited = 0.0
        while True:
            silent = [node for node, seen in (await self._cache.store.confirmations(position)).items() if not seen]
            if not silent or waited >= CONFIRM_WITHIN:
                return tuple(sorted(silent))
            await asyncio.sleep(_LOOK_EVERY)
            waited += _LOOK_EVERY

    def _tags_of(self, url: str) -> list[bytes]:
        """The tags of a URL as it stands and as each route with a cache would see its query."""
        host, path, query = parts_of(url)
        policies: list[CachePolicy | None] = [
            plan.cache.policy for plan in self._snapshot().plans.values() if plan.cache is not None
        ]
        found = url_tags(host, path, query, None)
        for policy in policies:
            found += url_tags(host, path, query, policy)
        return list(dict.fromkeys(found))


def parts_of(url: str) -> tuple[bytes, bytes, bytes | None]:
    """Host, canonical path and query of an absolute URL. Raises ValueError with what is wrong."""
    try:
        parts = urlsplit(url)
        path = canonical_path((parts.path or "/").encode("ascii"))
        host, query = parts.netloc.lower().encode("ascii"), parts.query.encode("ascii")
    except (ValueError, UnicodeError):
        raise ValueError(f"{url!r} is no URL") from None
    if parts.scheme not in ("http", "https") or not host or not isinstance(path, bytes):
        raise ValueError(f"{url!r} is no URL such as https://api.example.com/items?page=1")
    return host, path, query if parts.query else None


def _entry(route: str, key: CacheKey, entry: StoredResponse, now: float) -> CacheEntryView:
    use = usable(entry, now)
    state = "fresh" if use is Use.FRESH else "stale" if use is Use.STALE else "expired"
    _, scheme, host, path, query, owner = key
    varies = {
        name.decode("ascii"): "[present]" if name in _SECRET and value else value.removeprefix(b"=").decode("latin-1")
        for name, value in zip(entry.vary, entry.variant, strict=True)
    }
    kind = {b"c": "consumer", b"t": "tenant", b"h": "header"}.get(owner[:1], "everyone")
    return CacheEntryView(
        route, f"{scheme}://{host.decode('ascii')}{(path + query).decode('latin-1')}", entry.status, state,
        entry.age(now), remaining(entry, now), entry.size, entry.etag.decode("latin-1"), varies, kind,
    )  # fmt: skip
