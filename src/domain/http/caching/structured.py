"""Structured Fields as far as a cache reads them: dictionaries of targeted fields, lists of strings (RFC 9651 4.2).

Strict: whatever does not parse makes the whole field void, as the RFC asks.
"""

from __future__ import annotations

from typing import Final

#: A bare item: an Integer, a Boolean, the octets of a String or Token, or `OTHER` for the types no cache asks for.
Item = int | bool | bytes
OTHER: Final = None

_KEY_FIRST: Final = b"abcdefghijklmnopqrstuvwxyz*"
_KEY: Final = _KEY_FIRST + b"0123456789_-."
_DIGITS: Final = b"0123456789"
_TOKEN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&'*+-.^_`|~:/"
_BASE64: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="


class Malformed(ValueError):
    """The field does not follow the grammar."""


class _Reader:
    """A position in the octets of one field."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def peek(self) -> bytes:
        return self.data[self.at : self.at + 1]

    def take(self, octets: bytes) -> bool:
        if self.data.startswith(octets, self.at):
            self.at += len(octets)
            return True
        return False

    def run(self, alphabet: bytes) -> bytes:
        start = self.at
        while self.at < len(self.data) and self.data[self.at] in alphabet:
            self.at += 1
        return self.data[start : self.at]

    def comma(self) -> bool:
        """Past one comma between members; False at the end. A comma at the end is malformed."""
        self.run(b" \t")
        if self.at == len(self.data):
            return False
        if not self.take(b","):
            raise Malformed
        self.run(b" \t")
        if self.at == len(self.data):
            raise Malformed
        return True


def parse_dictionary(data: bytes) -> dict[bytes, Item | None] | None:
    """Members of a Dictionary, `OTHER` for values of other types; None when it is malformed."""
    reader = _Reader(data.strip(b" "))
    members: dict[bytes, Item | None] = {}
    if not reader.data:
        return members
    try:
        while True:
            name = _key(reader)
            if reader.take(b"="):
                value = _member(reader)
            else:
                value = True
            _parameters(reader)
            members[name] = value
            if not reader.comma():
                return members
    except (Malformed, ValueError):
        return None


def parse_strings(data: bytes) -> list[bytes] | None:
    """The Strings of a List, whose other members are left out; None when it is malformed."""
    reader = _Reader(data.strip(b" "))
    found: list[bytes] = []
    if not reader.data:
        return found
    try:
        while True:
            text = reader.peek() == b'"'
            value = _member(reader)
            _parameters(reader)
            if text and isinstance(value, bytes):
                found.append(value)
            if not reader.comma():
                return found
    except (Malformed, ValueError):
        return None


def _key(reader: _Reader) -> bytes:
    if reader.peek() == b"" or reader.peek() not in _KEY_FIRST:
        raise Malformed
    return reader.run(_KEY)


def _parameters(reader: _Reader) -> None:
    while reader.take(b";"):
        reader.run(b" ")
        _key(reader)
        if reader.take(b"="):
            _item(reader)


def _member(reader: _Reader) -> Item | None:
    if not reader.take(b"("):
        return _item(reader)
    while True:
        reader.run(b" ")
        if reader.take(b")"):
            return OTHER
        _item(reader)
        _parameters(reader)
        if reader.peek() not in (b" ", b")") or not reader.peek():
            raise Malformed


def _item(reader: _Reader) -> Item | None:
    first = reader.peek()
    if not first:
        raise Malformed
    if first == b"-" or first in _DIGITS:
        return _number(reader)
    if first == b'"':
        return _string(reader)
    if first == b"*" or first.isalpha():
        return reader.run(_TOKEN)
    if first == b"?":
        return _boolean(reader)
    if first == b":":
        _octets(reader)
        return OTHER
    if first == b"@":
        reader.at += 1
        if not isinstance(_number(reader), int):
            raise Malformed
        return OTHER
    if reader.take(b'%"'):
        _display(reader)
        return OTHER
    raise Malformed


def _number(reader: _Reader) -> int | None:
    negative = reader.take(b"-")
    digits = reader.run(_DIGITS)
    if not digits:
        raise Malformed
    if reader.take(b"."):
        fraction = reader.run(_DIGITS)
        if not 1 <= len(fraction) <= 3 or len(digits) > 12:
            raise Malformed
        return OTHER
    if len(digits) > 15:
        raise Malformed
    return -int(digits) if negative else int(digits)


def _string(reader: _Reader) -> bytes:
    reader.at += 1
    text = bytearray()
    while reader.at < len(reader.data):
        octet = reader.data[reader.at]
        reader.at += 1
        if octet == 0x5C:
            escaped = reader.peek()
            if escaped not in (b'"', b"\\"):
                raise Malformed
            text += escaped
            reader.at += 1
        elif octet == 0x22:
            return bytes(text)
        elif not 0x20 <= octet <= 0x7E:
            raise Malformed
        else:
            text.append(octet)
    raise Malformed


def _boolean(reader: _Reader) -> bool:
    if reader.take(b"?1"):
        return True
    if reader.take(b"?0"):
        return False
    raise Malformed


def _octets(reader: _Reader) -> None:
    reader.at += 1
    reader.run(_BASE64)
    if not reader.take(b":"):
        raise Malformed


def _display(reader: _Reader) -> None:
    end = reader.data.find(b'"', reader.at)
    if end < 0:
        raise Malformed
    reader.at = end + 1
