"""What is counted of each exchange, so cheaply that it can always be on.

One `Cell` per (route, method, status, upstream, target) seen, holding plain integers and two bucket arrays. The request
path only adds; whoever wants metrics, rates or percentiles reads the cells later and does the sums then. Every label
is bounded: routes, upstreams and targets are configured, methods are a fixed set, and past `max_cells` new
combinations of targets and methods fold into `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final, TypeVar

from domain.outcomes import SERVER_ERRORS, Denied, Ground

if TYPE_CHECKING:
    from application.exchange import Exchange

#: Upper bounds of the latency buckets in seconds; one more bucket takes what is slower.
BOUNDS: Final[tuple[float, ...]] = (
    0.00025, 0.0005, 0.001, 0.0015, 0.002, 0.003, 0.004, 0.005, 0.0075, 0.01, 0.015, 0.02, 0.03, 0.05, 0.075,
    0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
SIZE: Final = len(BOUNDS) + 1
METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
OTHER: Final = "other"
#: Seconds that "now" means in rates and percentiles.
WINDOW: Final = 10
#: Seconds of the per-second series.
SERIES: Final = 300

K = TypeVar("K")
Key = tuple[str, str, int, str, str]
#: (second, count, cumulative buckets, cumulative upstream buckets, retries, throttled) at the end of a second in which
#: the cell moved.
_Sample = tuple[int, int, tuple[int, ...], tuple[int, ...], int, int]
_ZERO: Final[tuple[int, ...]] = (0,) * SIZE
#: (count, retries, throttled, changed buckets, changed upstream buckets): only buckets that moved, which are few.
_Change = tuple[int, int, int, list[tuple[int, int]], list[tuple[int, int]]]


class Cell:
    """Counts of one (route, method, status, upstream, target). Cumulative; bytes are of bodies; times in seconds."""

    __slots__ = (
        "buckets",
        "bytes_in",
        "bytes_out",
        "count",
        "dirty",
        "exemplar",
        "history",
        "key",
        "retries",
        "seconds",
        "throttled",
        "ticked",
        "upstream_buckets",
        "upstream_seconds",
    )

    def __init__(self, key: Key) -> None:
        self.key = key
        self.count = 0
        self.seconds = 0.0
        self.buckets = [0] * SIZE
        self.upstream_seconds = 0.0
        self.upstream_buckets = [0] * SIZE
        self.bytes_in = 0
        self.bytes_out = 0
        self.retries = 0
        #: Refused by a limit of ours; a target's own 429 is none.
        self.throttled = 0
        #: (traceparent, seconds, Unix time) of the latest exchange.
        self.exemplar: tuple[bytes, float, float] | None = None
        self.dirty = False
        self.ticked = 0
        # One more than the window, so that the state before the window is still there.
        self.history: deque[_Sample] = deque(maxlen=WINDOW + 2)

    def before(self, second: int) -> _Sample | None:
        """The cumulative state at the end of `second` or earlier, None when the cell had counted nothing by then."""
        for sample in reversed(self.history):
            if sample[0] <= second:
                return sample
        return None


class Window:
    """Sums over the last seconds of any set of cells: mergeable, so that nodes of a fleet add up."""

    __slots__ = ("buckets", "errors", "requests", "retries", "throttled", "upstream_buckets")

    def __init__(self) -> None:
        self.requests = 0
        self.errors = 0
        self.throttled = 0
        self.retries = 0
        self.buckets = [0] * SIZE
        self.upstream_buckets = [0] * SIZE

    def add(self, status: int, change: _Change) -> None:
        """What one cell with this status counted in the window."""
        count, retries, throttled, buckets, upstream_buckets = change
        self.requests += count
        self.retries += retries
        self.throttled += throttled
        if status >= SERVER_ERRORS:
            self.errors += count
        for index, more in buckets:
            self.buckets[index] += more
        for index, more in upstream_buckets:
            self.upstream_buckets[index] += more

    def merge(self, other: Window) -> None:
        self.requests += other.requests
        self.errors += other.errors
        self.throttled += other.throttled
        self.retries += other.retries
        add_difference(self.buckets, other.buckets, _ZERO)
        add_difference(self.upstream_buckets, other.upstream_buckets, _ZERO)

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

    def row(self) -> tuple[int, int, int, int, list[int], list[int]]:
        """For another node: see `from_row`."""
        return (self.requests, self.errors, self.throttled, self.retries, self.buckets, self.upstream_buckets)

    @staticmethod
    def from_row(row: tuple[int, int, int, int, list[int], list[int]]) -> Window:
        window = Window()
        window.requests, window.errors, window.throttled, window.retries = row[:4]
        add_difference(window.buckets, row[4], _ZERO)
        add_difference(window.upstream_buckets, row[5], _ZERO)
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


class Tally:
    """Counts every exchange once, when it is over (`application.ports.Observer`). One per process, one event loop.

    `tick` is to be called about once a second, off the request path.
    """

    def __init__(self, max_cells: int = 20_000) -> None:
        self._max_cells = max_cells
        self._cells: dict[Key, Cell] = {}
        self._dirty: list[Cell] = []
        #: Seconds spent in the gateway itself, per bucket, and their sum.
        self.overhead = [0] * SIZE
        self.overhead_seconds = 0.0
        self._overhead_history: deque[tuple[int, tuple[int, ...]]] = deque(maxlen=WINDOW + 2)
        #: (route, reason) of refusals and faults.
        self.reasons: dict[tuple[str, str], int] = {}
        #: (route, limit) of refusals by a limit, and (method, result) of authentication.
        self.throttled: dict[tuple[str, str], int] = {}
        self.authentications: dict[tuple[str, str], int] = {}
        self._throttled = 0
        self._throttled_ticked = 0
        self.folded = 0
        self._series: deque[tuple[int, int, int, int]] = deque(maxlen=SERIES)
        self._second = 0

    # ------------------------------------------------------------------------------------------- the request path

    def closed(self, exchange: Exchange) -> None:
        took = exchange.seconds
        plan = exchange.plan
        key = (
            plan.name if plan is not None else "",
            exchange.head.method,
            exchange.status,
            exchange.upstream_name,
            exchange.target_name,
        )
        cell = self._cells.get(key)
        if cell is None:
            cell = self._open(key)
        cell.count += 1
        cell.seconds += took
        cell.buckets[bisect_left(BOUNDS, took)] += 1
        attempts = exchange.attempts
        if attempts:
            upstream = exchange.upstream_seconds
            cell.upstream_seconds += upstream
            cell.upstream_buckets[bisect_left(BOUNDS, upstream)] += 1
            if attempts > 1:
                cell.retries += attempts - 1
            took -= upstream
        self.overhead_seconds += took
        self.overhead[bisect_left(BOUNDS, took)] += 1
        cell.bytes_in += exchange.body.received
        cell.bytes_out += exchange.sink.sent
        cell.exemplar = (exchange.traceparent, exchange.seconds, exchange.unix)
        if not cell.dirty:
            cell.dirty = True
            self._dirty.append(cell)
        principal = exchange.principal
        if principal is not None:
            proof = (principal.method, "success")
            self.authentications[proof] = self.authentications.get(proof, 0) + 1
        if exchange.reason:
            self._count_reason(exchange, cell, exchange.reason)

    def _count_reason(self, exchange: Exchange, cell: Cell, reason: str) -> None:
        route = cell.key[0]
        self.reasons[route, reason] = self.reasons.get((route, reason), 0) + 1
        outcome = exchange.outcome
        if not isinstance(outcome, Denied):
            return
        ground = outcome.denial.ground
        if ground is Ground.ALLOWANCE:
            cell.throttled += 1
            self._throttled += 1
            for limit in violated(outcome):
                self.throttled[route, limit] = self.throttled.get((route, limit), 0) + 1
        elif ground is Ground.CREDENTIALS:
            proof = ("any", str(exchange.hints.get("credential", reason)))
            self.authentications[proof] = self.authentications.get(proof, 0) + 1

    def _open(self, key: Key) -> Cell:
        route, method, status, upstream, target = key
        if method not in METHODS:
            method = OTHER
        if len(self._cells) >= self._max_cells:
            self.folded += 1
            method, target = OTHER, OTHER
        bounded = (route, method, status, upstream, target)
        cell = self._cells.get(bounded)
        if cell is None:
            cell = self._cells[bounded] = Cell(bounded)
        return cell

    # ----------------------------------------------------------------------------------------- off the request path

    def tick(self, unix: float) -> None:
        """Close the current second: note what moved in it. Costs per moved cell, not per cell."""
        second = int(unix)
        if second <= self._second and self._second:
            return
        moved, self._dirty = self._dirty, []
        requests = errors = 0
        for cell in moved:
            cell.dirty = False
            delta = cell.count - cell.ticked
            cell.ticked = cell.count
            requests += delta
            if cell.key[2] >= SERVER_ERRORS:
                errors += delta
            cell.history.append(
                (
                    second,
                    cell.count,
                    tuple(cell.buckets),
                    tuple(cell.upstream_buckets),
                    cell.retries,
                    cell.throttled,
                )
            )
        throttled = self._throttled - self._throttled_ticked
        self._throttled_ticked = self._throttled
        if moved:
            self._overhead_history.append((second, tuple(self.overhead)))
        gap = second - self._second if self._second else 1
        for missed in range(max(0, min(gap - 1, SERIES))):
            self._series.append((second - gap + 1 + missed, 0, 0, 0))
        self._series.append((second, requests, errors, throttled))
        self._second = second

    def __len__(self) -> int:
        """How many cells there are."""
        return len(self._cells)

    def cells(self) -> Iterator[Cell]:
        return iter(list(self._cells.values()))

    def windows(self) -> Windows:
        """The last `WINDOW` seconds by total, route, upstream and target."""
        windows = Windows()
        edge = self._second - WINDOW
        for cell in list(self._cells.values()):
            history = cell.history
            if history and history[-1][0] > edge:
                windows.add(cell, history[-1], cell.before(edge))
        if self._overhead_history and self._overhead_history[-1][0] > edge:
            base = next((b for s, b in reversed(self._overhead_history) if s <= edge), _ZERO)
            add_difference(windows.overhead, self._overhead_history[-1][1], base)
        return windows

    def series(self) -> list[tuple[int, int, int, int]]:
        """(second, requests, 5xx, refused by a limit) per second, newest last."""
        return list(self._series)

    def forget(self, routes: frozenset[str]) -> None:
        """Drop cells of routes that are not in `routes` any more and have been still for the whole window."""
        edge = self._second - WINDOW
        for key, cell in list(self._cells.items()):
            if key[0] and key[0] not in routes and not cell.dirty and (not cell.history or cell.history[-1][0] <= edge):
                del self._cells[key]


class Windows:
    """`Window`s by what they are about."""

    __slots__ = ("overhead", "routes", "targets", "total", "upstreams")

    def __init__(self) -> None:
        self.total = Window()
        self.overhead = [0] * SIZE
        self.routes: dict[str, Window] = {}
        self.upstreams: dict[str, Window] = {}
        self.targets: dict[tuple[str, str], Window] = {}

    def add(self, cell: Cell, sample: _Sample, base: _Sample | None) -> None:
        route, _, status, upstream, target = cell.key
        change = _change(sample, base)
        self.total.add(status, change)
        _window(self.routes, route).add(status, change)
        if upstream:
            _window(self.upstreams, upstream).add(status, change)
            if target:
                _window(self.targets, (upstream, target)).add(status, change)

    def merge(self, other: Windows) -> None:
        self.total.merge(other.total)
        add_difference(self.overhead, other.overhead, _ZERO)
        for name, window in other.routes.items():
            _window(self.routes, name).merge(window)
        for name, window in other.upstreams.items():
            _window(self.upstreams, name).merge(window)
        for pair, window in other.targets.items():
            _window(self.targets, pair).merge(window)


def _change(sample: _Sample, base: _Sample | None) -> _Change:
    if base is None:
        return (
            sample[1],
            sample[4],
            sample[5],
            [(index, count) for index, count in enumerate(sample[2]) if count],
            [(index, count) for index, count in enumerate(sample[3]) if count],
        )
    return (
        sample[1] - base[1],
        sample[4] - base[4],
        sample[5] - base[5],
        [(i, new - old) for i, (new, old) in enumerate(zip(sample[2], base[2], strict=True)) if new != old],
        [(i, new - old) for i, (new, old) in enumerate(zip(sample[3], base[3], strict=True)) if new != old],
    )


def _window(windows: dict[K, Window], key: K) -> Window:
    window = windows.get(key)
    if window is None:
        window = windows[key] = Window()
    return window


def violated(outcome: Denied) -> tuple[str, ...]:
    """Names of the limits that refused, from the problem's `violated-policies`."""
    policies = outcome.denial.members.get("violated-policies")
    if not isinstance(policies, (list, tuple)):
        return ("unknown",)
    return tuple(str(p) for p in policies) or ("unknown",)
