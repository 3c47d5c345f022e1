"""Adaptive concurrency: how many requests an upstream may have in flight, from the latency they see.

The gradient controller as Envoy documents it: a minimum latency is measured now and then with very few requests let
through; afterwards each window's latency is compared with it. As long as it stays near the minimum the limit grows, by a
headroom of its square root; where requests queue, latency rises and the limit falls in proportion.

    gradient = (minimum * (1 + buffer)) / latency, between 0.5 and 2
    limit    = gradient * limit + sqrt(gradient * limit)

Latencies and times in seconds. `now` is monotonic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class AdaptivePolicy:
    """`window` is how often the limit moves; `remeasure` how often the minimum is measured again, `requests` from how
    many. `percentile` of latencies is compared; `buffer` is how much above the minimum is still good."""

    least: int = 3
    most: int = 1000
    window: float = 0.1
    remeasure: float = 60.0
    requests: int = 50
    percentile: float = 0.5
    buffer: float = 0.25
    #: Windows in a row at the least limit after which the minimum is believed to be out of date.
    stuck: int = 5


@dataclass(frozen=True, slots=True)
class AdaptiveState:
    """`minimum` is None while it is measured: then only `limit`, the least, is let through. `due` is when next."""

    limit: int
    minimum: float | None = None
    due: float = 0.0
    stuck: int = 0

    @property
    def measuring(self) -> bool:
        return self.minimum is None


def start(policy: AdaptivePolicy) -> AdaptiveState:
    return AdaptiveState(policy.least)


def percentile(latencies: Sequence[float], share: float) -> float:
    """The nearest-rank percentile of what is not empty."""
    ordered = sorted(latencies)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def measured(
    policy: AdaptivePolicy, state: AdaptiveState, latencies: Sequence[float], now: float, chance: float
) -> AdaptiveState:
    """The minimum is known. The limit goes on from what it was, within reason. `chance` (0..1) spreads replicas."""
    minimum = max(percentile(latencies, policy.percentile), 1e-6)
    due = now + policy.remeasure * (1.0 + 0.15 * chance)
    return AdaptiveState(max(state.limit, policy.least), minimum, due)


def moved(
    policy: AdaptivePolicy, state: AdaptiveState, latencies: Sequence[float], now: float, peak: int
) -> AdaptiveState:
    """After a window: a new limit, or back to measuring. A window without answers says nothing.

    `peak` is the most that was in flight. A limit that was not half used is not raised: what it would allow was not
    tried, and a sudden load should not find it wide open.
    """
    if state.minimum is None:
        return state
    if now >= state.due or state.stuck >= policy.stuck:
        return AdaptiveState(policy.least)
    if not latencies:
        return state
    gradient = state.minimum * (1.0 + policy.buffer) / max(percentile(latencies, policy.percentile), 1e-9)
    scaled = state.limit * min(max(gradient, 0.5), 2.0)
    limit = min(max(int(scaled + math.sqrt(scaled)), policy.least), policy.most)
    if limit > state.limit and 2 * peak < state.limit:
        limit = state.limit
    return replace(state, limit=limit, stuck=state.stuck + 1 if limit == policy.least else 0)
