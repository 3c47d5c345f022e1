"""A target drained on one replica is drained on all, through a real Redis."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable

import pytest
import redis.asyncio

from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.adapters.redis.fleet.drains import RedisDrains
from spork.adapters.system.clock import SystemClock
from spork.application.upstreams.drains import FleetDrains
from spork.application.upstreams.registry import UpstreamRegistry
from spork.domain.upstreams.model import Upstream, parse_target
from tests.servers import RedisProcess, redis_process

NAME = ("users", "10.0.0.1:80")


class Replica:
    def __init__(self, url: str) -> None:
        self.clock = SystemClock()
        self.client = redis.asyncio.Redis.from_url(url, socket_timeout=0.3, socket_connect_timeout=0.3)
        chance = random.Random(1).random
        self.registry = UpstreamRegistry(MemoryCircuitBreakers(chance), chance)
        self.registry.sync([Upstream("users", (parse_target("http://10.0.0.1:80"),))], self.now)
        self.drains = FleetDrains(self.registry, RedisDrains(self.client), self.clock, poll=0.05)

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    @property
    def drained(self) -> bool:
        return self.now < self.registry.find(*NAME).drained_until

    async def close(self) -> None:
        await self.drains.close()
        await self.client.aclose()


async def until(check: Callable[[], object], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.005)


@pytest.fixture
async def fleet() -> AsyncIterator[tuple[RedisProcess, list[Replica]]]:
    with redis_process() as server:
        replicas = [Replica(server.url) for _ in range(2)]
        for replica in replicas:
            await replica.drains.open()
        yield server, replicas
        for replica in replicas:
            await replica.close()


async def test_drains_and_undrains_reach_everybody(fleet: tuple[RedisProcess, list[Replica]]) -> None:
    server, (one, other) = fleet
    one.registry.drain(*NAME, "deploy", None, one.now)
    await until(lambda: other.drained)
    assert other.registry.find(*NAME).drain_reason == "deploy"
    late = Replica(server.url)
    await late.drains.open()
    assert late.drained, "late comers too"
    other.registry.undrain(*NAME, "done", other.now)
    await until(lambda: not one.drained and not late.drained)
    await asyncio.sleep(0.2)
    assert not other.drained, "and nobody drains it again"
    await late.close()


async def test_a_drain_ends_everywhere_at_its_time(fleet: tuple[RedisProcess, list[Replica]]) -> None:
    _, (one, other) = fleet
    one.registry.drain(*NAME, "deploy", 0.5, one.now)
    await until(lambda: other.drained)
    await until(lambda: not one.drained and not other.drained)
    await asyncio.sleep(0.2)
    assert not one.drained
    assert not other.drained


async def test_an_empty_restart_undrains_nothing_and_an_outage_neither(
    fleet: tuple[RedisProcess, list[Replica]],
) -> None:
    server, (one, other) = fleet
    one.registry.drain(*NAME, "deploy", None, one.now)
    await until(lambda: other.drained)
    server.kill()
    await asyncio.sleep(0.3)
    assert one.drained
    assert other.drained
    server.start()
    await asyncio.sleep(0.5)
    assert one.drained
    assert other.drained
    late = Replica(server.url)
    await late.drains.open()
    assert late.drained, "the empty store was told again"
    await late.close()
