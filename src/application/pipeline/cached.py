"""The stop between the guards and the target on a route with a cache: look up, and give, wait, validate or fill.

1. what the request asks of the cache: a key, or why it passes by;
2. a fresh answer is given; one that may be stale is given and revalidated behind it;
3. otherwise one request of a key goes to the target (`obtaining`), the others wait for what it brings, unless the key is known
   not to be storable;
4. what was obtained is given: from the entry, from the filling while it arrives, or relayed.

Every answer says in Cache-Status what was done (RFC 9211).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, Final, Protocol

from spork.application.caching.filling import Filling
from spork.application.caching.flights import Flight
from spork.application.caching.ports import CacheStoreGone
from spork.application.caching.request import SAFE, CacheRequest, varying
from spork.application.caching.response_cache import ResponseCache
from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.application.kernel.clock import Clock
from spork.application.kernel.faults import FaultError
from spork.application.kernel.tasks import end
from spork.application.pipeline.background import background_exchange
from spork.application.pipeline.delivering import Delivery
from spork.application.pipeline.invalidating import invalidated_by, url_tags
from spork.application.pipeline.obtaining import Fills, Obtained
from spork.application.pipeline.sender import Sender, Sent
from spork.application.upstreams.transport import UpstreamResponse
from spork.application.upstreams.upstream import LiveUpstream
from spork.domain.http.caching.policy import CachePolicy, RouteCache
from spork.domain.http.caching.reuse import Use, remaining, usable
from spork.domain.http.caching.selection import fits, select, variant_of
from spork.domain.http.caching.status_field import cache_status
from spork.domain.http.caching.stored import StoredResponse
from spork.domain.http.head import Header
from spork.domain.outcomes import SERVER_ERRORS, Denial, LocalResponse
from spork.domain.upstreams.circuit import CallResult, result_of_fault

log = logging.getLogger("spork.cache")

NO_ROUTE: Final = Denial("no_route", "Nothing is served at this address.")
_ONLY_IF_CACHED: Final = Denial("not_cached", "No stored answer may be used for this request.")
#: What an API key needs to purge by PURGE.
PURGE_SCOPE: Final = "cache:purge"
_PURGE_REFUSED: Final = Denial("purge_refused", "PURGE needs a key with the scope for it.")
_PURGED: Final = LocalResponse("purge", ((b"content-length", b"0"),), status=200)
#: Waits between two looks for what another process fetches, seconds; doubled each time up to the longest.
_FIRST_LOOK: Final = 0.02
_LONGEST_LOOK: Final = 0.32
#: Revalidations behind stale answers that may run at a time.
_MOST_BEHIND: Final = 256


class Door(Protocol):
    """What the stop needs of the forwarder it stands in."""

    def relay(
        self, exchange: Exchange, plan: RoutePlan, response: UpstreamResponse
    ) -> Coroutine[None, None, None] | None: ...

    def answer_verdict(self, exchange: Exchange, verdict: Denial | LocalResponse) -> None: ...


class CacheStop:
    """Serves exchanges of routes with a cache. One per process; close it with the process."""

    def __init__(self, cache: ResponseCache, sender: Sender, clock: Clock, delivery: Delivery) -> None:
        self.cache = cache
        self.fills = Fills(cache, sender, clock)
        self._sender = sender
        self._clock = clock
        self._monotonic = clock.monotonic
        self._delivery = delivery
        self._behind: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        await end(set(self._behind))
        await self.fills.close()

    async def settled(self) -> None:
        """Wait until everything that goes on behind answers is over."""
        while self._behind:
            await asyncio.wait(set(self._behind))
        await self.fills.settled()

    async def serve(self, door: Door, exchange: Exchange, plan: RoutePlan, rules: RouteCache) -> None:
        """Answer an exchange that the guards let through. Raises FaultError."""
        upstream = self._sender.destination(exchange, plan)
        if upstream is None:
            return door.answer_verdict(exchange, NO_ROUTE)
        policy = rules.policy
        method = exchange.head.method
        if policy is None or (method != "GET" and method != "HEAD"):
            return await self._other_method(door, exchange, plan, rules, upstream)
        request = CacheRequest(exchange, policy, rules.section, upstream.name)
        if request.bypass:
            return await self._pass(door, exchange, plan, upstream, "bypass", request.bypass)
        found = self.cache.find(request)
        variants = await found if isinstance(found, Awaitable) else found
        varied = varying(exchange)
        chosen = select(variants, varied, policy.languages) if variants else None
        if chosen is not None:
            use = usable(chosen, exchange.unix, request.directives)
            if use is Use.FRESH:
                return self._give(exchange, plan, request, chosen, "hit")
            if use is Use.STALE:
                self._revalidate_behind(exchange, plan, request, upstream, variants, chosen)
                return self._give(exchange, plan, request, chosen, "stale")
        if request.only_if_cached:
            exchange.response_headers.append(cache_status(fwd=_why(variants, chosen), detail="only-if-cached"))
            self._note(exchange, plan, "miss")
            return door.answer_verdict(exchange, _ONLY_IF_CACHED)
        if method == "HEAD" or (request.ranged and chosen is None):
            return await self._pass(door, exchange, plan, upstream, _why(variants, chosen), "", "miss")
        return await self._fill(door, exchange, plan, request, upstream, variants, chosen, varied)

    # --------------------------------------------------------------------------------------------- what is not looked up

    async def _other_method(
        self, door: Door, exchange: Exchange, plan: RoutePlan, rules: RouteCache, upstream: LiveUpstream
    ) -> None:
        """A request that is no GET or HEAD: it goes on, and what it changed is invalidated."""
        method = exchange.head.method
        if method == "PURGE" and rules.purge_method and rules.policy is not None:
            return await self._purge(door, exchange, rules.policy)
        if method in SAFE:
            return await self._pass(door, exchange, plan, upstream, "method" if rules.policy is not None else "")
        return await self._pass(
            door, exchange, plan, upstream, "method" if rules.policy is not None else "", unsafe=rules
        )

    async def _purge(self, door: Door, exchange: Exchange, policy: CachePolicy) -> None:
        """PURGE of a URL by a caller whose credential has the scope for it."""
        principal = exchange.principal
        if principal is None or PURGE_SCOPE not in principal.scopes:
            return door.answer_verdict(exchange, _PURGE_REFUSED)
        head = exchange.head
        await self.cache.purge(url_tags(head.host, head.path, head.query, policy), False, "purge_method")
        return door.answer_verdict(exchange, _PURGED)

    async def _pass(
        self,
        door: Door,
        exchange: Exchange,
        plan: RoutePlan,
        upstream: LiveUpstream,
        fwd: str,
        detail: str = "",
        result: str = "bypass",
        unsafe: RouteCache | None = None,
    ) -> None:
        """Forward and relay; nothing is stored. After an `unsafe` one that was no error, what it changed is invalidated."""
        if fwd:
            exchange.response_headers.append(cache_status(fwd=fwd, detail=detail))
            self._note(exchange, plan, result)
        sent = await self._sender.send(exchange, plan, upstream, chosen=True)
        if isinstance(sent, Denial | LocalResponse):
            return door.answer_verdict(exchange, sent)
        response = sent[0]
        if unsafe is not None and 200 <= response.status < 400:
            changed = invalidated_by(exchange, unsafe.policy, response.headers)
            await self.cache.purge(changed, False, "method")
        return await self._relay(door, exchange, plan, upstream, sent)

    async def _relay(self, door: Door, exchange: Exchange, plan: RoutePlan, upstream: LiveUpstream, sent: Sent) -> None:
        """Give the client the target's answer as it comes, and settle the target."""
        response, target, permit, seconds = sent
        result = CallResult.IGNORED
        try:
            rest = door.relay(exchange, plan, response)
            if rest is not None:
                await rest
            result = upstream.judge(response.status)
        except FaultError as error:
            result = result_of_fault(error.fault)
            raise
        finally:
            response.close()
            target.upstream.settle(target, permit, result, seconds, self._monotonic())

    # ------------------------------------------------------------------------------------------------- miss and validate

    async def _fill(
        self,
        door: Door,
        exchange: Exchange,
        plan: RoutePlan,
        request: CacheRequest,
        upstream: LiveUpstream,
        variants: Sequence[StoredResponse],
        chosen: StoredResponse | None,
        varied: list[Header],
    ) -> None:
        """Nothing that may be given as it is: ask the target, or wait for whoever does."""
        flights = self.cache.flights
        policy = request.policy
        fwd = _why(variants, chosen)
        flight: Flight | None = None
        names = tuple(sorted({name for entry in variants for name in entry.vary}))
        flight_key = (request.key, variant_of(names, varied, policy.languages))
        if not self._alone(request, exchange):
            until = self._monotonic() + policy.collapse
            while (going := flights.of(flight_key)) is not None:
                if not await going.wait(until - self._monotonic()):
                    return await self._alone_fill(door, exchange, plan, request, upstream, variants, chosen, fwd)
                brought = going.brought
                if isinstance(brought, Filling) and brought.joinable and self._fits(brought.entry, varied, request):
                    return await self._follow(exchange, plan, request, brought, fwd, collapsed=True)
                if isinstance(brought, StoredResponse) and self._fits(brought, varied, request):
                    return self._give(exchange, plan, request, brought, "collapsed", fwd)
                if going.alone or brought is not None:
                    return await self._alone_fill(door, exchange, plan, request, upstream, variants, chosen, fwd)
                if flights.of(flight_key) is going:
                    break
            flight = flights.begin(flight_key)
        if flight is None:
            return await self._alone_fill(door, exchange, plan, request, upstream, variants, chosen, fwd)
        try:
            elsewhere = await self._claimed_elsewhere(request, flight_key[1], varied)
        except BaseException:
            flights.end(flight_key, flight)
            raise
        if elsewhere is not None:
            flights.end(flight_key, flight, elsewhere)
            return self._give(exchange, plan, request, elsewhere, "collapsed", fwd)
        landing = flight

        def done() -> Awaitable[None] | None:
            flights.end(flight_key, landing)
            return self._release(request, flight_key[1])

        try:
            obtained = await self.fills.obtain(exchange, plan, request, upstream, variants, chosen, flight, done)
        except FaultError:
            self._forwarded(exchange, plan, fwd)
            raise
        return await self._given(door, exchange, plan, request, upstream, obtained, fwd)

    def _alone(self, request: CacheRequest, exchange: Exchange) -> bool:
        """Whether this request waits for nobody: its key is not storable, or its answer is for it alone."""
        if request.credentials or request.ranged or request.no_store:
            return True
        return bool(self.cache.flights.marked(request.key, exchange.unix))

    async def _alone_fill(
        self,
        door: Door,
        exchange: Exchange,
        plan: RoutePlan,
        request: CacheRequest,
        upstream: LiveUpstream,
        variants: Sequence[StoredResponse],
        chosen: StoredResponse | None,
        fwd: str,
    ) -> None:
        """Ask the target without making anybody wait."""
        try:
            marked = bool(self.cache.flights.marked(request.key, exchange.unix))
            obtained = await self.fills.obtain(
                exchange, plan, request, upstream, variants, chosen, None, _nothing, keeps_person=marked
            )
        except FaultError:
            self._forwarded(exchange, plan, fwd)
            raise
        return await self._given(door, exchange, plan, request, upstream, obtained, fwd)

    async def _given(
        self,
        door: Door,
        exchange: Exchange,
        plan: RoutePlan,
        request: CacheRequest,
        upstream: LiveUpstream,
        obtained: Obtained,
        fwd: str,
    ) -> None:
        """Give the client what was obtained."""
        if obtained.filling is not None:
            return await self._follow(exchange, plan, request, obtained.filling, fwd)
        if obtained.sent is not None:
            why = obtained.why
            if why not in ("fallback", "client-no-store") and obtained.status < SERVER_ERRORS:
                self.cache.flights.mark(request.key, exchange.unix, why)
            self._forwarded(exchange, plan, fwd, why)
            return await self._relay(door, exchange, plan, upstream, obtained.sent)
        if obtained.entry is None:
            assert obtained.verdict is not None
            self._forwarded(exchange, plan, fwd)
            return door.answer_verdict(exchange, obtained.verdict)
        if obtained.stale:
            return self._give(exchange, plan, request, obtained.entry, "stale", detail="stale-if-error")
        result = "revalidated" if obtained.status == 304 else "miss"
        return self._give(
            exchange, plan, request, obtained.entry, result, fwd, fwd_status=obtained.status, stored=obtained.stored,
            detail=obtained.why,
        )  # fmt: skip

    @staticmethod
    def _fits(entry: StoredResponse, varied: list[Header], request: CacheRequest) -> bool:
        return not entry.vary or fits(entry, variant_of(entry.vary, varied, request.policy.languages))

    # -------------------------------------------------------------------------------------------------- other processes

    async def _claimed_elsewhere(
        self, request: CacheRequest, variant: tuple[bytes, ...], varied: list[Header]
    ) -> StoredResponse | None:
        """None when this process is to fetch; else what another one that was at it has brought.

        Whoever has won the claim looks once more before it fetches: the one that had it may have stored its answer and given the
        claim back since this request looked.
        """
        store = self.cache.store
        patience = request.policy.collapse
        look = _FIRST_LOOK
        name = b"\0".join(variant)
        until = self._monotonic() + patience
        while True:
            try:
                claimed = store.claim(request.key, name, max(patience, 1.0))
                if not isinstance(claimed, Awaitable):
                    return None  # nobody shares this store, and the flight has looked after this process
                won = await claimed
            except CacheStoreGone as error:
                self.cache.failed(error)
                return None
            entry = await self._stored_elsewhere(request, varied)
            if entry is not None:
                if won and (waiting := self._release(request, variant)) is not None:
                    await waiting
                return entry
            if won or self._monotonic() >= until:
                return None
            await asyncio.sleep(min(look, max(0.0, until - self._monotonic())))
            look = min(look * 2.0, _LONGEST_LOOK)

    async def _stored_elsewhere(self, request: CacheRequest, varied: list[Header]) -> StoredResponse | None:
        """What the fleet has by now, where it may be given to this request."""
        found = self.cache.look(request)
        variants = await found if isinstance(found, Awaitable) else found
        entry = select(variants, varied, request.policy.languages)
        if entry is not None and usable(entry, self.cache.unix(), request.directives) is Use.FRESH:
            return entry
        return None

    def _release(self, request: CacheRequest, variant: tuple[bytes, ...]) -> Awaitable[None] | None:
        released = self.cache.store.release(request.key, b"\0".join(variant))
        return released if isinstance(released, Awaitable) else None

    # --------------------------------------------------------------------------------------------- stale while revalidate

    def _revalidate_behind(
        self,
        exchange: Exchange,
        plan: RoutePlan,
        request: CacheRequest,
        upstream: LiveUpstream,
        variants: Sequence[StoredResponse],
        chosen: StoredResponse,
    ) -> None:
        """Have the answer that was given stale revalidated, once a key, by a task that is nobody's request."""
        flights = self.cache.flights
        key = (request.key, (b"behind", *chosen.variant))
        if flights.of(key) is not None or len(self._behind) >= _MOST_BEHIND:
            return
        flight = flights.begin(key)
        made = background_exchange(exchange, self._clock)
        task = asyncio.get_running_loop().create_task(
            self._revalidate(made, plan, request, upstream, variants, chosen, key, flight)
        )
        self._behind.add(task)
        task.add_done_callback(self._behind.discard)

    async def _revalidate(
        self,
        exchange: Exchange,
        plan: RoutePlan,
        request: CacheRequest,
        upstream: LiveUpstream,
        variants: Sequence[StoredResponse],
        chosen: StoredResponse,
        key: Any,
        flight: Flight,
    ) -> None:
        flights = self.cache.flights

        def done() -> Awaitable[None] | None:
            flights.end(key, flight)
            return self._release(request, key[1])

        try:
            claimed = self.cache.store.claim(request.key, b"\0".join(key[1]), max(request.policy.collapse, 1.0))
            if isinstance(claimed, Awaitable) and not await claimed:
                flights.end(key, flight)
                return
        except CacheStoreGone as error:
            self.cache.failed(error)
        try:
            obtained = await self.fills.obtain(exchange, plan, request, upstream, variants, chosen, flight, done)
            if obtained.sent is not None:
                response, target, permit, seconds = obtained.sent
                response.close()
                target.upstream.settle(target, permit, upstream.judge(response.status), seconds, self._monotonic())
                if obtained.status < SERVER_ERRORS:
                    # The target does not want it stored any more.
                    self.cache.store.journal.note((request.url_tag(),), False)
        except FaultError as error:
            log.debug("revalidating behind a stale answer: %s", error)

    # ------------------------------------------------------------------------------------------------------- the answer

    def _give(
        self,
        exchange: Exchange,
        plan: RoutePlan,
        request: CacheRequest,
        entry: StoredResponse,
        result: str,
        fwd: str = "",
        fwd_status: int = 0,
        stored: bool = False,
        detail: str = "",
    ) -> None:
        """Answer from a whole entry."""
        hit = not fwd
        said = cache_status(
            hit=hit, fwd=fwd, fwd_status=fwd_status if result == "revalidated" else 0, ttl=remaining(entry, exchange.unix if hit else self.cache.unix()),
            stored=stored, collapsed=result == "collapsed", detail=detail,
        )  # fmt: skip
        self._note(exchange, plan, result)
        if hit and not request.policy.count_hits:
            refund(exchange)
        self._delivery.whole(exchange, plan, entry, said, self.cache.unix() if fwd else exchange.unix)

    async def _follow(
        self,
        exchange: Exchange,
        plan: RoutePlan,
        request: CacheRequest,
        filling: Filling,
        fwd: str,
        collapsed: bool = False,
    ) -> None:
        """Answer from a filling, while it arrives."""
        said = cache_status(
            fwd=fwd, ttl=remaining(filling.entry, self.cache.unix()), stored=not collapsed, collapsed=collapsed
        )
        self._note(exchange, plan, "collapsed" if collapsed else "miss")
        number = filling.join()
        try:
            await self._delivery.arriving(exchange, plan, filling, number, said, self.cache.unix())
        finally:
            filling.leave(number)
            self.fills.left(filling)

    def _forwarded(self, exchange: Exchange, plan: RoutePlan, fwd: str, detail: str = "") -> None:
        exchange.response_headers.append(cache_status(fwd=fwd, detail=detail))
        self._note(exchange, plan, "miss")

    def _note(self, exchange: Exchange, plan: RoutePlan, result: str) -> None:
        exchange.cache_result = result
        self.cache.counts.request(plan.name, result)


def refund(exchange: Exchange) -> None:
    """Give back what the limits charged for a request that cost no target anything."""
    for give_back in exchange.refunds:
        give_back()


def _why(variants: Sequence[StoredResponse], chosen: StoredResponse | None) -> str:
    """Why a request goes on, in the words of RFC 9211 2.2."""
    if chosen is not None:
        return "stale"
    return "vary-miss" if variants else "uri-miss"


def _nothing() -> None:
    """No flight and no claim to end."""
