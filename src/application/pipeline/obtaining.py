"""Getting an answer for the cache from a target: the fill's request, what came back, and the body on its way in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from spork.application.caching.filling import Filling
from spork.application.caching.flights import Flight
from spork.application.caching.request import CacheRequest, consumer_of, fill_head, varying
from spork.application.caching.response_cache import ResponseCache
from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.application.kernel.clock import Clock
from spork.application.kernel.faults import FaultError
from spork.application.kernel.tasks import end
from spork.application.pipeline.sender import Sender, Sent
from spork.application.upstreams.upstream import LiveUpstream
from spork.domain.http.caching.facts import ResponseFacts
from spork.domain.http.caching.reuse import usable_on_error
from spork.domain.http.caching.selection import fits, variant_of
from spork.domain.http.caching.stored import StoredResponse
from spork.domain.http.caching.storing import Pass, Store
from spork.domain.http.caching.validation import CONDITIONS, conditions, freshened, freshened_headers, validated
from spork.domain.http.head import Header
from spork.domain.outcomes import Denial, Fault, FaultKind, LocalResponse, Side
from spork.domain.upstreams.circuit import CallResult, result_of_fault

log = logging.getLogger("spork.cache")

#: Statuses for which a stored answer may stand in (RFC 5861 4).
ERRORS: Final = frozenset((500, 502, 503, 504))
#: A fill whose known rest is no larger is finished although nobody reads it any more.
WORTH_FINISHING: Final = 1024 * 1024
_CUT: Final = Fault(FaultKind.HTTP_RESPONSE_INCOMPLETE, Side.UPSTREAM, note="the fill of the cache ended")
_CONDITIONAL_OR_PART: Final = CONDITIONS | {b"range"}
_COOKIE: Final = frozenset((b"cookie",))
_NOTHING_DROPPED: Final[frozenset[bytes]] = frozenset()


class Obtained:
    """What came of asking a target. Exactly one of the first four is set.

    `entry`: a whole answer that is stored or was validated, `status` of the target with it. `filling`: one that arrives.
    `sent`: one that is not stored, for `why`, to be relayed and settled. `verdict`: there was none.
    """

    __slots__ = ("entry", "filling", "keeping", "sent", "stale", "status", "stored", "verdict", "why")

    def __init__(
        self,
        *,
        entry: StoredResponse | None = None,
        filling: Filling | None = None,
        sent: Sent | None = None,
        verdict: Denial | LocalResponse | None = None,
        status: int = 0,
        why: str = "",
        stored: bool = False,
        stale: bool = False,
        keeping: Awaitable[None] | None = None,
    ) -> None:
        self.keeping = keeping
        self.entry = entry
        self.filling = filling
        self.sent = sent
        self.verdict = verdict
        self.status = status
        self.why = why
        self.stored = stored
        #: The entry stands in for a target that failed.
        self.stale = stale


class Fills:
    """Asks targets on behalf of the cache. One per process; close it with the process."""

    def __init__(self, cache: ResponseCache, sender: Sender, clock: Clock) -> None:
        self._cache = cache
        self._sender = sender
        self._monotonic = clock.monotonic
        self._pumps: dict[Filling, asyncio.Task[None]] = {}
        self._keeping: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Fills {len(self._pumps)} on their way>"

    async def close(self) -> None:
        await end({*self._pumps.values(), *self._keeping})

    async def settled(self) -> None:
        """Wait until everything that is on its way into the store is there."""
        while self._keeping:
            await asyncio.wait(set(self._keeping))

    async def obtain(
        self,
        exchange: Exchange,
        plan: RoutePlan,
        request: CacheRequest,
        upstream: LiveUpstream,
        variants: Sequence[StoredResponse],
        chosen: StoredResponse | None,
        flight: Flight | None,
        done: Callable[[], Awaitable[None] | None],
        keeps_person: bool = False,
    ) -> Obtained:
        """Ask the target for the answer to a GET, and land `flight` with what it brought. `done` is called once nothing more of it
        comes into the store. `keeps_person`: what says who asks is sent at once, for the answer is known not to be shared.

        Raises FaultError when there is none and nothing stored may stand in.
        """
        handed_over = False
        keeping: Awaitable[None] | None = None
        try:
            personal = self._personal(exchange, request, variants)
            while True:
                obtained = await self._ask(
                    exchange, plan, request, upstream, variants, chosen, personal, keeps_person, done
                )
                if obtained is None:
                    # Asked as nobody, and the answer may not be shared: it is asked for again as the client it is for.
                    # Or a 304 spoke of nothing that is here: it is asked for without conditions.
                    keeps_person = True
                    chosen, variants = None, ()
                    continue
                handed_over = obtained.filling is not None
                keeping = obtained.keeping
                if flight is not None:
                    brought = obtained.entry if not obtained.why else None
                    flight.land(brought or obtained.filling, alone=True)
                return obtained
        except FaultError:
            if flight is not None:
                flight.land(None, alone=True)
            raise
        finally:
            if not handed_over:
                self._later(done() if keeping is None else _one_after_the_other(keeping, done))

    # ------------------------------------------------------------------------------------------------------ the request

    def _personal(self, exchange: Exchange, request: CacheRequest, variants: Sequence[StoredResponse]) -> bool:
        """Whether the request says who asks in a way that no answer known varies on, while answers are everybody's."""
        if request.policy.by != "everyone":
            return False
        named = {name for entry in variants for name in entry.vary}
        if any(name not in named for name, _ in exchange.request_headers):
            return True
        return b"cookie" not in named and any(name == b"cookie" for name, _ in exchange.head.headers)

    async def _ask(
        self,
        exchange: Exchange,
        plan: RoutePlan,
        request: CacheRequest,
        upstream: LiveUpstream,
        variants: Sequence[StoredResponse],
        chosen: StoredResponse | None,
        personal: bool,
        keeps_person: bool,
        done: Callable[[], Awaitable[None] | None],
    ) -> Obtained | None:
        """One request to the target; None when it has to be asked again in another way."""
        cache = self._cache
        asks = [] if chosen is None else conditions(chosen, variants)
        head, identity = exchange.head, exchange.request_headers
        named = {name for entry in variants for name in entry.vary}
        as_nobody = personal and not keeps_person
        dropped = _CONDITIONAL_OR_PART
        if as_nobody:
            dropped = dropped | (_COOKIE if b"cookie" not in named else _NOTHING_DROPPED)
            exchange.request_headers = [header for header in identity if header[0] in named]
        exchange.head = fill_head(head, dropped, asks)
        exchange.head.method = "GET"
        varied = varying(exchange)
        began = cache.store.journal.position
        asked_at = cache.unix()
        try:
            sent = await self._sender.send(exchange, plan, upstream, chosen=True)
        except FaultError:
            if chosen is not None and usable_on_error(chosen, cache.unix()):
                cache.counts.fill("failed")
                return Obtained(entry=chosen, stale=True)
            raise
        finally:
            exchange.head, exchange.request_headers = head, identity
        if isinstance(sent, Denial | LocalResponse):
            if chosen is not None and usable_on_error(chosen, cache.unix()):
                cache.counts.fill("failed")
                return Obtained(entry=chosen, stale=True)
            return Obtained(verdict=sent)
        response = sent[0]
        status = response.status
        if exchange.upstream_name != upstream.name:
            return Obtained(sent=sent, status=status, why="fallback")
        if status == 304 and asks:
            assert chosen is not None
            return self._validated(exchange, request, sent, variants, chosen, varied, asked_at, began, plan)
        if status in ERRORS and chosen is not None and usable_on_error(chosen, cache.unix()):
            self._settle(sent, upstream.judge(status))
            cache.counts.fill("failed")
            return Obtained(entry=chosen, status=status, stale=True)
        facts = ResponseFacts(response.headers, cache.unix())
        decision = cache.decide(request, status, facts)
        if isinstance(decision, Store):
            decision = self._fitting(request, facts, decision)
        if as_nobody and self._is_somebodys(decision, facts, identity):
            self._settle(sent, upstream.judge(status))
            return None
        if (
            isinstance(decision, Store)
            and personal
            and keeps_person
            and not self._is_somebodys(decision, facts, identity)
        ):
            decision = Pass("identity")
        if isinstance(decision, Pass):
            cache.counts.fill("refused")
            return Obtained(sent=sent, status=status, why=decision.why)
        entry = cache.entry(
            request, status, response.headers, facts, decision, asked_at, began, varied, plan.name,
            consumer_of(exchange) if request.owner else b"",
        )  # fmt: skip
        piece, ended = response.take()
        if ended:
            whole = entry.with_body(bytes(piece))
            self._settle(sent, upstream.judge(status))
            return Obtained(entry=whole, status=status, stored=True, keeping=self._cache.keep(request, whole))
        filling = Filling(entry, request.policy.body_bytes)
        if piece:
            filling.feed(bytes(piece))
        pump = asyncio.get_running_loop().create_task(self._pump(filling, sent, request, facts, upstream, done))
        self._pumps[filling] = pump
        return Obtained(filling=filling, status=status, stored=True)

    @staticmethod
    def _is_somebodys(decision: Store | Pass, facts: ResponseFacts, identity: list[Header]) -> bool:
        """Whether an answer is one client's alone: not to be shared, or made for who asks."""
        if isinstance(decision, Pass):
            return True
        return b"cookie" in facts.vary or any(name in facts.vary for name, _ in identity)

    @staticmethod
    def _fitting(request: CacheRequest, facts: ResponseFacts, decision: Store) -> Store | Pass:
        return Pass("too-large") if (facts.length or 0) > request.policy.body_bytes else decision

    # ------------------------------------------------------------------------------------------------------- the answer

    def _validated(
        self,
        exchange: Exchange,
        request: CacheRequest,
        sent: Sent,
        variants: Sequence[StoredResponse],
        chosen: StoredResponse,
        varied: list[Header],
        asked_at: float,
        began: float,
        plan: RoutePlan,
    ) -> Obtained | None:
        """A 304 to our own conditions: the entry it speaks of is as good as new."""
        cache = self._cache
        received = sent[0].headers
        told = ResponseFacts(received, cache.unix())
        self._settle(sent, CallResult.OK)
        entry = validated(told, chosen, variants)
        if entry is None:
            return None
        headers = freshened_headers(entry, received)
        facts = ResponseFacts(headers, cache.unix())
        if not told.has_date:
            # The stored Date is of the first answer; this one was made now.
            facts.date, facts.has_date = cache.unix(), True
        if b"age" not in told.fields:
            facts.age = 0.0
        decision = cache.decide(request, entry.status, facts)
        consumer = consumer_of(exchange) if request.owner else b""
        if isinstance(decision, Pass):
            return Obtained(entry=entry, status=304, why=decision.why)
        fresh = freshened(
            entry, headers, facts, decision, asked_at, cache.unix(),
            variant=variant_of(facts.vary, varied, request.policy.languages),
            tags=cache.tags_of(request, facts, plan.name, consumer),
            began=began,
        )  # fmt: skip
        if not fits(fresh, variant_of(fresh.vary, varied, request.policy.languages)):
            fresh = fresh.for_variant(fresh.vary, variant_of(fresh.vary, varied, request.policy.languages))
        cache.counts.fill("validated")
        return Obtained(entry=fresh, status=304, stored=True, keeping=cache.keep(request, fresh))

    async def _pump(
        self,
        filling: Filling,
        sent: Sent,
        request: CacheRequest,
        facts: ResponseFacts,
        upstream: LiveUpstream,
        done: Callable[[], Awaitable[None] | None],
    ) -> None:
        """Read the rest of the answer into the filling, and keep it when it is whole."""
        response = sent[0]
        result = CallResult.IGNORED
        try:
            while piece := await response.read():
                filling.feed(bytes(piece))
                if not filling.kept:
                    self._cache.flights.mark(request.key, self._cache.unix(), "too-large")
                    await filling.room()
            whole = filling.complete()
            result = upstream.judge(response.status)
            if filling.kept:
                keeping = self._cache.keep(request, whole)
                if keeping is not None:
                    await keeping
            else:
                self._cache.counts.fill("too_large")
        except FaultError as error:
            result = result_of_fault(error.fault)
            self._cache.counts.fill("broken")
            filling.fail(error)
        except BaseException:
            filling.fail(FaultError(_CUT))
            raise
        finally:
            self._pumps.pop(filling, None)
            self._settle(sent, result)
            self._later(done())

    def left(self, filling: Filling) -> None:
        """A reader has gone. The fill goes on when others read it, or when what is missing is known to be little."""
        pump = self._pumps.get(filling)
        if pump is None or filling.readers:
            return
        length = next((int(value) for name, value in filling.entry.headers if name == b"content-length"), None)
        if length is None or not filling.kept or length - filling.size > WORTH_FINISHING:
            pump.cancel()

    def _later(self, waiting: Awaitable[None] | None) -> None:
        """Have what has to wait awaited by a task of its own."""
        if waiting is not None:
            task = asyncio.ensure_future(_awaited(waiting))
            self._keeping.add(task)
            task.add_done_callback(self._keeping.discard)

    def _settle(self, sent: Sent, result: CallResult) -> None:
        response, target, permit, seconds = sent
        response.close()
        target.upstream.settle(target, permit, result, seconds, self._monotonic())


async def _one_after_the_other(keeping: Awaitable[None], done: Callable[[], Awaitable[None] | None]) -> None:
    try:
        await keeping
    finally:
        waiting = done()
        if waiting is not None:
            await waiting


async def _awaited(waiting: Awaitable[None]) -> None:
    try:
        await waiting
    except Exception:
        log.exception("keeping an answer")
