"""Where events end, whatever the line ends and the pieces."""

from __future__ import annotations

import pytest

from spork.domain.http.event_stream import EventBoundaries, retry_line
from spork.domain.limits.cost import CostSource, EventData, number_at

STREAM = b"data: one\n\nid: 7\ndata: two\ndata: three\n\n: comment\n\n"


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_a_stream_is_between_events_exactly_behind_empty_lines(end: bytes) -> None:
    boundaries = EventBoundaries()
    assert boundaries.between
    stream = STREAM.replace(b"\n", end)
    for at in range(len(stream)):
        boundaries.advance(stream[at : at + 1])
        passed = stream[: at + 1].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        assert boundaries.between is passed.endswith(b"\n\n"), stream[: at + 1]
    assert boundaries.events


def test_lines_are_events_of_ndjson() -> None:
    boundaries = EventBoundaries(lines=True)
    boundaries.advance(b'{"a": 1}\n{"b"')
    assert (boundaries.events, boundaries.between) == (True, False)


def test_retry_is_said_in_milliseconds() -> None:
    assert (retry_line(1.5), retry_line(0.0)) == (b"retry: 1500\n\n", b"")


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_the_data_of_wanted_events_comes_whole_in_any_pieces(end: bytes, size: int) -> None:
    stream = b'event: x\ndata: {"usage":\ndata: 5}\n\ndata: other\n\ndata:usage\n\n: end\n\n'.replace(b"\n", end)
    events = EventData((b"usage",))
    found = [event for at in range(0, len(stream), size) for event in events.advance(stream[at : at + size])]
    assert found == [b'{"usage":\n5}', b"usage"]


def test_units_are_weighed_floored_and_capped() -> None:
    source = CostSource(fields=(("a.b", 2), ("c", 1)), most=100)
    assert source.units({"a.b": 3, "c": 4}, None) == 10
    assert source.units({"a.b": 900}, None) == 100
    assert source.units({"c": -5}, None) == 0
    assert source.units({}, None) is None
    assert CostSource(header=b"x-cost").units({}, 7) == 7


def test_only_numbers_count() -> None:
    document = {"a": {"b": 3, "c": True, "d": "4", "e": 2.9}}
    assert [number_at(document, ("a", name)) for name in "bcdef"] == [3, None, None, 2, None]
