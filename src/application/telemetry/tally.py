"""What is counted of each exchange, so cheaply that it can always be on.

One `Cell` per (route, method, status, upstream, target) seen, holding plain integers and two bucket arrays. The request
path only adds; whoever wants metrics, rates or percentiles reads the cells later and does the sums then. Every label
is bounded: routes, upstreams and targets are configured, methods are a fixed set, and past `max_cells` new
combinations of targets and methods fold into `other`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from spork.application.telemetry.rolling import (
    BOUNDS,
    PIECE,
    SIZE,
    WINDOW,
    ZERO,
    Key,
    Marks,
    Movement,
    RollingWindow,
    Windows,
    add_difference,
)
from spork.domain.outcomes import SERVER_ERRORS, DenialCategory, Denied

if TYPE_CHECKING:
    from spork.application.exchange.exchange import Exchange

METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
OTHER: Final = "other"
#: Seconds of the per-second series.
SERIES: Final = 300
#: Seconds for which windows are kept up to date after somebody asked for them.
LOOKED: Final = 60


class Series:
    """Counts of one (route, method, status, upstream, target). Cumulative; bytes are of bodies; times in seconds."""

    __slots__ = (
        "buckets",
        "bytes_in",
        "bytes_out",
        "count",
        "dirty",
        "exemplar",
        "fresh",
        "key",
        "moved",
        "retries",
        "retries_ticked",
        "seconds",
        "throttled",
        "throttled_ticked",
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
        #: What fell where since the second began, and the sums as they were then.
        self.fresh: Marks = []
        self.ticked = 0
        self.retries_ticked = 0
        self.throttled_ticked = 0
        #: The last second it moved in.
        self.moved = 0

    def movement(self, second: int) -> Movement:
        """What it counted since it was last asked."""
        marks, self.fresh = self.fresh, []
        count, retries, throttled = self.count, self.retries, self.throttled
        moved = (
            self.key, count - self.ticked, retries - self.retries_ticked, throttled - self.throttled_ticked, marks,
        )  # fmt: skip
        self.ticked, self.retries_ticked, self.throttled_ticked = count, retries, throttled
        self.dirty = False
        self.moved = second
        return moved


class RequestCounters:
    """Counts every exchange once, when it is over (`application.ports.Observer`). One per process, one event loop.

    `tick` (or `closing`, in steps) is to be called about once a second, off the request path.
    """

    def __init__(self, max_cells: int = 20_000) -> None:
        self._max_cells = max_cells
        self._cells: dict[Key, Series] = {}
        self._dirty: list[Series] = []
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
        #: Requests by route, since the start, at the last tick.
        self.hits: dict[str, int] = {}
        self._rolling = RollingWindow()
        #: When somebody last asked for windows: for a while they are kept up to date.
        self._looked = -LOOKED
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
        bucket = bisect_left(BOUNDS, took)
        cell.buckets[bucket] += 1
        cell.fresh.append(bucket)
        attempts = exchange.attempts
        if attempts:
            upstream = exchange.upstream_seconds
            cell.upstream_seconds += upstream
            bucket = bisect_left(BOUNDS, upstream)
            cell.upstream_buckets[bucket] += 1
            cell.fresh.append(SIZE + bucket)
            if attempts > 1:
                cell.retries += attempts - 1
            took -= upstream
        self.overhead_seconds += took
        self.overhead[bisect_left(BOUNDS, took)] += 1
        cell.bytes_in += exchange.body.received
        cell.bytes_out += exchange.sink.sent
        if exchange.trace is None or exchange.trace.kept:  # an exemplar is a trace that can be looked at
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

    def _count_reason(self, exchange: Exchange, cell: Series, reason: str) -> None:
        route = cell.key[0]
        self.reasons[route, reason] = self.reasons.get((route, reason), 0) + 1
        outcome = exchange.outcome
        if not isinstance(outcome, Denied):
            return
        ground = outcome.denial.ground
        if ground is DenialCategory.ALLOWANCE:
            cell.throttled += 1
            self._throttled += 1
            for limit in violated(outcome):
                self.throttled[route, limit] = self.throttled.get((route, limit), 0) + 1
        elif ground is DenialCategory.CREDENTIALS:
            proof = ("any", exchange.credential_problem or reason)
            self.authentications[proof] = self.authentications.get(proof, 0) + 1

    def _open(self, key: Key) -> Series:
        route, method, status, upstream, target = key
        if method not in METHODS:
            method = OTHER
        if len(self._cells) >= self._max_cells:
            self.folded += 1
            method, target = OTHER, OTHER
        bounded = (route, method, status, upstream, target)
        cell = self._cells.get(bounded)
        if cell is None:
            cell = self._cells[bounded] = Series(bounded)
        return cell

    # ----------------------------------------------------------------------------------------- off the request path

    def tick(self, unix: float) -> None:
        """Close the current second at once."""
        for _ in self.closing(unix):
            pass

    def closing(self, unix: float) -> Iterator[None]:
        """Close the current second: note what moved in it and forget what has left the window. To be gone through to its
        end; between two steps, each about a millisecond, requests may be counted."""
        second = int(unix)
        if second <= self._second and self._second:
            return
        gap = second - self._second if self._second else 1
        self._second = second
        moved, self._dirty = self._dirty, []
        movements: list[Movement] = []
        hits = self.hits
        requests = errors = 0
        for start in range(0, len(moved), PIECE):
            for cell in moved[start : start + PIECE]:
                movement = cell.movement(second)
                movements.append(movement)
                key, count = movement[0], movement[1]
                hits[key[0]] = hits.get(key[0], 0) + count
                requests += count
                if key[2] >= SERVER_ERRORS:
                    errors += count
            yield
        self._rolling.keep(second, movements)
        throttled = self._throttled - self._throttled_ticked
        self._throttled_ticked = self._throttled
        if moved:
            self._overhead_history.append((second, tuple(self.overhead)))
        for missed in range(max(0, min(gap - 1, SERIES))):
            self._series.append((second - gap + 1 + missed, 0, 0, 0))
        self._series.append((second, requests, errors, throttled))
        if second - self._looked < LOOKED:
            yield from self._rolling.settling()

    def __len__(self) -> int:
        """How many cells there are."""
        return len(self._cells)

    def cells(self) -> Iterator[Series]:
        return iter(list(self._cells.values()))

    def windows(self) -> Windows:
        """The last `WINDOW` seconds by total, route, upstream and target, as they stand at the last tick. Not a copy."""
        windows = self._rolling.settled()
        self._looked = self._second
        windows.overhead = [0] * SIZE
        edge = self._second - WINDOW
        if self._overhead_history and self._overhead_history[-1][0] > edge:
            base = next((b for s, b in reversed(self._overhead_history) if s <= edge), ZERO)
            add_difference(windows.overhead, self._overhead_history[-1][1], base)
        return windows

    def settling(self) -> Iterator[None]:
        """Bring the windows up to date in steps, without keeping them so afterwards. See `last_windows`."""
        return self._rolling.settling()

    def last_windows(self) -> Windows:
        """The windows as they stand, for one look: nobody is taken to watch."""
        return self._rolling.settled()

    def series(self) -> list[tuple[int, int, int, int]]:
        """(second, requests, 5xx, refused by a limit) per second, newest last."""
        return list(self._series)

    def forget(self, routes: frozenset[str]) -> None:
        """Drop cells of routes that are not in `routes` any more and have been still for the whole window."""
        edge = self._second - WINDOW
        for key, cell in list(self._cells.items()):
            if key[0] and key[0] not in routes and not cell.dirty and cell.moved <= edge:
                del self._cells[key]
        for route in [route for route in self.hits if route and route not in routes]:
            del self.hits[route]


def violated(outcome: Denied) -> tuple[str, ...]:
    """Names of the limits that refused: as the denial says, or as its problem tells the client."""
    denial = outcome.denial
    if denial.limits:
        return denial.limits
    policies = denial.members.get("violated-policies")
    names = tuple(str(p) for p in policies) if isinstance(policies, (list, tuple)) else ()
    return names or (denial.reason,)
