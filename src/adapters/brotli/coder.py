"""br (RFC 7932) by Google's brotli, quality 4."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import brotli  # type: ignore[import-untyped]

from spork.application.exchange.codings import Coding, CodingError

_PIECE: Final = 64 * 1024
_QUALITY: Final = 4


def decode_brotli(data: bytes) -> Iterator[bytes]:
    """A brotli body. Raises CodingError for what is broken or cut. Pieces may be half as long again as asked for."""
    engine: Any = brotli.Decompressor()
    given = data
    while not engine.is_finished():
        try:
            piece: bytes = engine.process(given, output_buffer_limit=_PIECE)
        except brotli.error as error:
            raise CodingError("not brotli") from error
        given = b""
        if piece:
            yield piece
        elif engine.can_accept_more_data() and not engine.is_finished():
            raise CodingError("brotli that ends too early")


class BrotliEncoder:
    """Implements `codings.Encoder`."""

    def __init__(self) -> None:
        self._engine: Any = brotli.Compressor(quality=_QUALITY)

    def piece(self, data: bytes) -> bytes:
        coded: bytes = self._engine.process(data)
        return coded

    def flush(self) -> bytes:
        coded: bytes = self._engine.flush()
        return coded

    def end(self) -> bytes:
        coded: bytes = self._engine.finish()
        return coded


def compress_brotli(data: bytes) -> bytes:
    """A whole body."""
    coded: bytes = brotli.compress(data, quality=_QUALITY)
    return coded


BROTLI: Final = Coding("br", decode_brotli, BrotliEncoder, compress_brotli)
