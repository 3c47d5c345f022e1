"""Frame boundaries of a WebSocket stream, however it is cut."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from spork.adapters.edge.tunnel import FrameBoundaries


def frame(size: int, opcode: int = 2, masked: bool = False) -> bytes:
    mask = 0x80 if masked else 0
    if size < 126:
        head = bytes((0x80 | opcode, mask | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, mask | 126)) + struct.pack("!H", size)
    else:
        head = bytes((0x80 | opcode, mask | 127)) + struct.pack("!Q", size)
    return head + (b"mask" if masked else b"") + b"\x88" * size


FRAMES = st.lists(st.tuples(st.sampled_from([0, 1, 125, 126, 300, 65536]), st.booleans()), min_size=1, max_size=6)


@given(FRAMES, st.lists(st.integers(1, 70_000), max_size=20))
def test_boundaries_are_found_however_the_stream_is_cut(sizes: list[tuple[int, bool]], cuts: list[int]) -> None:
    frames = [frame(size, masked=masked) for size, masked in sizes]
    stream = b"".join(frames)
    ends = {sum(len(one) for one in frames[: n + 1]) for n in range(len(frames))}
    boundaries = FrameBoundaries()
    at = 0
    for cut in [*cuts, len(stream)]:
        piece = stream[at : at + cut]
        whole = boundaries.advance(piece)
        inside = [end for end in ends if at < end <= at + len(piece)]
        assert at + whole == (max(inside) if inside else at)
        at += len(piece)
        assert boundaries.between == (at in ends or at == 0)
    assert not boundaries.closed


def test_a_close_frame_is_noticed() -> None:
    boundaries = FrameBoundaries()
    boundaries.advance(frame(5) + frame(2, opcode=8)[:1])
    assert not boundaries.closed
    boundaries.advance(frame(2, opcode=8)[1:])
    assert boundaries.closed
    assert boundaries.between
