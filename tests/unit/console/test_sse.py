"""The event-stream parser, whatever pieces the bytes arrive in."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.console.gateway.sse import MAX_EVENT, Oversized, Parser, ServerEvent

STREAM = (
    b": hello\n\nid: 5\nevent: delta\ndata: {\ndata: }\n\r\nevent: tick\r\ndata:x\rid\r\r"
    b"retry: 1500\nevent: lonely\n\ndata: \xff\nid: 7\x00\nid:8\n\n"
)
EVENTS = [
    ServerEvent("", b"", "", comment=True),
    ServerEvent("delta", b"{\n}", "5"),
    ServerEvent("tick", b"x", ""),
    ServerEvent("message", b"\xff", "8"),
]


@given(st.lists(st.integers(0, len(STREAM)), max_size=30))
def test_any_cutting_gives_the_same_events(cuts: list[int]) -> None:
    parser = Parser()
    places = [0, *sorted(cuts), len(STREAM)]
    found = [e for start, end in itertools.pairwise(places) for e in parser.feed(STREAM[start:end])]
    assert found == EVENTS
    assert parser.retry_ms == 1500
    assert parser.last_id == "8"


@given(st.binary(max_size=300))
def test_no_bytes_upset_it(noise: bytes) -> None:
    Parser().feed(noise)


def test_an_event_that_never_ends_is_refused() -> None:
    parser = Parser()
    with pytest.raises(Oversized):
        for _ in range(20):
            parser.feed(b"data: " + b"x" * (MAX_EVENT // 10) + b"\n")
    with pytest.raises(Oversized):
        Parser().feed(b"x" * (MAX_EVENT + 1))
