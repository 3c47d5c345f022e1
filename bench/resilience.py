"""CPU microseconds per request of breaker, balancing and health together, on the request path.

    python bench/resilience.py [ROUNDS]

One request is: deposit, admit (permit and choice among three targets), settle (health and record). The bar is 3 us.
"""

from __future__ import annotations

import random
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # behind PYTHONPATH, where the compiled sources may be

from tests.exchanges import exchange as any_exchange

from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.application.upstreams.registry import UpstreamRegistry
from spork.application.upstreams.upstream import LiveUpstream
from spork.domain.upstreams.circuit import BreakerPolicy, CallResult
from spork.domain.upstreams.health import OutlierPolicy, ProbePolicy
from spork.domain.upstreams.model import Balance, Target, Upstream
from spork.domain.upstreams.retries import RetryPolicy


def upstream(algorithm: str, *, per_target: bool = False) -> LiveUpstream:
    rng = random.Random(1)
    registry = UpstreamRegistry(MemoryCircuitBreakers(rng.random), rng.random)
    targets = tuple(Target(f"http://127.0.0.1:{p}", "http", "127.0.0.1", p) for p in (7001, 7002, 7003))
    declared = Upstream(
        "users",
        targets,
        Balance(algorithm, "ip"),
        probe=ProbePolicy(),
        outliers=OutlierPolicy(),
        breaker=BreakerPolicy(slow_call=2.0, per_target=per_target),
        retries=RetryPolicy(),
    )
    return registry.sync([declared], 0.0)["users"]


def measure(live: LiveUpstream, rounds: int) -> float:
    """CPU microseconds per request, the loop's own cost taken off."""
    ok = CallResult.OK
    exchange = any_exchange()
    started = time.process_time()
    for i in range(rounds):
        now = i * 1e-4
        live.retry_budget.deposit(now)  # type: ignore[union-attr]
        target, permit = live.admit(exchange, now)  # type: ignore[misc]
        live.settle(target, permit, ok, 0.002, now)
    spent = time.process_time() - started
    started = time.process_time()
    for i in range(rounds):
        now = i * 1e-4
    return (spent - (time.process_time() - started)) / rounds * 1e6


def best(live: LiveUpstream, rounds: int) -> float:
    return min(measure(live, rounds) for _ in range(5))


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    for name in ("round_robin", "least_request", "peak_ewma", "hash"):
        print(f"{name:15} {best(upstream(name), count):5.2f} us")
    print(f"{'per target':15} {best(upstream('round_robin', per_target=True), count):5.2f} us")
