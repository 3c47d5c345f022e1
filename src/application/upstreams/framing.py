"""What a transport has to know of a request body before it can write the head."""

from __future__ import annotations

from typing import Final, NamedTuple

from spork.application.kernel.streams import RequestBody


class Measured(NamedTuple):
    """`stream` is what is still to be read, `payload` the bytes at hand (then there is no stream).

    `length` is the body's size in bytes: 0 for none, None for unknown until its end.
    """

    stream: RequestBody | None
    payload: bytes
    length: int | None


NOTHING: Final = Measured(None, b"", 0)


def measure(body: RequestBody | bytes | None) -> Measured:
    """A body that has arrived as a whole is taken as a whole, so that it can go out with the head and again."""
    if body is None:
        return NOTHING
    if isinstance(body, bytes):
        return Measured(None, body, len(body))
    length = body.length
    if length == 0:
        return NOTHING
    whole = body.whole()
    if whole is not None:
        return Measured(None, whole, len(whole))
    return Measured(body, b"", length)
