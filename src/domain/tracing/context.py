"""Trace contexts and the fields of W3C Trace Context (Recommendation of level 1, and the random flag of level 2).

A context that breaks a rule is no context: the request begins a trace of its own (W3C Trace Context 4.3). Higher versions are
read as version 00 as far as they agree with it. Ids are lower-case hex digits as ASCII bytes, the way they travel.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

_HEX: Final = frozenset(b"0123456789abcdef")
_NO_TRACE: Final = b"0" * 32
_NO_SPAN: Final = b"0" * 16

SAMPLED: Final = 0x01
#: The trace id is random, so that samplers may go by its bits (level 2).
RANDOM: Final = 0x02

#: Most members of `tracestate` (3.3.1.1); with more of them the whole field is invalid.
STATE_MEMBERS: Final = 32
#: Longest `tracestate` that is passed on; level 1 wants at least 512 characters.
STATE_BYTES: Final = 2048
#: A member longer than this goes first when `tracestate` is too long (3.3.1.5).
LONG_MEMBER: Final = 128
#: Bounds of W3C Baggage 3.3.2.
BAGGAGE_MEMBERS: Final = 64
BAGGAGE_BYTES: Final = 8192

_MEMBER: Final = re.compile(
    rb"[a-z0-9][a-z0-9_\-*/@]{0,255}=[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]\Z"
)


class TraceContext:
    """Where a request stands in a trace: 32 and 16 hex digits. `sampled` is None when the caller leaves it to us."""

    __slots__ = ("random", "sampled", "span_id", "trace_id")

    def __init__(self, trace_id: bytes, span_id: bytes, sampled: bool | None, random: bool = False) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.sampled = sampled
        self.random = random

    def __repr__(self) -> str:
        return f"<TraceContext {self.trace_id.decode()} {self.span_id.decode()} sampled={self.sampled}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TraceContext):
            return NotImplemented
        return (self.trace_id, self.span_id, self.sampled, self.random) == (
            other.trace_id,
            other.span_id,
            other.sampled,
            other.random,
        )

    def __hash__(self) -> int:
        return hash((self.trace_id, self.span_id))


def is_trace_id(text: bytes) -> bool:
    return len(text) == 32 and _HEX.issuperset(text) and text != _NO_TRACE


def is_span_id(text: bytes) -> bool:
    return len(text) == 16 and _HEX.issuperset(text) and text != _NO_SPAN


def parse_traceparent(value: bytes) -> TraceContext | None:
    """The context of a `traceparent`, or None when it is invalid (W3C Trace Context 3.2)."""
    value = value.strip(b" \t")
    if len(value) < 55 or value[2:3] != b"-" or value[35:36] != b"-" or value[52:53] != b"-":
        return None
    version, flags = value[:2], value[53:55]
    if not _HEX.issuperset(version) or not _HEX.issuperset(flags) or version == b"ff":
        return None
    if len(value) > 55 and (version == b"00" or value[55:56] != b"-"):
        return None
    trace_id, span_id = value[3:35], value[36:52]
    if not is_trace_id(trace_id) or not is_span_id(span_id):
        return None
    bits = int(flags, 16)
    return TraceContext(trace_id, span_id, bool(bits & SAMPLED), bool(bits & RANDOM))


def traceparent(trace_id: bytes, span_id: bytes, sampled: bool, random: bool = True) -> bytes:
    """The field for those whom `span_id` calls."""
    if random:
        return b"00-%b-%b-%b" % (trace_id, span_id, b"03" if sampled else b"02")
    return b"00-%b-%b-%b" % (trace_id, span_id, b"01" if sampled else b"00")


def combined_state(values: Sequence[bytes]) -> bytes:
    """One `tracestate` of all that a request carried, in order, or b"" when any member of them is invalid.

    Of a repeated key the first stays. What is longer than `STATE_BYTES` loses its long members, then its last ones.
    """
    members: list[bytes] = []
    keys: set[bytes] = set()
    for part in b",".join(values).split(b","):
        member = part.strip(b" \t")
        if not member:
            continue
        if not _MEMBER.match(member):
            return b""
        key = member.partition(b"=")[0]
        if key not in keys:
            keys.add(key)
            members.append(member)
    if len(members) > STATE_MEMBERS:
        return b""
    state = b",".join(members)
    if len(state) > STATE_BYTES:
        members = [member for member in members if len(member) <= LONG_MEMBER]
        while len(state := b",".join(members)) > STATE_BYTES:
            members.pop()
    return state


def bounded_baggage(values: Sequence[bytes]) -> bytes:
    """One `baggage` of all that a request carried; members beyond its bounds are left out, whole ones only."""
    kept: list[bytes] = []
    size = -1
    for part in b",".join(values).split(b","):
        member = part.strip(b" \t")
        if not member or b"=" not in member:
            continue
        size += len(member) + 1
        if len(kept) == BAGGAGE_MEMBERS or size > BAGGAGE_BYTES:
            break
        kept.append(member)
    return b",".join(kept)
