"""Failed authentication has a bucket of its own, per client address.

A failure is charged; when the bucket refuses, the answer turns from 401 into 429, and methods that cost us work
(password hashing, asking an authority) are not tried for that address until it may try again. Good credentials that
cost nothing to check are still taken, so that one bad client behind a shared address does not lock its neighbours out.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING

from spork.domain.limits.identity import network_of
from spork.domain.limits.limit import Charge, Decision, Limit, RateLimiter, Throttled
from spork.domain.outcomes import Denial

if TYPE_CHECKING:
    from spork.application.exchange.exchange import Exchange

#: Thirty failures at once, then one every two seconds.
DEFAULT_LIMIT = Limit("failed-authentication", quota=30, period=60.0, burst=30)

_MOST_BLOCKED = 10_000


def too_many(wait: float) -> Denial:
    """The answer to an address whose bucket is empty. `wait` in seconds."""
    detail = "Too many failed attempts from this address."
    return Denial("too_many_failures", detail, retry_after=wait, limits=(DEFAULT_LIMIT.name,))


class FailedAuthentication:
    """The bucket. `limiter` is the gateway's own; `limit` names quota, period and burst."""

    def __init__(self, limiter: RateLimiter, limit: Limit = DEFAULT_LIMIT) -> None:
        self._limiter = limiter
        self._limit = limit
        self._blocked: dict[str, float] = {}

    def __repr__(self) -> str:
        return f"FailedAuthentication({len(self._blocked)} addresses blocked)"

    def wait(self, exchange: Exchange) -> float:
        """Seconds this exchange's address still has to wait; 0.0 when it may try."""
        return self.wait_of(exchange.client, exchange.now) if self._blocked else 0.0

    def wait_of(self, client: str, now: float) -> float:
        """The same for an address. `now` is monotonic seconds."""
        identity = network_of(client)
        left = self._blocked.get(identity, 0.0) - now
        if left <= 0.0:
            self._blocked.pop(identity, None)
            return 0.0
        return left

    def count(self, exchange: Exchange, denial: Denial) -> Denial | Awaitable[Denial]:
        """Charge one failure: `denial` itself, or a 429-like one in its place."""
        decision = self._charge(exchange.client, exchange.unix)
        if isinstance(decision, Awaitable):
            return self._count_later(exchange.client, exchange.now, denial, decision)
        return self._judge(exchange.client, exchange.now, denial, decision)

    async def failed(self, client: str, now: float, unix: float, denial: Denial) -> Denial:
        """`count` outside an exchange."""
        decision = self._charge(client, unix)
        waited = await decision if isinstance(decision, Awaitable) else decision
        return self._judge(client, now, denial, waited)

    def _charge(self, client: str, unix: float) -> Decision | Awaitable[Decision]:
        charge = Charge(self._limit, network_of(client))
        return self._limiter.acquire((charge,), None if self._limiter.keeps_time else unix)

    async def _count_later(self, client: str, now: float, denial: Denial, decision: Awaitable[Decision]) -> Denial:
        return self._judge(client, now, denial, await decision)

    def _judge(self, client: str, now: float, denial: Denial, decision: Decision) -> Denial:
        if not isinstance(decision, Throttled) or decision.unavailable:
            return denial
        if len(self._blocked) >= _MOST_BLOCKED:
            self._blocked = {who: until for who, until in self._blocked.items() if until > now}
        if len(self._blocked) < _MOST_BLOCKED:
            self._blocked[network_of(client)] = now + decision.retry_after
        return too_many(decision.retry_after)
