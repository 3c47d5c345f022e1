"""`accuracy: hybrid`: very hot keys lease a small share of their bucket and spend it without asking the store.

Only GCRA limits can be leased. A key is hot when this process asked for it more than `HOT` times in the last lease; then
one request is charged its cost and a share on top, and the requests after it are admitted from the share, at once. A
share is 1 % of the burst, and is spent within `LEASE` seconds; what is left over then is given back.

The bound: leased units are charged before they are spent, never after. So in any interval of length L the fleet admits
at most burst + L / T + nodes x share units; and a process may refuse while others still hold at most a share each.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence

from spork.domain.limits.limit import Admitted, Charge, Decision, Limit, LimitState, RateLimiter, Throttled
from spork.domain.limits.terms import MICROS, Terms

#: Seconds a share may be spent for.
LEASE = 0.25
#: Requests within a lease that make a key hot.
HOT = 5
#: Which part of the burst is leased at a time.
SHARE = 100
_MOST_KEYS = 4096


class _Share:
    """What this process holds of one identity's bucket."""

    __slots__ = ("asked", "asking", "at", "exact_until", "remaining", "seen_from", "units", "until")

    def __init__(self, now: float) -> None:
        self.units = 0
        self.until = 0.0
        self.at = 0.0
        self.remaining = 0
        self.asking = False
        self.exact_until = 0.0
        self.asked = 0
        self.seen_from = now

    def hot(self, now: float) -> bool:
        """Whether it was asked for often in the last lease's time."""
        if now - self.seen_from > LEASE:
            self.seen_from, self.asked = now, 0
        self.asked += 1
        return self.asked > HOT


class LeasingRateLimiter:
    """Stands in front of a shared limiter and is one itself; requests without a hybrid limit pass straight through.

    `clock` is monotonic seconds.
    """

    keeps_time = True

    def __init__(self, shared: RateLimiter, clock: Callable[[], float] = time.monotonic) -> None:
        self._shared = shared
        self._clock = clock
        self._shares: dict[tuple[Terms, str], _Share] = {}
        self._limits: dict[Terms, Limit] = {}
        self.spent = 0

    def acquire(self, charges: Sequence[Charge], now: float | None = None) -> Decision | Awaitable[Decision]:
        for limit, _, _ in charges:
            if limit.accuracy == "hybrid" and now is None:
                return self._acquire(charges)
        return self._shared.acquire(charges, now)

    def _acquire(self, charges: Sequence[Charge]) -> Decision | Awaitable[Decision]:
        now = self._clock()
        shares = [self._share(charge, now) for charge in charges]
        for charge, share in zip(charges, shares, strict=True):
            if share is None or share.units < max(charge.cost, 1) or share.until <= now:
                return self._ask(charges, shares, now)
        states: list[LimitState] = []
        at = 0.0
        for charge, share in zip(charges, shares, strict=True):
            assert share is not None
            share.units -= max(charge.cost, 0)
            at = share.at
            states.append(LimitState(charge.limit, share.remaining + share.units, _until_whole(charge.limit, share)))
        self.spent += 1
        return Admitted(tuple(states), None, at)

    async def _ask(self, charges: Sequence[Charge], shares: Sequence[_Share | None], now: float) -> Decision:
        leasing: list[tuple[_Share, int]] = []
        asked: list[Charge] = []
        for charge, share in zip(charges, shares, strict=True):
            more = 0
            if share is not None and share.hot(now) and not share.asking and now >= share.exact_until:
                more = max(charge.limit.terms.burst // SHARE, 1)
                share.asking = True
                leasing.append((share, more))
            asked.append(charge._replace(cost=max(charge.cost, 0) + more) if more else charge)
        try:
            decision = await _decided(self._shared.acquire(asked))
            if leasing and isinstance(decision, Throttled):
                # Perhaps only the share did not fit: near the end every unit is asked for.
                for share, _ in leasing:
                    share.exact_until = now + LEASE
                return await _decided(self._shared.acquire(charges))
        finally:
            for share, _ in leasing:
                share.asking = False
        if isinstance(decision, Admitted) and leasing:
            return self._lease(charges, shares, dict(leasing), decision)
        return decision

    def _lease(
        self, charges: Sequence[Charge], shares: Sequence[_Share | None], leased: dict[_Share, int], decision: Admitted
    ) -> Admitted:
        until = self._clock() + LEASE
        states = list(decision.states)
        for index, (charge, share) in enumerate(zip(charges, shares, strict=True)):
            if share is None or share not in leased:
                continue
            self._give_back(charge.limit, charge.identity, share)
            share.units, share.until, share.at = leased[share], until, decision.at
            share.remaining = states[index].remaining
            states[index] = states[index]._replace(remaining=share.remaining + share.units)
        return decision._replace(states=tuple(states))

    def sweep(self) -> None:
        """Give back what expired shares still hold, and forget keys that are no longer hot. Every second."""
        now = self._clock()
        for (terms, identity), share in list(self._shares.items()):
            if share.until <= now and not share.asking:
                limit = self._limits[terms]
                self._give_back(limit, identity, share)
                if now - share.seen_from > 4 * LEASE:
                    del self._shares[(terms, identity)]
        alive = {terms for terms, _ in self._shares}
        self._limits = {terms: limit for terms, limit in self._limits.items() if terms in alive}

    def _share(self, charge: Charge, now: float) -> _Share | None:
        if charge.limit.accuracy != "hybrid" or charge.limit.algorithm != "gcra":
            return None
        key = (charge.limit.terms, charge.identity)
        share = self._shares.get(key)
        if share is None and len(self._shares) < _MOST_KEYS:
            share = self._shares[key] = _Share(now)
            self._limits[charge.limit.terms] = charge.limit
        return share

    def _give_back(self, limit: Limit, identity: str, share: _Share) -> None:
        if share.units > 0:
            self._shared.refund([Charge(limit, identity, share.units)], share.at)
            share.units = 0

    # ------------------------------------------------------------------------------------------- the rest of the port

    def release(self, lease: object) -> None:
        self._shared.release(lease)

    def refund(self, charges: Sequence[Charge], at: float, now: float | None = None) -> None:
        self._shared.refund(charges, at, now)

    async def reset(self, limit: Limit, identity: str) -> None:
        self._shares.pop((limit.terms, identity), None)
        done = self._shared.reset(limit, identity)
        if done is not None:
            await done

    def settle(self, charges: Sequence[Charge], at: float, now: float | None = None) -> None:
        self._shared.settle(charges, at, now)

    def peek(
        self, charges: Sequence[Charge], now: float | None = None
    ) -> tuple[LimitState, ...] | Awaitable[tuple[LimitState, ...]]:
        return self._shared.peek(charges, now)

    def stats(self) -> dict[str, int]:
        return {"leased_keys": len(self._shares), "spent_from_leases": self.spent}


async def _decided(decision: Decision | Awaitable[Decision]) -> Decision:
    return decision if isinstance(decision, Admitted | Throttled) else await decision


def _until_whole(limit: Limit, share: _Share) -> float:
    """Seconds until the bucket is full again, as far as this process knows."""
    used = limit.terms.burst - share.remaining - share.units
    return max(used, 0) * limit.terms.interval / MICROS
