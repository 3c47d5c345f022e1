"""The RateLimiter that replicas share: one script call reads, decides and writes all limits of many requests.

Requests of one turn of the event loop go out together (`Batch`); while `LANES` calls are under way the next batch
fills, so the busier the gateway, the less each request costs. Redis's own clock decides, unless the caller says `now`.

A request waits for the store `timeout` seconds at most, from when it asked (in a cluster, per step). A store that
fails or hangs is replaced by `LimitFallback`; after a few failures in a row nobody waits any more until a probe in the
background has written to it again. No call raises for a store that is gone.

In a cluster the limits of one request may live in different slots. Those that share one (all limits of one identity
do) are decided in one step, the groups one after the other; if a later one refuses, what the earlier ones took is
given back at once. So never more is admitted than the limits say, and a request that a later group refuses may hold
units of an earlier one for the moment until they are back; were they lost on the way (a node died), they age out like
used ones.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final, cast

from spork.adapters.redis.limits import LUA
from spork.adapters.redis.limits.batches import Answer, Batch, Member, PendingCharges, note_answers, note_failure
from spork.adapters.redis.limits.fallback import LimitFallback
from spork.adapters.redis.limits.permits import PermitKeeper
from spork.adapters.redis.limits.returns import LimitReturns
from spork.adapters.redis.limits.settlements import Settlements
from spork.adapters.redis.limits.wire import Wire, time_of, unpack_answers
from spork.adapters.redis.store.connection import RedisConnection
from spork.adapters.redis.store.scripts import Call, Script, StoreError, caller_for
from spork.adapters.redis.store.store_health import StoreHealth
from spork.domain.limits.limit import Admitted, Charge, Decision, Limit, LimitState, RateLimiter, Throttled
from spork.domain.limits.terms import MICROS

log = logging.getLogger("spork.limits")

LANES: Final = 2
BATCH: Final = 256
PROBE_EVERY: Final = 0.25
TICK: Final = 1.0
#: Seconds after which a timer is late: this process stood still, not the store.
LATE: Final = 0.01
#: Seconds more that a batch gets whose timer was late.
MOMENT: Final = 0.02

_new: Final[Any] = tuple.__new__


class RedisRateLimiter:
    """`local` is an in-process limiter for `on_store_error: local`; `nodes` counts the live gateway processes.

    Permits of a process that vanished lapse after `permit_lease` seconds.
    Keys are kept `slack` seconds beyond their meaning, and so survive small steps back of the store's clock.

    Lifecycle: `await open()` before the first request (never raises), `await close()` at the end.
    """

    keeps_time = True

    def __init__(
        self,
        connection: RedisConnection,
        local: RateLimiter,
        *,
        prefix: bytes = b"spork",
        nodes: Callable[[], int] = lambda: 1,
        timeout: float = 0.05,
        slack: float = 1.0,
        permit_lease: float = 30.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._connection = connection
        self._caller = caller_for(connection)
        self._wire = Wire(prefix, permit_lease)
        self._clock = clock
        self._timeout = timeout
        self._slack = b"%d" % int(slack * 1000)
        self._acquire = Script(LUA / "acquire.lua")
        self._permits = PermitKeeper(self._wire)
        self._local = local
        self.fallback = LimitFallback(local, nodes)
        self.health = StoreHealth()
        self._returns = LimitReturns(
            self._caller, self._wire, self._permits, self.health, connection.cluster, 4 * timeout
        )
        self._settlements = Settlements(
            self._caller, self._wire, self.health, connection.cluster, 4 * timeout, self._slack
        )
        self._probe_key = b"%b:limit-probe" % prefix
        self._filling: Batch | None = None
        self._waiting: list[Batch] = []
        self._under_way = 0
        #: Calls of requests that came to nothing since the latest that was answered.
        self._unanswered = 0
        #: Since when the store has not answered (0.0: it does), and when it did not before, Unix seconds.
        self._away_since = 0.0
        self._outages: deque[tuple[float, float]] = deque(maxlen=16)
        self._keeper: asyncio.Task[None] | None = None
        self._counts = {"calls": 0, "requests": 0, "timeouts": 0, "errors": 0}

    # ------------------------------------------------------------------------------------------------------- the port

    def acquire(self, charges: Sequence[Charge], now: float | None = None) -> Decision | Awaitable[Decision]:
        if not charges:
            return Admitted((), None, self._clock())
        if self.health.down:
            return self.fallback.decide(charges, self._clock())
        future: asyncio.Future[Decision] = asyncio.get_running_loop().create_future()
        asked = PendingCharges(charges, future, now)
        for charge in charges:
            if charge.limit.algorithm == "concurrency":
                asked.lease = self._permits.next_id()
        self._join(asked)
        return future

    def release(self, lease: object) -> None:
        self._local.release(self._returns.release(lease))

    def refund(self, charges: Sequence[Charge], at: float, now: float | None = None) -> None:
        units = [charge for charge in charges if charge.limit.algorithm != "concurrency" and charge.cost > 0]
        if units and not self.health.down:
            self._returns.refund(units, round(at * MICROS), now)

    def settle(self, charges: Sequence[Charge], at: float, now: float | None = None) -> None:
        back = [charge._replace(cost=-charge.cost) for charge in charges if charge.cost < 0]
        back = [charge for charge in back if charge.limit.algorithm != "concurrency"]
        if back and not self._was_away(at):
            self._settlements.give_back(back, round(at * MICROS), now)
        more = [charge for charge in charges if charge.cost > 0 and charge.limit.algorithm != "concurrency"]
        if more:
            self._settlements.add(more, now)

    def _was_away(self, at: float) -> bool:
        """Whether the store was away at this Unix time: then it never took what was charged."""
        return (self._away_since > 0.0 and at >= self._away_since) or any(
            began <= at <= ended for began, ended in self._outages
        )

    def _answered(self) -> None:
        if self._away_since:
            self._outages.append((self._away_since, self._clock()))
            self._away_since = 0.0

    def _missed(self) -> None:
        self._away_since = self._away_since or self._clock()

    async def reset(self, limit: Limit, identity: str) -> None:
        """Raises OSError when the store did not do it: an operator must know."""
        try:
            await self._connection.client.delete(self._wire.key(Charge(limit, identity)))
        except StoreError as error:
            raise OSError("the shared store did not answer") from error

    async def peek(self, charges: Sequence[Charge], now: float | None = None) -> tuple[LimitState, ...]:
        """What is left; in the store's absence, what this process would say alone."""
        # Each by itself: what one says must not depend on the others. All of them still go out together.
        asked = [self.acquire([charge._replace(cost=0)], now) for charge in charges]
        states: list[LimitState] = []
        for each in asked:
            decision = each if isinstance(each, Admitted | Throttled) else await each
            states.extend(decision.states)
        return tuple(states)

    # ------------------------------------------------------------------------------------------------------- lifecycle

    async def open(self) -> None:
        self._keeper = asyncio.create_task(self._keep(), name="limits-keeper")
        await self._probe()

    async def close(self) -> None:
        if self._keeper is not None:
            self._keeper.cancel()
        await self._returns.close()
        await self._settlements.close()
        await self._caller.close()

    @property
    def down(self) -> bool:
        """Whether the store is not answering, so that this process counts by itself."""
        return self.health.down

    @property
    def trouble(self) -> str:
        """Why requests are not counted in the store now, empty while they are."""
        if self.health.down:
            return self.health.last_error
        if self._unanswered:
            return f"the latest {self._unanswered} calls came to nothing: {self.health.last_error}"
        return ""

    def stats(self) -> dict[str, int]:
        """Counters for metrics. `down` is 0 or 1; allow, deny, local count charges decided without the store."""
        return {
            **self._counts,
            **self.fallback.counts,
            "outages": self.health.outages,
            "down": int(self.health.down),
            "unanswered": self._unanswered,
            "permits": len(self._permits),
            "returned": self._returns.count,
            "settled": self._settlements.settled,
            "settlements_waiting": len(self._settlements),
            "settlements_lost": self._settlements.dropped,
        }

    def __repr__(self) -> str:
        state = f"down: {self.health.last_error}" if self.health.down else "up"
        return f"<RedisRateLimiter {self._connection.description} {state}>"

    # --------------------------------------------------------------------------------------------------------- batches

    def _join(self, asked: PendingCharges) -> None:
        batch = self._filling
        if batch is None or batch.now != asked.now or len(batch.asked) >= BATCH:
            batch = self._begin(asyncio.get_running_loop(), asked.now)
        batch.asked.append(asked)

    def _begin(self, loop: asyncio.AbstractEventLoop, now: float | None) -> Batch:
        batch = Batch(now)
        if self._filling is None:
            loop.call_soon(self._flush)
        else:
            self._waiting.append(self._filling)
        self._filling = batch
        batch.due = loop.time() + self._timeout
        batch.timer = loop.call_at(batch.due, self._expire, batch)
        return batch

    def _flush(self) -> None:
        """At the end of a turn, and whenever a lane is free."""
        while self._under_way < LANES:
            if self._waiting:
                batch = self._waiting.pop(0)
            elif self._filling is not None:
                batch, self._filling = self._filling, None
            else:
                return
            if not batch.asked:
                continue
            self._under_way += 1
            batch.in_lane = True
            batch.task = asyncio.get_running_loop().create_task(self._run(batch))
            # A task that is cancelled before its first step runs nothing of its body, no `finally` either.
            batch.task.add_done_callback(partial(self._over, batch))

    def _leave_lane(self, batch: Batch) -> bool:
        """A batch's lane is free, whatever became of the batch. Only the first time counts."""
        held, batch.in_lane = batch.in_lane, False
        self._under_way -= held
        return held

    def _over(self, batch: Batch, _task: asyncio.Task[None]) -> None:
        """A batch's task has ended; what it could not give back itself is given back here."""
        if self._leave_lane(batch):
            self._flush()

    async def _run(self, batch: Batch) -> None:
        self._counts["requests"] += len(batch.asked)
        placed: list[tuple[Call, list[Member]]]
        if self._connection.cluster:
            placed = batch.calls(self._acquire, self._wire, self._clock(), self._slack)
        else:
            placed = [(batch.call(self._acquire, self._wire, self._clock(), self._slack), [])]
        self._counts["calls"] += len(placed)
        answers: Sequence[Any]
        try:
            answers = await self._caller.run([call for call, _ in placed])
        except StoreError as error:
            answers = [error] * len(placed)
        except Exception as error:  # a mistake of the client's must not leave anybody waiting
            log.exception("limits: the shared store's client failed")
            answers = [error] * len(placed)
        except asyncio.CancelledError:  # by `_expire`, which has answered everyone
            answers = []
        finally:
            self._leave_lane(batch)
            if batch.timer is not None:
                batch.timer.cancel()
        for answer, (_, members) in zip(answers, placed, strict=False):
            if members:
                self._take(answer, members)
            else:
                self._take_whole(answer, batch)
        self._flush()

    def _take_whole(self, answer: Any, batch: Batch) -> None:
        """One server's answer, for everyone. The plain case, admitted and waited for, is made short."""
        if not isinstance(answer, bytes):
            self._counts["errors"] += 1
            self._unanswered += 1
            self._missed()
            self.health.failed(answer)
            for asked in batch.asked:
                asked.answers = [None] * len(asked.charges)
                self._settle(asked)
            return
        self._unanswered = 0
        self._answered()
        self.health.succeeded()
        micros = time_of(answer)
        at = micros / MICROS
        rows = unpack_answers(memoryview(answer)[8:])
        for asked in batch.asked:
            answers = [next(rows) for _ in asked.charges]
            plain = not asked.lease and not asked.future.done()
            states = []
            for (limit, _, _), (admitted, left, reset, _) in zip(asked.charges, answers, strict=True):
                if not admitted:
                    plain = False
                    break
                states.append(_new(LimitState, (limit, int(left), reset / MICROS, False, 0.0)))
            if plain:
                asked.future.set_result(_new(Admitted, (tuple(states), None, at)))
            else:
                asked.answers = cast(list[Answer | None], answers)
                asked.taken = ((range(len(answers)), micros),)
                self._settle(asked)

    def _take(self, answer: Any, members: Sequence[Member]) -> None:
        """One call's answer, for everyone in it."""
        if isinstance(answer, bytes):
            self._unanswered = 0
            self._answered()
            self.health.succeeded()
            note_answers(answer, members)
        else:
            self._counts["errors"] += 1
            self._unanswered += 1
            self._missed()
            self.health.failed(answer)
            note_failure(members)
        for asked, _, _ in members:
            asked.pending -= 1
            if asked.pending:
                continue
            if asked.goes_on and not asked.future.done():
                asked.stage += 1
                self._join(asked)
            else:
                self._settle(asked)

    def _expire(self, batch: Batch) -> None:
        """The batch has waited long enough: whoever still waits is answered without the store.

        A process that was stopped finds its timers due before it has read what arrived meanwhile: a timer that comes
        late gives the batch a moment more, once.
        """
        loop = asyncio.get_running_loop()
        if not batch.extended and loop.time() - batch.due > LATE:
            batch.extended = True
            batch.timer = loop.call_later(MOMENT, self._expire, batch)
            return
        self._counts["timeouts"] += 1
        self._unanswered += 1
        self._missed()
        self.health.failed("no answer in time" if batch.task is not None else "no call went out in time")
        if batch.task is not None:
            batch.task.cancel()
        asked, batch.asked = batch.asked, []
        if batch is self._filling:
            self._filling = None
        for each in asked:
            if not each.future.done():
                each.future.set_result(self.fallback.decide(each.charges, self._clock()))
            self._undo(each)

    # --------------------------------------------------------------------------------------------------------- answers

    def _settle(self, asked: PendingCharges) -> None:
        """Every group of the request has answered, or failed to, or need not be asked any more."""
        missing = [index for index, answer in enumerate(asked.answers) if answer is None]
        rest: Decision | None = None
        if missing and not asked.refused:
            rest = self.fallback.decide([asked.charges[index] for index in missing], self._clock())
        decision = self._decide(asked, missing, rest)
        if not asked.future.done():
            asked.future.set_result(decision)
        elif isinstance(decision, Admitted):  # nobody waits any more: a client that left, or a deadline
            self.release(decision.lease)
            self._undo(asked)
        if isinstance(decision, Throttled):
            self._undo(asked)

    def _decide(self, asked: PendingCharges, missing: Sequence[int], rest: Decision | None) -> Decision:
        states: list[LimitState] = []
        stand_ins = iter(() if rest is None else rest.states)
        refused = isinstance(rest, Throttled)
        longest = 0.0 if rest is None or isinstance(rest, Admitted) else rest.retry_after
        for charge, answer in zip(asked.charges, asked.answers, strict=True):
            if answer is None:
                states.append(next(stand_ins, None) or LimitState(charge.limit, charge.limit.terms.quota, 0.0))
                continue
            admitted, left, reset, wait = answer
            if admitted:
                states.append(_new(LimitState, (charge.limit, int(left), reset / MICROS, False, 0.0)))
            else:
                refused = True
                longest = max(longest, wait / MICROS)
                states.append(LimitState(charge.limit, int(left), reset / MICROS, True, wait / MICROS))
        if refused:
            return Throttled(tuple(states), longest, isinstance(rest, Throttled) and rest.unavailable)
        at = asked.taken[0][1] / MICROS if asked.taken else self._clock()
        local = rest.lease if isinstance(rest, Admitted) else None
        permits = self._permits.taken(asked.charges, asked.lease, missing) if asked.lease else None
        return Admitted(tuple(states), local if permits is None else permits.joined_by(local), at)

    def _undo(self, asked: PendingCharges) -> None:
        """Give back what some groups took for a request that came to nothing. A group that refused took nothing."""
        for indexes, at in asked.taken:
            answers = [asked.answers[index] for index in indexes]
            if not all(answer is not None and answer[0] for answer in answers):
                continue
            charges = [asked.charges[index] for index in indexes]
            units = [charge for charge in charges if charge.limit.algorithm != "concurrency" and charge.cost > 0]
            if units:
                self._returns.refund(units, at, asked.now)
            self._returns.release(self._permits.taken(charges, asked.lease, ()) if asked.lease else None)
        asked.taken = ()

    # ------------------------------------------------------------------------------------------------------ background

    async def _keep(self) -> None:
        """Probe a store that is down; renew permits held for long."""
        last = last_probe = asyncio.get_running_loop().time()
        while True:
            await asyncio.sleep(PROBE_EVERY if self.health.down else min(TICK, self._permits.renew_every))
            now = asyncio.get_running_loop().time()
            if self.health.down or (self._unanswered and now - last_probe >= TICK):
                last_probe = now
                await self._probe()
            elif now - last >= self._permits.renew_every:
                last = now
                self._returns.renew()

    async def _probe(self) -> None:
        """A small write: a store that only reads (a replica, one that is full) is as good as gone."""
        was_down = self.health.down
        keys = [b"%b:{%d}" % (self._probe_key, number) for number in range(12 if self._connection.cluster else 1)]
        probe = Charge(Limit("probe", 1_000_000, 1.0), "*", 1)
        packed = b"\x01" + self._wire.pack(probe, 0)
        try:
            async with asyncio.timeout(4 * self._timeout):
                answers = await self._caller.run([(self._acquire, [key], (b"-1", packed, b"0")) for key in keys])
            bad = next((answer for answer in answers if not isinstance(answer, bytes)), None)
            if bad is not None:
                raise bad if isinstance(bad, Exception) else ConnectionError("no answer")
        except StoreError as error:
            self.health.failed(error)
            return
        except Exception as error:
            log.exception("limits: the shared store's client failed")
            self.health.failed(error)
            return
        self._answered()
        self.health.succeeded()
        if self._under_way < LANES:  # else requests do not get through, whatever a probe of its own says
            self._unanswered = 0
        if was_down:
            log.info("limits: the shared store answers again")
