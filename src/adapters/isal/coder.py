"""gzip (RFC 1952) by isal at level 1; by zlib where the machine has no isal."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any, Final

from spork.application.exchange.codings import Coding, CodingError

try:
    from isal import isal_zlib
except ImportError:  # wheels exist for x86-64 and arm64 only
    isal_zlib = None  # type: ignore[assignment]

_ENGINE: Final[Any] = isal_zlib or zlib
#: 15 bits of window, and a gzip header and trailer instead of zlib's.
_GZIP: Final = 31
_PIECE: Final = 64 * 1024


def decode_gzip(data: bytes) -> Iterator[bytes]:
    """Every member of a gzip body. Raises CodingError for what is broken, cut, or followed by anything else."""
    rest = data
    while rest:
        member = _ENGINE.decompressobj(_GZIP)
        waiting = rest
        while not member.eof:
            try:
                piece = member.decompress(waiting, _PIECE)
            except (zlib.error, _ENGINE.error) as error:
                raise CodingError("not gzip") from error
            waiting = member.unconsumed_tail
            if piece:
                yield piece
            elif not waiting and not member.eof:
                raise CodingError("gzip that ends too early")
        rest = member.unused_data
    if not data:
        raise CodingError("gzip of no bytes at all")


class GzipEncoder:
    """Implements `codings.Encoder`. Level 1: the ratio of zlib's level 6 at a tenth of its time."""

    def __init__(self) -> None:
        self._engine = _ENGINE.compressobj(1, zlib.DEFLATED, _GZIP)

    def piece(self, data: bytes) -> bytes:
        coded: bytes = self._engine.compress(data)
        return coded

    def flush(self) -> bytes:
        coded: bytes = self._engine.flush(zlib.Z_SYNC_FLUSH)
        return coded

    def end(self) -> bytes:
        coded: bytes = self._engine.flush(zlib.Z_FINISH)
        return coded


def compress_gzip(data: bytes) -> bytes:
    """A whole body."""
    engine = _ENGINE.compressobj(1, zlib.DEFLATED, _GZIP)
    coded: bytes = engine.compress(data) + engine.flush()
    return coded


GZIP: Final = Coding("gzip", decode_gzip, GzipEncoder, compress_gzip)
