"""The response reader: chunking never changes the verdict, nothing but FaultError, nothing kept after doubt.

llhttp is the yardstick: whatever head this reader lets pass, llhttp reads the same way.
"""

from __future__ import annotations

import itertools
import time

import httptools
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from spork.adapters.http1.reader import DONE, MAX_HEAD, TUNNEL, ResponseReader
from spork.application.kernel.faults import FaultError
from spork.domain.http.head import HOP_BY_HOP
from spork.domain.outcomes import FaultKind

SEEDS = [
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\nx-t: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nServer: x\r\n\r\nuntil close",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304\r\ncontent-length: 9\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nraw",
    b"HTTP/1.1 200 OK\r\nset-cookie: a=1\r\nSet-Cookie: b=2\r\nconnection: close, x-a\r\nx-a: 1\r\n\r\n",
    b"HTTP/1.1 500 Oh dear\r\nKeep-Alive: timeout=5, max=100\r\ncontent-length: 1\r\n\r\n!",
]
TOKENS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\0",
    b" ",
    b"\t",
    b":",
    b",",
    b"0\r\n\r\n",
    b"5\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"content-length: 3\r\n",
    b"transfer-encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"x" * 200,
    b"\xff",
    b"HTTP/1.1 102 P\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"content-length: 99999999999\r\n",
]


def verdict(stream: bytes, cuts: list[int], method: str = "GET", upgrade: bool = False) -> tuple[object, ...]:
    """Feed `stream` cut at `cuts`, then its end: everything that can be seen from outside."""
    told: list[object] = []
    reader = ResponseReader(method, upgrade, lambda status, headers: told.append((status, headers)))
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    fault: FaultKind | None = None
    try:
        for start, end in itertools.pairwise(edges):
            reader.feed(stream[start:end])
        kept = reader.keep and reader.phase == DONE
        reader.end()
    except FaultError as error:
        fault, kept = error.fault.kind, False
    body = b"".join(reader.pieces)
    if fault is None:
        return reader.status, list(reader.headers), body, kept, told, fault
    return reader.status, fault, told  # how much of a broken body was seen before the break is a matter of luck


def mutated() -> st.SearchStrategy[bytes]:
    edit = st.tuples(st.sampled_from(["insert", "delete", "replace"]), st.integers(0, 400), st.sampled_from(TOKENS))

    def apply(seed: bytes, edits: list[tuple[str, int, bytes]]) -> bytes:
        for kind, place, token in edits:
            place %= len(seed) + 1
            if kind == "insert":
                seed = seed[:place] + token + seed[place:]
            elif kind == "delete":
                seed = seed[:place] + seed[place + len(token) :]
            else:
                seed = seed[:place] + token + seed[place + len(token) :]
        return seed

    return st.builds(apply, st.sampled_from(SEEDS), st.lists(edit, max_size=4))


STREAMS = st.one_of(mutated(), st.lists(st.sampled_from([*SEEDS, *TOKENS]), max_size=8).map(b"".join), st.binary())
CUTS = st.lists(st.integers(0, 1000), max_size=12)


@settings(max_examples=600, deadline=None)
@given(STREAMS, CUTS, st.sampled_from(["GET", "HEAD"]), st.booleans())
@example(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\na\r\n", [40], "GET", False)
@example(b"HTTP/1.1 200 OK\r\n\n", list(range(20)), "GET", False)
@example(SEEDS[1] + SEEDS[7], [], "GET", False)
@example(SEEDS[1] + SEEDS[0], [], "GET", True)
def test_chunking_never_changes_the_verdict(stream, cuts, method, upgrade):
    whole = verdict(stream, [], method, upgrade)
    assert verdict(stream, cuts, method, upgrade) == whole
    assert verdict(stream, list(range(len(stream))), method, upgrade) == whole


@settings(max_examples=300, deadline=None)
@given(mutated(), CUTS)
def test_only_an_exact_response_leaves_its_connection_usable(stream, cuts):
    """Kept means: these bytes are one response, and adding any byte to them makes it not kept."""
    result = verdict(stream, cuts)
    if len(result) == 6 and result[3]:
        for surplus in (b"\r", b"\n", b"\r\n", b"\0", b"H", SEEDS[0]):
            more = verdict(stream + surplus, cuts)
            assert len(more) == 6
            assert more[:3] == result[:3]
            assert not more[3]
        less = verdict(stream[:-1], cuts)
        assert len(less) == 3 or not less[3]


class _Yardstick:
    def __init__(self) -> None:
        self.headers: list[tuple[bytes, bytes]] = []
        self.heads: list[tuple[int, list[tuple[bytes, bytes]]]] = []
        self.parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.heads.append((self.parser.get_status_code(), self.headers))
        self.headers = []


@settings(max_examples=500, deadline=None)
@given(mutated())
@example(b"HTTP/1.1 100 Continue\r\nConnection: close\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
def test_what_passes_llhttp_reads_alike(stream):
    reader = ResponseReader("GET")
    try:
        reader.feed(stream)
    except FaultError:
        return
    if not reader.status:
        return
    yardstick = _Yardstick()
    refused = ""
    try:
        yardstick.parser.feed_data(stream)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        refused = str(error)
    finals = [head for head in yardstick.heads if head[0] >= 200]
    if not finals and "Connection: close" in refused:  # llhttp reads no further than an interim head that says so
        assert yardstick.heads
        assert not reader.keep
        return
    assert finals, "llhttp refuses a head that this reader lets pass"
    status, fields = finals[0]
    assert status == reader.status
    received = [header for header in fields if header[0] not in HOP_BY_HOP]
    assert [header for header in received if header in reader.headers] == reader.headers


def test_a_head_of_64_kib_passes_and_one_byte_more_does_not():
    frame = b"HTTP/1.1 200 OK\r\nx: %b\r\n\r\n"
    room = MAX_HEAD - len(frame) + 2
    reader = ResponseReader("GET")
    reader.feed(frame % (b"a" * room))
    assert reader.status == 200
    with pytest.raises(FaultError) as caught:
        ResponseReader("GET").feed(frame % (b"a" * (room + 1)))
    assert caught.value.fault.kind is FaultKind.HTTP_RESPONSE_HEADER_SECTION_SIZE


def test_a_head_that_comes_byte_by_byte_costs_no_more_than_its_size():
    reader = ResponseReader("GET")
    began = time.process_time()
    for byte in b"HTTP/1.1 200 OK\r\nx: " + b"a" * 60000:
        reader.feed(bytes((byte,)))
    assert time.process_time() - began < 2.0


def test_trailers_without_end_are_refused():
    reader = ResponseReader("GET")
    reader.feed(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n")
    with pytest.raises(FaultError):
        for number in range(100_000):
            reader.feed(b"x-%d: y\r\n" % number)


def test_a_tunnel_hands_on_everything():
    reader = ResponseReader("GET", upgrade=True)
    reader.feed(SEEDS[7])
    reader.feed(b"more")
    assert (reader.phase, b"".join(reader.pieces), reader.keep) == (TUNNEL, b"rawmore", False)
