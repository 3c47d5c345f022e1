"""What a target may not do: bad answers are refused, and no connection in doubt carries another request."""

from __future__ import annotations

import asyncio

import pytest

from spork.domain.outcomes import FaultKind, Side
from tests.contract.upstream_transport.targets import Peer, answering, answering_then_close, plain, scripted
from tests.contract.upstream_transport.transports import (
    Pieces,
    ask,
    exchange,
    fault_of,
    having,
    lacking,
    read_all,
    until,
)

OK = b"HTTP/1.1 200 OK\r\n"
LENGTH_0 = b"content-length: 0\r\n\r\n"

#: Refused by every adapter.
UNLAWFUL = {
    "not_http": b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
    "no_code": b"HTTP/1.1 OK\r\n" + LENGTH_0,
    "long_code": b"HTTP/1.1 2000 OK\r\n" + LENGTH_0,
    "two_spaces": b"HTTP/1.1  200 OK\r\n" + LENGTH_0,
    "length_and_chunked": OK + b"content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked_and_length": OK + b"transfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
    "two_lengths": OK + b"content-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
    "length_list": OK + b"content-length: 5, 6\r\n\r\nabcdef",
    "length_signed": OK + b"content-length: +5\r\n\r\nabcde",
    "length_negative": OK + b"content-length: -5\r\n\r\nabcde",
    "length_hex": OK + b"content-length: 0x5\r\n\r\nabcde",
    "length_empty": OK + b"content-length:\r\n\r\nabcde",
    "length_huge": OK + b"content-length: 99999999999999999999\r\n\r\nabcde",
    "coding_unknown": OK + b"transfer-encoding: gzip\r\n\r\nabc",
    "coding_stacked": OK + b"transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "coding_twice": OK + b"transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding_after": OK + b"transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "coding_on_1.0": b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    "control_in_value": OK + b"x-a: a\x01b\r\n" + LENGTH_0,
    "nul_in_value": OK + b"x-a: a\0b\r\n" + LENGTH_0,
    "cr_in_value": OK + b"x-a: a\rb\r\n" + LENGTH_0,
    "space_before_colon": OK + b"x-a : b\r\n" + LENGTH_0,
    "space_in_name": OK + b"x a: b\r\n" + LENGTH_0,
    "empty_name": OK + b": b\r\n" + LENGTH_0,
    "no_colon": OK + b"x-a\r\n" + LENGTH_0,
    "switching_unasked": b"HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n",
}
#: What h11 forgives and the default transport does not.
STRICT = {
    "bare_lf": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "bare_lf_in_fields": OK + b"x-a: b\nx-c: d\r\n" + LENGTH_0,
    "folded": OK + b"x-a: b\r\n c\r\n" + LENGTH_0,
    "leading_line": b"\r\n" + OK + LENGTH_0,
    "http_0.9": b"HTTP/0.9 200 OK\r\n" + LENGTH_0,
    "http_2.0": b"HTTP/2.0 200 OK\r\n" + LENGTH_0,
    "rtsp": b"RTSP/1.0 200 OK\r\n" + LENGTH_0,
    "lower_case": b"http/1.1 200 OK\r\n" + LENGTH_0,
    "code_000": b"HTTP/1.1 000 OK\r\n" + LENGTH_0,
    "nul_in_reason": b"HTTP/1.1 200 O\0K\r\n" + LENGTH_0,
    "same_length_twice": OK + b"content-length: 1\r\ncontent-length: 1\r\n\r\na",
}
UNLAWFUL_CHUNKS = {
    "no_size": b"\r\nab\r\n0\r\n\r\n",
    "bad_size": b"xyz\r\nab\r\n0\r\n\r\n",
    "prefixed": b"0x2\r\nab\r\n0\r\n\r\n",
    "signed": b"+2\r\nab\r\n0\r\n\r\n",
    "long_data": b"2\r\nabc\r\n0\r\n\r\n",
    "huge": b"fffffffffffffffffffff\r\nab\r\n0\r\n\r\n",
}


async def refused(transport, answer: bytes) -> None:
    async with scripted(answering(answer), answering(plain(b"other"))) as server:
        fault = await fault_of(transport.send(server.target, ask()))
        assert fault.kind is FaultKind.HTTP_PROTOCOL_ERROR
        assert fault.side is Side.UPSTREAM
        assert not fault.retry_safe
        await until(lambda: server.ended == 1, what="the connection's end")
        assert (await exchange(transport, server.target))[2] == b"other"


@having()
@pytest.mark.parametrize("answer", UNLAWFUL.values(), ids=UNLAWFUL.keys())
async def test_an_unlawful_head_is_refused_and_its_connection_ended(transport, answer):
    await refused(transport, answer)


@having("strict_head")
@pytest.mark.parametrize("answer", STRICT.values(), ids=STRICT.keys())
async def test_a_strict_reader_forgives_nothing(transport, answer):
    await refused(transport, answer)


@having()
@pytest.mark.parametrize("chunks", UNLAWFUL_CHUNKS.values(), ids=UNLAWFUL_CHUNKS.keys())
async def test_an_unlawful_chunk_breaks_the_body(transport, chunks):
    async with scripted(answering(OK + b"transfer-encoding: chunked\r\n\r\n" + chunks)) as server:
        fault = await fault_of(exchange(transport, server.target))
        assert fault.kind is FaultKind.HTTP_PROTOCOL_ERROR
        await until(lambda: server.ended == 1, what="the connection's end")


@having()
@pytest.mark.parametrize("whole", [True, False])
async def test_a_head_beyond_64_kib_is_refused(transport, whole):
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(OK + b"x-a: " + b"a" * 40000 + b"\r\n")
        peer.send(b"x-b: " + b"b" * 70000 + (b"\r\n" + LENGTH_0 if whole else b""))
        await peer.gone()

    async with scripted(script) as server:
        fault = await fault_of(transport.send(server.target, ask()))
        assert fault.kind in (FaultKind.HTTP_RESPONSE_HEADER_SECTION_SIZE, FaultKind.HTTP_PROTOCOL_ERROR)
        await until(lambda: server.ended == 1, what="the connection's end")


@having()
async def test_too_many_fields_are_refused(transport):
    async with scripted(answering(OK + b"a:\r\n" * 2000 + LENGTH_0)) as server:
        fault = await fault_of(transport.send(server.target, ask()))
        assert fault.kind is FaultKind.HTTP_RESPONSE_HEADER_SECTION_SIZE


@having()
async def test_a_fault_quotes_nothing_of_the_target(transport):
    async with scripted(answering(b"HTTP/1.1 secret\r\n\r\n")) as server:
        fault = await fault_of(transport.send(server.target, ask()))
    assert "secret" not in fault.note
    assert str(server.port) not in fault.note


# ----------------------------------------------------------------------------------------------------- surplus bytes

SURPLUS = plain(b"POISON")


@having()
@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("GET", plain(b"a") + SURPLUS),
        ("GET", plain(b"a") + b"\r\n"),
        ("GET", plain(b"a") + b"\n"),
        ("GET", plain(b"") + SURPLUS),
        ("HEAD", OK + b"\r\n" + SURPLUS),
        ("HEAD", OK + b"content-length: 3\r\n\r\nabc"),
        ("GET", OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n" + SURPLUS),
        ("GET", OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n\r\n"),
        ("GET", OK + b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\nx: y\r\n\r\n\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n" + SURPLUS),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n" + SURPLUS),
    ],
)
async def test_surplus_bytes_never_answer_the_next_request(transport, method, answer):
    async with scripted(answering(answer), answering(plain(b"mine"))) as server:
        assert (await exchange(transport, server.target, ask(method)))[2] in (b"", b"a")
        assert (await exchange(transport, server.target))[2] == b"mine"
    assert server.connections == 2


@having()
async def test_surplus_bytes_that_come_later_never_answer_the_next_request(transport):
    """The connection is idle in the pool when the bytes arrive."""
    poison = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(plain(b"a"))
        await poison.wait()
        peer.send(SURPLUS)
        await peer.gone()

    async with scripted(script, answering(plain(b"mine"))) as server:
        assert (await exchange(transport, server.target))[2] == b"a"
        poison.set()
        await asyncio.sleep(0.05)
        assert (await exchange(transport, server.target))[2] == b"mine"
    assert server.connections == 2


@having("duplex")
async def test_surplus_bytes_between_the_end_and_close_are_seen(transport):
    poison = asyncio.Event()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(plain(b"a"))
        await poison.wait()
        peer.send(SURPLUS)
        await peer.gone()

    async with scripted(script, answering(plain(b"mine"))) as server:
        response = await transport.send(server.target, ask())
        assert await read_all(response) == b"a"
        poison.set()
        await asyncio.sleep(0.05)
        response.close()
        assert (await exchange(transport, server.target))[2] == b"mine"


# ------------------------------------------------------------------------------------------------------- cut answers


@having()
@pytest.mark.parametrize(
    "answer",
    [
        OK + b"content-length: 10\r\n\r\npart",
        OK + b"transfer-encoding: chunked\r\n\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n4\r\npart\r\n",
        OK + b"transfer-encoding: chunked\r\n\r\n8\r\npart",
        OK + b"transfer-encoding: chunked\r\n\r\n4\r\npart\r\n0\r\n",
    ],
)
async def test_a_cut_body_is_never_a_clean_end(transport, answer):
    async with scripted(answering_then_close(answer)) as server:
        response = await transport.send(server.target, ask())
        assert not response.take()[1]
        fault = await fault_of(read_all(response))
        assert fault.kind is FaultKind.HTTP_RESPONSE_INCOMPLETE
        assert not fault.retry_safe
        assert not response.take()[1]
        response.close()


@having()
@pytest.mark.parametrize("framing", [b"content-length: 10\r\n", b"", b"transfer-encoding: chunked\r\n"])
async def test_a_reset_body_is_never_a_clean_end(transport, framing):
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(OK + framing + b"\r\n4\r\npart")
        await peer.flush()
        await seen.wait()
        peer.reset()

    seen = asyncio.Event()
    async with scripted(script) as server:
        response = await transport.send(server.target, ask())
        data = response.take()[0] or await response.read()
        seen.set()
        assert data
        fault = await fault_of(read_all(response))
        assert fault.kind in (FaultKind.HTTP_RESPONSE_INCOMPLETE, FaultKind.CONNECTION_TERMINATED)
        response.close()


@having()
@pytest.mark.parametrize("part", [b"HTTP/1.1 2", OK + b"x-a: b\r\n"])
async def test_a_cut_head_is_a_fault(transport, part):
    async with scripted(answering_then_close(part)) as server:
        fault = await fault_of(transport.send(server.target, ask("POST", body=b"x")))
    assert fault.kind in (FaultKind.HTTP_RESPONSE_INCOMPLETE, FaultKind.CONNECTION_TERMINATED)
    assert not fault.retry_safe
    assert server.connections == 1


# ------------------------------------------------------------------------------------------------ stale connections


def closing_on_second(reset: bool = False):
    """One answer; the second request is read, then the connection ends unanswered."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(plain(b"first"))
        await peer.request()
        peer.reset() if reset else peer.close()

    return script


@having()
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_an_idempotent_request_on_a_dead_pooled_connection_goes_out_once_more(transport, method, reset):
    body = b"abc" if method == "PUT" else None
    async with scripted(closing_on_second(reset), answering(plain(b""))) as server:
        await exchange(transport, server.target)
        status, _, _ = await exchange(transport, server.target, ask(method, b"/again", body=body))
    assert status == 200
    assert [r.line.split()[0] for r in server.requests[1:]] == [method.encode()] * 2
    assert [r.body for r in server.requests[1:]] == [body or b""] * 2
    assert server.connections == 2


@having()
@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_a_post_is_never_sent_twice(transport, method, reset):
    async with scripted(closing_on_second(reset), answering(plain(b""))) as server:
        await exchange(transport, server.target)
        fault = await fault_of(transport.send(server.target, ask(method, b"/pay", body=b"abc")))
        assert fault.kind is FaultKind.CONNECTION_TERMINATED
        assert not fault.retry_safe
        assert not fault.fresh_connection
    assert [r.line for r in server.requests].count(method.encode() + b" /pay HTTP/1.1") == 1


@having()
async def test_a_body_that_cannot_be_replayed_is_not_sent_again(transport):
    async with scripted(closing_on_second(), answering(plain(b""))) as server:
        await exchange(transport, server.target)
        fault = await fault_of(transport.send(server.target, ask("PUT", b"/big", body=Pieces([b"abc"], 3))))
        assert not fault.fresh_connection
    assert len(server.requests) == 2


@having()
async def test_a_fresh_connection_that_dies_is_the_targets_fault(transport):
    async def script(peer: Peer) -> None:
        await peer.request()
        peer.close()

    async with scripted(script) as server:
        fault = await fault_of(transport.send(server.target, ask()))
        assert fault.kind is FaultKind.CONNECTION_TERMINATED
        assert fault.fresh_connection
        assert not fault.retry_safe
    assert server.connections == 1


@having()
async def test_only_one_more_try(transport):
    async def dying(peer: Peer) -> None:
        await peer.request()
        peer.close()

    async with scripted(closing_on_second(), dying) as server:
        await exchange(transport, server.target)
        assert (await fault_of(transport.send(server.target, ask()))).kind is FaultKind.CONNECTION_TERMINATED
    assert server.connections == 2


@having()
async def test_a_connection_the_target_closed_while_idle_is_not_used(transport):
    async with scripted(answering_then_close(plain(b"a")), answering(plain(b"b"))) as server:
        assert (await exchange(transport, server.target))[2] == b"a"
        await until(lambda: server.ended == 1, what="the target's close")
        await asyncio.sleep(0.05)
        assert (await exchange(transport, server.target, ask("POST", body=b"x")))[2] == b"b"
    assert len(server.requests) == 2


@lacking("tunnels")
async def test_an_adapter_without_tunnels_refuses_upgrades(transport):
    async with scripted(answering(plain())) as server:
        fault = await fault_of(transport.send(server.target, ask(upgrade=True)))
        assert fault.kind is FaultKind.HTTP_UPGRADE_FAILED
    assert server.connections == 0
