"""TLS to targets: who is believed, which name is asked for, and what is presented."""

from __future__ import annotations

import asyncio
import ssl

import pytest

from spork.domain.outcomes import FaultKind, Side
from spork.domain.upstreams.model import Timeouts, TlsToTarget
from tests.contract.upstream_transport.certificates import Authority, Pair
from tests.contract.upstream_transport.targets import answering, plain, scripted
from tests.contract.upstream_transport.transports import ask, exchange, fault_of, having, until


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("stranger"), "a stranger")


@pytest.fixture(scope="module")
def local(authority: Authority) -> Pair:
    return authority.issue("127.0.0.1", "localhost")


@having()
async def test_a_target_whose_certificate_is_vouched_for(transport, authority, local):
    async with scripted(answering(plain(b"ok")), tls=local.context(), trust=TlsToTarget(ca=authority.ca)) as server:
        assert (await exchange(transport, server.target))[2] == b"ok"
        assert (await exchange(transport, server.target))[2] == b"ok"
    assert server.connections == 1


@having()
async def test_large_bodies_over_tls_both_ways(transport, authority, local):
    body = bytes(range(256)) * 8192
    async with scripted(answering(plain(body)), tls=local.context(), trust=TlsToTarget(ca=authority.ca)) as server:
        assert (await exchange(transport, server.target, ask("POST", body=body)))[2] == body
        assert server.requests[0].body == body


@having()
@pytest.mark.parametrize("flaw", ["unknown authority", "expired", "other name"])
async def test_a_certificate_that_does_not_prove_the_target(transport, authority, stranger, flaw):
    pair, ca = authority.issue("127.0.0.1"), authority.ca
    if flaw == "unknown authority":
        ca = stranger.ca
    elif flaw == "expired":
        pair = authority.issue("127.0.0.1", days=-2)
    else:
        pair = authority.issue("elsewhere.test")
    async with scripted(answering(plain(b"ok")), tls=pair.context(), trust=TlsToTarget(ca=ca)) as server:
        fault = await fault_of(transport.send(server.target, ask()))
        assert fault.kind is FaultKind.TLS_CERTIFICATE_ERROR
        assert fault.side is Side.UPSTREAM
        assert fault.retry_safe
    assert server.requests == []


@having()
async def test_the_systems_authorities_do_not_vouch_for_ours(transport, local):
    async with scripted(answering(plain(b"ok")), tls=local.context(), trust=TlsToTarget()) as server:
        assert (await fault_of(transport.send(server.target, ask()))).kind is FaultKind.TLS_CERTIFICATE_ERROR


@having()
async def test_verification_may_be_turned_off(transport, stranger):
    pair = stranger.issue("elsewhere.test")
    async with scripted(answering(plain(b"ok")), tls=pair.context(), trust=TlsToTarget(verify=False)) as server:
        assert (await exchange(transport, server.target))[2] == b"ok"


@having()
async def test_the_server_name_is_asked_for_and_verified(transport, authority):
    asked: list[str | None] = []
    context = authority.issue("inner.test").context()
    context.sni_callback = lambda sock, name, ctx: asked.append(name)  # type: ignore[assignment]
    trust = TlsToTarget(ca=authority.ca, server_name="inner.test")
    async with scripted(answering(plain(b"ok")), tls=context, trust=trust) as server:
        assert (await exchange(transport, server.target))[2] == b"ok"
    assert asked == ["inner.test"]


@having()
async def test_a_client_certificate_is_presented(transport, authority, local):
    client = authority.issue("gateway.test")
    trust = TlsToTarget(ca=authority.ca, cert=client.cert, key=client.key)
    presented = []

    async def script(peer) -> None:
        presented.append(peer.writer.get_extra_info("peercert")["subject"])
        await answering(plain(b"ok"))(peer)

    async with scripted(script, tls=local.context(client_ca=authority.ca), trust=trust) as server:
        assert (await exchange(transport, server.target))[2] == b"ok"
    assert presented == [((("commonName", "gateway.test"),),)]


@having()
async def test_a_target_that_demands_a_client_certificate_gets_none(transport, authority, local):
    context = local.context(client_ca=authority.ca)
    async with scripted(answering(plain(b"ok")), tls=context, trust=TlsToTarget(ca=authority.ca)) as server:
        fault = await fault_of(transport.send(server.target, ask("POST", body=b"x")))
        assert fault.kind in (FaultKind.TLS_PROTOCOL_ERROR, FaultKind.CONNECTION_TERMINATED)
    assert server.requests == []


@having()
async def test_a_target_that_speaks_no_tls(transport):
    async def plain_text(peer) -> None:
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await peer.gone()

    async with scripted(plain_text, trust=TlsToTarget(verify=False)) as server:
        fault = await fault_of(transport.send(server.target, ask()))
        assert fault.kind is FaultKind.TLS_PROTOCOL_ERROR
        assert fault.retry_safe
        await until(lambda: server.ended == server.connections, 1.0, "the connection's end")


@having()
async def test_old_versions_are_refused(transport, local):
    context = local.context()
    with pytest.deprecated_call():
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    async with scripted(answering(plain(b"ok")), tls=context, trust=TlsToTarget(verify=False)) as server:
        fault = await fault_of(transport.send(server.target, ask()))
        assert fault.kind in (FaultKind.TLS_PROTOCOL_ERROR, FaultKind.CONNECTION_TERMINATED)


@having()
@pytest.mark.parametrize("field", ["ca", "cert"])
async def test_a_missing_file_is_the_gateways_own_fault(transport, field):
    async with scripted(answering(plain(b"ok")), trust=TlsToTarget(**{field: "/nowhere.pem"})) as server:
        fault = await fault_of(transport.send(server.target, ask()))
        assert (fault.kind, fault.side) == (FaultKind.TLS_CERTIFICATE_ERROR, Side.GATEWAY)
    assert server.connections == 0


@having()
async def test_a_handshake_that_hangs_is_bound_by_the_connect_deadline(transport):
    async def silent(peer) -> None:
        await peer.gone()

    async with scripted(silent, trust=TlsToTarget(verify=False)) as server:
        fault = await fault_of(transport.send(server.target, ask(timeouts=Timeouts(connect=0.2))))
        assert fault.kind is FaultKind.CONNECTION_TIMEOUT
        assert fault.retry_safe
        await until(lambda: server.ended == 1, 1.0, "the connection's end")


@having()
async def test_surplus_and_cuts_over_tls(transport, authority, local):
    """The same distrust as in clear text."""
    trust = TlsToTarget(ca=authority.ca)
    poisoned = answering(plain(b"a") + plain(b"POISON"))
    async with scripted(poisoned, answering(plain(b"mine")), tls=local.context(), trust=trust) as server:
        assert (await exchange(transport, server.target))[2] == b"a"
        assert (await exchange(transport, server.target))[2] == b"mine"

    async def cut(peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\npart")
        await peer.flush()
        await asyncio.sleep(0.02)
        peer.writer.transport.abort()

    async with scripted(cut, tls=local.context(), trust=trust) as server:
        assert (await fault_of(exchange(transport, server.target))).kind is FaultKind.HTTP_RESPONSE_INCOMPLETE


@having("strict_head")
async def test_a_body_that_ends_with_the_connection_must_end_with_the_tls_session(transport, authority, local):
    """RFC 9112 9.8: anyone on the way can cut a TCP connection; only the target can end the session."""

    def ending(clean: bool):
        async def script(peer) -> None:
            await peer.request()
            peer.send(b"HTTP/1.1 200 OK\r\n\r\npart")
            await peer.flush()
            await seen.wait()
            if clean:
                peer.close()
            else:
                peer.writer.transport.abort()

        return script

    trust = TlsToTarget(ca=authority.ca)
    for clean in (True, False):
        seen = asyncio.Event()
        async with scripted(ending(clean), tls=local.context(), trust=trust) as server:
            response = await transport.send(server.target, ask())
            data = response.take()[0] or await response.read()
            seen.set()
            assert data == b"part"
            if clean:
                assert await response.read() == b""
            else:
                assert (await fault_of(response.read())).kind is FaultKind.HTTP_RESPONSE_INCOMPLETE
            response.close()
