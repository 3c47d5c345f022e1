"""Circuits, registrations, drains and idempotency keys of a fleet over a real Redis Cluster of three masters."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

import pytest

from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.adapters.redis.fleet.circuit_breaker import RedisCircuitBreakers
from spork.adapters.redis.fleet.drains import RedisDrains
from spork.adapters.redis.fleet.idempotency import RedisIdempotency
from spork.adapters.redis.fleet.registrations import RedisRegistrations
from spork.adapters.redis.store.connection import RedisConnection, connect
from spork.adapters.system.clock import SystemClock
from spork.application.guards.idempotency import Begun, InFlight
from spork.application.upstreams.drains import FleetDrains
from spork.application.upstreams.registration import Registration, Registrations, Wanted
from spork.application.upstreams.registry import UpstreamRegistry
from spork.domain.upstreams.circuit import BreakerPolicy, BreakerState, CallResult, Permit
from spork.domain.upstreams.model import Upstream, parse_target
from tests.redis_cluster import cluster_url, redis_cluster


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with redis_cluster() as nodes:
        yield cluster_url(nodes)


@pytest.fixture
async def connections(url: str) -> AsyncIterator[list[RedisConnection]]:
    made = [connect(url, operation=1.0) for _ in range(2)]
    yield made
    for connection in made:
        await connection.close()


class Nowhere:
    async def addresses(self, name: str) -> Sequence[str]:
        return []


async def until(check: Callable[[], object], seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.005)


async def test_circuits_agree_and_one_probe_goes(connections: list[RedisConnection]) -> None:
    clock = SystemClock()
    nodes = [RedisCircuitBreakers(c.client, random.Random(1).random, clock, poll=0.2) for c in connections]
    for node in nodes:
        await node.open()
        assert node.connected
    policy = BreakerPolicy(min_requests=1, open_for=0.2, ramp=0)
    circuits = [node.circuit("users", policy, clock.monotonic()) for node in nodes]
    permit = circuits[0].permit(clock.monotonic())
    assert isinstance(permit, Permit)
    circuits[0].record(permit, CallResult.FAILED, 0.01, clock.monotonic())
    await until(lambda: circuits[1].state is BreakerState.OPEN)
    probes: list[tuple[int, Permit]] = []

    def ask() -> bool:
        for index, circuit in enumerate(circuits):
            answer = circuit.permit(clock.monotonic())
            if isinstance(answer, Permit):
                probes.append((index, answer))
        return bool(probes)

    await until(ask)
    for _ in range(50):
        ask()
        await asyncio.sleep(0.002)
    assert len(probes) == 1
    index, probe = probes[0]
    circuits[index].record(probe, CallResult.OK, 0.01, clock.monotonic())
    await until(lambda: all(c.state is BreakerState.CLOSED for c in circuits))
    for node in nodes:
        await node.close()


async def test_registrations_and_drains_reach_the_other(connections: list[RedisConnection]) -> None:
    clock = SystemClock()
    registries, parts = [], []
    for connection in connections:
        registry = UpstreamRegistry(MemoryCircuitBreakers(random.Random(1).random), random.Random(1).random)
        registry.sync([Upstream("users", (parse_target("http://10.0.0.1:80"),))], 0)
        store = RedisRegistrations(connection.client)
        registries.append(registry)
        parts.append(Registrations(store, Nowhere(), registry, clock, lambda: ("127.0.0.0/8",), poll=0.2))
        parts.append(FleetDrains(registry, RedisDrains(connection.client), clock, poll=0.1))
    for part in parts:
        await part.open()
    kept = await parts[0].register(Wanted("orders", "http://127.0.0.1:7001"))
    assert isinstance(kept, Registration)
    await until(lambda: registries[1].get("orders") is not None)
    registries[1].drain("users", "10.0.0.1:80", "deploy", None, clock.monotonic())
    await until(lambda: registries[0].find("users", "10.0.0.1:80").drain_reason == "deploy")
    for part in parts:
        await part.close()


async def test_idempotency_keys(connections: list[RedisConnection]) -> None:
    one, other = (RedisIdempotency(connection.client) for connection in connections)
    for key in ("a", "b", "c", "d"):
        assert isinstance(await one.begin(key, "f", 60), Begun)
        assert await other.begin(key, "f", 60) == InFlight()
