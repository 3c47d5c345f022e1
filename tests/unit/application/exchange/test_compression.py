"""Compression of answers: which, for whom, under which fields, and that nothing of the body is lost or held up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.application.exchange.codings import decoded
from spork.application.exchange.compression import FLUSH_AFTER, Compression
from spork.application.exchange.stages import AnswerStages
from spork.composition.codings import codings
from spork.domain.http.coding import CODINGS, CompressionPolicy
from spork.domain.http.head import Header
from tests.exchanges import exchange
from tests.sinks import Recorded

TEXT = b'{"line": "of text"}, ' * 200
JSON: list[Header] = [(b"content-type", b"application/json")]
MANY = 1 << 30


async def answered(
    *pieces: bytes,
    headers: list[Header] | None = None,
    status: int = 200,
    method: str = "GET",
    policy: CompressionPolicy | None = None,
    length: bool = True,
    **request: str,
) -> Recorded:
    """An answer through the stage; `request` are the request's fields."""
    sink = Recorded()
    one = exchange(method, headers={name.replace("_", "-"): value for name, value in request.items()})
    one.sink = sink
    AnswerStages(Compression(policy or CompressionPolicy(), codings())).open(one)
    given_fields = JSON if headers is None else headers
    if length:
        given_fields = [*given_fields, (b"content-length", b"%d" % sum(map(len, pieces)))]
    one.sink.start(status, given_fields)
    if method != "HEAD":
        for piece in pieces:
            one.sink.write(piece)
    one.sink.finish()
    return sink


def plain(sink: Recorded) -> bytes:
    coding = codings().get((sink.field(b"content-encoding") or b"").decode())
    return sink.body if coding is None else decoded(sink.body, coding.decode, MANY, MANY)


@pytest.mark.parametrize("name", CODINGS)
@pytest.mark.parametrize("length", [True, False])
@pytest.mark.parametrize("pieces", [[TEXT], [TEXT[:100], TEXT[100:2000], TEXT[2000:]], [TEXT * 100, TEXT * 3]])
async def test_an_answer_is_compressed(name: str, length: bool, pieces: list[bytes]) -> None:
    headers = [*JSON, (b"etag", b'"a"'), (b"vary", b"Origin"), (b"content-digest", b"x"), (b"accept-ranges", b"bytes")]
    sink = await answered(*pieces, headers=headers, length=length, accept_encoding=name)
    assert sink.field(b"content-encoding") == name.encode()
    assert plain(sink) == b"".join(pieces)
    assert len(sink.body) < sum(map(len, pieces)) / 2
    assert sink.field(b"etag") == b'W/"a"'
    assert sink.field(b"vary") == b"Origin, Accept-Encoding"
    assert {sink.field(name) for name in (b"content-length", b"content-digest", b"accept-ranges")} == {None}
    assert sink.finished


@pytest.mark.parametrize(
    ("headers", "status", "request_fields"),
    [
        (JSON, 200, {}),
        (JSON, 200, {"accept_encoding": "identity"}),
        (JSON, 200, {"accept_encoding": "gzip;q=0"}),
        ([*JSON, (b"content-encoding", b"br")], 200, {"accept_encoding": "gzip"}),
        ([*JSON, (b"cache-control", b"public, no-transform")], 200, {"accept_encoding": "gzip"}),
        ([*JSON, (b"content-range", b"bytes 0-9/10")], 206, {"accept_encoding": "gzip"}),
        ([*JSON, (b"set-cookie", b"a=b")], 200, {"accept_encoding": "gzip"}),
        (JSON, 200, {"accept_encoding": "gzip", "cookie": "a=b", "sec_fetch_site": "cross-site"}),
        ([(b"content-type", b"text/event-stream")], 200, {"accept_encoding": "gzip"}),
        ([(b"content-type", b"image/png")], 200, {"accept_encoding": "gzip"}),
        ([], 200, {"accept_encoding": "gzip"}),
    ],
)
async def test_what_stays_as_it_is(headers: list[Header], status: int, request_fields: dict[str, str]) -> None:
    sink = await answered(TEXT, headers=headers, status=status, **request_fields)
    assert sink.body == TEXT
    assert sink.field(b"content-encoding") == dict(headers).get(b"content-encoding")
    assert sink.field(b"content-length") == b"%d" % len(TEXT)


async def test_secrets_may_be_allowed() -> None:
    allowed = CompressionPolicy(secrets=True)
    cookie = {"cookie": "a=b", "sec_fetch_site": "cross-site", "accept_encoding": "gzip"}
    sink = await answered(TEXT, headers=[*JSON, (b"set-cookie", b"a=b")], policy=allowed, **cookie)
    assert sink.field(b"content-encoding") == b"gzip"


@pytest.mark.parametrize("length", [True, False])
async def test_small_answers_stay_and_say_vary(length: bool) -> None:
    sink = await answered(b"{}", length=length, accept_encoding="gzip")
    assert (sink.body, sink.field(b"content-encoding"), sink.field(b"vary")) == (b"{}", None, b"Accept-Encoding")


async def test_an_answer_to_a_client_that_takes_none_says_vary() -> None:
    assert (await answered(TEXT)).field(b"vary") == b"Accept-Encoding"
    assert (await answered(status=304, headers=[(b"etag", b'"a"')], length=False)).field(b"vary") == b"Accept-Encoding"


async def test_a_304_has_the_tag_of_the_answer_it_stands_for() -> None:
    headers = [(b"etag", b'"a"')]
    weak = await answered(status=304, headers=headers, length=False, accept_encoding="gzip")
    assert weak.field(b"etag") == b'W/"a"'
    assert (await answered(status=304, headers=headers, length=False)).field(b"etag") == b'"a"'


async def test_head_has_the_fields_of_get() -> None:
    sink = await answered(TEXT, method="HEAD", headers=[*JSON, (b"etag", b'"a"')], accept_encoding="gzip")
    assert (sink.body, sink.field(b"content-encoding"), sink.field(b"content-length")) == (b"", b"gzip", None)
    assert sink.field(b"etag") == b'W/"a"'


async def test_the_configured_codings_and_types_and_size() -> None:
    policy = CompressionPolicy(("gzip",), 10, ("image/*",))
    png = [(b"content-type", b"image/png; x=y")]
    assert (await answered(b"x" * 10, headers=png, policy=policy, accept_encoding="zstd, gzip")).field(
        b"content-encoding"
    ) == b"gzip"
    assert (await answered(b"x" * 9, headers=png, policy=policy, accept_encoding="gzip")).field(
        b"content-encoding"
    ) is None
    assert (await answered(TEXT, policy=policy, accept_encoding="gzip")).field(b"vary") is None


async def started(**request: str) -> tuple[Any, Recorded]:
    sink = Recorded()
    one = exchange(headers={"accept-encoding": "gzip"})
    one.sink = sink
    AnswerStages(Compression(CompressionPolicy(), codings())).open(one)
    one.sink.start(200, JSON)
    return one.sink, sink


async def test_a_stream_is_flushed_when_the_target_pauses() -> None:
    import zlib

    stage, sink = await started()
    decoder = zlib.decompressobj(31)
    stage.write(b"")
    await asyncio.sleep(FLUSH_AFTER * 3)
    assert sink.started  # a head goes out before its body
    for line in (b"first\n", b"second\n"):
        stage.write(line)
        seen = len(sink.pieces)
        for _ in range(100):
            if len(sink.pieces) > seen:
                break
            await asyncio.sleep(FLUSH_AFTER)
        assert decoder.decompress(b"".join(sink.pieces[seen:]) if seen else sink.body) == line
    stage.finish()
    assert sink.finished


async def test_a_cut_answer_is_cut() -> None:
    stage, sink = await started()
    stage.write(b"x")
    stage.abort()
    assert (sink.aborted, sink.finished) == (True, False)
    await asyncio.sleep(FLUSH_AFTER * 2)
    assert sink.body == b""


async def test_an_answer_that_failed_before_its_head_can_be_another() -> None:
    stage, sink = await started()
    stage.write(b"begun")
    assert not stage.started
    stage.start(502, [(b"content-type", b"application/problem+json"), (b"content-length", b"2")])
    stage.write(b"{}")
    stage.finish()
    assert (sink.status, sink.body) == (502, b"{}")


def test_a_weak_tag_of_ours_comes_back_strong() -> None:
    stages = AnswerStages(Compression(CompressionPolicy(), codings()))
    given_fields = [(b"if-match", b'W/"a", "b"'), (b"if-none-match", b'W/"a"')]
    assert stages.towards_target(given_fields) == [(b"if-match", b'"a", "b"'), (b"if-none-match", b'W/"a"')]


@given(
    pieces=st.lists(st.binary(max_size=2000), max_size=6),
    accepted=st.sampled_from(["zstd", "br", "gzip", "*", "identity", "gzip;q=0.5, br"]),
    length=st.booleans(),
)
def test_decoded_is_what_was_written(pieces: list[bytes], accepted: str, length: bool) -> None:
    sink = asyncio.run(answered(*pieces, length=length, accept_encoding=accepted))
    assert plain(sink) == b"".join(pieces)
