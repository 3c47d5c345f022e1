"""Who may still take a file descriptor."""

from __future__ import annotations

import asyncio
import errno
import os
import time

import pytest

from spork.adapters.http1.transport import HttptoolsTransport
from spork.application.kernel.descriptors import SHORT_FOR, Descriptors
from spork.application.kernel.faults import FaultError
from spork.application.upstreams.transport import UpstreamRequest
from spork.domain.outcomes import FaultKind, Side
from spork.domain.upstreams.circuit import CallResult, result_of_fault
from spork.domain.upstreams.model import Target, Timeouts


def test_clients_are_turned_away_before_targets_and_the_last_ones_are_the_gateways_own() -> None:
    now = [100.0]
    descriptors = Descriptors(lambda: 1000, lambda: now[0])
    assert descriptors.client(899)
    assert not descriptors.short
    assert not descriptors.client(900)
    assert descriptors.to_tell(900)
    assert not descriptors.to_tell(940)
    assert descriptors.target(966)
    assert not descriptors.target(967)
    assert {labels: value for _, labels, value in descriptors.samples()} == {("client",): 1.0, ("target",): 1.0}
    assert descriptors.short
    now[0] += SHORT_FOR
    assert not descriptors.short


def test_it_is_said_in_the_log_but_not_for_each(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    descriptors = Descriptors(lambda: 100, lambda: now[0])
    for _ in range(1000):
        descriptors.client(99)
    now[0] += 11.0
    descriptors.target(99)
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert "the process may have 100; new clients are answered 503" in lines[0]
    assert "LimitNOFILE" in lines[1]


def test_without_a_limit_nobody_is_turned_away() -> None:
    descriptors = Descriptors(lambda: None)
    assert descriptors.client(10**9)
    assert descriptors.target(10**9)
    assert descriptors.to_tell(10**9)


@pytest.fixture
async def listening() -> asyncio.Server:
    return await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)


async def test_a_connection_that_would_take_the_last_descriptors_is_no_fault_of_the_target(
    listening: asyncio.Server,
) -> None:
    free = os.dup(0)
    os.close(free)
    transport = HttptoolsTransport(descriptors=Descriptors(lambda: free))
    await refused(transport, listening)
    await transport.close()
    listening.close()


async def test_what_the_system_refuses_is_no_fault_of_the_target(
    listening: asyncio.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def none_left(*_: object, **__: object) -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(asyncio.get_running_loop(), "create_connection", none_left)
    descriptors = Descriptors(lambda: 1000)
    transport = HttptoolsTransport(descriptors=descriptors)
    await refused(transport, listening)
    assert descriptors.refused_targets == 1
    await transport.close()
    listening.close()


async def refused(transport: HttptoolsTransport, server: asyncio.Server) -> None:
    port = server.sockets[0].getsockname()[1]
    target = Target(f"http://127.0.0.1:{port}", "http", "127.0.0.1", port)
    with pytest.raises(FaultError) as raised:
        await transport.send(target, UpstreamRequest("GET", b"/", [], None, Timeouts(), time.monotonic() + 20))
    fault = raised.value.fault
    assert (fault.kind, fault.side) == (FaultKind.CONNECTION_LIMIT_REACHED, Side.GATEWAY)
    assert fault.retry_safe
    assert "descriptors" in fault.note
    assert result_of_fault(fault) is CallResult.IGNORED
