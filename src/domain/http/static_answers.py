"""Answers that are known beforehand: those of a route without a target, and those of a planned maintenance."""

from __future__ import annotations

from dataclasses import dataclass

from spork.domain.http.head import Headers


@dataclass(frozen=True, slots=True)
class StaticAnswer:
    """A whole answer. Names in lower case; its length is not among the headers."""

    status: int
    headers: Headers = ()
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Maintenance:
    """A planned absence. Times in Unix seconds, None is without end on that side; `retry_after` in seconds.

    `allow` (networks) and `consumers` are served all the same. `answer` stands in for the problem document.
    """

    answer: StaticAnswer | None = None
    retry_after: float = 300.0
    begins: float | None = None
    ends: float | None = None
    allow: tuple[str, ...] = ()
    consumers: frozenset[str] = frozenset()

    def wait(self, now: float) -> float | None:
        """Seconds that a client is told to wait, at least 1; None when the route is not away at `now` (Unix seconds)."""
        if self.begins is not None and now < self.begins:
            return None
        if self.ends is None:
            return max(self.retry_after, 1.0)
        return max(self.ends - now, 1.0) if now < self.ends else None
