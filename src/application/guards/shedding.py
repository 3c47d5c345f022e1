"""The guard that sheds load before an upstream drowns: refusals cost microseconds and say when to come back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.bodies import SMALL, awaited, hold
from spork.application.exchange.exchange import NO_FIELDS, Exchange
from spork.application.guards.policy import Policy
from spork.application.limits.concurrency import RETRY_AFTER, SHARES, STREAM_AFTER, AdaptiveConcurrency, OwnDelay
from spork.application.views import GuardVerdict
from spork.domain.outcomes import Answered, Denial
from spork.domain.upstreams.gradient_limit import AdaptivePolicy

_SHED = Denial("shed", "The service has more to do than it can; come back shortly.", retry_after=RETRY_AFTER)


def streams(exchange: Exchange, now: float) -> bool:
    """Whether an answer has been on its way to the client for so long that it is a stream (monotonic seconds)."""
    return 0.0 < exchange.answer_started < now - STREAM_AFTER


class SheddingGuard:
    """Takes a place in the upstream's concurrency, and gives it back with the latency seen when the exchange closes."""

    phase = "shed"
    response_fields = NO_FIELDS

    def __init__(self, live: AdaptiveConcurrency[Exchange], priority: str, clock: Callable[[], float]) -> None:
        self._live = live
        self._share = SHARES.get(priority, SHARES["normal"])
        self._clock = clock

    def admit(self, exchange: Exchange) -> Denial | Awaitable[Denial | None] | None:
        if awaited(exchange.body):
            return self._once_here(exchange)
        return self._take(exchange)

    async def _once_here(self, exchange: Exchange) -> Denial | None:
        """A place is taken when there is something to do in it."""
        await hold(exchange, SMALL)
        return self._take(exchange)

    def _take(self, exchange: Exchange) -> Denial | None:
        live = self._live
        if not live.admit(self._share):
            now = self._clock()
            if not live.free(lambda held: streams(held, now), now) or not live.admit(self._share):
                return _SHED
        live.held.add(exchange)
        exchange.at_close(self._done)
        return None

    def explain(self, exchange: Exchange) -> GuardVerdict:
        state = self._live.state
        return GuardVerdict(self.phase, "unknown", f"depends on the load; the limit is {state.limit:.0f} at once now")

    def _done(self, exchange: Exchange) -> None:
        if exchange not in self._live.held:
            return  # a stream: its place was given to others
        self._live.held.discard(exchange)
        answered = isinstance(exchange.outcome, Answered) and exchange.attempts == 1
        self._live.done(exchange.upstream_seconds if answered else None, self._clock(), self._share)


class SheddingPolicy(Policy):
    """`adaptive_concurrency` of upstreams and `priority` of routes: makes the guards of routes whose upstream bounds its concurrency by latency; all routes of it share one limit,
    which lives on when the configuration is compiled anew."""

    phase = "shed"

    def __init__(self, clock: Callable[[], float], chance: Callable[[], float]) -> None:
        self._clock = clock
        self._chance = chance
        self.own_delay = OwnDelay()
        self._live: dict[str, AdaptiveConcurrency[Exchange]] = {}

    def compile(self, route: RouteConfig, configuration: Configuration) -> SheddingGuard | None:
        upstream = next((each for each in configuration.upstreams if each.name == route.upstream), None)
        if upstream is None or not upstream.adaptive_concurrency:
            return None
        live = self._live.get(upstream.name)
        if live is None:
            live = self._live[upstream.name] = AdaptiveConcurrency(AdaptivePolicy(), self._chance, self.own_delay)
        return SheddingGuard(live, route.priority, self._clock)

    def of(self, upstream: str) -> AdaptiveConcurrency[Exchange] | None:
        return self._live.get(upstream)

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """For `metering`."""
        for name, live in self._live.items():
            yield "upstream_concurrency_limit", (name,), float(live.state.limit)
            yield "upstream_shed_total", (name,), float(live.refused)
