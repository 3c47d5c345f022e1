"""Whatever bytes arrive, in whatever pieces: no error inside, only well-formed answers or a close, and one verdict.

The protocol runs without a socket here: a transport of the test's own records what it writes.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spork.adapters.edge.edge import Edge
from spork.adapters.edge.protocol import EdgeProtocol
from spork.adapters.litestar.problems import JsonProblemResponses
from spork.application.configuration.model import EdgeLimits
from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import RequestBody, ResponseSink
from spork.domain.http.head import RequestHead

LIMITS = EdgeLimits(header_bytes=600, header_fields=12, target_bytes=120, body_bytes=200)


class Wire(asyncio.Transport):
    """A transport that keeps what is written. Like a real one, it delivers nothing once closed."""

    def __init__(self) -> None:
        super().__init__({"peername": ("192.0.2.1", 4711), "sockname": ("192.0.2.2", 80)})
        self.written = bytearray()
        self.closing = False
        self.half_closed = False
        self.paused = False

    def write(self, data: Any) -> None:
        assert isinstance(data, bytes)
        assert not self.half_closed, "nothing is written behind the end"
        if not self.closing:
            self.written += data

    def write_eof(self) -> None:
        self.half_closed = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.closing = True

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def get_write_buffer_size(self) -> int:
        return 0


class Seen:
    """A gateway that notes each request with its whole body, or the fault in its place."""

    def __init__(self) -> None:
        self.exchanges: list[tuple[Any, ...]] = []

    async def handle(self, head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        data = bytearray()
        try:
            while piece := await body.read():
                data += piece
            self.exchanges.append(
                (head.method, head.path, head.query, head.headers, head.host, head.upgrade, bytes(data))
            )
            sink.start(200, [(b"content-length", b"2")])
            sink.write(b"ok")
            sink.finish()
        except FaultError as error:
            self.exchanges.append((head.method, head.path, error.fault.kind.value))
            answer = JsonProblemResponses().fail(error.fault, "")
            sink.start(answer.status, [*answer.headers, (b"connection", b"close")])
            sink.write(answer.body)
            sink.finish()


def final_statuses(written: bytes) -> list[int]:
    """The statuses of the final answers in `written`, each of which must be well-formed and whole.

    An answer to HEAD has a length and no body. No body of these tests begins like a status line.
    """
    found = []
    while written:
        head, end, written = written.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        assert end
        assert re.fullmatch(rb"HTTP/1\.1 [1-5][0-9][0-9] [A-Za-z \-]+", line)
        assert all(re.fullmatch(rb"[a-z\-]+: [ -~]*", field) for field in fields)
        status = int(line[9:12])
        if status < 200:
            assert status == 100
            continue
        found.append(status)
        lengths = [int(field.partition(b": ")[2]) for field in fields if field.startswith(b"content-length: ")]
        assert len(lengths) == 1
        if not written.startswith(b"HTTP/1.1 ") and written:
            assert len(written) >= lengths[0]
            written = written[lengths[0] :]
    return found


async def converse(data: bytes, cuts: list[int]) -> tuple[list[int], list[tuple[Any, ...]], bool]:
    """Statuses answered, exchanges seen, whether the edge ended the connection."""
    seen = Seen()
    edge = Edge(JsonProblemResponses(), gateway=seen, limits=LIMITS)
    config = cast(Any, SimpleNamespace(loaded_app=None))
    protocol = EdgeProtocol(edge, config, cast(Any, None), {}, asyncio.get_running_loop()).connection
    wire = Wire()
    protocol.connection_made(wire)
    try:
        at = 0
        for cut in [*cuts, len(data)]:
            piece = data[at : at + cut]
            if not piece or wire.closing:
                break
            protocol.data_received(piece)
            at += len(piece)
            await asyncio.sleep(0)
        for _ in range(1000):
            await asyncio.sleep(0)
            busy = protocol.serving is not None and protocol.serving.complete and not protocol.serving.finished
            if not busy and not protocol._queue and not protocol._backlog:
                break
    finally:
        protocol.connection_lost(None)
        await asyncio.sleep(0)
        edge.abort()
    return final_statuses(bytes(wire.written)), seen.exchanges, wire.closing or wire.half_closed


LINES = st.sampled_from(
    [b"GET / HTTP/1.1", b"POST /a HTTP/1.1", b"HEAD /a?b HTTP/1.1", b"GET /a//b HTTP/1.1", b"GET /%2e HTTP/1.1",
     b"OPTIONS * HTTP/1.1", b"GET http://h/x HTTP/1.1", b"GET / HTTP/1.0", b"GET /", b"TRACE / HTTP/1.1",
     b"CONNECT h:1 HTTP/1.1", b"PUT /" + b"p" * 130 + b" HTTP/1.1", b"GET / HTTP/2.0"]
)  # fmt: skip
FIELDS = st.sampled_from(
    [b"Host: h", b"host:h:80", b"Host: h/x", b"Content-Length: 3", b"Content-Length: 300", b"Content-Length: +3",
     b"Transfer-Encoding: chunked", b"Transfer-Encoding: gzip, chunked", b"Transfer-Encoding : chunked",
     b"Connection: close", b"Connection: Upgrade", b"Connection: keep-alive", b"Upgrade: websocket", b"Upgrade: h2c",
     b"Expect: 100-continue", b"Expect: x", b"X_Y: z", b"X-Y: z\r\n fold", b"X-Y: \x00", b"X-Long: " + b"l" * 590, b": x",
     b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]
)  # fmt: skip
BODIES = st.sampled_from(
    [b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"0\r\nX-T: 1\r\n\r\n", b"3;e=1\r\nabc\r\n0\r\n\r\n", b"zz\r\n", b"a" * 300,
     b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n", b"ffffffffffffffff\r\n", b"1\r\na\r\n" * 210 + b"0\r\n\r\n"]
)  # fmt: skip


@st.composite
def requests(draw: Callable[..., Any]) -> bytes:
    line = draw(LINES)
    fields = [b"Host: h"] * draw(st.sampled_from([1, 1, 1, 0])) + draw(st.lists(FIELDS, max_size=4))
    return b"".join(part + b"\r\n" for part in [line, *fields]) + b"\r\n" + cast(bytes, draw(BODIES))


@st.composite
def mutated(draw: Callable[..., Any]) -> bytes:
    """A few requests with a few bytes replaced, removed or put in."""
    data = bytearray(b"".join(draw(st.lists(requests(), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["replace", "remove", "insert"]))
        if kind == "remove":
            del data[at : at + 1]
        else:
            data[at : at + (kind == "replace")] = draw(
                st.sampled_from([b"\r", b"\n", b"\0", b" ", b"\t", b":", b"\xff", b"%", b"/", b"0", b"\r\n"])
            )
    return bytes(data)


CUTS = st.lists(st.integers(1, 40), max_size=30)


@pytest.fixture(autouse=True)
def no_error_is_logged(caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.ERROR)
    yield
    assert [record.getMessage() for record in caplog.records] == []


def check(data: bytes, cuts: list[int]) -> None:
    whole = asyncio.run(converse(data, []))
    pieces = asyncio.run(converse(data, cuts))
    assert pieces == whole
    statuses, exchanges, _ = whole
    assert 500 not in statuses
    assert all(status == 200 or 400 <= status < 600 for status in statuses)
    assert len(statuses) >= len(exchanges)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutated(), CUTS)
# A target that is too long, and malformed before, in or behind it: one verdict however the bytes arrive.
@example(b"PUT /" + b"p" * 130 + b"\x00 HTTP/1.1\r\nHost: h\r\n\r\n", [1] * 200)
@example(b"PUT /" + b"p" * 130 + b" HTTP/1.1\x00\r\nHost: h\r\n\r\n", [1] * 200)
@example(b"PUT /\x00" + b"p" * 130 + b" HTTP/1.1\r\nHost: h\r\n\r\n", [1] * 200)
@example(
    b"POST /a HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3;e=1\r\nabc\r\n0\r\n\r\n", [60, 1, 1, 1, 1]
)
@example(b"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n", [47])
def test_requests_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    check(data, cuts)


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300), CUTS)
def test_any_bytes_in_any_pieces(data: bytes, cuts: list[int]) -> None:
    check(data, cuts)
