"""Counts over the last seconds: a ring of one-second rows, cheap to add to and summed only when somebody asks."""

from __future__ import annotations

from collections import deque

REQUESTS, FAILURES, SLOW, UNREACHED = range(4)


class CallWindow:
    """Calls of the last `seconds` (rounded up, at least one), a row `[requests, failures, slow, unreached]` for each.

    `unreached` calls are failures too: those the gateway saw itself (connect error, timeout, reset), as opposed to
    failures a target answered with. A clock that runs backwards adds to the newest row.
    """

    __slots__ = ("_rows", "_second", "row", "size")

    def __init__(self, seconds: float, now: float) -> None:
        self.size = max(1, int(seconds) if seconds == int(seconds) else int(seconds) + 1)
        self._rows: deque[list[int]] = deque(maxlen=self.size)
        self._second = int(now)
        self.row = self.clear(now)

    def clear(self, now: float) -> list[int]:
        """Forget everything; returns the new current row."""
        self._second = max(self._second, int(now))
        self._rows.clear()
        self.row = [0, 0, 0, 0]
        self._rows.append(self.row)
        return self.row

    def at(self, now: float) -> list[int]:
        """The row of the second that `now` is in. Rows older than the window are dropped."""
        passed = int(now) - self._second
        if passed > 0:
            self._second += passed
            rows = self._rows
            for _ in range(min(passed, self.size)):
                rows.append([0, 0, 0, 0])
            self.row = rows[-1]
        return self.row

    def totals(self, now: float) -> tuple[int, int, int, int]:
        """(requests, failures, slow, unreached) of the window that ends at `now`."""
        self.at(now)
        requests = failures = slow = unreached = 0
        for row in self._rows:
            requests += row[0]
            failures += row[1]
            slow += row[2]
            unreached += row[3]
        return requests, failures, slow, unreached

    def history(self, now: float) -> tuple[tuple[int, int], ...]:
        """(requests, failures) per second, newest last."""
        self.at(now)
        return tuple((row[0], row[1]) for row in self._rows)

    def rate(self, now: float) -> float:
        """Requests per second over the window."""
        return self.totals(now)[0] / self.size

    def __repr__(self) -> str:
        return f"<CallWindow {self.size} s, newest {self.row}>"
