"""The last ten seconds, by total, route, upstream and target: sums that requests are added to when their second ends and
taken off when it is ten seconds old.

A second costs what happened in it, not what is configured; and it is closed in pieces, between which requests go on.
Sums of several nodes add up.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from spork.domain.outcomes import SERVER_ERRORS

#: Upper bounds of the latency buckets in seconds; one more bucket takes what is slower.
BOUNDS: Final[tuple[float, ...]] = (
    0.00025, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
SIZE: Final = len(BOUNDS) + 1
#: Seconds that "now" means in rates and percentiles.
WINDOW: Final = 10
#: Movements that are added or taken off before requests have their turn again: about a millisecond.
PIECE: Final = 250

K = TypeVar("K")
Key = tuple[str, str, int, str, str]
#: Marks: a latency bucket, or `SIZE` and an upstream latency bucket, for each time something fell into it.
Marks = list[int]
#: What one key counted in a second: (key, requests, retries, refused by a limit, marks).
Movement = tuple[Key, int, int, int, Marks]
#: A window for another node: requests, errors, throttled, retries, and how often each mark.
WindowRow = tuple[int, int, int, int, dict[int, int]]

ZERO: Final[tuple[int, ...]] = (0,) * SIZE
#: From so many marks on they are counted before they are added.
_FEW: Final = 64


class Window:
    """Sums over the last seconds of any set of cells: mergeable, so that nodes of a fleet add up."""

    __slots__ = ("errors", "marks", "requests", "retries", "throttled")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.throttled = 0
        self.retries = 0
        #: Latency buckets, then upstream latency buckets.
        self.marks: list[int] = [0] * (2 * SIZE)

    @property
    def buckets(self) -> list[int]:
        return self.marks[:SIZE]

    @property
    def upstream_buckets(self) -> list[int]:
        return self.marks[SIZE:]

    def merge(self, other: Window) -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.throttled += other.throttled
        self.retries += other.retries
        marks = self.marks
        for mark, count in enumerate(other.marks):
            if count:
                marks[mark] += count

    @property
    def rps(self) -> float:
        return self.requests / WINDOW

    @property
    def error_ratio(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    @property
    def throttled_ratio(self) -> float:
        return self.throttled / self.requests if self.requests else 0.0

    def percentile_ms(self, share: float) -> float | None:
        """Estimated from buckets by linear interpolation, in milliseconds; None without requests."""
        return percentile_ms(self.buckets, share)

    def row(self) -> WindowRow:
        """For another node: see `from_row`."""
        marks = {mark: count for mark, count in enumerate(self.marks) if count}
        return (self.requests, self.errors, self.throttled, self.retries, marks)

    @staticmethod
    def from_row(row: WindowRow) -> Window:
        window = Window()
        window.requests, window.errors, window.throttled, window.retries = row[0], row[1], row[2], row[3]
        for mark, count in row[4].items():
            if mark < 2 * SIZE:
                window.marks[mark] = count
        return window


def add_difference(into: list[int], now: Iterable[int], before: Iterable[int]) -> None:
    """into += now - before, element by element; surplus elements are ignored."""
    for index, (new, old) in enumerate(zip(now, before, strict=False)):
        if new != old and index < len(into):
            into[index] += new - old


def percentile_ms(buckets: list[int], share: float) -> float | None:
    """The value below which `share` of what the buckets counted lies, in milliseconds."""
    total = sum(buckets)
    if total == 0:
        return None
    rank = share * total
    seen = 0
    for index, count in enumerate(buckets):
        if count and seen + count >= rank:
            low = BOUNDS[index - 1] if index else 0.0
            if index == len(BOUNDS):
                return low * 1000.0
            return (low + (BOUNDS[index] - low) * max(0.0, rank - seen) / count) * 1000.0
        seen += count
    return BOUNDS[-1] * 1000.0


class Windows:
    """`Window`s by what they are about; one that has counted nothing is not there."""

    __slots__ = ("overhead", "routes", "targets", "total", "upstreams")

    def __init__(self) -> None:
        self.total = Window()
        self.overhead = [0] * SIZE
        self.routes: dict[str, Window] = {}
        self.upstreams: dict[str, Window] = {}
        self.targets: dict[tuple[str, str], Window] = {}

    def merge(self, other: Windows) -> None:
        """Add another node's, but for its routes, which are many."""
        self.total.merge(other.total)
        add_difference(self.overhead, other.overhead, ZERO)
        for name, window in other.upstreams.items():
            _window(self.upstreams, name).merge(window)
        for pair, window in other.targets.items():
            _window(self.targets, pair).merge(window)

    def add(self, movement: Movement) -> None:
        """Count what happened."""
        key = movement[0]
        upstream, target = key[3], key[4]
        found = [self.total, _window(self.routes, key[0])]
        if upstream:
            found.append(_window(self.upstreams, upstream))
            if target:
                found.append(_window(self.targets, (upstream, target)))
        _move(found, movement, 1)

    def take_off(self, movement: Movement) -> None:
        """Undo `add`: it has left the window."""
        route, _, _, upstream, target = movement[0]
        found = [self.total, self.routes[route]]
        if upstream:
            found.append(self.upstreams[upstream])
            if target:
                found.append(self.targets[upstream, target])
        _move(found, movement, -1)
        if not found[1].requests:
            del self.routes[route]
        if upstream and not found[2].requests:
            del self.upstreams[upstream]
        if upstream and target and not found[3].requests:
            del self.targets[upstream, target]


class RollingWindow:
    """The seconds of the last ten, and their sums.

    Seconds are only kept until somebody looks (`settled`, or `settling` in steps): a gateway that nobody watches does
    not add up. Every step leaves off where the next may go on, so both may be mixed.
    """

    def __init__(self) -> None:
        self._windows = Windows()
        #: (second, what moved in it), oldest first: those in the sums, and those that are not yet.
        self._in: deque[tuple[int, list[Movement]]] = deque()
        self._waiting: deque[tuple[int, list[Movement]]] = deque()
        self._leaving: deque[list[Movement]] = deque()
        #: Movements of the first that waits, or leaves, that were done.
        self._added = 0
        self._taken = 0

    def keep(self, second: int, movements: list[Movement]) -> None:
        """A second is over; what is as old as the window leaves."""
        edge = second - WINDOW
        while self._in and self._in[0][0] <= edge:
            self._leaving.append(self._in.popleft()[1])
        while self._waiting and self._waiting[0][0] <= edge:
            gone = self._waiting.popleft()[1]
            if self._added:  # some of it is in the sums
                self._leaving.append(gone[: self._added])
                self._added = 0
        if movements:
            self._waiting.append((second, movements))

    def settling(self) -> Iterator[None]:
        """Bring the sums up to date, in steps of about a millisecond."""
        while self._leaving:
            movements = self._leaving[0]
            end = self._taken + PIECE
            for movement in movements[self._taken : end]:
                self._windows.take_off(movement)
            self._taken = end
            if end >= len(movements):
                self._leaving.popleft()
                self._taken = 0
            yield
        while self._waiting:
            second, movements = self._waiting[0]
            end = self._added + PIECE
            for movement in movements[self._added : end]:
                self._windows.add(movement)
            self._added = end
            if end >= len(movements):
                self._waiting.popleft()
                self._in.append((second, movements))
                self._added = 0
            yield

    def settled(self) -> Windows:
        """The sums as they stand. Not a copy."""
        for _ in self.settling():
            pass
        return self._windows


def _move(windows: list[Window], movement: Movement, sign: int) -> None:
    """Add what one cell counted in a second, or take it off again."""
    key, requests, retries, throttled, fell = movement
    requests *= sign
    failed = key[2] >= SERVER_ERRORS
    many = Counter(fell).items() if len(fell) > _FEW else None
    for window in windows:
        window.requests += requests
        if failed:
            window.errors += requests
        if retries:
            window.retries += retries * sign
        if throttled:
            window.throttled += throttled * sign
        marks = window.marks
        if many is None:
            for mark in fell:
                marks[mark] += sign
        else:
            for mark, count in many:
                marks[mark] += count * sign


def _window(windows: dict[K, Window], key: K) -> Window:
    window = windows.get(key)
    if window is None:
        window = windows[key] = Window()
    return window
