"""The CircuitBreakers port over every adapter: the same assertions in process and through a real Redis."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest
import redis.asyncio

from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.adapters.redis.fleet.circuit_breaker import RedisCircuitBreakers
from spork.domain.upstreams.circuit import BreakerPolicy, BreakerState, CallResult, Open, Permit, Transition
from spork.domain.upstreams.circuit_machine import Circuit, CircuitBreakers
from tests.servers import redis_process

POLICY = BreakerPolicy(window=10, min_requests=4, failure_ratio=0.5, open_for=5, ramp=0)


class HandClock:
    """A monotonic clock that can be pushed forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time() + self.ahead

    def unix(self) -> float:
        return self.monotonic()


class World:
    """One adapter's circuits, its clock, and the moves it told of."""

    def __init__(self, breakers: CircuitBreakers, clock: HandClock, moves: list[tuple[str, Transition]]) -> None:
        self.breakers = breakers
        self.clock = clock
        self.moves = moves

    @property
    def now(self) -> float:
        return self.clock.monotonic()

    def circuit(self, name: str = "users", policy: BreakerPolicy = POLICY) -> Circuit:
        return self.breakers.circuit(name, policy, self.now)

    def fail(self, circuit: Circuit, times: int) -> None:
        for _ in range(times):
            permit = circuit.permit(self.now)
            assert isinstance(permit, Permit)
            circuit.record(permit, CallResult.FAILED, 0.01, self.now)

    async def probe(self, circuit: Circuit) -> Permit:
        """The permit of a probe; an adapter may refuse at first, while it asks its fleet."""
        async with asyncio.timeout(20):
            while True:
                permit = circuit.permit(self.now)
                if isinstance(permit, Permit):
                    assert permit.probe
                    return permit
                await asyncio.sleep(0.005)


@pytest.fixture(params=["memory", "redis"])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    clock, moves = HandClock(), []
    chance = random.Random(1).random

    def hear(name: str, transition: Transition) -> None:
        moves.append((name, transition))

    if request.param == "memory":
        yield World(MemoryCircuitBreakers(chance, hear), clock, moves)
        return
    client = redis.asyncio.Redis.from_url(request.getfixturevalue("redis_url"), socket_timeout=1)
    breakers = RedisCircuitBreakers(client, chance, clock, uuid.uuid4().hex, hear, poll=0.1)
    await breakers.open()
    yield World(breakers, clock, moves)
    await breakers.close()
    await client.aclose()


async def test_opens_refuses_probes_and_closes(world: World) -> None:
    circuit = world.circuit()
    world.fail(circuit, 4)
    refused = circuit.permit(world.now)
    assert isinstance(refused, Open)
    assert 3.9 <= refused.retry_after <= 6.1
    world.clock.ahead += 6.5
    circuit.record(await world.probe(circuit), CallResult.OK, 0.01, world.now)
    assert circuit.state is BreakerState.CLOSED
    assert [t.after.value for _, t in world.moves] == ["open", "half_open", "closed"]


async def test_half_open_admits_one_probe_at_a_time(world: World) -> None:
    circuit = world.circuit()
    world.fail(circuit, 4)
    world.clock.ahead += 6.5
    probe = await world.probe(circuit)
    assert all(isinstance(circuit.permit(world.now), Open) for _ in range(20))
    circuit.record(probe, CallResult.FAILED, 0.01, world.now)
    assert circuit.state is BreakerState.OPEN


async def test_an_ignored_probe_lets_the_next_one_go(world: World) -> None:
    circuit = world.circuit()
    world.fail(circuit, 4)
    world.clock.ahead += 6.5
    circuit.record(await world.probe(circuit), CallResult.IGNORED, 0.01, world.now)
    circuit.record(await world.probe(circuit), CallResult.OK, 0.01, world.now)
    assert circuit.state is BreakerState.CLOSED


async def test_a_lost_probe_does_not_wedge_it(world: World) -> None:
    circuit = world.circuit(policy=BreakerPolicy(min_requests=1, open_for=0.01, probe_lease=0.2, ramp=0))
    world.fail(circuit, 1)
    world.clock.ahead += 1
    await world.probe(circuit)
    world.clock.ahead += 0.3
    circuit.record(await world.probe(circuit), CallResult.OK, 0.01, world.now)
    assert circuit.state is BreakerState.CLOSED


async def test_forced_open_says_who_why_and_until_when(world: World) -> None:
    circuit = world.circuit()
    world.breakers.force_open("users", "maintenance", "ada", 60, world.now)
    status = world.breakers.status("users", world.now)
    assert status.state is BreakerState.FORCED_OPEN
    assert status.forced is not None
    assert (status.forced.by, status.forced.reason) == ("ada", "maintenance")
    assert status.next_try == pytest.approx(world.now + 60, abs=1)
    assert isinstance(circuit.permit(world.now), Open)
    world.breakers.reset("users", "done", "ada", world.now)
    assert isinstance(circuit.permit(world.now), Permit)
    assert world.breakers.status("users", world.now).cause == "reset by ada: done"


async def test_names_are_kept_apart_and_listed(world: World) -> None:
    one, other = world.circuit("one"), world.circuit("other/10.0.0.1:80")
    world.fail(one, 4)
    assert (one.state, other.state) == (BreakerState.OPEN, BreakerState.CLOSED)
    assert [s.name for s in world.breakers.statuses(world.now)] == ["one", "other/10.0.0.1:80"]
    world.breakers.retire("one")
    assert [s.name for s in world.breakers.statuses(world.now)] == ["other/10.0.0.1:80"]
    with pytest.raises(KeyError):
        world.breakers.status("one", world.now)
    with pytest.raises(KeyError):
        world.breakers.force_open("nobody", "", "", None, world.now)


async def test_a_new_policy_keeps_the_state(world: World) -> None:
    circuit = world.circuit()
    world.fail(circuit, 4)
    assert world.circuit(policy=BreakerPolicy(min_requests=99)) is circuit
    assert circuit.state is BreakerState.OPEN


# ------------------------------------------------------------------------------------------------------ several replicas


class Fleet:
    """Replicas in one process, each with circuits and a connection of its own. Time is real here."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.namespace = uuid.uuid4().hex
        self.nodes: list[RedisCircuitBreakers] = []
        self.clients: list[redis.asyncio.Redis] = []
        self.clock = HandClock()

    async def join(self, poll: float = 0.1) -> RedisCircuitBreakers:
        client = redis.asyncio.Redis.from_url(self.url, socket_timeout=0.2, socket_connect_timeout=0.2)
        chance = random.Random(len(self.nodes)).random
        node = RedisCircuitBreakers(client, chance, self.clock, self.namespace, poll=poll)
        self.nodes.append(node)
        self.clients.append(client)
        await node.open()
        return node

    async def close(self) -> None:
        for node, client in zip(self.nodes, self.clients, strict=True):
            await node.close()
            await client.aclose()

    def circuits(self, policy: BreakerPolicy) -> list[Circuit]:
        return [node.circuit("users", policy, self.clock.monotonic()) for node in self.nodes]


async def until(check: Callable[[], object], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not check():
            await asyncio.sleep(0.002)


@pytest.fixture
async def fleet(redis_url: str) -> AsyncIterator[Fleet]:
    made = Fleet(redis_url)
    yield made
    await made.close()


def trip(circuit: Circuit, clock: HandClock) -> None:
    while circuit.state is BreakerState.CLOSED:
        permit = circuit.permit(clock.monotonic())
        assert isinstance(permit, Permit)
        circuit.record(permit, CallResult.FAILED, 0.01, clock.monotonic())


SHORT = BreakerPolicy(min_requests=2, open_for=0.2, probe_lease=1.0, ramp=0)


async def test_an_opening_is_heard_at_once(fleet: Fleet) -> None:
    """By announcement: the poll is far too slow to explain it."""
    for _ in range(3):
        await fleet.join(poll=30)
    circuits = fleet.circuits(BreakerPolicy(min_requests=2, open_for=60))
    await asyncio.sleep(0.05)
    began = fleet.clock.monotonic()
    trip(circuits[0], fleet.clock)
    await until(lambda: all(c.state is BreakerState.OPEN for c in circuits))
    assert fleet.clock.monotonic() - began < 15.0, "half a poll"
    assert circuits[2].status(began).cause == "2 of 2 calls failed in 10 s"


async def test_a_replica_that_joins_takes_over_what_is_open(fleet: Fleet) -> None:
    await fleet.join()
    trip(fleet.circuits(BreakerPolicy(min_requests=2, open_for=60))[0], fleet.clock)
    await asyncio.sleep(0.05)
    await fleet.join()
    late = fleet.circuits(BreakerPolicy(min_requests=2, open_for=60))[1]
    await until(lambda: late.state is BreakerState.OPEN)
    next_try = late.status(fleet.clock.monotonic()).next_try
    assert next_try is not None
    assert 40 < next_try - fleet.clock.monotonic() <= 72


async def test_exactly_one_probe_in_the_fleet(fleet: Fleet) -> None:
    for _ in range(4):
        await fleet.join()
    # a lease that outlasts every pause of this process: a second probe would be a second lease
    circuits = fleet.circuits(replace(SHORT, probe_lease=60.0))
    await asyncio.sleep(0.05)
    trip(circuits[0], fleet.clock)
    await until(lambda: all(c.state is BreakerState.OPEN for c in circuits))
    probes: list[tuple[Circuit, Permit]] = []

    def ask() -> bool:
        for circuit in circuits:
            permit = circuit.permit(fleet.clock.monotonic())
            if isinstance(permit, Permit):
                probes.append((circuit, permit))
        return bool(probes)

    await until(ask)
    for _ in range(200):
        ask()
        await asyncio.sleep(0.002)
    assert len(probes) == 1
    circuit, permit = probes[0]
    circuit.record(permit, CallResult.OK, 0.01, fleet.clock.monotonic())
    await until(lambda: all(c.state is BreakerState.CLOSED for c in circuits))


async def test_a_hung_probe_passes_on_to_another_replica(fleet: Fleet) -> None:
    for _ in range(2):
        await fleet.join()
    circuits = fleet.circuits(BreakerPolicy(min_requests=2, open_for=0.1, probe_lease=0.4, ramp=0))
    await asyncio.sleep(0.05)
    trip(circuits[0], fleet.clock)
    await until(lambda: circuits[1].state is BreakerState.OPEN)
    await until(lambda: isinstance(circuits[0].permit(fleet.clock.monotonic()), Permit))
    taken: list[Permit] = []

    def other_probes() -> bool:
        permit = circuits[1].permit(fleet.clock.monotonic())
        if isinstance(permit, Permit):
            taken.append(permit)
        return bool(taken)

    await until(other_probes)
    circuits[1].record(taken[0], CallResult.OK, 0.01, fleet.clock.monotonic())
    await until(lambda: all(c.state is BreakerState.CLOSED for c in circuits))


async def test_a_lease_nobody_uses_is_given_back(fleet: Fleet) -> None:
    for _ in range(2):
        await fleet.join()
    circuits = fleet.circuits(BreakerPolicy(min_requests=2, open_for=0.05, probe_lease=30, ramp=0))
    await asyncio.sleep(0.05)
    trip(circuits[0], fleet.clock)
    await until(lambda: circuits[1].state is BreakerState.OPEN)
    await asyncio.sleep(0.1)
    assert isinstance(circuits[0].permit(fleet.clock.monotonic()), Open), "asks for the lease, then falls silent"
    await asyncio.sleep(0.05)
    await until(lambda: isinstance(circuits[1].permit(fleet.clock.monotonic()), Permit))


async def test_operators_reach_every_replica_and_win_every_race(fleet: Fleet) -> None:
    for _ in range(3):
        await fleet.join()
    circuits = fleet.circuits(BreakerPolicy(min_requests=2, open_for=60))
    await asyncio.sleep(0.05)
    now = fleet.clock.monotonic
    trip(circuits[1], fleet.clock)
    fleet.nodes[0].force_open("users", "deploy", "ada", 600, now())
    await until(lambda: all(c.state is BreakerState.FORCED_OPEN for c in circuits))
    forced = circuits[2].status(now()).forced
    assert forced is not None
    assert (forced.by, forced.reason) == ("ada", "deploy")
    assert forced.until == pytest.approx(now() + 600, abs=2)
    fleet.nodes[2].reset("users", "over", "bob", now())
    await until(lambda: all(c.state is BreakerState.CLOSED for c in circuits))
    assert circuits[0].status(now()).cause == "reset by bob: over"


async def test_without_redis_everyone_decides_alone_and_agrees_again_afterwards() -> None:
    with redis_process() as server:
        fleet = Fleet(server.url)
        try:
            for _ in range(2):
                await fleet.join()
            circuits = fleet.circuits(SHORT)
            server.kill()
            await until(lambda: not any(node.connected for node in fleet.nodes))
            trip(circuits[0], fleet.clock)
            await asyncio.sleep(0.25)
            permit = circuits[0].permit(fleet.clock.monotonic())
            assert isinstance(permit, Permit), "a lone process grants its own probe"
            circuits[0].record(permit, CallResult.FAILED, 0.01, fleet.clock.monotonic())
            fleet.nodes[0].force_open("users", "outage", "ada", None, fleet.clock.monotonic())
            assert circuits[1].state is BreakerState.CLOSED
            server.start()
            await until(lambda: circuits[1].state is BreakerState.FORCED_OPEN)
        finally:
            await fleet.close()


async def test_an_empty_restart_forgets_no_opening_and_wedges_nothing() -> None:
    with redis_process() as server:
        fleet = Fleet(server.url)
        try:
            for _ in range(2):
                await fleet.join()
            circuits = fleet.circuits(BreakerPolicy(min_requests=2, open_for=1.0, probe_lease=5, ramp=0))
            await asyncio.sleep(0.05)
            trip(circuits[0], fleet.clock)
            await until(lambda: circuits[1].state is BreakerState.OPEN)
            server.kill()
            server.start()
            await until(lambda: all(node.connected for node in fleet.nodes))
            await fleet.join()
            late = fleet.circuits(BreakerPolicy(min_requests=2, open_for=1.0, probe_lease=5, ramp=0))[2]
            await until(lambda: late.state is BreakerState.OPEN)
            probed: list[Permit] = []

            def probe() -> bool:
                permit = late.permit(fleet.clock.monotonic())
                if isinstance(permit, Permit):
                    probed.append(permit)
                return bool(probed)

            await until(probe)
            late.record(probed[0], CallResult.OK, 0.01, fleet.clock.monotonic())
            await until(lambda: all(c.state is BreakerState.CLOSED for c in [*circuits, late]))
        finally:
            await fleet.close()
