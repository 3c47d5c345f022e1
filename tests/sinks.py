"""A response sink for tests: what was started, written and when it ended."""

from __future__ import annotations

from typing import Any

from spork.domain.http.head import Header


class Recorded:
    """`ResponseSink` that keeps everything."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[Header] = []
        self.pieces: list[bytes] = []
        self.finished = False
        self.aborted = False
        self.started = False
        self.paused = False

    @property
    def sent(self) -> int:
        return len(self.body)

    @property
    def body(self) -> bytes:
        return b"".join(self.pieces)

    def field(self, name: bytes) -> bytes | None:
        found = [value for key, value in self.headers if key == name]
        assert len(found) <= 1, f"{name!r} stands twice"
        return found[0] if found else None

    def inform(self, status: int, headers: list[Header]) -> None: ...

    def start(self, status: int, headers: list[Header]) -> None:
        assert not self.started, "an answer has one head"
        self.started, self.status, self.headers = True, status, headers

    def write(self, data: bytes) -> None:
        assert self.started and not self.finished
        self.pieces.append(data)

    def finish(self) -> None:
        self.finished = True

    def abort(self) -> None:
        self.aborted = True

    async def drain(self) -> None: ...

    def tunnel(self) -> Any:
        raise NotImplementedError
