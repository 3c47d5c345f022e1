"""Probes against real sockets: what counts as an answer, what a probe never does, and what verdicts make of it."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from spork.adapters.httpx.prober import HttpxProber
from spork.adapters.memory.circuit_breaker import MemoryCircuitBreakers
from spork.adapters.system.clock import SystemClock
from spork.application.fleet.state_changes import StateChanges
from spork.application.kernel.faults import FaultError
from spork.application.upstreams.probes import Probes
from spork.application.upstreams.registry import UpstreamRegistry
from spork.domain.outcomes import FaultKind
from spork.domain.upstreams.health import ProbePolicy, ProbeVerdict
from spork.domain.upstreams.model import Target, Upstream
from tests.servers import free_port


class Service:
    """A server that answers whatever `answer` says, and remembers request heads."""

    def __init__(self) -> None:
        self.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        self.silent = False
        self.heads: list[bytes] = []
        self.port = free_port()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            self.heads.append(await reader.readuntil(b"\r\n\r\n"))
            if self.silent:
                await reader.read()
            writer.write(self.answer)
            await writer.drain()
        writer.close()

    @property
    def target(self) -> Target:
        return Target(f"http://127.0.0.1:{self.port}", "http", "127.0.0.1", self.port, base_path=b"/api")

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self, "127.0.0.1", self.port)
        try:
            yield
        finally:
            server.close()
            await server.wait_closed()


class Told:
    def __init__(self) -> None:
        self.kinds: list[str] = []

    def publish(self, kind: str, subject: str, data: dict[str, object]) -> None:
        self.kinds.append(kind)


async def until(check: object, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not check():  # type: ignore[operator]
            await asyncio.sleep(0.005)


async def test_the_status_is_the_answer_and_redirects_are_not_followed() -> None:
    service = Service()
    service.answer = b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"
    async with service.up():
        assert await HttpxProber().ask(service.target, ProbePolicy(path="/live?x=1", host="users.internal")) == 302
    head = service.heads[0]
    assert head.startswith(b"GET /live?x=1 HTTP/1.1\r\n")
    assert b"host: users.internal\r\n" in head.lower()
    assert len(service.heads) == 1


async def test_tcp_asks_for_a_connection_only() -> None:
    service = Service()
    async with service.up():
        assert await HttpxProber().ask(service.target, ProbePolicy(kind="tcp")) == 0
    assert service.heads == []


@pytest.mark.parametrize("kind", ["http", "tcp"])
async def test_a_dead_target_is_a_fault(kind: str) -> None:
    with pytest.raises(FaultError) as caught:
        await HttpxProber().ask(Service().target, ProbePolicy(kind=kind))
    assert caught.value.fault.kind is FaultKind.CONNECTION_REFUSED


async def test_a_silent_target_is_given_up_in_time() -> None:
    service = Service()
    service.silent = True
    async with service.up():
        with pytest.raises(FaultError) as caught:
            await HttpxProber().ask(service.target, ProbePolicy(timeout=0.05))
    assert caught.value.fault.kind is FaultKind.HTTP_RESPONSE_TIMEOUT


async def test_verdicts_follow_the_service_down_and_up_again() -> None:
    service, told = Service(), Told()
    chance = random.Random(1).random
    registry = UpstreamRegistry(MemoryCircuitBreakers(chance), chance, told)
    clock = SystemClock()
    probes = Probes(registry, HttpxProber(), clock, chance, told)
    policy = ProbePolicy(every=0.02, timeout=0.5, rise=2, fall=2)
    live = registry.sync([Upstream("users", (service.target,), probe=policy)], clock.monotonic())["users"]
    target = live.targets[0]
    assert target.probe is not None

    def verdict(wanted: ProbeVerdict) -> bool:
        return target.probe is not None and target.probe.verdict is wanted

    async with service.up():
        await probes.open()
        await until(lambda: verdict(ProbeVerdict.UP))
        service.answer = b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n"
        await until(lambda: verdict(ProbeVerdict.DOWN))
        assert target.last_error == "probe: answered 500"
        service.answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
        await until(lambda: verdict(ProbeVerdict.UP))
        assert told.kinds == ["target.up", "target.down", "target.up"]
        assert live.history.availability(clock.monotonic()) is not None
        assert (await probes.probe_now(target)).startswith(f"127.0.0.1:{service.port} is well: answered 200")
        registry.sync([], clock.monotonic())
        asked = len(service.heads)
        await asyncio.sleep(0.1)
        assert len(service.heads) <= asked + 1, "a target that is gone is not probed"
        await probes.close()


async def test_the_watch_tells_of_services_that_change_and_ejections_that_end() -> None:
    from spork.domain.upstreams.circuit import CallResult
    from spork.domain.upstreams.health import OutlierPolicy

    class Hands:
        """A clock that is set by hand."""

        now = 100.0

        def monotonic(self) -> float:
            return self.now

        def unix(self) -> float:
            return self.now

    told, hands = Told(), Hands()
    chance = random.Random(1).random
    registry = UpstreamRegistry(MemoryCircuitBreakers(chance), chance, told)
    targets = tuple(Target(f"http://127.0.0.1:{p}", "http", "127.0.0.1", p) for p in (1, 2))
    outliers = OutlierPolicy(consecutive=2, eject_for=30)
    live = registry.sync([Upstream("users", targets, outliers=outliers)], 100)["users"]
    probes = Probes(registry, HttpxProber(), hands, chance, told)
    states: dict[str, str] = {"users": "unknown"}
    changes = StateChanges(lambda: states, told)
    probes.look(), changes.look()
    states["users"] = "degraded"
    for _ in range(2):
        for target, result in zip(live.targets, (CallResult.OK, CallResult.UNREACHED), strict=True):
            target.started()
            target.finished(result, 0.01, 100)
    probes.look(), changes.look()
    assert told.kinds == ["target.ejected", "upstream.degraded"]
    hands.now = 131
    probes.look()
    assert told.kinds[-1] == "target.returned"
