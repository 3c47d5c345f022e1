"""Connections of the edge: order, deadlines, backpressure, front doors, and every way one can end."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from spork.application.configuration.model import EdgeLimits
from spork.application.kernel.streams import RequestBody, ResponseSink
from spork.domain.http.head import RequestHead
from tests.edges import Client, Recorder, Serving, serving, until

HOST = b"Host: a.example\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"


def get(path: bytes, *fields: bytes) -> bytes:
    return b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def post(*fields: bytes, body: bytes = b"", path: bytes = b"/") -> bytes:
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


async def echo_path(head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
    sink.start(200, [(b"content-length", b"%d" % len(head.path))])
    sink.write(head.path)
    sink.finish()


class Gate:
    """A behaviour that answers its path once it is let through."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        await self.open.wait()
        await echo_path(head, body, sink)


# -- keep-alive and pipelining -----------------------------------------------------------------------------------------


async def test_many_requests_on_one_connection() -> None:
    async with serving() as served:
        client = await served.client()
        for number in range(1, 6):
            await client.send(GET)
            answer = await client.answer()
            assert (answer.body, answer.header("connection")) == (b"%d" % number, None)


@pytest.mark.parametrize("size", [None, 1, 13])
async def test_pipelined_requests_are_answered_in_order(size: int | None) -> None:
    sent = b"".join(
        get(b"/%d" % n) if n % 3 else post(b"Content-Length: 3", body=b"abc", path=b"/%d" % n) for n in range(40)
    )
    async with serving(gateway=Recorder(echo_path)) as served:
        client = await served.client()
        await client.send(sent, size)
        assert [(await client.answer()).body for _ in range(40)] == [b"/%d" % n for n in range(40)]


async def test_one_at_a_time() -> None:
    """A pipelined request begins only when the answer before it has ended."""
    gate = Gate()
    async with serving(gateway=Recorder(gate)) as served:
        client = await served.client()
        await client.send(get(b"/1") + get(b"/2"))
        await until(lambda: served.gateway.heads)
        await asyncio.sleep(0.05)
        assert served.gateway.seen == ["GET /1"]
        gate.open.set()
        assert [(await client.answer()).body, (await client.answer()).body] == [b"/1", b"/2"]


async def test_read_ahead_is_bounded() -> None:
    gate = Gate()
    async with serving(gateway=Recorder(gate)) as served:
        client = await served.client()
        small = GET * 20_000
        client.writer.write(small)
        await until(lambda: served.gateway.heads)
        await asyncio.sleep(0.2)
        connection = next(iter(served.edge.connections))
        assert len(connection._queue) < 200
        assert connection._buffered < 512 * 1024
        assert len(served.gateway.heads) == 1
        gate.open.set()
        for _ in range(20_000):
            assert (await client.answer()).status == 200


async def test_a_refusal_waits_for_its_turn() -> None:
    gate = Gate()
    async with serving(gateway=Recorder(gate)) as served:
        client = await served.client()
        await client.send(get(b"/1") + get(b"/a//b") + get(b"/2") + b"GARBAGE\r\n\r\n" + get(b"/3"))
        await until(lambda: served.gateway.heads)
        gate.open.set()
        answers = [await client.answer() for _ in range(4)]
        assert [answer.status for answer in answers] == [200, 400, 200, 400]
        assert await client.closed()
        assert served.gateway.seen == ["GET /1", "GET /2"]


async def test_what_follows_close_is_nobodys() -> None:
    async with serving() as served:
        client = await served.client()
        await client.send(get(b"/1", b"Connection: close") + get(b"/2"))
        assert (await client.answer()).header("connection") == "close"
        assert await client.closed()
        assert served.gateway.seen == ["GET /1"]


async def test_a_smuggled_request_in_a_body_is_a_body() -> None:
    async with serving() as served:
        client = await served.client()
        inner = get(b"/inner")
        await client.send(post(b"Content-Length: %d" % len(inner), body=inner) + get(b"/outer"))
        await client.answer()
        await client.answer()
        assert served.gateway.seen == ["POST /", "GET /outer"]


async def test_blank_lines_between_requests() -> None:
    async with serving() as served:
        client = await served.client()
        await client.send(b"\r\n" + GET + b"\r\n\r\n" + GET)
        assert [(await client.answer()).body, (await client.answer()).body] == [b"1", b"2"]


# -- HTTP/1.0 and framing of answers -----------------------------------------------------------------------------------


async def test_http_1_0() -> None:
    async with serving() as served:
        client = await served.client()
        await client.send(b"GET /1 HTTP/1.0\r\n\r\n")
        assert (await client.answer()).header("connection") == "close"
        assert await client.closed()
        client = await served.client()
        await client.send(b"GET /2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" * 2)
        assert (await client.answer()).header("connection") == "keep-alive"
        assert (await client.answer()).body == b"3"
        assert served.gateway.heads[0].host == b""


def streaming(*pieces: bytes, status: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Recorder:
    async def stream(head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        sink.start(status, list(headers))
        sink.write(b"")
        for piece in pieces:
            await asyncio.sleep(0.01)
            sink.write(piece)
        sink.finish()

    return Recorder(stream)


async def test_unknown_length_is_chunked_and_flows_at_once() -> None:
    async with serving(gateway=streaming(b"a" * 10, b"b" * 300)) as served:
        client = await served.client()
        await client.send(GET)
        raw = await client.reader.readuntil(b"0\r\n\r\n")
        assert raw.endswith(b"\r\n\r\na\r\n" + b"a" * 10 + b"\r\n12c\r\n" + b"b" * 300 + b"\r\n0\r\n\r\n")
        assert b"transfer-encoding: chunked\r\n" in raw


async def test_unknown_length_for_1_0_ends_with_the_connection() -> None:
    async with serving(gateway=streaming(b"abc", b"def")) as served:
        client = await served.client()
        await client.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        answer = await client.answer()
        assert (answer.body, answer.header("connection")) == (b"abcdef", "close")
        assert answer.header("transfer-encoding") is None


async def test_an_answer_that_ends_at_once_has_its_length() -> None:
    async def soon(head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        sink.start(200, [])
        sink.write(b"ab")
        sink.write(b"cd")
        sink.finish()

    async with serving(gateway=Recorder(soon)) as served:
        answer = await served.ask(GET)
        assert (answer.header("content-length"), answer.body) == ("4", b"abcd")


@pytest.mark.parametrize(("method", "status", "length"), [(b"HEAD", 200, "5"), (b"GET", 304, "5"), (b"GET", 204, None)])
async def test_answers_without_a_body_have_none(method: bytes, status: int, length: str | None) -> None:
    gateway = streaming(b"abcde", status=status, headers=((b"content-length", b"5"),))
    async with serving(gateway=gateway) as served:
        client = await served.client()
        for _ in range(2):
            await client.send(GET.replace(b"GET", method))
            answer = await client.answer(method.decode())
            assert (answer.status, answer.header("content-length")) == (status, length)


async def test_refusals_of_head_have_no_body() -> None:
    async with serving() as served:
        client = await served.client()
        await client.send(b"HEAD /a//b HTTP/1.1\r\n" + HOST + b"\r\n" + GET)
        answer = await client.answer("HEAD")
        assert answer.status == 400
        assert int(answer.header("content-length") or 0) > 0
        assert (await client.answer()).body == b"1"


@pytest.mark.parametrize("pieces", [(b"abc",), (b"abc", b"defg")])
async def test_a_length_that_is_not_kept_is_a_cut(pieces: tuple[bytes, ...]) -> None:
    async with serving(gateway=streaming(*pieces, headers=((b"content-length", b"6"),))) as served:
        answer = await served.ask(GET)
        assert (answer.status, answer.whole) == (200, False)


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("fields", [(), ((b"content-length", b"9"),)])
async def test_abort_is_never_a_clean_end(version: bytes, fields: tuple[tuple[bytes, bytes], ...]) -> None:
    async def cut(head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        sink.start(200, list(fields))
        sink.write(b"abc")
        await asyncio.sleep(0.01)
        sink.abort()

    async with serving(gateway=Recorder(cut)) as served:
        client = await served.client()
        await client.send(b"GET / HTTP/" + version + b"\r\n" + HOST + b"\r\n")
        if fields or version == b"1.1":
            assert not (await client.answer()).whole
        else:
            with pytest.raises(ConnectionResetError):
                await client.reader.read()


async def test_an_answer_cannot_be_split() -> None:
    for headers in ([(b"x", b"a\r\nset-cookie: b")], [(b"x\n", b"a")], [(b"x", b"a\rb")],
                    [(b"content-length", b"1"), (b"content-length", b"2")]):  # fmt: skip
        async with serving(gateway=streaming(headers=tuple(headers))) as served:
            answer = await served.ask(GET)
            assert (answer.status, answer.header("set-cookie")) == (500, None)


async def test_interim_answers_come_first() -> None:
    async def hint(head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        sink.inform(103, [(b"link", b"</a>")])
        await echo_path(head, body, sink)

    async with serving(gateway=Recorder(hint)) as served:
        client = await served.client()
        await client.send(GET)
        first = await client.answer()
        assert (first.status, first.header("link")) == (103, "</a>")
        assert (await client.answer()).status == 200
        assert (await served.ask(b"GET / HTTP/1.0\r\n\r\n")).status == 200


async def test_an_exchange_that_fails_or_says_nothing_is_500() -> None:
    async def fail(head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        if head.path == b"/raise":
            raise ValueError("secret")

    async with serving(gateway=Recorder(fail)) as served:
        for path in (b"/raise", b"/silent"):
            answer = await served.ask(get(path))
            assert (answer.status, b"secret" in answer.body) == (500, False)
        assert served.edge.in_flight == 0


# -- deadlines ---------------------------------------------------------------------------------------------------------

SHORT = EdgeLimits(header_timeout=0.3, idle_timeout=0.3)


async def seconds_to_close(client: Client) -> float:
    loop = asyncio.get_running_loop()
    began = loop.time()
    await client.rest()
    return loop.time() - began


async def test_a_silent_connection_is_closed() -> None:
    async with serving(SHORT) as served:
        client = await served.client()
        assert 0.1 < await seconds_to_close(client) < 1.5
        assert served.refused == []


async def test_half_a_head_is_a_408() -> None:
    async with serving(SHORT) as served:
        client = await served.client()
        await client.send(b"GET / HTTP/1.1\r\nHost")
        answer = await client.answer()
        assert (answer.status, answer.header("connection")) == (408, "close")
        assert await client.closed()


async def test_a_slow_loris_does_not_live_on_its_drops() -> None:
    async with serving(SHORT) as served:
        client = await served.client()
        await client.send(b"GET / HTTP/1.1\r\n")
        for _ in range(200):
            if served.refused:
                break
            await client.send(b"A: b\r\n")
            await asyncio.sleep(0.01)
        assert served.refused == [("header_timeout", 408)]
        assert (await client.answer()).status == 408


async def test_an_idle_connection_is_closed_and_blank_lines_are_idle() -> None:
    async with serving(SHORT) as served:
        client = await served.client()
        await client.send(GET)
        await client.answer()
        ending = asyncio.create_task(seconds_to_close(client))
        while not ending.done():
            client.writer.write(b"\r\n")
            await asyncio.sleep(0.02)
        assert 0.1 < await ending < 1.5


async def test_a_slow_exchange_has_no_deadline_here() -> None:
    gate = Gate()
    async with serving(SHORT, Recorder(gate)) as served:
        client = await served.client()
        await client.send(GET + b"GET / HT")
        await asyncio.sleep(0.8)
        gate.open.set()
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 408


@pytest.mark.parametrize("framing", [b"Content-Length: 1000", b"Transfer-Encoding: chunked"])
async def test_a_body_that_drips_is_a_408(framing: bytes) -> None:
    async with serving(EdgeLimits(body_min_rate=1000, body_grace=0.3)) as served:
        client = await served.client()
        await client.send(post(framing))
        for _ in range(300):
            if served.gateway.faults:
                break
            await client.send(b"1\r\na\r\n" if b"chunked" in framing else b"a")
            await asyncio.sleep(0.01)
        assert served.gateway.faults == ["body_too_slow"]
        assert (await client.answer()).status == 408
        assert await client.closed()


async def test_a_body_that_waits_for_us_is_not_slow() -> None:
    gate = Gate()
    async with serving(EdgeLimits(body_min_rate=1000, body_grace=0.2), Recorder(gate)) as served:
        client = await served.client()
        await client.send(post(b"Content-Length: 10", b"Expect: 100-continue"))
        await asyncio.sleep(0.6)
        gate.open.set()
        assert (await client.answer()).status == 200


async def test_a_fast_body_may_pause_within_its_grace() -> None:
    async with serving(EdgeLimits(body_min_rate=1000, body_grace=0.8)) as served:
        client = await served.client()
        await client.send(post(b"Content-Length: 2000", body=b"a" * 1000))
        await asyncio.sleep(0.3)
        await client.send(b"a" * 1000)
        assert (await client.answer()).status == 200


async def test_a_reader_that_stops_is_cut() -> None:
    endless = asyncio.Event()

    async def pour(head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        sink.start(200, [])
        try:
            while True:
                sink.write(b"a" * 65536)
                if sink.paused:
                    await sink.drain()
                await asyncio.sleep(0)
        finally:
            endless.set()

    async with serving(EdgeLimits(idle_timeout=0.4), Recorder(pour)) as served:
        client = await served.client()
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(GET)
        await asyncio.wait_for(endless.wait(), 5)
        assert served.gateway.cancelled == 1


# -- backpressure ------------------------------------------------------------------------------------------------------


async def test_a_slow_reader_does_not_grow_memory() -> None:
    written = 0

    async def pour(head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        nonlocal written
        sink.start(200, [(b"content-length", b"%d" % (200 * 65536))])
        for _ in range(200):
            sink.write(b"a" * 65536)
            written += 65536
            if sink.paused:
                await sink.drain()
        sink.finish()

    async with serving(gateway=Recorder(pour)) as served:
        sock = socket.create_connection(("127.0.0.1", served.port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        client = Client(*await asyncio.open_connection(sock=sock, limit=16384))
        served.clients.append(client)
        client.reader._transport.pause_reading()  # type: ignore[attr-defined]
        await client.send(GET)
        await until(lambda: written)
        await asyncio.sleep(0.3)
        connection = next(iter(served.edge.connections))
        assert connection.transport.get_write_buffer_size() <= 65536 * 2 + 1000
        assert written < 200 * 65536
        client.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert len((await client.answer()).body) == 200 * 65536


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_slow_target_stops_the_sender(chunked: bool) -> None:
    """Body that nobody reads stays with the client, but for one high-water mark."""
    gate = asyncio.Event()
    total = 40 * 65536

    async def late(head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        await gate.wait()
        size = 0
        while piece := await body.read():
            assert len(piece) <= 1024 * 1024
            size += len(piece)
        sink.start(200, [])
        sink.write(b"%d" % size)
        sink.finish()

    async with serving(gateway=Recorder(late)) as served:
        client = await served.client()
        piece = b"a" * 65536
        framed = b"10000\r\n" + piece + b"\r\n" if chunked else piece
        client.writer.write(post(b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % total))
        client.writer.write(framed * 40 + (b"0\r\n\r\n" if chunked else b""))
        await until(lambda: served.gateway.heads)
        await asyncio.sleep(0.2)
        cycle = next(iter(served.edge.connections)).serving
        assert cycle is not None
        assert cycle.received <= 512 * 1024
        gate.set()
        assert (await client.answer()).body == b"%d" % total


# -- clients that leave ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset"])
@pytest.mark.alone
async def test_a_client_that_leaves_cancels_its_exchange(how: str) -> None:
    gate = Gate()
    async with serving(gateway=Recorder(gate)) as served:
        client = await served.client()
        await client.send(GET)
        await until(lambda: served.gateway.heads)
        began = asyncio.get_running_loop().time()
        client.writer.transport.abort() if how == "reset" else client.close()
        await until(lambda: served.gateway.cancelled, "cancellation")
        assert asyncio.get_running_loop().time() - began < 1.0
        await until(lambda: not served.edge.in_flight and not served.edge.connections)


async def test_a_client_that_leaves_in_its_body() -> None:
    async with serving() as served:
        client = await served.client()
        await client.send(post(b"Content-Length: 10", body=b"abc"))
        await until(lambda: served.gateway.heads)
        client.close()
        await until(lambda: served.gateway.cancelled or served.gateway.faults)
        assert served.gateway.bodies == []


async def test_a_half_closed_client_gets_its_answer() -> None:
    async def soon(head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        await asyncio.sleep(0.05)
        await echo_path(head, body, sink)

    async with serving(gateway=Recorder(soon)) as served:
        client = await served.client()
        await client.send(get(b"/1") + get(b"/2"))
        client.writer.write_eof()
        assert [(await client.answer()).body, (await client.answer()).body] == [b"/1", b"/2"]
        assert await client.closed()
        assert served.gateway.cancelled == 0


async def test_a_cut_head_is_forgotten() -> None:
    async with serving() as served:
        client = await served.client()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n")
        client.writer.write_eof()
        assert await client.closed()
        assert (served.gateway.heads, served.refused) == ([], [])


# -- the two front doors -----------------------------------------------------------------------------------------------


async def test_own_paths_go_to_the_application() -> None:
    async with serving() as served:
        answer = await served.ask(get(b"/health?x"))
        assert (answer.body, answer.header("x-path")) == (b"own /health 0", "/health")
        answer = await served.ask(post(b"Content-Length: 200000", path=b"/own/%C3%A4", body=b"a" * 200_000))
        assert answer.body == "own /own/ä 200000".encode()
        assert (await served.ask(get(b"/own"))).body == b"own /own 0"
        assert (await served.ask(get(b"/owned"))).body == b"1"
        assert (await served.ask(get(b"/healthy"))).body == b"2"


async def test_own_endpoints_learn_of_body_faults_by_a_disconnect() -> None:
    async with serving(EdgeLimits(body_bytes=10)) as served:
        answer = await served.ask(post(b"Content-Length: 11", path=b"/own", body=b"a" * 11))
        assert answer.status == 413


async def test_own_endpoints_hear_that_the_client_left(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[str] = []

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"one", "more_body": True})
        heard.append((await receive())["type"])
        heard.append((await receive())["type"])
        await send({"type": "http.response.body", "body": b"two", "more_body": False})
        heard.append("ended")

    async with serving(app=stream) as served:
        client = await served.client()
        await client.send(get(b"/own"))
        assert (await client.reader.readuntil(b"one\r\n")).endswith(b"3\r\none\r\n")
        client.close()
        await until(lambda: "ended" in heard)
        assert heard == ["http.request", "http.disconnect", "ended"]
        await until(lambda: not served.edge.in_flight)
    assert [record.getMessage() for record in caplog.records if record.levelname == "ERROR"] == []


async def test_the_mount_sees_one_path() -> None:
    async with serving(EdgeLimits(front_door="mount"), Recorder(echo_path)) as served:
        assert (await served.ask(get(b"/a/b"))).body == b"/a/b"
        assert (await served.ask(get(b"/health"))).body == b"own /health 0"


# -- capacity ----------------------------------------------------------------------------------------------------------


async def test_beyond_max_in_flight() -> None:
    gate = Gate()
    async with serving(EdgeLimits(max_in_flight=2), Recorder(gate)) as served:
        first, second, third = [await served.client() for _ in range(3)]
        await first.send(GET)
        await second.send(GET)
        await until(lambda: served.edge.in_flight == 2)
        await third.send(GET)
        answer = await third.answer()
        assert (answer.status, answer.header("retry-after"), answer.header("connection")) == (503, "1", None)
        await third.send(get(b"/health"))
        assert (await third.answer()).status == 200
        gate.open.set()
        await first.answer()
        await second.answer()
        await third.send(GET)
        assert (await third.answer()).status == 200


async def test_beyond_max_connections() -> None:
    async with serving(EdgeLimits(max_connections=2)) as served:
        for _ in range(2):
            client = await served.client()
            await client.send(GET)
            assert (await client.answer()).status == 200
        third = await served.client()
        await third.send(get(b"/health"))
        assert (await third.answer()).status == 200
        await third.send(GET)
        answer = await third.answer()
        assert (answer.status, answer.header("connection")) == (503, "close")


async def idle_edge(served: Serving) -> Any:
    await until(lambda: not served.edge.connections)
    await until(lambda: served.edge._timer is None, "the sweeper's rest")


async def test_no_connection_no_timer() -> None:
    async with serving(SHORT) as served:
        for _ in range(2):
            assert (await served.ask(GET)).status == 200
            assert served.edge._timer is not None
            await idle_edge(served)
