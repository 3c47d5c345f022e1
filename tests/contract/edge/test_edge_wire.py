"""Every rule of the edge, byte for byte, on a real socket: what is refused, how, and what reaches the gateway."""

from __future__ import annotations

import asyncio

import pytest

from spork.application.configuration.model import EdgeLimits
from tests.edges import Recorder, serving, until

HOST = b"Host: a.example\r\n"


def request(line: bytes = b"GET / HTTP/1.1", *fields: bytes, body: bytes = b"", host: bytes = HOST) -> bytes:
    return line + b"\r\n" + host + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


WEBSOCKET = (
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: WebSocket",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)

#: what is sent -> status, reason. Every one closes the connection unless it says so.
REFUSED: dict[str, tuple[bytes, int, str]] = {
    # rule 1: version and Host
    "0.9": (b"GET /\r\n\r\n", 505, "unsupported_version"),
    "2.0": (request(b"GET / HTTP/2.0"), 505, "unsupported_version"),
    "1.2": (request(b"GET / HTTP/1.2"), 400, "malformed_request"),
    "rtsp": (request(b"DESCRIBE / RTSP/1.0"), 501, "method_not_implemented"),
    "icecast": (request(b"SOURCE / ICE/1.0"), 501, "method_not_implemented"),
    "preface of http/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, "malformed_request"),
    "tls on a plain port": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "malformed_request"),
    "no host": (request(host=b""), 400, "bad_host"),
    "two hosts": (request(host=HOST + HOST), 400, "bad_host"),
    "two hosts, other case": (request(host=HOST + b"hOST: a.example\r\n"), 400, "bad_host"),
    "two hosts on 1.0": (request(b"GET / HTTP/1.0", host=HOST + HOST), 400, "bad_host"),
    "host with a path": (request(host=b"Host: a/b?c#d\r\n"), 400, "bad_host"),
    "host with userinfo": (request(host=b"Host: u@a\r\n"), 400, "bad_host"),
    "empty host": (request(host=b"Host:\r\n"), 400, "bad_host"),
    "host with a bad port": (request(host=b"Host: a:99999\r\n"), 400, "bad_host"),
    "host with a name as port": (request(host=b"Host: a:http\r\n"), 400, "bad_host"),
    "list of hosts": (request(host=b"Host: a, b\r\n"), 400, "bad_host"),
    "broken ipv6": (request(host=b"Host: [::1\r\n"), 400, "bad_host"),
    # rule 2: forms of the target, methods
    "absolute-form of another host": (request(b"GET http://b.example/ HTTP/1.1"), 400, "host_mismatch"),
    "absolute-form of another port": (request(b"GET http://a.example:81/ HTTP/1.1"), 400, "host_mismatch"),
    "absolute-form, other scheme": (request(b"GET ftp://a.example/ HTTP/1.1"), 400, "bad_request_target"),
    "absolute-form with userinfo": (request(b"GET http://u@a.example/ HTTP/1.1"), 400, "bad_request_target"),
    "asterisk with GET": (request(b"GET * HTTP/1.1"), 400, "bad_request_target"),
    "CONNECT": (request(b"CONNECT a.example:443 HTTP/1.1"), 501, "method_not_implemented"),
    "TRACE": (request(b"TRACE / HTTP/1.1"), 501, "method_not_implemented"),
    "unknown method": (request(b"FOO / HTTP/1.1"), 501, "method_not_implemented"),
    "a TLS hello": (b"\x16\x03\x01\x02\x00\x01", 400, "malformed_request"),
    "relative target": (request(b"GET a HTTP/1.1"), 400, "malformed_request"),
    # rule 3: framing
    "transfer-encoding on 1.0": (
        request(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400, "bad_framing"),
    "gzip, chunked": (
        request(b"POST / HTTP/1.1", b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"),
        501, "unsupported_transfer_coding"),
    "identity": (request(b"POST / HTTP/1.1", b"Transfer-Encoding: identity"), 501, "unsupported_transfer_coding"),
    "xchunked": (request(b"POST / HTTP/1.1", b"Transfer-Encoding: xchunked"), 501, "unsupported_transfer_coding"),
    "chunked, then more": (request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked, gzip"), 400, "malformed_request"),
    "chunked twice": (request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked, chunked"), 400, "malformed_request"),
    "two transfer-encodings": (
        request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"),
        400, "malformed_request"),
    "vertical tab before chunked": (
        request(b"POST / HTTP/1.1", b"Transfer-Encoding:\x0bchunked", body=b"0\r\n\r\n"), 400, "malformed_request"),
    "CL.TE": (
        request(b"POST / HTTP/1.1", b"Content-Length: 6", b"Transfer-Encoding: chunked", body=b"0\r\n\r\nG"),
        400, "malformed_request"),
    "TE.CL": (
        request(b"POST / HTTP/1.1", b"Transfer-Encoding: chunked", b"Content-Length: 6", body=b"0\r\n\r\nG"),
        400, "malformed_request"),
    "two lengths": (
        request(b"POST / HTTP/1.1", b"Content-Length: 5", b"Content-Length: 6", body=b"abcdef"), 400, "malformed_request"),
    "the same length twice": (
        request(b"POST / HTTP/1.1", b"Content-Length: 5", b"Content-Length: 5", body=b"abcde"), 400, "malformed_request"),
    "list of lengths": (request(b"POST / HTTP/1.1", b"Content-Length: 5, 5", body=b"abcde"), 400, "malformed_request"),
    "length with a sign": (request(b"POST / HTTP/1.1", b"Content-Length: +5", body=b"abcde"), 400, "malformed_request"),
    "negative length": (request(b"POST / HTTP/1.1", b"Content-Length: -5", body=b"abcde"), 400, "malformed_request"),
    "length in hex": (request(b"POST / HTTP/1.1", b"Content-Length: 0x5", body=b"abcde"), 400, "malformed_request"),
    "empty length": (request(b"POST / HTTP/1.1", b"Content-Length:", body=b"abcde"), 400, "malformed_request"),
    "length beyond 64 bits": (request(b"POST / HTTP/1.1", b"Content-Length: 99999999999999999999"), 400, "malformed_request"),
    # rule 4: fields
    "underscore": (request(b"GET / HTTP/1.1", b"X_User_Id: admin"), 400, "bad_header_name"),
    "no token": (request(b"GET / HTTP/1.1", b"X(: a"), 400, "malformed_request"),
    "empty name": (request(b"GET / HTTP/1.1", b": a"), 400, "malformed_request"),
    "no colon": (request(b"GET / HTTP/1.1", b"Name"), 400, "malformed_request"),
    "space before colon": (request(b"GET / HTTP/1.1", b"Name : a"), 400, "malformed_request"),
    "folded": (request(b"GET / HTTP/1.1", b"Name: a\r\n b"), 400, "malformed_request"),
    "NUL": (request(b"GET / HTTP/1.1", b"Name: a\0b"), 400, "malformed_request"),
    "bare CR": (request(b"GET / HTTP/1.1", b"Name: a\rX-Injected: b"), 400, "malformed_request"),
    "bare LF": (request(b"GET / HTTP/1.1", b"Name: a\nX-Injected: b"), 400, "malformed_request"),
    "lines end in LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400, "malformed_request"),
    # rule 5: path
    "double slash": (request(b"GET /a//b HTTP/1.1"), 400, "bad_request_target"),
    "two slashes first": (request(b"GET //b.example/ HTTP/1.1"), 400, "bad_request_target"),
    "dot dot": (request(b"GET /a/../b HTTP/1.1"), 400, "bad_request_target"),
    "dot dot at the end": (request(b"GET /a/.. HTTP/1.1"), 400, "bad_request_target"),
    "dot": (request(b"GET /./a HTTP/1.1"), 400, "bad_request_target"),
    "encoded dot dot": (request(b"GET /a/%2e%2E/b HTTP/1.1"), 400, "bad_request_target"),
    "half encoded dot dot": (request(b"GET /a/.%2e/b HTTP/1.1"), 400, "bad_request_target"),
    "dot dot with a parameter": (request(b"GET /a/..;x/b HTTP/1.1"), 400, "bad_request_target"),
    "encoded slash": (request(b"GET /a%2fb HTTP/1.1"), 400, "bad_request_target"),
    "encoded backslash": (request(b"GET /a%5Cb HTTP/1.1"), 400, "bad_request_target"),
    "encoded NUL": (request(b"GET /a%00 HTTP/1.1"), 400, "bad_request_target"),
    "encoded line break": (request(b"GET /a%0d%0aX:%20b HTTP/1.1"), 400, "bad_request_target"),
    "backslash": (request(b"GET /a\\b HTTP/1.1"), 400, "bad_request_target"),
    "fragment": (request(b"GET /a#b HTTP/1.1"), 400, "bad_request_target"),
    "fragment in the query": (request(b"GET /a?b#c HTTP/1.1"), 400, "bad_request_target"),
    "bad escape": (request(b"GET /a%zz HTTP/1.1"), 400, "bad_request_target"),
    "cut escape": (request(b"GET /a%2 HTTP/1.1"), 400, "bad_request_target"),
    "control byte": (request(b"GET /a\x01 HTTP/1.1"), 400, "malformed_request"),
    "raw utf-8": (request("GET /ä HTTP/1.1".encode()), 400, "malformed_request"),
    # rule 6: upgrades
    "an unknown upgrade": (request(b"GET / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: irc"), 501,
                           "unsupported_upgrade"),
    "an unknown upgrade with a body": (
        request(b"POST / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: irc", b"Content-Length: 3", body=b"abc"),
        501, "unsupported_upgrade"),
    "h2c with a wrong length": (
        request(b"POST / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: h2c", b"Content-Length: 3", b"Transfer-Encoding: chunked"),
        400, "malformed_request"),
    "upgrade without connection": (request(b"GET / HTTP/1.1", *WEBSOCKET[1:]), 400, "bad_upgrade"),
    "websocket by POST": (request(b"POST / HTTP/1.1", *WEBSOCKET), 400, "bad_upgrade"),
    "websocket with a body": (
        request(b"GET / HTTP/1.1", *WEBSOCKET, b"Content-Length: 1", body=b"a"), 400, "bad_upgrade"),
    "websocket 8": (
        request(b"GET / HTTP/1.1", WEBSOCKET[0], WEBSOCKET[1], b"Sec-WebSocket-Version: 8", WEBSOCKET[3]),
        400, "bad_upgrade"),
    "websocket without a key": (request(b"GET / HTTP/1.1", *WEBSOCKET[:3]), 400, "bad_upgrade"),
    "websocket with a short key": (
        request(b"GET / HTTP/1.1", *WEBSOCKET[:3], b"Sec-WebSocket-Key: dGhlIHNhbXBsZQ=="), 400, "bad_upgrade"),
    "two upgrades": (request(b"GET / HTTP/1.1", *WEBSOCKET, b"Upgrade: h2c"), 501, "unsupported_upgrade"),
    # rule 7: expectations
    "unknown expectation": (
        request(b"POST / HTTP/1.1", b"Expect: 200-ok", b"Content-Length: 1"), 417, "expectation_failed"),
}  # fmt: skip
#: Refused, but the framing is beyond doubt and there is no body: the connection lives on.
KEPT = {name for name, (_, _, reason) in REFUSED.items() if reason == "bad_request_target"}


@pytest.mark.parametrize("name", REFUSED)
async def test_refused_before_anything_runs(name: str) -> None:
    sent, status, reason = REFUSED[name]
    async with serving() as served:
        client = await served.client()
        await client.send(sent)
        answer = await client.answer()
        assert (answer.status, served.refused, served.gateway.heads) == (status, [(reason, status)], [])
        assert answer.header("content-type") == "application/problem+json"
        assert answer.header("x-request-id")
        assert answer.header("date")
        assert answer.header("server") is None
        if name in KEPT and answer.header("connection") is None:
            await client.send(request())
            assert (await client.answer()).body == b"1"
        else:
            assert answer.header("connection") == "close"
            assert await client.closed()


@pytest.mark.parametrize("name", REFUSED)
async def test_how_the_bytes_arrive_changes_no_verdict(name: str) -> None:
    sent, status, reason = REFUSED[name]
    async with serving() as served:
        answer = await served.ask(sent, size=1)
        assert (answer.status, served.refused, served.gateway.heads) == (status, [(reason, status)], [])


ACCEPTED: dict[str, tuple[bytes, bytes]] = {
    "plain": (b"/", b"/"),
    "trailing slash": (b"/a/", b"/a/"),
    "unreserved is decoded": (b"/%7Euser/%41%2d", b"/~user/A-"),
    "hex is upper-cased": (b"/%c3%a4", b"/%C3%A4"),
    "an encoded percent stays": (b"/a%252fb", b"/a%252fb"),
    "well-known": (b"/.well-known/jwks.json", b"/.well-known/jwks.json"),
    "dots inside a segment": (b"/a..b/...", b"/a..b/..."),
    "encoded question mark": (b"/a%3Fb?c=%2F..//%5c", b"/a%3Fb?c=%2F..//%5c"),
    "empty query": (b"/a?", b"/a?"),
    "sub-delims": (b"/a;b=c,d:e@f!$&'()*+", b"/a;b=c,d:e@f!$&'()*+"),
    "absolute-form": (b"HTTP://A.Example/b?c", b"/b?c"),
    "absolute-form without a path": (b"http://a.example?c", b"/?c"),
}


@pytest.mark.parametrize("name", ACCEPTED)
async def test_the_canonical_path_is_what_reaches_the_gateway(name: str) -> None:
    target, canonical = ACCEPTED[name]
    async with serving() as served:
        assert (await served.ask(request(b"GET " + target + b" HTTP/1.1"))).status == 200
        assert served.gateway.heads[0].target == canonical


H2C = (b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA")
OFFERED: dict[str, tuple[bytes, bytes]] = {
    "no body": (request(b"GET /1 HTTP/1.1", *H2C), b""),
    "a length": (request(b"POST /1 HTTP/1.1", *H2C, b"Content-Length: 20000", body=b"ab" * 10000), b"ab" * 10000),
    "chunked": (
        request(b"PUT /1 HTTP/1.1", *H2C, b"Transfer-Encoding: chunked", body=b"3\r\nabc\r\n2;x\r\nde\r\n0\r\nT: 1\r\n\r\n"),
        b"abcde"),
    "only the field": (request(b"POST /1 HTTP/1.1", b"Upgrade: H2C", b"Content-Length: 3", body=b"abc"), b"abc"),
    "an expectation": (
        request(b"POST /1 HTTP/1.1", *H2C, b"Expect: 100-continue", b"Content-Length: 3", body=b"abc"), b"abc"),
}  # fmt: skip


@pytest.mark.parametrize("size", [None, 1, 4096])
@pytest.mark.parametrize("name", OFFERED)
async def test_an_offer_of_h2c_is_served_as_http_1_with_its_whole_body(name: str, size: int | None) -> None:
    """Java's client, curl and Ktor send it with every request (RFC 9110 7.8; RFC 9113 3.1 withdrew the mechanism)."""
    sent, body = OFFERED[name]
    async with serving() as served:
        client = await served.client()
        await client.send(sent + request(b"GET /2 HTTP/1.1") + sent, size)
        for _ in range(3):
            answer = await client.answer()
            while answer.status == 100:
                answer = await client.answer()
            assert (answer.status, answer.header("upgrade")) == (200, None)
        assert served.gateway.seen == [served.gateway.seen[0], "GET /2", served.gateway.seen[0]]
        assert served.gateway.bodies == [body, b"", body]


@pytest.mark.parametrize("size", [300, 1000, 4096, 8192])
async def test_a_pipelined_body_arrives_whole_however_it_is_cut(size: int) -> None:
    """What comes while a whole request is answered is kept; so may be the body of one that stands in line already."""
    post = request(b"POST /1 HTTP/1.1", b"Content-Length: 20000", body=b"ab" * 10000)
    async with serving() as served:
        client = await served.client()
        await client.send(post + request(b"GET /2 HTTP/1.1") + post, size)
        assert [(await client.answer()).status for _ in range(3)] == [200, 200, 200]
        assert [len(body) for body in served.gateway.bodies] == [20000, 0, 20000]


async def test_an_offer_of_h2c_does_not_outlive_a_close_or_a_bad_body() -> None:
    async with serving() as served:
        client = await served.client()
        closing = request(b"POST /1 HTTP/1.1", *H2C, b"Connection: close", b"Content-Length: 3", body=b"abc")
        await client.send(closing + request(b"GET /2 HTTP/1.1"))
        assert (await client.answer()).header("connection") == "close"
        assert served.gateway.seen == ["POST /1"]
        broken = request(b"POST / HTTP/1.1", *H2C, b"Transfer-Encoding: chunked", body=b"zz\r\n")
        assert (await served.ask(broken)).status == 400
        assert served.gateway.faults == ["body_malformed"]


async def test_probes_are_answered_whatever_host_they_ask_for() -> None:
    async with serving(hosts=["api.example.com"], any_host_paths=["/health"]) as served:
        for host in (b"Host: 10.1.2.3:8000\r\n", b"Host: [fd00::1]:8000\r\n", b"Host: x.example\r\n"):
            assert (await served.ask(request(b"GET /health?full HTTP/1.1", host=host))).status == 200
            assert (await served.ask(request(b"GET /own/a HTTP/1.1", host=host))).status == 421
            assert (await served.ask(request(b"GET /healthy HTTP/1.1", host=host))).status == 421
        assert (await served.ask(b"GET /health HTTP/1.0\r\n\r\n")).status == 200
        assert (await served.ask(b"GET / HTTP/1.0\r\n\r\n")).status == 421
        assert (await served.ask(request(b"GET /health HTTP/1.1", host=b"Host: a/b\r\n"))).status == 400
        head = await served.ask(request(b"HEAD /health HTTP/1.1", host=b"Host: 10.1.2.3\r\n"), method="HEAD")
        assert (head.status, head.body, bool(head.header("x-request-id"))) == (200, b"", True)


async def test_refusals_are_told_with_what_can_be_said_of_the_request() -> None:
    heads: list[tuple[str, bytes, bytes]] = []
    async with serving(hosts=["api.example.com"]) as served:
        served.edge.on_refused = lambda denial, status, head, request_id: heads.append(
            (head.method, head.host, head.path)
        )
        await served.ask(request(b"POST /a?token=secret HTTP/1.1", host=b"Host: Other.example\r\n"))
        await served.ask(request(b"GET /a//b HTTP/1.1", host=b"Host: api.example.com\r\n"))
        await served.ask(request(b"GET /" + b"a" * 9000 + b" HTTP/1.1", host=b"Host: api.example.com\r\n"))
        await served.ask(b"\x16\x03\x01")
    assert heads == [
        ("POST", b"Other.example", b"/a"),
        ("GET", b"api.example.com", b"/a//b"),
        ("GET", b"api.example.com", b"/" + b"a" * 255 + b"..."),
        ("-", b"", b""),
    ]


async def test_asterisk_is_for_options() -> None:
    async with serving() as served:
        assert (await served.ask(request(b"OPTIONS * HTTP/1.1"))).status == 200
        assert served.gateway.heads[0].path == b"*"


async def test_the_head_is_what_was_sent() -> None:
    async with serving() as served:
        client = await served.client()
        await client.send(
            request(b"GET /a?b=c HTTP/1.1", b"X-Two: 1", b"x-two:  2 \t", b"Accept:", host=b"HOST: A.Example.:8000\r\n")
        )
        await client.answer()
        await client.send(request(b"GET / HTTP/1.1", b"x-two:  2 \t"))  # names that were seen before take another way
        await client.answer()
        assert served.gateway.heads[1].headers[1:] == ((b"x-two", b"2"),)
        head = served.gateway.heads[0]
        assert (head.method, head.path, head.query, head.version) == ("GET", b"/a", b"b=c", "1.1")
        assert (head.scheme, head.host, head.upgrade, head.certificate) == ("http", b"a.example:8000", False, None)
        assert head.headers == (
            (b"host", b"A.Example.:8000"), (b"x-two", b"1"), (b"x-two", b"2"), (b"accept", b""),
        )  # fmt: skip
        assert (head.peer, head.peer_port) == client.writer.get_extra_info("sockname")


async def test_a_version_cannot_be_borrowed_from_what_stood_before() -> None:
    """The request line of 1.1 is recognised by its place in what arrived: only when the head begins there."""
    async with serving() as served:
        client = await served.client()
        body = b"GET /aaaa HTTP/1.1\r\n"
        await client.send(request(b"POST / HTTP/1.1", b"Content-Length: %d" % len(body)))
        await until(lambda: served.gateway.heads)
        await client.send(body + request(b"GET /aaaa HTTP/1.0"))
        await client.answer()
        await client.answer()
        assert [head.version for head in served.gateway.heads] == ["1.1", "1.0"]
        client = await served.client()
        await client.send(request(b"GET /aaaa HTTP/1.1") + request(b"GET /aaaa HTTP/1.0"))
        await client.answer()
        await client.answer()
        assert [head.version for head in served.gateway.heads[2:]] == ["1.1", "1.0"]


async def test_unknown_hosts_are_misdirected() -> None:
    async with serving(hosts=["api.example.com", "*.apps.example"]) as served:
        for host, status in (
            (b"api.example.com", 200), (b"API.example.com:8000", 200), (b"x.apps.example", 200),
            (b"apps.example", 421), (b"xapps.example", 421), (b"api.example.com.evil", 421), (b"[::1]", 421),
        ):  # fmt: skip
            answer = await served.ask(request(host=b"Host: " + host + b"\r\n"))
            assert (answer.status, host) == (status, host)
        assert (await served.ask(b"GET / HTTP/1.0\r\n\r\n")).status == 421
        served.edge.reconfigure(EdgeLimits(), ["apps.example"])
        assert (await served.ask(request(host=b"Host: apps.example\r\n"))).status == 200
        assert (await served.ask(request(host=b"Host: api.example.com\r\n"))).status == 421


# -- limits ------------------------------------------------------------------------------------------------------------

SMALL = EdgeLimits(header_bytes=400, header_fields=10, target_bytes=100)


@pytest.mark.parametrize("size", [None, 1, 7])
async def test_header_limits(size: int | None) -> None:
    def fields(count: int) -> list[bytes]:
        return [b"A: b"] * count

    async with serving(SMALL) as served:
        assert (await served.ask(request(b"GET / HTTP/1.1", *fields(9)), size)).status == 200
        assert (await served.ask(request(b"GET / HTTP/1.1", *fields(10)), size)).status == 431
        # Host takes 4 + 9 + 4 bytes; a field with a name of one letter takes 5 more than its value
        assert (await served.ask(request(b"GET / HTTP/1.1", b"B: " + b"b" * 378), size)).status == 200
        assert (await served.ask(request(b"GET / HTTP/1.1", b"B: " + b"b" * 379), size)).status == 431
        assert (await served.ask(request(b"GET /" + b"a" * 99 + b" HTTP/1.1"), size)).status == 200
        assert (await served.ask(request(b"GET /" + b"a" * 100 + b" HTTP/1.1"), size)).status == 414
        assert len(served.gateway.heads) == 3


@pytest.mark.parametrize("endless", [b"GET / HTTP/1.1\r\nA: ", b"GET / HTTP/1.1\r\n", b"GET /"])
async def test_a_head_without_an_end_is_cut_short(endless: bytes) -> None:
    """Bytes of a name, value or target in the making count too: the parser shows them only when they are whole."""
    async with serving(SMALL) as served:
        client = await served.client()
        await client.send(endless)
        sent = 0
        while not served.refused:
            await client.send(b"a" * 1000)
            sent += 1000
            await asyncio.sleep(0.001)
            assert sent < 100_000
        assert (await client.answer()).status in (414, 431)
        assert await client.closed()


async def test_padding_counts() -> None:
    async with serving(SMALL) as served:
        answer = await served.ask(b"GET / HTTP/1.1\r\nHost: a\r\nA:" + b" " * 50_000 + b"b\r\n\r\n")
        assert answer.status == 431


# -- bodies ------------------------------------------------------------------------------------------------------------

CHUNKED = b"Transfer-Encoding: chunked"


async def test_trailers_never_become_headers() -> None:
    async with serving() as served:
        client = await served.client()
        body = b"3\r\nabc\r\n0\r\nX-User-Id: admin\r\nX_User: b\r\n\r\n"
        await client.send(request(b"POST /1 HTTP/1.1", CHUNKED, b"Trailer: X-User-Id", body=body) + request())
        assert (await client.answer()).status == 200
        assert (await client.answer()).status == 200
        assert served.gateway.bodies == [b"abc", b""]
        assert [name for name, _ in served.gateway.heads[0].headers] == [b"host", b"transfer-encoding", b"trailer"]
        assert [name for name, _ in served.gateway.heads[1].headers] == [b"host"]


@pytest.mark.parametrize("trailers", [b"A: b\r\n" * 11, b"A: " + b"b" * 500 + b"\r\n"])
async def test_trailers_are_counted(trailers: bytes) -> None:
    async with serving(SMALL) as served:
        # A is a header of the request too: a known name is counted no less
        answer = await served.ask(request(b"POST / HTTP/1.1", CHUNKED, b"A: b", body=b"0\r\n" + trailers + b"\r\n"))
        assert (answer.status, served.gateway.faults) == (400, ["body_malformed"])


@pytest.mark.parametrize("start", [b"0\r\nA: ", b"1;", b"0\r\nA"])
async def test_framing_without_an_end_is_cut_short(start: bytes) -> None:
    async with serving() as served:
        client = await served.client()
        await client.send(request(b"POST / HTTP/1.1", CHUNKED, body=start))
        for _ in range(100):
            if served.gateway.faults:
                break
            await client.send(b"a" * 1000)
            await asyncio.sleep(0.001)
        assert (await client.answer()).status == 400
        assert served.gateway.faults == ["body_malformed"]


async def test_tiny_chunks_are_no_attack() -> None:
    async with serving() as served:
        body = b"1\r\na\r\n" * 20_000 + b"0\r\n\r\n"
        assert (await served.ask(request(b"POST / HTTP/1.1", CHUNKED, body=body))).status == 200
        assert served.gateway.bodies == [b"a" * 20_000]


@pytest.mark.parametrize(
    "broken", [b"zz\r\n", b"0x3\r\nabc\r\n", b"3\nabc\r\n", b"3 ;a\r\nabc\r\n", b"3\r\nabcd\r\n", b"-1\r\n"]
)
@pytest.mark.parametrize("size", [None, 1])
async def test_broken_chunks_fault_the_body(broken: bytes, size: int | None) -> None:
    async with serving() as served:
        client = await served.client()
        await client.send(request(b"POST / HTTP/1.1", CHUNKED, body=broken + b"0\r\n\r\n" + request()), size)
        assert (await client.answer()).status == 400
        assert await client.closed()
        assert (served.gateway.faults, len(served.gateway.heads)) == (["body_malformed"], 1)


async def test_bodies_are_limited_by_counting() -> None:
    async with serving(EdgeLimits(body_bytes=1000)) as served:
        for body, status in ((b"a" * 1000, 200), (b"a" * 1001, 413)):
            declared = request(b"POST / HTTP/1.1", b"Content-Length: %d" % len(body), body=body)
            assert (await served.ask(declared)).status == status
            chunked = b"".join(b"64\r\n" + body[at : at + 100] + b"\r\n" for at in range(0, 1000, 100))
            chunked += b"1\r\na\r\n" * (len(body) - 1000) + b"0\r\n\r\n"
            assert (await served.ask(request(b"POST / HTTP/1.1", CHUNKED, body=chunked))).status == status
        assert served.gateway.faults == ["body_too_large"] * 2


async def test_the_gateway_may_raise_or_lower_the_limit() -> None:
    async def take(head, body, sink):  # type: ignore[no-untyped-def]
        body.limit(int(head.query))
        size = 0
        while piece := await body.read():
            size += len(piece)
        sink.start(200, [])
        sink.write(b"%d" % size)
        sink.finish()

    async with serving(EdgeLimits(body_bytes=10), Recorder(take)) as served:
        for maximum, status in ((20, 200), (19, 413)):
            sent = request(b"POST /?%d HTTP/1.1" % maximum, b"Content-Length: 20", body=b"a" * 20)
            assert (await served.ask(sent)).status == status


async def test_the_client_can_read_a_413_while_it_still_sends() -> None:
    """Closing at once would reset the connection and destroy the answer on its way (RFC 9112 9.6)."""
    async with serving(EdgeLimits(body_bytes=1000)) as served:
        client = await served.client()
        await client.send(request(b"POST / HTTP/1.1", b"Content-Length: 30000000"))
        for _ in range(300):
            client.writer.write(b"a" * 100_000)
            await client.writer.drain()
        answer = await client.answer()
        assert (answer.status, answer.header("connection"), answer.whole) == (413, "close", True)


async def test_expect_is_answered_when_somebody_reads() -> None:
    go = asyncio.Event()

    async def late(head, body, sink):  # type: ignore[no-untyped-def]
        await go.wait()
        data = await body.read()
        sink.start(200, [])
        sink.write(data)
        sink.finish()

    async with serving(gateway=Recorder(late)) as served:
        client = await served.client()
        await client.send(request(b"POST / HTTP/1.1", b"Expect: 100-Continue", b"Content-Length: 3"))
        await asyncio.sleep(0.05)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.reader.read(1)
        go.set()
        assert (await client.answer()).status == 100
        await client.send(b"abc")
        assert (await client.answer()).body == b"abc"


async def test_an_early_refusal_saves_the_body() -> None:
    async def refuse(head, body, sink):  # type: ignore[no-untyped-def]
        sink.start(403, [])
        sink.write(b"no")
        sink.finish()

    async with serving(gateway=Recorder(refuse)) as served:
        client = await served.client()
        await client.send(request(b"POST / HTTP/1.1", b"Expect: 100-continue", b"Content-Length: 3000000"))
        answer = await client.answer()
        assert (answer.status, answer.body, answer.header("connection")) == (403, b"no", "close")
        assert await client.closed()


async def test_too_large_by_declaration_is_never_invited() -> None:
    async with serving(EdgeLimits(body_bytes=10)) as served:
        answer = await served.ask(request(b"POST / HTTP/1.1", b"Expect: 100-continue", b"Content-Length: 11"))
        assert answer.status == 413


async def test_no_invitation_for_1_0_or_for_nothing() -> None:
    async with serving() as served:
        old = request(b"POST / HTTP/1.0", b"Expect: 100-continue", b"Content-Length: 1", body=b"a")
        assert (await served.ask(old)).status == 200
        assert (await served.ask(request(b"POST / HTTP/1.1", b"Expect: 100-continue"))).status == 200


async def test_a_short_unread_body_does_not_cost_the_connection() -> None:
    async def ignore(head, body, sink):  # type: ignore[no-untyped-def]
        sink.start(200, [(b"content-length", b"2")])
        sink.write(b"ok")
        sink.finish()

    async with serving(gateway=Recorder(ignore)) as served:
        client = await served.client()
        await client.send(request(b"POST / HTTP/1.1", b"Content-Length: 5", body=b"ab"))
        assert (await client.answer()).header("connection") is None
        await client.send(b"cde" + request(b"GET /2 HTTP/1.1"))
        assert (await client.answer()).body == b"ok"
        assert served.gateway.seen == ["POST /", "GET /2"]
