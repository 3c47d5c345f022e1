"""The operators' stream where a topic is long: gone through in turns, a beat's work bounded by counts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from spork.application.admin.stream import AT_ONCE, Revisions, Stream


class Rows(Mapping[str, object]):
    """Rows that count how many of them were looked at."""

    def __init__(self, count: int) -> None:
        self.values_by_key: dict[str, int] = {f"r{number}": 0 for number in range(count)}
        self.looked = 0

    def __getitem__(self, key: str) -> object:
        self.looked += 1
        return {"name": key, "value": self.values_by_key[key]}

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_by_key)

    def __len__(self) -> int:
        return len(self.values_by_key)

    def __contains__(self, key: object) -> bool:
        return key in self.values_by_key


def streamed(rows: Rows) -> Stream:
    return Stream(
        Revisions(lambda: 1000.0), lambda data: json.dumps(data).encode(), lambda topics: {"routes": rows},
        dict, lambda number: ((), number), lambda: 1,
    )  # fmt: skip


def deltas(frames: list[bytes]) -> list[dict[str, list[Any]]]:
    told = [frame.split(b"data: ")[1] for frame in frames if b"event: delta" in frame]
    return [json.loads(text) for text in told]


async def beats(stream: Stream, count: int) -> list[dict[str, list[Any]]]:
    """What so many beats tell somebody who watches routes."""
    watcher = stream.watch(frozenset({"routes"}), None)
    for _ in range(count):
        await stream.beat()
    stream.leave(watcher)
    frames = [watcher.queue.get_nowait() for _ in range(watcher.queue.qsize())]
    return deltas([frame.wire for frame in frames if frame is not None])


async def test_a_long_topic_is_looked_at_in_turns_and_every_change_is_told() -> None:
    rows = Rows(5 * AT_ONCE - 100)
    stream = streamed(rows)
    await beats(stream, 5)
    rows.looked = 0
    for key in rows.values_by_key:
        rows.values_by_key[key] = 1
    told = await beats(stream, 1)
    assert rows.looked == AT_ONCE, "one beat's work is bounded"
    assert len(told[0]["rows"]) == AT_ONCE
    told += await beats(stream, 4)
    assert sorted(row["name"] for delta in told for row in delta["rows"]) == sorted(rows.values_by_key)
    assert await beats(stream, 5) == [], "nothing has changed since"


async def test_a_row_of_a_long_topic_that_is_gone_is_told_at_the_next_beat() -> None:
    rows = Rows(3 * AT_ONCE)
    stream = streamed(rows)
    await beats(stream, 3)
    del rows.values_by_key["r7"]
    assert [delta["gone"] for delta in await beats(stream, 1)] == [["r7"]]


async def test_a_short_topic_is_compared_whole_in_every_beat() -> None:
    rows = Rows(AT_ONCE)
    stream = streamed(rows)
    await beats(stream, 1)
    rows.values_by_key["r499"] = 2
    assert [delta["rows"] for delta in await beats(stream, 1)] == [[{"name": "r499", "value": 2}]]


async def test_a_quiet_stream_has_heartbeats() -> None:
    stream = streamed(Rows(1))
    frames = stream.frames(stream.watch(frozenset({"routes"}), None), heartbeat=0.01)
    assert [await anext(frames) for _ in range(3)] == [b"retry: 1000\n\n", b": heartbeat\n\n", b": heartbeat\n\n"]
