"""Byte ranges of a whole stored answer (RFC 9110 14.1.2, 14.2, 13.1.5)."""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

from spork.domain.http.caching.stored import StoredResponse
from spork.domain.http.head import Headers

_ONE: Final = re.compile(rb"(?i:bytes)=[ \t]*(\d*)-(\d*)[ \t]*")


class Part(Enum):
    """Not one range: the whole answer, or none of it."""

    WHOLE = "whole"
    UNSATISFIABLE = "unsatisfiable"


def part_of(entry: StoredResponse, headers: Headers) -> tuple[int, int] | Part:
    """First and last byte of the part a GET asks for. Several ranges, other units and a failed If-Range: the whole."""
    asked = [value for name, value in headers if name == b"range"]
    if len(asked) != 1 or entry.status != 200:
        return Part.WHOLE
    unless = next((value for name, value in headers if name == b"if-range"), None)
    if unless is not None and not _same(entry, unless):
        return Part.WHOLE
    found = _ONE.fullmatch(asked[0])
    if found is None:
        return Part.WHOLE
    first, last = found[1], found[2]
    length = entry.length
    if not first:
        if not last:
            return Part.WHOLE
        size = int(last)
        return (max(0, length - size), length - 1) if size and length else Part.UNSATISFIABLE
    start = int(first)
    if last and int(last) < start:
        return Part.WHOLE
    if start >= length:
        return Part.UNSATISFIABLE
    return start, min(int(last), length - 1) if last else length - 1


def _same(entry: StoredResponse, validator: bytes) -> bool:
    """If-Range compares strongly: a weak tag never matches, a date must be the very same."""
    if validator[:1] == b'"':
        return validator == entry.etag
    return validator[:2] != b"W/" and bool(entry.last_modified) and validator == entry.last_modified
