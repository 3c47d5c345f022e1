"""Messages out of frames: whatever the pieces, fragments, masks and controls between them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spork.domain.http.websocket import CLOSE, PING, PROTOCOL_ERROR, TEXT, TOO_BIG, close_frame, frame
from spork.domain.http.websocket_relayed import Message, MessageReader, masked, message_frame

MASK = b"\x01\x02\x03\x04"


def fragments(payload: bytes, cuts: list[int], mask: bytes) -> bytes:
    """A text message in fragments, with a ping after each."""
    at = sorted({min(cut, len(payload)) for cut in cuts})
    pieces = [payload[a:b] for a, b in zip([0, *at], [*at, len(payload)], strict=True)]
    sent = b""
    for n, piece in enumerate(pieces):
        whole = bytearray(message_frame(TEXT if n == 0 else 0, piece, mask))
        if n < len(pieces) - 1:
            whole[0] &= 0x7F
        sent += bytes(whole) + frame(PING, b"p", mask)
    return sent


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.binary(max_size=300), st.lists(st.integers(0, 300), max_size=4), st.integers(1, 40), st.booleans())
def test_messages_are_whole_whatever_the_pieces(payload: bytes, cuts: list[int], size: int, client: bool) -> None:
    reader = MessageReader(client, 1000)
    sent = fragments(payload, cuts, MASK if client else b"")
    found = [m for at in range(0, len(sent), size) for m in reader.advance(sent[at : at + size])]
    assert [m.payload for m in found if m.opcode == TEXT] == [payload]
    assert all(m == Message(PING, b"p") for m in found if m.opcode != TEXT)
    assert reader.between
    assert not reader.violation


@pytest.mark.parametrize("size", [0, 1, 3, 125, 126, 65535, 65536])
def test_lengths(size: int) -> None:
    payload = bytes(n & 0xFF for n in range(size))
    assert masked(masked(payload, MASK), MASK) == payload
    assert masked(payload, MASK) == bytes(b ^ MASK[n & 3] for n, b in enumerate(payload))
    for mask in (b"", MASK):
        assert MessageReader(bool(mask), 1 << 20).advance(message_frame(TEXT, payload, mask)) == [
            Message(TEXT, payload)
        ]


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\xc1\x80" + MASK, PROTOCOL_ERROR),  # compressed
        (message_frame(TEXT, b"x"), PROTOCOL_ERROR),  # a client that does not mask
        (b"\x80\x80" + MASK, PROTOCOL_ERROR),  # a continuation of nothing
        (b"\x09\x80" + MASK, PROTOCOL_ERROR),  # a ping in fragments
        (b"\x83\x80" + MASK, PROTOCOL_ERROR),
        (b"\x81\xff" + (1 << 40).to_bytes(8, "big") + MASK, TOO_BIG),
        (message_frame(TEXT, b"x" * 101, MASK), TOO_BIG),
    ],
)
def test_violations(sent: bytes, code: int) -> None:
    reader = MessageReader(True, 100)
    assert reader.advance(sent) == []
    assert reader.violation == code


def test_what_is_larger_than_is_kept_passes_unread_and_a_close_is_the_last() -> None:
    reader = MessageReader(False, 10, keep=False)
    sent = message_frame(TEXT, b"x" * 50) + message_frame(TEXT, b"y") + close_frame(1000) + message_frame(TEXT, b"z")
    assert [m.payload for m in reader.advance(sent) if m.opcode == TEXT] == [None, b"y"]
    assert reader.closed
    assert CLOSE == 8
