"""The rules of W3C Trace Context, in the cases of the W3C's own validation service (github.com/w3c/trace-context, test/)."""

from __future__ import annotations

import pytest

from spork.domain.tracing.context import (
    BAGGAGE_BYTES,
    STATE_BYTES,
    bounded_baggage,
    combined_state,
    parse_traceparent,
    traceparent,
)

TRACE = b"12345678901234567890123456789012"
SPAN = b"1234567890123456"
GOOD = b"00-" + TRACE + b"-" + SPAN + b"-01"


@pytest.mark.parametrize(
    "value",
    [
        GOOD,
        b" " + GOOD,
        b"\t" + GOOD + b"\t ",
        b"cc" + GOOD[2:],
        b"cc" + GOOD[2:] + b"-what-the-future-will-be-like",
        b"01" + GOOD[2:],
    ],
)
def test_valid_contexts(value: bytes) -> None:
    context = parse_traceparent(value)
    assert context is not None
    assert (context.trace_id, context.span_id, context.sampled) == (TRACE, SPAN, True)


@pytest.mark.parametrize(
    "value",
    [
        b"",
        GOOD + b".",
        GOOD + b"-what-the-future-will-be-like",
        b"cc" + GOOD[2:] + b".what-the-future-will-be-like",
        b"ff" + GOOD[2:],
        b".0" + GOOD[2:],
        b"0." + GOOD[2:],
        b"000" + GOOD[2:],
        b"0000" + GOOD[2:],
        b"0" + GOOD[2:],
        b"00-" + b"0" * 32 + b"-" + SPAN + b"-01",
        b"00-." + TRACE[1:] + b"-" + SPAN + b"-01",
        b"00-" + TRACE[1:] + b".-" + SPAN + b"-01",
        b"00-" + TRACE + b"3-" + SPAN + b"-01",
        b"00-" + TRACE[1:] + b"-" + SPAN + b"-01",
        b"00-" + TRACE + b"-" + b"0" * 16 + b"-01",
        b"00-" + TRACE + b"-." + SPAN[1:] + b"-01",
        b"00-" + TRACE + b"-" + SPAN + b"7-01",
        b"00-" + TRACE + b"-" + SPAN[1:] + b"-01",
        b"00-" + TRACE + b"-" + SPAN + b"-.0",
        b"00-" + TRACE + b"-" + SPAN + b"-0.",
        b"00-" + TRACE + b"-" + SPAN + b"-001",
        b"00-" + TRACE + b"-" + SPAN + b"-1",
        GOOD.replace(b"12345678901234567890123456789012", b"ABCDEF78901234567890123456789012"),
    ],
)
def test_invalid_contexts_begin_a_new_trace(value: bytes) -> None:
    assert parse_traceparent(value) is None


@pytest.mark.parametrize(("flags", "sampled", "random"), [(b"00", False, False), (b"01", True, False), (b"02", False, True), (b"ff", True, True)])  # fmt: skip
def test_flags_unknown_bits_are_ignored(flags: bytes, sampled: bool, random: bool) -> None:
    context = parse_traceparent(GOOD[:-2] + flags)
    assert context is not None
    assert (context.sampled, context.random) == (sampled, random)
    assert traceparent(TRACE, SPAN, sampled, random)[-2:] == b"%02x" % (sampled | random << 1)


ALL = bytes((*range(0x20, 0x2C), *range(0x2D, 0x3D), *range(0x3E, 0x7F)))


@pytest.mark.parametrize(
    ("given", "state"),
    [
        ([b"foo=1,bar=2"], b"foo=1,bar=2"),
        ([b""], b""),
        ([b"foo=1", b""], b"foo=1"),
        ([b"", b"foo=1"], b"foo=1"),
        ([b"foo=1,bar=2", b"rojo=1,congo=2", b"baz=3"], b"foo=1,bar=2,rojo=1,congo=2,baz=3"),
        ([b"foo=1,foo=1"], b"foo=1"),
        ([b"foo=1", b"foo=2"], b"foo=1"),
        ([b"foo=1 \t , \t bar=2, \t baz=3"], b"foo=1,bar=2,baz=3"),
        ([b"\t foo=1 \t"], b"foo=1"),
        ([b"abc_-*/@09=" + ALL], b"abc_-*/@09=" + ALL),
        ([b"foo@=1,bar=2"], b"foo@=1,bar=2"),
        ([b"foo@bar@baz=1,bar=2"], b"foo@bar@baz=1,bar=2"),
        ([b"z" * 256 + b"=1"], b"z" * 256 + b"=1"),
        ([b",".join(b"k%d=1" % n for n in range(32))], b",".join(b"k%d=1" % n for n in range(32))),
    ],
)
def test_tracestate_is_inherited(given: list[bytes], state: bytes) -> None:
    assert combined_state(given) == state


@pytest.mark.parametrize(
    "given",
    [
        [b"foo =1"],
        [b"FOO=1"],
        [b"foo.bar=1"],
        [b"@foo=1,bar=2"],
        [b"foo=1", b"z" * 257 + b"=1"],
        [b"foo=bar=baz"],
        [b"foo=,bar=3"],
        [b"foo"],
        [b"foo=\x7f"],
        [b"foo=" + b"v" * 257],
        [b",".join(b"k%d=1" % n for n in range(33))],
    ],
)
def test_an_invalid_tracestate_is_discarded_whole(given: list[bytes]) -> None:
    assert combined_state(given) == b""


def test_a_long_tracestate_loses_long_members_first_and_keeps_512_characters() -> None:
    short = [b"k%d=%b" % (n, b"v" * 20) for n in range(21)]
    long = [b"l%d=%b" % (n, b"v" * 250) for n in range(8)]
    state = combined_state([b",".join([*long, *short])])
    assert state == b",".join(short)
    assert 512 <= len(state) <= STATE_BYTES
    longest = combined_state([b",".join(b"m%d=%b" % (n, b"v" * 120) for n in range(32))])
    assert 512 <= len(longest) <= STATE_BYTES


def test_baggage_is_bounded_in_members_and_bytes() -> None:
    assert bounded_baggage([b"a=1 , b=2;p=3", b"c=4"]) == b"a=1,b=2;p=3,c=4"
    many = bounded_baggage([b",".join(b"k%d=v" % n for n in range(100))])
    assert many.count(b",") == 63
    large = bounded_baggage([b",".join(b"k%d=%b" % (n, b"v" * 900) for n in range(10))])
    assert len(large) <= BAGGAGE_BYTES
    assert large.count(b",") == 8
    assert bounded_baggage([b"k=" + b"v" * 9000]) == b""
