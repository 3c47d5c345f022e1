"""Registrations over every store: leases by the store's clock, the same answers in process and through a real Redis."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import pytest
import redis.asyncio

from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.adapters.memory.registrations import MemoryRegistrations
from spork.adapters.redis.fleet.registrations import RedisRegistrations
from spork.adapters.system.clock import SystemClock
from spork.application.upstreams.registration import (
    Registration,
    RegistrationRefused,
    Registrations,
    RegistrationStore,
    StoreGone,
    Wanted,
    id_of,
)
from spork.application.upstreams.registry import UpstreamRegistry
from spork.domain.upstreams.model import Target, Upstream
from tests.servers import redis_process

MakeStore = Callable[[], RegistrationStore]


@pytest.fixture(params=["memory", "redis"])
async def make_store(request: pytest.FixtureRequest) -> AsyncIterator[MakeStore]:
    """Makes stores that share what they keep, as replicas do."""
    if request.param == "memory":
        store = MemoryRegistrations(SystemClock().unix)
        yield lambda: store
        return
    namespace = uuid.uuid4().hex
    clients: list[redis.asyncio.Redis] = []

    def make() -> RegistrationStore:
        clients.append(redis.asyncio.Redis.from_url(request.getfixturevalue("redis_url"), socket_timeout=1))
        return RedisRegistrations(clients[-1], namespace)

    yield make
    for client in clients:
        await client.aclose()


class Names:
    """A resolver that knows some names."""

    known: dict[str, Sequence[str]] = {
        "orders.example": ["93.184.215.14"],
        "sneaky.example": ["93.184.215.14", "169.254.169.254"],
    }

    async def addresses(self, name: str) -> Sequence[str]:
        if name not in self.known:
            raise OSError(name)
        return self.known[name]


class Told:
    def __init__(self) -> None:
        self.events: list[tuple[str, str]] = []

    def publish(self, kind: str, subject: str, data: dict[str, Any]) -> None:
        self.events.append((kind, subject))


class Replica:
    def __init__(self, store: RegistrationStore) -> None:
        chance = random.Random(1).random
        self.told = Told()
        self.registry = UpstreamRegistry(MemoryCircuitBreakers(chance), chance)
        self.registrations = Registrations(
            store, Names(), self.registry, SystemClock(), lambda: ("127.0.0.0/8",), self.told, poll=0.2
        )

    def targets(self, name: str) -> list[str]:
        live = self.registry.get(name)
        return [] if live is None else [t.declared.url for t in live.targets]


async def until(check: Callable[[], object], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.005)


def wanted(port: int = 7001, service: str = "orders", ttl: float = 30) -> Wanted:
    return Wanted(service, f"http://127.0.0.1:{port}", ttl, metadata={"zone": "a"})


async def test_keep_renew_and_drop(make_store: MakeStore) -> None:
    store = make_store()
    asked = Registration("id1", "orders", "http://127.0.0.1:1", "127.0.0.1", 30, metadata={})
    first = await store.keep(asked)
    assert first.expires_at == pytest.approx(first.registered_at + 30, abs=0.01)
    again = await store.keep(asked)
    assert again.registered_at == pytest.approx(first.registered_at, abs=0.001)
    renewed = await store.renew("id1")
    assert renewed is not None
    assert renewed.expires_at >= first.expires_at
    assert await store.renew("nobody") is None
    assert [r.id for r in await store.current()] == ["id1"]
    assert (await store.current())[0].metadata == {}
    dropped = await store.drop("id1")
    assert dropped is not None
    assert await store.drop("id1") is None
    assert await store.current() == []
    await store.close()


async def test_a_lease_ends_by_itself_and_cannot_be_renewed_then(make_store: MakeStore) -> None:
    store = make_store()
    await store.keep(Registration("id1", "orders", "http://127.0.0.1:1", "127.0.0.1", 0.05))
    await asyncio.sleep(0.08)
    assert await store.renew("id1") is None
    assert await store.current() == []
    await store.close()


@pytest.mark.alone
async def test_every_replica_routes_to_a_new_target_within_a_second(make_store: MakeStore) -> None:
    one, other = Replica(make_store()), Replica(make_store())
    for replica in (one, other):
        await replica.registrations.open()
    began = asyncio.get_running_loop().time()
    answer = await one.registrations.register(wanted())
    assert isinstance(answer, Registration)
    assert one.targets("orders") == ["http://127.0.0.1:7001"], "the one that was asked routes at once"
    await until(lambda: other.targets("orders"))
    assert asyncio.get_running_loop().time() - began < 1.0
    assert await other.registrations.deregister(answer.id)
    await until(lambda: one.registry.get("orders") is None and other.registry.get("orders") is None)
    assert one.told.events == [("service.registered", "orders"), ("service.deregistered", "orders")]
    for replica in (one, other):
        await replica.registrations.close()


@pytest.mark.alone
async def test_a_service_that_dies_silently_is_gone_when_its_lease_ends(make_store: MakeStore) -> None:
    replica = Replica(make_store())
    await replica.registrations.open()
    silent = await replica.registrations.register(wanted(7001, ttl=1.0))
    alive = await replica.registrations.register(wanted(7002, ttl=1.0))
    assert isinstance(silent, Registration)
    assert isinstance(alive, Registration)
    loop = asyncio.get_running_loop()
    began = loop.time()
    while "http://127.0.0.1:7001" in replica.targets("orders"):
        assert loop.time() - began < 2.0
        assert await replica.registrations.heartbeat(alive.id) is not None
        await asyncio.sleep(0.05)
    assert loop.time() - began > 0.8
    assert replica.targets("orders") == ["http://127.0.0.1:7002"]
    await replica.registrations.close()


async def test_registering_again_is_the_same_registration(make_store: MakeStore) -> None:
    replica = Replica(make_store())
    first = await replica.registrations.register(wanted())
    second = await replica.registrations.register(wanted())
    assert isinstance(first, Registration)
    assert isinstance(second, Registration)
    assert first.id == second.id == id_of("orders", "http://127.0.0.1:7001")
    assert replica.targets("orders") == ["http://127.0.0.1:7001"]
    await replica.registrations.close()


async def test_registered_targets_join_a_declared_upstream(make_store: MakeStore) -> None:
    replica = Replica(make_store())
    declared = Upstream("orders", (Target("http://127.0.0.1:1", "http", "127.0.0.1", 1),))
    replica.registry.sync([declared], 0)
    await replica.registrations.register(wanted())
    assert replica.targets("orders") == ["http://127.0.0.1:1", "http://127.0.0.1:7001"]
    replica.registry.sync([], 1)
    assert replica.targets("orders") == ["http://127.0.0.1:7001"], "no longer declared, still registered"
    await replica.registrations.close()


async def test_refusals_say_everything_that_is_wrong(make_store: MakeStore) -> None:
    replica = Replica(make_store())
    bad = Wanted("Bad Name", "http://169.254.169.254/latest", ttl=0.1, weight=0, priority=99, health="x")
    refused = await replica.registrations.register(bad)
    assert isinstance(refused, RegistrationRefused)
    assert [(field, slug) for field, slug, _ in refused.problems] == [
        ("service", "malformed"),
        ("ttl", "out_of_range"),
        ("weight", "out_of_range"),
        ("priority", "out_of_range"),
        ("health", "malformed"),
        ("url", "metadata"),
    ]
    for url, slug in [
        ("http://sneaky.example", "metadata"),
        ("http://gone.example", "unresolved"),
        ("http://10.0.0.1", "private"),
    ]:
        refused = await replica.registrations.register(Wanted("orders", url))
        assert isinstance(refused, RegistrationRefused)
        assert refused.problems[0][1] == slug
    assert replica.registry.get("orders") is None
    await replica.registrations.close()


async def test_a_name_is_connected_to_at_its_vetted_address(make_store: MakeStore) -> None:
    replica = Replica(make_store())
    await replica.registrations.register(Wanted("orders", "https://orders.example:8443/api"))
    live = replica.registry.get("orders")
    assert live is not None
    target = live.targets[0].declared
    assert (target.host, target.port, target.base_path) == ("93.184.215.14", 8443, b"/api")
    assert target.authority == b"orders.example:8443"
    assert target.tls is not None
    assert target.tls.server_name == "orders.example"
    await replica.registrations.close()


async def test_a_store_that_comes_back_empty_is_told_again() -> None:
    """Also when a process that knows nothing is the first to look at it."""
    with redis_process() as server:
        clients = [redis.asyncio.Redis.from_url(server.url, socket_timeout=1) for _ in range(3)]
        one, two, newcomer = (Replica(RedisRegistrations(client)) for client in clients)
        await one.registrations.open()
        await two.registrations.open()
        await one.registrations.register(wanted(7001, ttl=30))
        await two.registrations.register(wanted(7002, "users", ttl=30))
        short = await one.registrations.register(wanted(7003, "brief", ttl=1))
        left = await two.registrations.register(wanted(7004, "left", ttl=30))
        assert isinstance(short, Registration)
        assert isinstance(left, Registration)
        await until(lambda: one.targets("left") and two.targets("brief"))
        await two.registrations.deregister(left.id)
        await until(lambda: not one.targets("left"))
        server.kill()
        server.start()
        await newcomer.registrations.open()
        await until(lambda: newcomer.targets("orders") and newcomer.targets("users"))
        assert not newcomer.targets("left")
        for replica in (one, two):
            assert replica.targets("orders") == ["http://127.0.0.1:7001"]
            assert replica.targets("users") == ["http://127.0.0.1:7002"]
            gone = [subject for kind, subject in replica.told.events if kind == "service.deregistered"]
            assert set(gone) <= {"left", "brief"}
        renewed = await newcomer.registrations.heartbeat(id_of("orders", "http://127.0.0.1:7001"))
        assert renewed is not None
        await until(lambda: not any(replica.targets("brief") for replica in (one, two, newcomer)))
        for replica in (one, two, newcomer):
            await replica.registrations.close()
        for client in clients:
            await client.aclose()


async def test_without_the_store_the_last_known_stay_and_registering_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with redis_process() as server:
        client = redis.asyncio.Redis.from_url(server.url, socket_timeout=0.2, socket_connect_timeout=0.2)
        replica = Replica(RedisRegistrations(client))
        await replica.registrations.open()
        await replica.registrations.register(wanted())
        server.kill()
        for _ in range(3):
            await replica.registrations.follow()
        assert replica.targets("orders") == ["http://127.0.0.1:7001"]
        assert len([line for line in caplog.messages if line.startswith("registrations stay")]) == 1, "said once"
        with pytest.raises(StoreGone):
            await replica.registrations.register(wanted(7002))
        server.start()
        async with asyncio.timeout(5):
            while True:
                try:
                    await replica.registrations.register(wanted(7002))
                    break
                except StoreGone:
                    await asyncio.sleep(0.05)
        assert "http://127.0.0.1:7002" in replica.targets("orders")
        await replica.registrations.close()
        await client.aclose()
