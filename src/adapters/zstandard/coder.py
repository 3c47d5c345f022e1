"""zstd (RFC 8878) by zstandard, level 3, with windows of at most 8 MiB (RFC 9659)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import zstandard

from spork.application.exchange.codings import Coding, CodingError

_PIECE: Final = 64 * 1024
_LARGEST_WINDOW: Final = 8 * 1024 * 1024
_LEVEL: Final = 3
_FRAME: Final = b"\x28\xb5\x2f\xfd"
#: Bytes of the content size and of the dictionary id, by their flags (RFC 8878 3.1.1.1.1).
_SIZE_BYTES: Final = (0, 2, 4, 8)
_DICTIONARY_BYTES: Final = (0, 1, 2, 4)
#: For whole bodies: making a context costs half as much as using it. Streams have one each, for theirs is busy.
_whole: Final = zstandard.ZstdCompressor(level=_LEVEL)


def decode_zstd(data: bytes) -> Iterator[bytes]:
    """Every frame of a zstd body. Raises CodingError for what is broken, cut, or has a window above 8 MiB."""
    if not _is_complete(data):
        raise CodingError("zstd that ends too early")
    engine = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW)
    with engine.stream_reader(data, read_across_frames=True) as reader:
        while True:
            try:
                piece = reader.read(_PIECE)
            except zstandard.ZstdError as error:
                raise CodingError("not zstd") from error
            if not piece:
                return
            yield piece


def _is_complete(data: bytes) -> bool:
    """Whether the last frame is there to its end: the library's reader takes a cut body for a short one."""
    at = 0
    while at < len(data):
        end = _end_of_frame(data, at)
        if end is None or end > len(data):
            return False
        at = end
    return bool(data)


def _end_of_frame(data: bytes, at: int) -> int | None:
    """Where the frame at `at` ends; None when it is cut or no frame (RFC 8878 3.1)."""
    if data[at : at + 4] != _FRAME:
        skippable = data[at + 1 : at + 4] == b"\x2a\x4d\x18" and data[at] & 0xF0 == 0x50
        return at + 8 + int.from_bytes(data[at + 4 : at + 8], "little") if skippable else None
    if at + 5 > len(data):
        return None
    descriptor = data[at + 4]
    single = bool(descriptor & 0x20)
    size_bytes = _SIZE_BYTES[descriptor >> 6] or (1 if single else 0)
    at += 5 + (0 if single else 1) + _DICTIONARY_BYTES[descriptor & 3] + size_bytes
    while True:
        if at + 3 > len(data):
            return None
        header = int.from_bytes(data[at : at + 3], "little")
        kind, length = (header >> 1) & 3, header >> 3
        at += 3 + (1 if kind == 1 else length)  # a run is one byte, however long
        if header & 1:
            return at + (4 if descriptor & 4 else 0)


class ZstdEncoder:
    """Implements `codings.Encoder`."""

    def __init__(self) -> None:
        self._engine = zstandard.ZstdCompressor(level=_LEVEL).compressobj()

    def piece(self, data: bytes) -> bytes:
        return self._engine.compress(data)

    def flush(self) -> bytes:
        return self._engine.flush(zstandard.COMPRESSOBJ_FLUSH_BLOCK)

    def end(self) -> bytes:
        return self._engine.flush(zstandard.COMPRESSOBJ_FLUSH_FINISH)


ZSTD: Final = Coding("zstd", decode_zstd, ZstdEncoder, _whole.compress)
