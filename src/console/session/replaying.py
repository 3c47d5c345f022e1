"""A recording played as if it were a gateway: the console's own client reads it, at any speed, from any moment."""

from __future__ import annotations

import asyncio
import json
import time
from bisect import bisect_right
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx

from spork.console.session.recording import PREFIX, STREAM

LOOK_SECONDS = 0.05
BEAT_SECONDS = 5.0
SLOWEST, FASTEST = 0.1, 60.0


class Player:
    """Where in the recording one is. Times are those of the recording, in Unix seconds."""

    def __init__(
        self, entries: list[dict[str, Any]], speed: float = 1.0, mono: Callable[[], float] = time.monotonic
    ) -> None:
        self.entries = entries
        self._times: list[float] = [entry["at"] for entry in entries]
        self.start, self.end = self._times[0], self._times[-1]
        self._mono = mono
        self._anchor = (self.start, mono())
        self.speed = speed
        self.paused = False

    def now(self) -> float:
        """The moment that is played."""
        at, since = self._anchor
        return at if self.paused else min(self.end, at + (self._mono() - since) * self.speed)

    def since_start(self) -> float:
        """For clocks that must stand still with the recording."""
        return self.now() - self.start

    def pause(self, paused: bool) -> None:
        self._anchor = (self.now(), self._mono())
        self.paused = paused

    def play_at(self, speed: float) -> None:
        """So many times as fast, at least SLOWEST and at most FASTEST."""
        self._anchor = (self.now(), self._mono())
        self.speed = min(FASTEST, max(SLOWEST, speed))

    def seek(self, at: float) -> None:
        """To a moment; beyond either end, to that end."""
        self._anchor = (min(self.end, max(self.start, at)), self._mono())

    def latest(self, path: str, topics: set[str]) -> tuple[int, str] | None:
        """The newest answer to `path` so far (with these topics, if it is a snapshot), and where it stands. Before the
        first there is the first one."""
        until = bisect_right(self._times, self.now())
        order = [*range(until - 1, -1, -1), *range(until, len(self.entries))]
        for index in order:
            entry = self.entries[index]
            if entry["path"] == path and (not topics or topics <= _topics(entry["query"])):
                return index, entry["text"]
        return None


def _topics(query: str) -> set[str]:
    named = httpx.QueryParams(query).get("topics", "")
    return set(named.split(",")) if named else set()


class ReplayTransport(httpx.AsyncBaseTransport):
    """Answers a console from a recording. What was not recorded is absent, writes are refused."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._from = 0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path.removeprefix(PREFIX)
        if request.method != "GET":
            return _answer(403, {"title": "forbidden", "detail": "a recording cannot be changed"})
        if path == STREAM:
            return httpx.Response(
                200, headers={"content-type": "text/event-stream"}, stream=_Events(self._player, self._from)
            )
        topics = set(request.url.params.get("topics", "").split(",")) - {""}
        found = self._player.latest(path, topics)
        if found is None:
            return _answer(404, {"title": "not found", "detail": "not in the recording"})
        index, text = found
        if path == "snapshot" and len(topics) > 1:
            self._from = index
        return httpx.Response(200, headers={"content-type": "application/json"}, text=text)


def _answer(status: int, document: dict[str, str]) -> httpx.Response:
    return httpx.Response(status, headers={"content-type": "application/problem+json"}, text=json.dumps(document))


class _Events(httpx.AsyncByteStream):
    """Events from an entry on: what lies before the present at once, what comes at its time. Beats while nothing does."""

    def __init__(self, player: Player, first: int) -> None:
        self._player = player
        self._first = first

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b": replay\n\n"
        waited = 0.0
        for entry in self._player.entries[self._first :]:
            if entry["path"] != STREAM:
                continue
            while self._player.now() < entry["at"]:
                await asyncio.sleep(LOOK_SECONDS)
                waited += LOOK_SECONDS
                if waited >= BEAT_SECONDS:
                    waited = 0.0
                    yield b": beat\n\n"
            yield entry["text"].encode() + b"\n\n"
        while True:
            yield b": beat\n\n"
            await asyncio.sleep(BEAT_SECONDS)
