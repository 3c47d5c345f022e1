"""gzip, br and zstd: what one side codes the other decodes; what is broken, cut or a bomb is found out at once."""

from __future__ import annotations

import gzip

import brotli  # type: ignore[import-untyped]
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from spork.adapters.brotli.coder import BROTLI
from spork.adapters.isal.coder import GZIP
from spork.adapters.zstandard.coder import ZSTD
from spork.application.exchange.codings import Coding, CodingError, TooManyBytes, decoded

ALL = pytest.mark.parametrize("coding", [GZIP, BROTLI, ZSTD], ids=lambda coding: coding.name)
MANY = 1 << 30


def others_decode(coding: Coding, data: bytes) -> bytes:
    """What an independent decoder of the same coding makes of it."""
    if coding.name == "gzip":
        return gzip.decompress(data)
    if coding.name == "br":
        return bytes(brotli.decompress(data))
    return zstandard.ZstdDecompressor().decompressobj().decompress(data)


@ALL
@given(data=st.one_of(st.binary(max_size=3000), st.binary(max_size=20).map(lambda piece: piece * 9000)))
def test_decoded_is_what_was_coded(coding: Coding, data: bytes) -> None:
    assert decoded(coding.compress(data), coding.decode, MANY, MANY) == data
    assert others_decode(coding, coding.compress(data)) == data


@ALL
@given(pieces=st.lists(st.tuples(st.binary(max_size=400), st.booleans()), max_size=8))
def test_streams_decode_whatever_their_pieces(coding: Coding, pieces: list[tuple[bytes, bool]]) -> None:
    encoder = coding.encoder()
    coded = b""
    for data, flushed in pieces:
        coded += encoder.piece(data)
        if flushed:
            coded += encoder.flush()
    coded += encoder.end()
    assert others_decode(coding, coded) == b"".join(data for data, _ in pieces)


@ALL
def test_what_was_flushed_can_be_decoded_before_the_end(coding: Coding) -> None:
    encoder = coding.encoder()
    begun = encoder.piece(b"first ") + encoder.flush()
    if coding.name == "gzip":
        import zlib

        assert zlib.decompressobj(31).decompress(begun) == b"first "
    elif coding.name == "br":
        assert brotli.Decompressor().process(begun) == b"first "
    else:
        assert zstandard.ZstdDecompressor().decompressobj().decompress(begun) == b"first "


@ALL
@given(cut=st.integers(min_value=0, max_value=200), junk=st.binary(min_size=1, max_size=8))
def test_cut_and_followed_bodies_are_errors(coding: Coding, cut: int, junk: bytes) -> None:
    whole = coding.compress(bytes(range(256)) * 3)
    with pytest.raises(CodingError):
        decoded(whole[: min(cut, len(whole) - 1)], coding.decode, MANY, MANY)
    if coding.name != "br":  # nothing in brotli says what stands behind its end
        with pytest.raises(CodingError):
            decoded(whole + b"\xff" + junk, coding.decode, MANY, MANY)


@ALL
@given(data=st.binary(max_size=300))
def test_random_bytes_are_an_error_or_a_body(coding: Coding, data: bytes) -> None:
    try:
        decoded(data, coding.decode, MANY, MANY)
    except CodingError:
        pass


@pytest.mark.parametrize("coding", [GZIP, ZSTD], ids=lambda coding: coding.name)
def test_several_members_are_one_body(coding: Coding) -> None:
    assert decoded(coding.compress(b"one ") + coding.compress(b"two"), coding.decode, MANY, MANY) == b"one two"


@ALL
def test_bombs_are_stopped_at_the_ratio_and_at_the_bound(coding: Coding) -> None:
    bomb = coding.compress(bytes(50_000_000))
    with pytest.raises(TooManyBytes) as error:
        decoded(bomb, coding.decode, MANY, 100)
    assert error.value.ratio
    with pytest.raises(TooManyBytes) as error:
        decoded(bomb, coding.decode, 1000, MANY)
    assert not error.value.ratio


@ALL
def test_pieces_of_a_bomb_are_small(coding: Coding) -> None:
    sizes = [len(piece) for piece in coding.decode(coding.compress(bytes(2_000_000)))]
    assert sum(sizes) == 2_000_000
    assert max(sizes) <= 2 * 64 * 1024


def test_windows_above_eight_mebibytes_are_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(3, window_log=25)
    coder = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    coded = coder.compress(bytes(40_000_000)) + coder.flush()
    with pytest.raises(CodingError):
        decoded(coded, ZSTD.decode, MANY, MANY)


def test_skippable_frames_are_skipped() -> None:
    skippable = b"\x50\x2a\x4d\x18" + (3).to_bytes(4, "little") + b"abc"
    assert decoded(skippable + ZSTD.compress(b"x"), ZSTD.decode, MANY, MANY) == b"x"
