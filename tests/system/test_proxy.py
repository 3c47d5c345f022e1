"""A real gateway between raw sockets: what SEMANTICS says of forwarding, byte for byte."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import GatewayProcess, gateway_process, wait_until
from tests.system.raw import OK, Client, RawTarget, Script, Visit, ask, raw_target

GET = b"GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n"


class Site:
    """One gateway and one scriptable target behind it, for the whole module."""

    def __init__(self, gateway: GatewayProcess, target: RawTarget) -> None:
        self.gateway = gateway
        self.target = target
        self.port = gateway.port

    def behave(self, script: Script) -> None:
        """New connections to the target run `script`; what was pooled is dropped first."""
        for visit in self.target.visits:
            try:
                visit.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.target.visits.clear()
        self.target.script = script


@pytest.fixture(scope="module")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with raw_target() as target:
        config = f"""
access_log: "off"
edge: {{body_bytes: 2GiB}}
upstreams:
  t:
    targets: ["{target.url}"]
    timeouts: {{connect: 1s, first_byte: 20s, idle: 20s}}
routes:
  - {{name: all, match: {{path: /*}}, upstream: t}}
"""
        with gateway_process(config, tmp_path_factory.mktemp("proxy")) as gateway:
            yield Site(gateway, target)


@pytest.fixture
def site(shared_site: Site) -> Site:
    shared_site.behave(answer_ok)
    return shared_site


def answer_ok(visit: Visit) -> None:
    while visit.read_request() is not None:
        visit.send(OK)


def resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


# ------------------------------------------------------------------------------------------------ what a target sees


@pytest.mark.parametrize(
    "field",
    [
        b"X-User-Id: evil",
        b"x-USER-id: evil",
        b"X-Consumer-Id: evil",
        b"X-Gateway-Plan: evil",
        b"X-Forwarded-For: 6.6.6.6",
        b"X-Forwarded-Host: evil",
        b"X-Real-IP: 6.6.6.6",
        b"Forwarded: for=6.6.6.6",
        b"X-Original-URL: /evil",
        b"X-Rewrite-URL: /evil",
        b"X-HTTP-Method-Override: DELETE",
        b"X-Request-Id: evil",
        b"Keep-Alive: timeout=evil",
        b"TE: trailers",
        b"Proxy-Authorization: evil",
        b"Proxy-Connection: evil",
        b"Connection: X-Evil\r\nX-Evil: evil",
    ],
)
def test_hop_by_hop_and_gateway_owned_fields_never_reach_a_target(site: Site, field: bytes) -> None:
    status, _, _ = ask(site.port, b"GET /x HTTP/1.1\r\nHost: gw.test\r\n" + field + b"\r\n\r\n")
    assert status == 200
    seen = site.target.requests[-1].lower()
    assert b"evil" not in seen
    assert b"6.6.6.6" not in seen
    assert b"trailers" not in seen
    assert b"delete" not in seen


def test_an_underscore_alias_of_an_owned_field_is_refused(site: Site) -> None:
    before = len(site.target.requests)
    status, head, _ = ask(site.port, b"GET /x HTTP/1.1\r\nHost: gw.test\r\nX_User_Id: evil\r\n\r\n")
    assert status == 400
    assert b"connection: close" in head.lower()
    assert len(site.target.requests) == before


def test_trailers_never_become_headers(site: Site) -> None:
    with Client(site.port) as client:
        client.send(
            b"POST /x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\nTrailer: X-User-Id\r\n\r\n"
            b"3\r\nabc\r\n0\r\nX-User-Id: evil\r\nX-Other: evil\r\n\r\n"
        )
        head, _ = client.read_answer()
    assert head.startswith(b"HTTP/1.1 200")
    assert b"evil" not in site.target.requests[-1]
    assert b"trailer" not in site.target.requests[-1].lower()


@pytest.mark.parametrize(
    "path",
    [
        b"/a/../b",
        b"/a/./b",
        b"/..",
        b"/a/%2e%2e/b",
        b"/a/%2E%2e",
        b"/a%2fb",
        b"/a%5Cb",
        b"/a\\b",
        b"//a",
        b"/a//b",
        b"/a%00",
        b"/a%zz",
        b"/a#b",
    ],
)
def test_ambiguous_paths_never_reach_a_target(site: Site, path: bytes) -> None:
    before = len(site.target.requests)
    status, _, _ = ask(site.port, b"GET " + path + b" HTTP/1.1\r\nHost: gw.test\r\n\r\n")
    assert status == 400
    assert len(site.target.requests) == before


def test_the_canonical_path_is_what_goes_on_the_wire(site: Site) -> None:
    ask(site.port, b"GET /a%7Eb/%c3%a9?q=%2F..%2f HTTP/1.1\r\nHost: gw.test\r\n\r\n")
    assert site.target.requests[-1].startswith(b"GET /a~b/%C3%A9?q=%2F..%2f HTTP/1.1\r\n")


def test_a_request_has_exactly_one_framing(site: Site) -> None:
    with Client(site.port) as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 3\r\n\r\nabc")
        client.read_answer()
        client.send(b"POST /x HTTP/1.1\r\nHost: gw.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        client.read_answer()
        client.send(GET)
        client.read_answer()
    for request in site.target.requests[-3:]:
        head = request.lower().partition(b"\r\n\r\n")[0]
        assert head.count(b"content-length") + head.count(b"transfer-encoding") <= 1
        assert head.count(b"\r\nhost:") == 1


def test_expect_is_answered_by_the_gateway_and_not_forwarded(site: Site) -> None:
    with Client(site.port) as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
        assert client.read_head() == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(b"abc")
        head, _ = client.read_answer()
    assert head.startswith(b"HTTP/1.1 200")
    assert b"expect" not in site.target.requests[-1].lower()
    assert site.target.requests[-1].endswith(b"abc")


# ---------------------------------------------------------------------------------------------------- what comes back


def test_duplicate_response_headers_survive_in_order(site: Site) -> None:
    def cookies(visit: Visit) -> None:
        visit.read_request()
        visit.send(
            b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nX: y\r\nSet-Cookie: b=2\r\nConnection: X-Hop\r\nX-Hop: z\r\nContent-Length: 0\r\n\r\n"
        )

    site.behave(cookies)
    _, head, _ = ask(site.port, GET)
    lines = head.lower().split(b"\r\n")
    assert [line for line in lines if line.startswith(b"set-cookie")] == [b"set-cookie: a=1", b"set-cookie: b=2"]
    assert b"x-hop" not in head.lower()
    assert b"via: 1.1 spork" in lines


def test_a_targets_surplus_bytes_never_answer_the_next_request(site: Site) -> None:
    evil = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"

    def surplus(visit: Visit) -> None:
        while visit.read_request() is not None:
            visit.send(OK + evil)

    site.behave(surplus)
    with Client(site.port) as client:
        for _ in range(5):
            client.send(GET)
            assert client.read_answer()[1] == b"ok"


def test_post_is_never_sent_twice(site: Site) -> None:
    """The target closes a kept connection exactly when the next request arrives on it."""

    def once_then_close(visit: Visit) -> None:
        visit.read_request()
        visit.send(OK)
        visit.read_request()  # read it, and go without a word

    site.behave(once_then_close)
    post = b"POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: 2\r\n\r\nhi"
    with Client(site.port) as client:
        client.send(post)
        assert client.read_answer()[0].startswith(b"HTTP/1.1 200")
        client.send(post)
        head, _ = client.read_answer()
    assert head.startswith(b"HTTP/1.1 502")
    assert len(site.target.requests) == 2


def test_a_get_on_a_stale_connection_is_sent_once_more(site: Site) -> None:
    def once_then_close(visit: Visit) -> None:
        visit.read_request()
        visit.send(OK)
        visit.read_request()

    site.behave(once_then_close)
    with Client(site.port) as client:
        for _ in range(3):
            client.send(GET)
            assert client.read_answer()[0].startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\nzz\r\n",
    ],
)
def test_a_cut_body_is_never_a_clean_end(site: Site, answer: bytes) -> None:
    def cut(visit: Visit) -> None:
        visit.read_request()
        visit.send(answer)

    site.behave(cut)
    with Client(site.port) as client:
        client.send(GET)
        try:
            received = client.read_to_end()
        except ConnectionResetError:
            received = client.buffer
    assert not received.endswith(b"0\r\n\r\n")
    assert b"HTTP/1.1 200" in received or b"HTTP/1.1 502" in received
    if b"content-length: 100" in received.lower():
        assert len(received.partition(b"\r\n\r\n")[2]) < 100


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk",
        b"HTTP/1.1 200 OK\r\nX-Bad: a\x00b\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"banana\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70000 + b"\r\nContent-Length: 2\r\n\r\nok",
    ],
    ids=["cl-and-te", "two-lengths", "nul", "version", "banana", "huge-head"],
)
def test_a_bad_answer_is_502_and_nothing_of_it_leaks(site: Site, answer: bytes) -> None:
    def bad(visit: Visit) -> None:
        visit.read_request()
        visit.send(answer)

    site.behave(bad)
    status, head, body = ask(site.port, GET)
    assert status == 502
    assert b"proxy-status: spork; error=" in head.lower()
    for leak in (b"banana", b"127.0.0.1", str(site.target.port).encode()):
        assert leak not in body


def test_interim_answers_103_is_relayed_and_102_swallowed(site: Site) -> None:
    def interim(visit: Visit) -> None:
        visit.read_request()
        visit.send(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n" + OK)

    site.behave(interim)
    with Client(site.port) as client:
        client.send(GET)
        assert client.read_head() == b"HTTP/1.1 103 Early Hints\r\nlink: </a>; rel=preload\r\n\r\n"
        assert client.read_answer()[1] == b"ok"


def test_head_204_and_304_have_no_body_whatever_the_target_sends(site: Site) -> None:
    def chatty(visit: Visit) -> None:
        request = visit.read_request() or b""
        status = b"204 No Content" if b"/204" in request else b"304 Not Modified" if b"/304" in request else b"200 OK"
        visit.send(b"HTTP/1.1 " + status + b"\r\nContent-Length: 4\r\n\r\nevil")

    site.behave(chatty)
    for request in (b"HEAD /x", b"GET /204", b"GET /304"):
        with Client(site.port) as client:
            client.send(request + b" HTTP/1.1\r\nHost: gw.test\r\nConnection: close\r\n\r\n")
            received = client.read_to_end()
        assert received.endswith(b"\r\n\r\n")
        assert b"evil" not in received


def test_server_sent_events_flow_as_they_arrive(site: Site) -> None:
    go_on = threading.Event()

    def events(visit: Visit) -> None:
        visit.read_request()
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        visit.send(b"data: 1\n\n")
        go_on.wait(10)
        visit.send(b"data: 2\n\n")

    site.behave(events)
    with Client(site.port) as client:
        client.send(GET)
        client.read_head()
        assert client.read_exactly(len(b"9\r\ndata: 1\n\n\r\n")) == b"9\r\ndata: 1\n\n\r\n"
        go_on.set()
        assert client.read_exactly(len(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")) == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"


def test_a_head_without_body_yet_is_sent_at_once(site: Site) -> None:
    done = threading.Event()

    def slow(visit: Visit) -> None:
        visit.read_request()
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        done.wait(10)
        visit.send(b"ok")

    site.behave(slow)
    with Client(site.port) as client:
        client.send(GET)
        assert client.read_head().startswith(b"HTTP/1.1 200")
        done.set()
        assert client.read_exactly(2) == b"ok"


# ----------------------------------------------------------------------------------------------- leaving and streaming


@pytest.mark.alone
def test_a_client_that_leaves_frees_the_target_within_a_second(site: Site) -> None:
    arrived, freed = threading.Event(), threading.Event()

    def hang(visit: Visit) -> None:
        visit.read_request()
        arrived.set()
        if visit.closed_by_peer(5):
            freed.set()

    site.behave(hang)
    with Client(site.port) as client:
        client.send(GET)
        assert arrived.wait(15)
    assert freed.wait(1.0)


def test_a_websocket_is_tunnelled_byte_for_byte(site: Site) -> None:
    def websocket(visit: Visit) -> None:
        request = visit.read_request() or b""
        key = next(
            line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        visit.send(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
            + accept
            + b"\r\n\r\nfirst"
        )
        while data := visit.sock.recv(65536):
            visit.send(data[::-1])

    site.behave(websocket)
    with Client(site.port) as client:
        client.send(
            b"GET /ws HTTP/1.1\r\nHost: gw.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = client.read_head().lower()
        assert head.startswith(b"http/1.1 101")
        assert b"upgrade: websocket" in head
        assert b"connection: upgrade" in head
        assert b"s3pplmbitxaq9kygzzhzrbk+xoo=" in head
        assert client.read_exactly(5) == b"first"
        client.send(b"\x81\x00abc")
        assert client.read_exactly(5) == b"cba\x00\x81"
    visit = site.target.visits[-1]
    assert b"upgrade: websocket" in visit.requests[0].lower()


def test_any_other_upgrade_is_refused(site: Site) -> None:
    before = len(site.target.requests)
    status, head, _ = ask(
        site.port,
        b"GET /x HTTP/1.1\r\nHost: gw.test\r\nConnection: Upgrade\r\nUpgrade: irc/6.9\r\n\r\n",
    )
    assert status == 501
    assert b"connection: close" in head.lower()
    assert len(site.target.requests) == before


GIB = 1 << 30
PIECE = os.urandom(1 << 20)


def test_one_gibibyte_down_and_memory_stays_flat(site: Site) -> None:
    def download(visit: Visit) -> None:
        visit.read_request()
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIB)
        for _ in range(GIB // len(PIECE)):
            visit.send(PIECE)

    ask(site.port, GET)
    site.behave(download)
    before = resident_kib(site.gateway.process.pid)
    digest, received, peak = hashlib.blake2b(), 0, 0
    with Client(site.port, timeout=60) as client:
        client.send(GET)
        client.read_head()
        digest.update(client.buffer)
        received = len(client.buffer)
        while received < GIB:
            data = client.sock.recv(1 << 20)
            assert data
            digest.update(data)
            received += len(data)
            if received % (1 << 24) < len(data):
                peak = max(peak, resident_kib(site.gateway.process.pid))
    expected = hashlib.blake2b()
    for _ in range(GIB // len(PIECE)):
        expected.update(PIECE)
    assert received == GIB
    assert digest.digest() == expected.digest()
    assert peak - before <= 16 * 1024


def test_one_gibibyte_up_and_memory_stays_flat(site: Site) -> None:
    arrived: list[str] = []

    def upload(visit: Visit) -> None:
        while b"\r\n\r\n" not in visit.buffer:
            visit.buffer += visit.sock.recv(65536)
        body = visit.buffer.partition(b"\r\n\r\n")[2]
        digest, count = hashlib.blake2b(body), len(body)
        while count < GIB:
            data = visit.sock.recv(1 << 20)
            if not data:
                return
            digest.update(data)
            count += len(data)
        arrived.append(digest.hexdigest())
        visit.send(OK)

    ask(site.port, GET)
    site.behave(upload)
    before = resident_kib(site.gateway.process.pid)
    peak = 0
    expected = hashlib.blake2b()
    with Client(site.port, timeout=60) as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: %d\r\n\r\n" % GIB)
        for number in range(GIB // len(PIECE)):
            client.send(PIECE)
            expected.update(PIECE)
            if number % 16 == 0:
                peak = max(peak, resident_kib(site.gateway.process.pid))
        assert client.read_answer()[0].startswith(b"HTTP/1.1 200")
    assert arrived == [expected.hexdigest()]
    assert peak - before <= 16 * 1024


def test_a_slow_reader_stops_the_target_and_not_the_memory(site: Site) -> None:
    sent = []

    def endless(visit: Visit) -> None:
        visit.read_request()
        visit.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIB)
        visit.sock.settimeout(1.5)
        total = 0
        try:
            while True:
                total += visit.sock.send(PIECE)
        except TimeoutError:
            sent.append(total)

    ask(site.port, GET)
    site.behave(endless)
    before = resident_kib(site.gateway.process.pid)
    with Client(site.port) as client:
        client.send(GET)
        client.read_head()
        wait_until(lambda: sent, 20, "the target being stopped by backpressure")
        assert sent[0] < 64 << 20
        assert resident_kib(site.gateway.process.pid) - before <= 16 * 1024


def test_a_slow_target_stops_the_client_and_not_the_memory(site: Site) -> None:
    def deaf(visit: Visit) -> None:
        threading.Event().wait(8)  # reads nothing more: a read that waits for a pause in the stream may read it all

    ask(site.port, GET)
    site.behave(deaf)
    before = resident_kib(site.gateway.process.pid)
    with Client(site.port) as client:
        client.send(b"POST /x HTTP/1.1\r\nHost: gw.test\r\nContent-Length: %d\r\n\r\n" % GIB)
        client.sock.settimeout(1.5)
        total = 0
        with pytest.raises(TimeoutError):
            while True:
                total += client.sock.send(PIECE)
    assert total < 64 << 20
    assert resident_kib(site.gateway.process.pid) - before <= 16 * 1024
