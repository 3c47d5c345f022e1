"""What fields say of codings: negotiation, Vary, entity tags."""

from __future__ import annotations

import pytest

from spork.domain.http.coding import CODINGS, codings_of, covers, merge_vary, negotiate, weakened


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ([], ""),  # no field is no word that anything can be decoded
        ([b""], ""),
        ([b"gzip"], "gzip"),
        ([b"x-gzip"], "gzip"),
        ([b"GZIP"], "gzip"),
        ([b"gzip, br, zstd"], "zstd"),
        ([b"gzip", b"br"], "br"),
        ([b"gzip;q=1.0, br;q=0.5, zstd;q=0.1"], "gzip"),
        ([b"zstd;q=0, br;q=0, gzip"], "gzip"),
        ([b"zstd;q=0, *"], "br"),
        ([b"*"], "zstd"),
        ([b"*;q=0"], ""),
        ([b"identity"], ""),
        ([b"identity;q=1, gzip;q=0.5"], ""),
        ([b"identity;q=0.5, gzip"], "gzip"),
        ([b"deflate, compress"], ""),
        ([b"gzip;q=nonsense"], ""),
        ([b"gzip;q=2"], ""),
        ([b"gzip;q=0.001"], "gzip"),
        ([b"gzip ; q=0.4 , br ; q=0.3"], "gzip"),
    ],
)
def test_the_client_chooses_the_coding(accepted: list[bytes], coding: str) -> None:
    assert negotiate(accepted, CODINGS) == coding


def test_only_offered_codings_are_chosen() -> None:
    assert negotiate([b"zstd, br, gzip"], ("gzip",)) == "gzip"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], [b"Accept-Encoding"]),
        ([b"Origin"], [b"Origin, Accept-Encoding"]),
        ([b"accept-encoding"], [b"accept-encoding"]),
        ([b"Origin", b"Cookie,origin"], [b"Origin, Cookie, origin, Accept-Encoding"]),
        ([b"*"], [b"*"]),
    ],
)
def test_there_is_one_vary(before: list[bytes], after: list[bytes]) -> None:
    merged = merge_vary([(b"etag", b'"a"'), *((b"vary", value) for value in before)], (b"accept-encoding",))
    assert [value for name, value in merged if name == b"vary"] == after


@pytest.mark.parametrize(("tag", "weak"), [(b'"a"', b'W/"a"'), (b'W/"a"', b'W/"a"'), (b"junk", b"junk")])
def test_tags_of_changed_bytes_are_weak(tag: bytes, weak: bytes) -> None:
    assert weakened(tag) == weak


def test_codings_in_their_order() -> None:
    headers = [(b"content-encoding", b"identity, X-GZIP"), (b"content-encoding", b"br")]
    assert codings_of(headers) == ("gzip", "br")


@pytest.mark.parametrize(
    ("types", "kind", "covered"),
    [
        (("application/json",), "application/json", True),
        (("application/json",), "application/problem+json", True),
        (("text/*",), "text/csv", True),
        (("text/*",), "image/png", False),
        (("*/*",), "image/png", True),
        (("text/html",), "text/htmlx", False),
    ],
)
def test_types(types: tuple[str, ...], kind: str, covered: bool) -> None:
    assert covers(types, kind) is covered
