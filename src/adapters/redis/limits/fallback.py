"""What limits do while the shared store is gone, each as it says: allow, deny, or count alone (`local`).

Local counting is GCRA in this process at the limit's quota divided by the live nodes, so that the fleet together stays
within quota + nodes - 1 units of allowance. Its states know nothing of the store's and the other way round: each loss
of the store may admit at most one more such allowance, and so may its return if it came back empty.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from spork.domain.limits.limit import Admitted, Charge, Decision, Limit, LimitState, RateLimiter, Throttled, local_share
from spork.domain.limits.terms import Terms

if TYPE_CHECKING:
    from collections.abc import Awaitable

#: Seconds a caller is asked to wait when a limit says deny.
RETRY_AFTER: Final = 1.0


class LimitFallback:
    """Decides charges without the store. `local` answers at once (the in-process limiter); `nodes` counts live ones."""

    def __init__(self, local: RateLimiter, nodes: Callable[[], int]) -> None:
        self._local = local
        self._nodes = nodes
        self._shares: dict[tuple[Terms, int], Limit] = {}
        self.counts = {"allow": 0, "deny": 0, "local": 0}

    def decide(self, charges: Sequence[Charge], unix: float) -> Decision:
        """All or nothing over the charges, like the store."""
        states: list[LimitState | None] = []
        shares: list[Charge] = []
        for charge in charges:
            mode = charge.limit.on_store_error
            self.counts[mode] += 1
            if mode == "deny":
                refused = LimitState(charge.limit, 0, RETRY_AFTER, True, RETRY_AFTER)
                return Throttled(tuple(refused if c is charge else _whole(c.limit) for c in charges), RETRY_AFTER, True)
            if mode == "local":
                shares.append(charge._replace(limit=self._share(charge.limit)))
                states.append(None)
            else:
                states.append(_whole(charge.limit))
        if not shares:
            return Admitted(tuple(state for state in states if state is not None), None, unix)
        decision: Decision | Awaitable[Decision] = self._local.acquire(shares, unix)
        assert isinstance(decision, Admitted | Throttled)
        answered = iter(decision.states)
        merged = tuple(
            next(answered)._replace(limit=charge.limit) if state is None else state
            for charge, state in zip(charges, states, strict=True)
        )
        if isinstance(decision, Admitted):
            return Admitted(merged, decision.lease, unix)
        return Throttled(merged, decision.retry_after)

    def _share(self, limit: Limit) -> Limit:
        key = (limit.terms, max(self._nodes(), 1))
        share = self._shares.get(key)
        if share is None:
            if len(self._shares) >= 4096:
                self._shares.clear()
            share = self._shares[key] = local_share(limit, key[1])
        return share


def _whole(limit: Limit) -> LimitState:
    return LimitState(limit, limit.terms.quota, 0.0)
