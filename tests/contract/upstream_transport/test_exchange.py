"""Requests and responses over a sound connection: what goes out, what comes back, and what is reused."""

from __future__ import annotations

import asyncio

import pytest

from spork.application.kernel.faults import FaultError
from spork.domain.outcomes import Fault, FaultKind, Side
from tests.contract.upstream_transport.targets import Peer, answering, answering_then_close, plain, scripted
from tests.contract.upstream_transport.transports import Pieces, ask, exchange, fault_of, having, read_all, until


@having()
async def test_a_request_goes_out_as_given_and_the_answer_comes_back(transport):
    async with scripted(answering(plain(b"hello", b"X-One: 1"))) as server:
        status, headers, body = await exchange(transport, server.target, ask("GET", b"/a?b=c%20d", (b"x-a", b"1")))
    assert (status, body) == (200, b"hello")
    assert (b"x-one", b"1") in headers
    assert (b"content-length", b"5") in headers
    [received] = server.requests
    assert received.line == b"GET /a?b=c%20d HTTP/1.1"
    assert received.values(b"host") == [b"target.test"]
    assert received.values(b"x-a") == [b"1"]


@having()
async def test_nothing_is_added_to_a_request_but_its_framing(transport):
    async with scripted(answering(plain())) as server:
        await exchange(transport, server.target)
        await exchange(transport, server.target, ask("POST", body=b"abc"))
        await exchange(transport, server.target, ask("POST"))
    names = [sorted(row.split(b":")[0].lower() for row in r.head.split(b"\r\n")[1:] if row) for r in server.requests]
    assert names == [[b"host"], [b"content-length", b"host"], [b"content-length", b"host"]]


@having()
@pytest.mark.parametrize("path", [b"/a/../b", b"/a/./b", b"/%7Euser/%2e", b"//x", b"/a?x=%00&y=;'\"", b"*"])
async def test_the_target_is_never_rewritten(transport, path):
    async with scripted(answering(plain())) as server:
        await exchange(transport, server.target, ask("OPTIONS", path))
    assert server.requests[0].line == b"OPTIONS " + path + b" HTTP/1.1"


@having()
async def test_framing_is_made_anew_and_hop_by_hop_never_sent(transport):
    smuggled = [
        (b"content-length", b"99"),
        (b"transfer-encoding", b"chunked"),
        (b"connection", b"x-secret"),
        (b"te", b"trailers"),
        (b"upgrade", b"h2c"),
        (b"keep-alive", b"timeout=9"),
        (b"proxy-authorization", b"Basic x"),
    ]
    async with scripted(answering(plain())) as server:
        await exchange(transport, server.target, ask("POST", b"/", *smuggled, body=b"abc"))
    [received] = server.requests
    assert received.values(b"content-length") == [b"3"]
    assert received.body == b"abc"
    for name in (b"transfer-encoding", b"connection", b"te", b"upgrade", b"keep-alive", b"proxy-authorization"):
        assert received.values(name) == []


@having()
@pytest.mark.parametrize("value", [b"a\r\nx-evil: 1", b"a\nb", b"a\rb", b"a\0b"])
async def test_a_line_end_in_a_value_is_refused_before_a_byte_is_sent(transport, value):
    async with scripted(answering(plain())) as server:
        fault = await fault_of(transport.send(server.target, ask("GET", b"/", (b"x-a", value))))
        assert fault.kind is FaultKind.PROXY_INTERNAL_ERROR
    assert server.requests == []


@having()
@pytest.mark.parametrize("path", [b"/a b", b"/a\r\nx: y", b"/\0", b"/a\n"])
async def test_a_line_end_in_the_target_is_refused(transport, path):
    async with scripted(answering(plain())) as server:
        assert (await fault_of(transport.send(server.target, ask("GET", path)))).kind is FaultKind.PROXY_INTERNAL_ERROR
    assert server.requests == []


@having()
@pytest.mark.parametrize(
    ("length", "framing"), [(6, (b"content-length", b"6")), (None, (b"transfer-encoding", b"chunked"))]
)
async def test_a_streamed_body_arrives_whole_in_either_framing(transport, length, framing):
    async with scripted(answering(plain())) as server:
        await exchange(transport, server.target, ask("PUT", body=Pieces([b"abc", b"def"], length)))
        await exchange(transport, server.target)
    assert server.requests[0].body == b"abcdef"
    assert server.requests[0].values(framing[0]) == [framing[1]]
    assert server.connections == 1


@having()
@pytest.mark.parametrize("declared", [2, 9])
async def test_a_body_that_differs_from_its_declared_length_ends_the_exchange(transport, declared):
    async with scripted(answering(plain())) as server:
        request = ask("PUT", body=Pieces([b"abcdef"], declared))
        assert (await fault_of(transport.send(server.target, request))).kind is FaultKind.PROXY_INTERNAL_ERROR
        await until(lambda: server.ended == server.connections, what="the connection's end")


@having()
async def test_a_fault_of_the_clients_while_its_body_is_read_is_passed_on_and_ends_the_connection(transport):
    gone = FaultError(Fault(FaultKind.CLIENT_GONE, Side.DOWNSTREAM))
    async with scripted(answering(plain())) as server:
        request = ask("PUT", body=Pieces([b"abc"], None, error=gone, hang=False))
        fault = await fault_of(transport.send(server.target, request))
        assert fault is gone.fault
        await until(lambda: server.ended == server.connections, what="the connection's end")


@having()
async def test_connections_are_kept_and_used_again(transport):
    chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nab\r\n1;x=y\r\nc\r\n0\r\nx-trailer: 1\r\n\r\n"
    async with scripted(answering(plain(b"one"), chunked, plain(b""), plain(b"four"))) as server:
        bodies = [(await exchange(transport, server.target))[2] for _ in range(4)]
    assert bodies == [b"one", b"abc", b"", b"four"]
    assert server.connections == 1


@having()
async def test_trailers_are_nobodys_headers(transport):
    answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-user\r\n\r\n0\r\nx-user: admin\r\n\r\n"
    async with scripted(answering(answer)) as server:
        _, headers, body = await exchange(transport, server.target)
    assert headers == []
    assert body == b""


@having()
async def test_duplicates_and_order_of_headers_survive(transport):
    answer = plain(b"", b"Set-Cookie: a=1", b"X-B: 2", b"set-cookie: b=2; Path=/", b"X-A:", b"SET-COOKIE:c=3  ")
    async with scripted(answering(answer)) as server:
        _, headers, _ = await exchange(transport, server.target)
    assert [h for h in headers if h[0] != b"content-length"] == [
        (b"set-cookie", b"a=1"),
        (b"x-b", b"2"),
        (b"set-cookie", b"b=2; Path=/"),
        (b"x-a", b""),
        (b"set-cookie", b"c=3"),
    ]


@having()
async def test_hop_by_hop_fields_of_a_response_are_removed(transport):
    answer = plain(
        b"",
        b"Connection: keep-alive, X-Hop",
        b"Keep-Alive: timeout=5",
        b"X-Hop: 1",
        b"Upgrade: h2c",
        b"Proxy-Authenticate: Basic",
        b"TE: x",
        b"X-Stays: 1",
    )
    async with scripted(answering(answer)) as server:
        _, headers, _ = await exchange(transport, server.target)
    assert headers == [(b"content-length", b"0"), (b"x-stays", b"1")]


@having()
@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified", b"200 OK"])
async def test_answers_without_a_body(transport, method, status):
    """HEAD, 204 and 304 have none whatever their fields say; what the target sends nonetheless is surplus."""
    if method == "GET" and status == b"200 OK":
        return
    head = b"HTTP/1.1 " + status + b"\r\ncontent-length: 3\r\n\r\n"
    async with scripted(answering(head, plain(b"next")), answering(plain(b"other"))) as server:
        got, headers, body = await exchange(transport, server.target, ask(method))
        assert (got, body) == (int(status[:3]), b"")
        assert ((b"content-length", b"3") in headers) == (status[:3] != b"204")
        assert (await exchange(transport, server.target))[2] == b"next"
    assert server.connections == 1


@having()
@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_a_body_where_there_must_be_none_is_surplus(transport, status):
    head = b"HTTP/1.1 " + status + b"\r\ncontent-length: 3\r\n\r\nabc"
    async with scripted(answering(head), answering(plain(b"other"))) as server:
        assert (await exchange(transport, server.target))[2] == b""
        assert (await exchange(transport, server.target))[2] == b"other"
    assert server.connections == 2


@having()
async def test_a_body_may_end_with_the_connection(transport):
    answer = b"HTTP/1.1 200 OK\r\n\r\nall of it"
    async with scripted(answering_then_close(answer)) as server:
        assert (await exchange(transport, server.target))[2] == b"all of it"
        assert (await exchange(transport, server.target))[2] == b"all of it"
    assert server.connections == 2


@having()
@pytest.mark.parametrize(
    "answer",
    [
        plain(b"a", b"Connection: close"),
        b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na",
    ],
)
async def test_a_target_that_will_close_is_not_sent_another_request(transport, answer):
    async with scripted(answering(answer)) as server:
        assert (await exchange(transport, server.target))[2] == b"a"
        assert (await exchange(transport, server.target))[2] == b"a"
    assert server.connections == 2


@having()
async def test_pieces_arrive_as_they_are_sent(transport):
    """An event stream: each piece is answered by the test before the target sends the next."""
    seen = asyncio.Queue()

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        for piece in (b"one", b"two"):
            peer.send(b"3\r\n" + piece + b"\r\n")
            assert await seen.get() == piece
        peer.send(b"0\r\n\r\n")

    async with scripted(script) as server:
        response = await transport.send(server.target, ask())
        data, ended = response.take()
        assert not ended
        for piece in (b"one", b"two"):
            data = data or await response.read()
            assert data == piece
            seen.put_nowait(data)
            data = b""
        assert await response.read() == b""
        response.close()


@having()
async def test_an_answer_that_is_not_read_to_its_end_ends_its_connection(transport):
    answer = b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\npart"
    async with scripted(answering(answer), answering(plain(b"other"))) as server:
        response = await transport.send(server.target, ask())
        response.close()
        response.close()
        await until(lambda: server.ended == 1, what="the connection's end")
        assert (await exchange(transport, server.target))[2] == b"other"


@having()
async def test_unix_sockets(transport):
    async with scripted(answering(plain(b"local")), unix=True) as server:
        assert (await exchange(transport, server.target))[2] == b"local"
        assert (await exchange(transport, server.target))[2] == b"local"
    assert server.connections == 1


@having("informs")
async def test_early_hints_are_relayed_and_other_interim_answers_swallowed(transport):
    answer = (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nconnection: x\r\n\r\n"
        b"HTTP/1.1 102 Processing\r\nx: y\r\n\r\n"
    )
    told = []
    async with scripted(answering(answer + plain(b"final"))) as server:
        request = ask(on_inform=lambda status, headers: told.append((status, headers)))
        assert (await exchange(transport, server.target, request))[2] == b"final"
        assert (await exchange(transport, server.target))[2] == b"final"
    assert told == [(103, [(b"link", b"</a.css>")])]
    assert server.connections == 1


@having()
async def test_interim_answers_are_not_the_answer(transport):
    async with scripted(answering(b"HTTP/1.1 102 P\r\n\r\n" * 10 + plain(b"final"))) as server:
        status, _, body = await exchange(transport, server.target)
    assert (status, body) == (200, b"final")


@having("informs")
async def test_more_than_ten_interim_answers_are_a_fault(transport):
    async with scripted(answering(b"HTTP/1.1 102 P\r\n\r\n" * 11 + plain(b"final"))) as server:
        assert (await fault_of(transport.send(server.target, ask()))).kind is FaultKind.HTTP_PROTOCOL_ERROR
        await until(lambda: server.ended == 1, what="the connection's end")


@having("duplex")
async def test_a_response_may_begin_before_the_request_is_over(transport):
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            size = int(await peer.reader.readuntil(b"\r\n"), 16)
            piece = await peer.reader.readexactly(size + 2)
            peer.send(b"%x\r\n%b\r\n" % (size, piece[:-2]))
            if not size:
                return await peer.flush()

    body = Pieces([b"ping"], None, hang=True)
    async with scripted(script) as server:
        response = await transport.send(server.target, ask("POST", body=body))
        assert (response.take()[0] or await response.read()) == b"ping"
        body.pieces.append(b"pong")
        body.more.set()
        assert await read_all(response) == b"pong"
        response.close()


@having("duplex")
async def test_a_response_that_ends_before_its_request_stops_the_pump_and_the_connection(transport):
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(plain(b"too much", status=b"413 Too Large"))
        await peer.gone()

    body = Pieces([b"x" * 1000], None, hang=True)
    async with scripted(script, answering(plain(b"other"))) as server:
        status, _, answer = await exchange(transport, server.target, ask("POST", body=body))
        assert (status, answer) == (413, b"too much")
        await until(lambda: body.cancelled and server.ended == 1, 1.0, "pump and connection ended")
        assert (await exchange(transport, server.target))[2] == b"other"
    assert server.connections == 2


@having("duplex")
async def test_a_whole_answer_stays_one_when_the_client_fails_afterwards(transport):
    async def script(peer: Peer) -> None:
        await peer.head()
        peer.send(plain(b"enough", status=b"413 Too Large"))
        await peer.gone()

    gone = FaultError(Fault(FaultKind.CLIENT_GONE, Side.DOWNSTREAM))
    body = Pieces([b"x"], None, hang=True, error=gone)
    async with scripted(script) as server:
        response = await transport.send(server.target, ask("POST", body=body))
        body.more.set()
        await until(lambda: server.ended == 1, what="the connection's end")
        assert await read_all(response) == b"enough"
        response.close()


@having()
async def test_a_body_at_hand_arrives_whole_whatever_its_size(transport):
    async with scripted(answering(plain())) as server:
        for size in (1, 65535, 65536, 3_000_000):
            await exchange(transport, server.target, ask("POST", body=b"z" * size))
            assert server.requests[-1].body == b"z" * size
    assert server.connections == 1
