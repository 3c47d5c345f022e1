"""Coders of bodies as the exchange uses them: the port behind which gzip, brotli and zstandard stand.

A decoder is a generator, so that its caller stops it where a bound is reached: nothing is decoded that nobody looks at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from spork.domain.http.coding import HARMLESS


class CodingError(ValueError):
    """The bytes are not in the coding they are said to be in."""


class TooManyBytes(ValueError):
    """Decoded, the body is larger than its bound or its ratio allow. `ratio` tells which."""

    def __init__(self, ratio: bool) -> None:
        super().__init__("decoded, the body is too large")
        self.ratio = ratio


class Encoder(Protocol):
    """Encodes one body in pieces."""

    def piece(self, data: bytes) -> bytes:
        """What can be sent of the body so far; may be empty."""

    def flush(self) -> bytes:
        """Everything given so far, so that the other side can decode it now."""

    def end(self) -> bytes:
        """The rest. Nothing may be called afterwards."""


#: Decodes a whole body into pieces of about 64 KiB. Raises CodingError while it is iterated.
Decode = Callable[[bytes], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Coding:
    """One content coding, by its name in HTTP."""

    name: str
    decode: Decode
    encoder: Callable[[], Encoder]
    compress: Callable[[bytes], bytes]


class Codings:
    """The codings of this process, in their order of preference."""

    def __init__(self, codings: Sequence[Coding] = ()) -> None:
        self._by_name: Mapping[str, Coding] = {coding.name: coding for coding in codings}

    def get(self, name: str) -> Coding | None:
        return self._by_name.get(name)

    def __contains__(self, name: str) -> bool:
        return name in self._by_name


def decoded(data: bytes, decode: Decode, most: int, ratio: int) -> bytes:
    """`data` decoded. Raises TooManyBytes beyond `most` bytes or `ratio` times its size, CodingError if it is broken."""
    pieces: list[bytes] = []
    size = 0
    bound = max(HARMLESS, ratio * len(data))
    for piece in decode(data):
        size += len(piece)
        if size > bound:
            raise TooManyBytes(ratio=True)
        if size > most:
            raise TooManyBytes(ratio=False)
        pieces.append(piece)
    return b"".join(pieces)
