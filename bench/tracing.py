"""What tracing costs on the event loop, per request: off, nothing kept, 1 %, everything; and what encoding costs its thread.

`python -m bench.tracing` from the repository's root, a few seconds. In-memory transport, one limit-free route; lowest of rounds.
With the compiled package first on PYTHONPATH the figures are those of the compiled build.
"""

from __future__ import annotations

import asyncio
import gc
import random
import time
from collections.abc import Callable

from spork.adapters.litestar.problems import JsonProblemResponses
from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.adapters.memory.front_door import request
from spork.adapters.memory.upstream_transport import MemoryTransport, Reply
from spork.adapters.structlog.redaction import redact, redact_query
from spork.adapters.system.clock import SystemClock
from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.telemetry import Telemetry, Tracing
from spork.application.exchange.exchange import Current, Snapshot
from spork.application.pipeline.admission import Admission
from spork.application.pipeline.client_address import ClientAddress
from spork.application.pipeline.configurator import Configurator
from spork.application.pipeline.forwarder import Forwarder
from spork.application.pipeline.sender import Sender
from spork.application.telemetry.otlp.traces import SpanEncoder
from spork.application.telemetry.spans import SpanRing
from spork.application.upstreams.registry import UpstreamRegistry
from spork.domain.routing.table import Match, PathPattern, RouteTable
from spork.domain.upstreams.model import Target, Upstream

ROUNDS, REQUESTS = 7, 3000


def gateway(telemetry: Telemetry | None, ring: SpanRing) -> Forwarder:
    """A gateway of in-memory parts with one route."""
    clock, clients, chance = SystemClock(), ClientAddress(()), random.Random(1)
    current = Current(Snapshot("", Configuration(), RouteTable(()), {}, {}))
    registry = UpstreamRegistry(MemoryCircuitBreakers(chance.random), chance.random)
    route = RouteConfig("r", Match(PathPattern.parse("/users/{id}")), "u")
    upstream = Upstream("u", (Target("http://10.0.0.1:7001", "http", "10.0.0.1", 7001),))
    Configurator(current, registry, (), clock).apply(
        Configuration(routes=(route,), upstreams=(upstream,), telemetry=telemetry)
    )
    transport = MemoryTransport(lambda _: Reply(200, [(b"content-length", b"2")], [b"ok"]))
    transport.requests = _Nothing()
    sender = Sender({"httptools": transport}, clock, clients, chance)
    return Forwarder(Admission(current, clock, chance, clients), JsonProblemResponses(), clock, [ring], sender)


class _Nothing(list):  # type: ignore[type-arg]
    def append(self, item: object) -> None:
        """Keeps nothing, so that memory stays what it is."""


async def cost(telemetry: Telemetry | None) -> Callable[[], float]:
    ring = SpanRing()
    ring.active = telemetry is not None
    door = gateway(telemetry, ring)
    headers = ((b"user-agent", b"bench"), (b"accept", b"*/*"))

    async def once() -> float:
        began = time.process_time()
        for _ in range(REQUESTS):
            await request(door, "GET", "/users/42", headers)
        took = time.process_time() - began
        ring.take(1 << 20)
        return took / REQUESTS * 1e6

    return once  # type: ignore[return-value]


async def encoding() -> float:
    ring = SpanRing()
    ring.active = True
    door = gateway(Telemetry(traces=Tracing(ratio=1.0, per_second=0)), ring)
    for _ in range(REQUESTS):
        await request(door, "GET", "/users/42", ((b"user-agent", b"bench"),))
    encoder = SpanEncoder(redact, redact_query)
    records = ring.take(REQUESTS)
    began = time.process_time()
    for record in records:
        encoder.encode(record)
    return (time.process_time() - began) / len(records) * 1e6


async def main() -> None:
    every = {
        "off": None,
        "0 %, errors off": Telemetry(traces=Tracing(ratio=0.0, errors=False)),
        "0 %, errors always": Telemetry(traces=Tracing(ratio=0.0)),
        "1 %, errors always": Telemetry(traces=Tracing(ratio=0.01, per_second=0)),
        "100 %": Telemetry(traces=Tracing(ratio=1.0, per_second=0)),
    }
    runs = {name: await cost(telemetry) for name, telemetry in every.items()}
    lowest = dict.fromkeys(runs, float("inf"))
    gc.disable()
    for _ in range(ROUNDS):
        for name, run in runs.items():
            lowest[name] = min(lowest[name], await run())  # type: ignore[misc]
        gc.collect()
    for name, took in lowest.items():
        print(f"{name:20} {took:6.2f} us a request, {took - lowest['off']:+5.2f}")
    print(f"{'encoding, in thread':20} {min([await encoding() for _ in range(3)]):6.2f} us a request of two spans")


if __name__ == "__main__":
    asyncio.run(main())
