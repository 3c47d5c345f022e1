"""Names and addresses: resolution, several addresses, refusals."""

from __future__ import annotations

import socket

import pytest

from spork.domain.outcomes import FaultKind, Side
from spork.domain.upstreams.model import Target
from tests.contract.upstream_transport.targets import answering, plain, scripted
from tests.contract.upstream_transport.transports import ask, exchange, fault_of, having
from tests.servers import free_port


def at(host: str, port: int) -> Target:
    return Target(f"http://{host}:{port}", "http", host, port)


@having()
@pytest.mark.asyncio(loop_factories=["asyncio"])  # uvloop resolves by itself
async def test_a_name_with_several_addresses_reaches_the_one_that_listens(transport, monkeypatch):
    async with scripted(answering(plain(b"ok"))) as server:
        port = server.port
        real = socket.getaddrinfo

        def resolve(host, *args, **kwargs):
            if host not in ("several.test", b"several.test"):
                return real(host, *args, **kwargs)
            tail = (socket.SOCK_STREAM, 6, "")
            return [
                (socket.AF_INET6, *tail, ("::1", port, 0, 0)),
                (socket.AF_INET, *tail, ("127.0.0.9", port)),
                (socket.AF_INET, *tail, ("127.0.0.1", port)),
            ]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        assert (await exchange(transport, at("several.test", port)))[2] == b"ok"


@having()
async def test_localhost(transport):
    async with scripted(answering(plain(b"ok"))) as server:
        assert (await exchange(transport, at("localhost", server.port)))[2] == b"ok"


@having()
async def test_a_name_that_does_not_resolve(transport):
    fault = await fault_of(transport.send(at("no-such-host.invalid", 80), ask()))
    assert fault.kind in (FaultKind.DNS_ERROR, FaultKind.CONNECTION_TIMEOUT)
    assert fault.side is Side.UPSTREAM
    assert fault.retry_safe


@having()
async def test_a_name_that_is_none(transport):
    fault = await fault_of(transport.send(at("a" * 70 + ".test", 80), ask()))
    assert fault.kind is FaultKind.DNS_ERROR


@having()
async def test_a_port_nobody_listens_on(transport):
    fault = await fault_of(transport.send(at("127.0.0.1", free_port()), ask()))
    assert fault.kind is FaultKind.CONNECTION_REFUSED
    assert fault.retry_safe
    assert fault.fresh_connection


@having()
async def test_a_unix_socket_that_is_not_there(transport):
    target = Target("unix:/nowhere/target.sock", "http", "localhost", 80, unix_path="/nowhere/target.sock")
    fault = await fault_of(transport.send(target, ask()))
    assert fault.kind is FaultKind.DESTINATION_UNAVAILABLE
    assert fault.retry_safe
