"""Frames as they pass: whatever the pieces, the same bytes go on, and rules are judged at the header."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from spork.domain.http.websocket import (
    CLOSE,
    DROP,
    PING,
    PING_MARK,
    POLICY,
    PONG,
    PROTOCOL_ERROR,
    REFUSE,
    TOO_BIG,
    FrameObserver,
    close_frame,
    frame,
)

MASK = b"\x01\x02\x03\x04"


def data_frame(payload: bytes, opcode: int = 1, fin: bool = True, mask: bytes = b"", rsv: int = 0) -> bytes:
    size = len(payload)
    first = bytes(((0x80 if fin else 0) | rsv | opcode,))
    bit = 0x80 if mask else 0
    if size < 126:
        head = first + bytes((bit | size,))
    elif size < 65536:
        head = first + bytes((bit | 126,)) + size.to_bytes(2, "big")
    else:
        head = first + bytes((bit | 127,)) + size.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload)) if mask else head + payload


def pieces_of(stream: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [stream[a:b] for a, b in itertools.pairwise(edges) if b > a]


messages = st.lists(
    st.one_of(
        st.tuples(st.just("data"), st.binary(max_size=300), st.booleans()),
        st.tuples(st.just("control"), st.binary(max_size=125), st.booleans()),
        st.tuples(st.just("fragments"), st.binary(max_size=200), st.booleans()),
    ),
    max_size=8,
)


@given(messages, st.lists(st.integers(0, 2000), max_size=12))
def test_whatever_the_pieces_the_same_bytes_go_on(parts: list[tuple[str, bytes, bool]], cuts: list[int]) -> None:
    stream, count = b"", 0
    for kind, payload, flag in parts:
        if kind == "data":
            stream += data_frame(payload, 2 if flag else 1, mask=MASK)
            count += 1
        elif kind == "control":
            stream += frame(PING if flag else PONG, payload, MASK) if payload != PING_MARK else b""
        else:
            half = len(payload) // 2
            stream += data_frame(payload[:half], 1, False, MASK) + frame(PING, b"in between", MASK)
            stream += data_frame(payload[half:], 0, True, MASK)
            count += 1
    observer = FrameObserver(True)
    out = b"".join(observer.advance(piece) for piece in pieces_of(stream, cuts))
    assert out == stream
    assert (observer.violation, observer.messages, observer.between) == (0, count, True)


def test_what_is_forwarded_never_ends_within_a_header() -> None:
    stream = data_frame(b"x" * 70_000, mask=MASK) + data_frame(b"y", mask=MASK)
    observer = FrameObserver(True)
    out = b""
    for at in range(14):
        out += observer.advance(stream[at : at + 1])
    assert out == stream[:14]
    out += observer.advance(stream[14:])
    assert out == stream


def test_size_counts_fragments_and_is_judged_before_the_payload_came() -> None:
    observer = FrameObserver(True, most=10)
    first = data_frame(b"123456", fin=False, mask=MASK)
    assert observer.advance(first) == first
    ping = frame(PING, b"p" * 100, MASK)
    assert observer.advance(ping) == ping, "control frames do not count"
    assert observer.advance(data_frame(b"12345", 0, mask=MASK)[:6]) == b""
    assert observer.violation == TOO_BIG
    assert observer.between
    assert FrameObserver(True, most=10).advance(data_frame(b"1234567890", mask=MASK))


BAD = {
    "unmasked": data_frame(b"x"),
    "reserved opcode": data_frame(b"x", 3, mask=MASK),
    "reserved control": bytes((0x8B, 0x80)) + MASK,
    "rsv without extension": data_frame(b"x", rsv=0x40, mask=MASK),
    "rsv2": data_frame(b"x", rsv=0x20, mask=MASK),
    "continuation of nothing": data_frame(b"x", 0, mask=MASK),
    "fragmented control": bytes((0x09, 0x80)) + MASK,
    "long control": bytes((0x89, 0xFE, 0, 126)) + MASK,
    "64-bit length with the top bit": bytes((0x82, 0xFF)) + b"\x80" + b"\0" * 7 + MASK,
    "message within a message": data_frame(b"x", fin=False, mask=MASK) + data_frame(b"y", mask=MASK),
}


def test_bad_frames_end_it_and_what_came_before_goes_on() -> None:
    good = data_frame(b"good", mask=MASK)
    for name, bad in BAD.items():
        observer = FrameObserver(True)
        out = observer.advance(good + bad + good)
        assert observer.violation == PROTOCOL_ERROR, name
        expected = good + (data_frame(b"x", fin=False, mask=MASK) if name.startswith("message") else b"")
        assert out == expected, name
        assert observer.advance(good) == b""


def test_rsv1_is_right_on_the_first_frame_of_a_message_once_deflate_is_agreed() -> None:
    observer = FrameObserver(False, compressed=True)
    ok = data_frame(b"z", fin=False, rsv=0x40) + data_frame(b"z", 0)
    assert observer.advance(ok) == ok
    observer.advance(data_frame(b"z", fin=False, rsv=0x40) + data_frame(b"z", 0, rsv=0x40))
    assert observer.violation == PROTOCOL_ERROR


def test_pongs_to_our_pings_are_swallowed_and_others_are_not() -> None:
    observer = FrameObserver(True)
    other = frame(PONG, b"theirs", MASK)
    text = data_frame(b"t", mask=MASK)
    stream = text + frame(PONG, PING_MARK, MASK) + other
    assert b"".join(observer.advance(stream[at : at + 1]) for at in range(len(stream))) == text + other
    assert (observer.ponged, observer.seen) == (True, 2)


def test_a_message_too_many_waits_is_left_out_or_ends_it() -> None:
    answers = [0.0, 0.5, 0.0]
    observer = FrameObserver(True, meter=lambda: answers.pop(0))
    one, two = data_frame(b"one", mask=MASK), data_frame(b"two", mask=MASK)
    assert (observer.advance(one + two), observer.waiting) == (one, 0.5)
    assert (observer.advance(b""), observer.waiting) == (two, 0.0)

    answers = [0.0, DROP, 0.0]
    observer = FrameObserver(True, meter=lambda: answers.pop(0))
    dropped = data_frame(b"lo", fin=False, mask=MASK) + frame(PING, b"", MASK) + data_frame(b"st", 0, mask=MASK)
    stream = one + dropped + two
    out = b"".join(observer.advance(stream[at : at + 3]) for at in range(0, len(stream), 3))
    assert out == one + frame(PING, b"", MASK) + two

    answers = [0.0, REFUSE]
    observer = FrameObserver(True, meter=lambda: answers.pop(0))
    assert (observer.advance(one + two), observer.violation) == (one, POLICY)


def test_nothing_follows_a_close() -> None:
    observer = FrameObserver(False)
    goodbye = close_frame(1000, "bye")
    assert observer.advance(goodbye + data_frame(b"late")) == goodbye
    assert observer.closed
    assert observer.advance(data_frame(b"later")) == b""


def test_a_close_reason_is_cut_at_a_character() -> None:
    wire = close_frame(4401, "ü" * 100)
    assert wire[0] == 0x80 | CLOSE
    assert wire[1] == len(wire) - 2 <= 125
    assert wire[4:].decode() == "ü" * 61
