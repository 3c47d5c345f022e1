"""The response cache of a process: finds, keeps, purges, and tells operators what it holds.

The pipeline asks it at two places: before a request goes to a target (`find`), and when a target's head is here (`decide`).
Everything that is a rule of HTTP is decided in `spork.domain.http.caching`; where answers live is a `CacheStore`.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence

from spork.application.caching.counts import CacheCounts
from spork.application.caching.flights import Flights
from spork.application.caching.ports import CacheStore, CacheStoreGone, PurgeReceipt
from spork.application.caching.request import CacheRequest
from spork.application.kernel.tasks import Soon
from spork.domain.http.caching import tags
from spork.domain.http.caching.facts import ResponseFacts
from spork.domain.http.caching.keys import CacheKey
from spork.domain.http.caching.selection import variant_of
from spork.domain.http.caching.stored import StoredResponse, store
from spork.domain.http.caching.storing import Pass, Store, storable
from spork.domain.http.head import Header

log = logging.getLogger("spork.cache")

Variants = Sequence[StoredResponse]


class ResponseCache:
    """One per process. `chance` in 0..1 spreads default lives."""

    def __init__(self, kept: CacheStore, unix: Callable[[], float], chance: Callable[[], float]) -> None:
        self.store = kept
        self.unix = unix
        self.flights = Flights()
        self.counts = CacheCounts()
        self.failures = 0
        self._chance = chance
        self._failing = False

    def __repr__(self) -> str:
        return f"<ResponseCache {self.store!r}, {len(self.flights)} flights>"

    def find(self, request: CacheRequest) -> Soon[Variants]:
        """The variants kept for this request; none when the store is away."""
        return self._found(self.store.find, request)

    def look(self, request: CacheRequest) -> Soon[Variants]:
        """The same, asking the fleet also where this process has something that cannot be given."""
        return self._found(self.store.look, request)

    def _found(self, asked: Callable[[CacheKey], Soon[Variants]], request: CacheRequest) -> Soon[Variants]:
        try:
            found = asked(request.key)
        except CacheStoreGone as error:
            self.failed(error)
            return ()
        return self._find_later(found) if isinstance(found, Awaitable) else found

    async def _find_later(self, found: Awaitable[Variants]) -> Variants:
        try:
            return await found
        except CacheStoreGone as error:
            self.failed(error)
            return ()

    def decide(self, request: CacheRequest, status: int, facts: ResponseFacts) -> Store | Pass:
        """Whether the answer to this GET is stored."""
        if request.no_store:
            return Pass("client-no-store")
        return storable(status, facts, request.policy, request.credentials, self.unix(), self._chance())

    def entry(
        self,
        request: CacheRequest,
        status: int,
        headers: list[Header],
        facts: ResponseFacts,
        decision: Store,
        asked_at: float,
        began: float,
        varied: Sequence[Header],
        route: str,
        consumer: bytes = b"",
    ) -> StoredResponse:
        """The entry of an answer whose body is still to come; `varied` are the request's fields that Vary speaks of."""
        return store(
            status,
            headers,
            facts,
            decision,
            asked_at,
            self.unix(),
            variant=variant_of(facts.vary, varied, request.policy.languages),
            tags=self.tags_of(request, facts, route, consumer),
            began=began,
        )

    def tags_of(self, request: CacheRequest, facts: ResponseFacts, route: str, consumer: bytes) -> tuple[bytes, ...]:
        """Every tag an answer can be purged by: its URL, its route, whom it was made for, and those its target named."""
        found = [request.url_tag(), tags.of_route(route), tags.EVERYTHING]
        if consumer:
            found.append(tags.of_consumer(consumer))
        found += tags.response_tags(facts, request.scheme, request.key[2])
        return tuple(found)

    def keep(self, request: CacheRequest, entry: StoredResponse) -> Awaitable[None] | None:
        """Keep a whole answer. A store that is away costs the answer, nothing else."""
        self.flights.unmark(request.key)
        try:
            kept = self.store.keep(request.key, entry)
        except CacheStoreGone as error:
            self.failed(error)
            kept = False
        if isinstance(kept, Awaitable):
            return self._keep_later(kept)
        self.counts.fill("stored" if kept else "not_taken")
        return None

    async def _keep_later(self, keeping: Awaitable[bool]) -> None:
        try:
            kept = await keeping
        except CacheStoreGone as error:
            self.failed(error)
            kept = False
        self.counts.fill("stored" if kept else "not_taken")

    # ------------------------------------------------------------------------------------------------------------ purge

    async def purge(self, purged: Collection[bytes], soft: bool, by: str) -> PurgeReceipt:
        """Purge everything under one of these tags that was stored, or began to be, before now."""
        self.counts.purge(by)
        receipt = self.store.purge(purged, soft)
        return await receipt if isinstance(receipt, Awaitable) else receipt

    # ----------------------------------------------------------------------------------------------------------- counts

    def failed(self, error: Exception) -> None:
        """The store did not answer: said once, counted always."""
        self.failures += 1
        if not self._failing:
            log.warning("the second level of the cache does not answer: %s", error)
        self._failing = True

    def recovered(self) -> None:
        self._failing = False

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        yield from self.counts.samples()
        yield from self.store.samples()
        if self.failures:
            yield ("gateway_store_failures_total", ("cache",), float(self.failures))
