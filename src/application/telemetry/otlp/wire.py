"""Protobuf's wire format, and the messages that all signals share: attributes, resource, scope.

Source: opentelemetry-proto common/v1 and resource/v1; encoding: protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Final

#: What an attribute may hold. Integers are of 64 bits.
Value = str | bool | int | float | tuple[str, ...]

#: Longest attribute value in bytes of UTF-8; what is longer is cut.
VALUE_BYTES: Final = 1024
#: Encoded attributes that are remembered; most repeat from span to span.
_CACHED: Final = 4096

_double = struct.Struct("<d").pack
_fixed64 = struct.Struct("<Q").pack
_fixed32 = struct.Struct("<I").pack
_ONE_BYTE: Final = tuple(bytes((n,)) for n in range(128))


def nanoseconds(unix: float) -> int:
    """Unix seconds as whole nanoseconds; a float cannot hold them multiplied out."""
    seconds = int(unix)
    return seconds * 1_000_000_000 + round((unix - seconds) * 1e9)


def varint(number: int) -> bytes:
    """A non-negative number, seven bits a byte."""
    if number < 128:
        return _ONE_BYTE[number]
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def signed(number: int) -> bytes:
    """An int64 as varint: negative numbers as their two's complement of 64 bits."""
    return varint(number & 0xFFFFFFFFFFFFFFFF)


def message(tag: bytes, content: bytes) -> bytes:
    """A field that holds a message, text or bytes. `tag` is the encoded field number with wire type 2."""
    return tag + varint(len(content)) + content


def fixed64(tag: bytes, number: int) -> bytes:
    return tag + _fixed64(number)


def fixed32(tag: bytes, number: int) -> bytes:
    return tag + _fixed32(number)


def double(tag: bytes, number: float) -> bytes:
    return tag + _double(number)


def packed_fixed64(tag: bytes, numbers: Iterable[int]) -> bytes:
    content = b"".join([_fixed64(number) for number in numbers])
    return message(tag, content) if content else b""


def packed_double(tag: bytes, numbers: Iterable[float]) -> bytes:
    content = b"".join([_double(number) for number in numbers])
    return message(tag, content) if content else b""


def utf8(text: str, most: int = VALUE_BYTES) -> bytes:
    """Text as valid UTF-8 of at most `most` bytes, cut between characters; what cannot be encoded becomes `?`."""
    raw = text.encode("utf-8", "replace")
    return raw if len(raw) <= most else raw[:most].decode("utf-8", "ignore").encode("utf-8")


def any_value(value: Value) -> bytes:
    """The content of an AnyValue."""
    if isinstance(value, str):
        return message(b"\x0a", utf8(value))
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + signed(value)
    if isinstance(value, float):
        return double(b"\x21", value)
    return message(b"\x2a", b"".join([message(b"\x0a", any_value(item)) for item in value]))


class Attributes:
    """Encodes attributes, remembering what it encoded. One per thread; its memory is bounded."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, str, object], bytes] = {}

    def encode(self, tag: bytes, key: str, value: Value) -> bytes:
        """One KeyValue as field `tag`. What seldom repeats goes through `once`."""
        known = (tag, key, value if not isinstance(value, bool | float) else (type(value), value))
        found = self._known.get(known)
        if found is None:
            if len(self._known) >= _CACHED:
                self._known.clear()
            found = self._known[known] = self.once(tag, key, value)
        return found

    @staticmethod
    def once(tag: bytes, key: str, value: Value) -> bytes:
        return message(tag, message(b"\x0a", key.encode("utf-8")) + message(b"\x12", any_value(value)))


def resource_of(attributes: Mapping[str, Value]) -> bytes:
    """A Resource with these attributes."""
    return b"".join([Attributes.once(b"\x0a", key, value) for key, value in attributes.items()])


def scope_of(name: str, version: str) -> bytes:
    """An InstrumentationScope."""
    return message(b"\x0a", name.encode("utf-8")) + (message(b"\x12", version.encode("utf-8")) if version else b"")


def request_of(resource: bytes, scope: bytes, items: Iterable[bytes], schema_url: str = "") -> bytes:
    """An Export*ServiceRequest of any signal with one resource and one scope.

    `items` are spans, metrics or log records already framed as field 2: all three messages have the same shape.
    """
    schema = message(b"\x1a", schema_url.encode("ascii")) if schema_url else b""
    scoped = message(b"\x0a", scope) + b"".join(items) + schema
    return message(b"\x0a", message(b"\x0a", resource) + message(b"\x12", scoped) + schema)


def rejected(response: bytes) -> int:
    """How many items a collector says it did not take (`partial_success.rejected_*`); 0 for what is no such answer."""
    partial = _field(response, 1)
    if not isinstance(partial, bytes):
        return 0
    count = _field(partial, 1)
    return count if isinstance(count, int) and count < 1 << 63 else 0


def _field(data: bytes, wanted: int) -> int | bytes | None:
    """The last value of field `wanted`, None when it is not there or `data` is no protobuf."""
    found: int | bytes | None = None
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        if at < 0:
            return None
        kind = tag & 7
        value: int | bytes
        if kind == 0:
            value, at = _read_varint(data, at)
        elif kind == 2:
            size, at = _read_varint(data, at)
            value = data[at : at + size] if at >= 0 else b""
            at += size
        elif kind in (1, 5):
            value, at = 0, at + (8 if kind == 1 else 4)
        else:
            return None
        if at < 0 or at > len(data):
            return None
        if tag >> 3 == wanted:
            found = value
    return found


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """A number and where it ends; -1 when it does not end."""
    number = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            return 0, -1
        byte = data[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at
    return 0, -1
