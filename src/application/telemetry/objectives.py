"""Objectives measured: good and bad requests by slice of time, burn rates over the usual windows, what is left of budgets.

The request path adds to two integers. Each second they are put into slices; every few seconds what was put together goes
to the ledger, which may be shared by a fleet, and what the ledger has is read back. What the ledger does not take waits:
a batch that may or may not have been taken is offered again under its name, so that nothing is counted twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from spork.application.telemetry.objective_ledger import Counted, Kept, ObjectiveLedger, Reading, Slice
from spork.application.views import ObjectiveView
from spork.domain.objectives import WINDOWS, Objective, budget_left, burn_rate, first_slice, slice_width

if TYPE_CHECKING:
    from spork.application.exchange.exchange import Exchange

log = logging.getLogger("spork.objectives")

FLUSH_EVERY: Final = 5.0
#: Seconds between two looks at what all have counted, for the metrics; who asks for the views has them read anew.
READ_EVERY: Final = 15.0
#: Seconds between two signs of life of a process that has nothing to add.
TELL_EVERY: Final = 60.0


class ObjectiveCounts:
    """Counts of one objective by this process: since the last second, waiting for the ledger, and since it started."""

    __slots__ = ("bad", "objective", "total", "total_bad", "total_requests", "waiting")

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.total = 0
        self.bad = 0
        self.waiting: dict[Slice, tuple[int, int]] = {}
        self.total_requests = 0
        self.total_bad = 0

    def fold(self, unix: float) -> None:
        """Put what is fresh into the slices of now."""
        total, bad = self.total, self.bad
        if not total:
            return
        self.total = self.bad = 0
        self.total_requests += total
        self.total_bad += bad
        for width in self.objective.kept:
            slice = (width, int(unix // width))
            had = self.waiting.get(slice, (0, 0))
            self.waiting[slice] = (had[0] + total, had[1] + bad)

    def hand_over(self) -> list[Counted]:
        waiting, self.waiting = self.waiting, {}
        return [Counted(self.objective, slice, total, bad) for slice, (total, bad) in waiting.items()]


class ObjectiveTracker:
    """Counts exchanges against the objectives they are under (`application.ports.Observer`).

    A client that left (499) and refusals (4xx) are good: the gateway did what it should. Which objectives a route and
    consumer are under is remembered per pair, at most `pairs` of them. `node` is this process's name, `run` one that no
    other run of it had.
    """

    def __init__(
        self,
        objectives: Sequence[Objective],
        unix: Callable[[], float],
        ledger: ObjectiveLedger,
        node: str = "",
        run: str = "",
        pairs: int = 10_000,
    ) -> None:
        self._unix = unix
        self._ledger = ledger
        self._node = node
        self._run = run
        self._pairs = pairs
        self._books: list[ObjectiveCounts] = []
        self._under: dict[tuple[str, str], tuple[ObjectiveCounts, ...]] = {}
        self._started = unix()
        self._flushed_at = self._told_at = -TELL_EVERY
        self._flushing = asyncio.Lock()
        #: The batch that was offered last and not surely taken, and the number of the next.
        self._offered: list[Counted] = []
        self._batch = 0
        self._reading: Reading | None = None
        self._read_at: float | None = None
        self._lost = False
        #: Times the ledger did not answer.
        self.failures = 0
        self.adopt(objectives)

    def adopt(self, objectives: Sequence[Objective]) -> None:
        """Take over the objectives of a new configuration; one that did not change keeps its counts."""
        known = {book.objective: book for book in self._books}
        self._books = [known.get(objective) or ObjectiveCounts(objective) for objective in objectives]
        self._read_at = None  # what is kept of new ones is not known yet
        self._under.clear()

    @property
    def any(self) -> bool:
        return bool(self._books)

    def closed(self, exchange: Exchange) -> None:
        if not self._books or exchange.plan is None:
            return
        principal = exchange.principal
        pair = (exchange.plan.name, (principal.consumer or principal.subject) if principal is not None else "")
        books = self._under.get(pair)
        if books is None:
            books = self._find(pair)
        for book in books:
            book.total += 1
            if book.objective.bad(exchange.status, exchange.seconds):
                book.bad += 1

    def _find(self, pair: tuple[str, str]) -> tuple[ObjectiveCounts, ...]:
        if len(self._under) >= self._pairs:
            self._under.clear()
        found = tuple(book for book in self._books if book.objective.covers(*pair))
        self._under[pair] = found
        return found

    # ----------------------------------------------------------------------------------------- off the request path

    async def tick(self) -> None:
        """About once a second: put what is fresh into its slices, and hand over and read when it is time."""
        unix = self._unix()
        for book in self._books:
            book.fold(unix)
        if self._books and not 0 <= unix - self._flushed_at < FLUSH_EVERY:
            await self.flush()

    async def flush(self, read: bool = False) -> None:
        """Hand over what was counted. Read what all have, when it is time or asked for."""
        async with self._flushing:
            unix = self._flushed_at = self._unix()
            for book in self._books:
                book.fold(unix)
            read = read or self._read_at is None or not 0 <= unix - self._read_at < READ_EVERY
            try:
                if self._offered:
                    await self._offer(unix, read=False)
                self._batch += 1
                self._offered = [row for book in self._books for row in book.hand_over()]
                await self._offer(unix, read)
                self._lost = False
            except OSError as error:
                self._missed(error)

    def _missed(self, error: OSError) -> None:
        self.failures += 1
        if not self._lost:
            log.warning("objectives are counted by this process alone for now: %s", error)
        self._lost = True

    async def _offer(self, unix: float, read: bool) -> None:
        """What is offered counts as this process's own until it is in what was read, whatever fails in between."""
        if self._offered or not 0 <= unix - self._told_at < TELL_EVERY:
            await self._ledger.add(self._node, f"{self._run}:{self._batch}", self._offered, unix)
            self._told_at = unix
        if read or self._reading is None:
            self._reading = await self._ledger.read([book.objective for book in self._books], unix)
            self._read_at = unix
        else:
            _absorb(self._reading.objectives, self._offered, unix)
        self._offered = []

    async def current(self) -> list[ObjectiveView]:
        """The views, of what everybody has handed over by now."""
        if self._books:
            await self.flush(read=True)
        return self.views()

    def views(self) -> list[ObjectiveView]:
        """What was read last, and what this process has counted since."""
        unix = self._unix()
        return [self._view(book, unix) for book in self._books]

    def _slices(self, book: ObjectiveCounts, unix: float) -> tuple[Kept, dict[Slice, tuple[int, int]]]:
        reading = self._reading
        kept = Kept() if reading is None else reading.objectives.get(book.objective.key) or Kept()
        slices = dict(kept.slices)
        own = [(row.slice, row.requests, row.bad) for row in self._offered if row.objective == book.objective]
        own += [(slice, total, bad) for slice, (total, bad) in book.waiting.items()]
        own += [((width, int(unix // width)), book.total, book.bad) for width in book.objective.kept if book.total]
        for slice, total, bad in own:
            had = slices.get(slice, (0, 0))
            slices[slice] = (had[0] + total, had[1] + bad)
        return kept, slices

    def _view(self, book: ObjectiveCounts, unix: float) -> ObjectiveView:
        objective = book.objective
        kept, slices = self._slices(book, unix)
        requests, bad = _over(slices, objective.period, unix)
        since = self._started if kept.since is None else kept.since
        view = ObjectiveView(
            name=objective.name,
            route=objective.route or None,
            consumer=objective.consumer or None,
            target=objective.target,
            latency_ms=objective.latency * 1000 if objective.latency is not None else None,
            period=objective.period,
            requests=requests,
            bad=bad,
            budget_left=budget_left(bad, requests, objective.target),
            burn={},
            since=max(since, unix - objective.period),
            nodes=(self._node,) if self._reading is None else tuple(sorted({*self._reading.nodes, self._node})),
            kept_in=self._ledger.where,
            read_at=self._read_at,
            remark=self._remark(unix),
        )
        burn: dict[str, float] = {}
        for seconds, name in WINDOWS:
            count, failed = _over(slices, seconds, unix)
            burn[name] = burn_rate(failed, count, objective.target)
        return replace(view, burn=burn)

    def _remark(self, unix: float) -> str:
        if not self._lost:
            return ""
        if self._read_at is None:
            return f"{self._ledger.where} has not answered yet: only what this process counted is here"
        return (
            f"{self._ledger.where} has not answered for {unix - self._read_at:.0f} s: what other processes counted since "
            "is not here"
        )

    def samples(self) -> list[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`: rates and budgets of all processes, requests of this one."""
        found: list[tuple[str, tuple[str, ...], float]] = []
        if self._books:
            found.append(("gateway_store_failures_total", ("objectives",), float(self.failures)))
        for book, view in zip(self._books, self.views(), strict=True):
            found.append(("gateway_slo_budget_remaining", (view.name,), view.budget_left))
            found += [("gateway_slo_burn_rate", (view.name, window), rate) for window, rate in view.burn.items()]
            found.append(("gateway_slo_requests_total", (view.name, "all"), float(book.total_requests + book.total)))
            found.append(("gateway_slo_requests_total", (view.name, "bad"), float(book.total_bad + book.bad)))
        return found


def _absorb(known: dict[str, Kept], rows: Sequence[Counted], unix: float) -> None:
    """What the ledger has taken is part of what it has."""
    for row in rows:
        kept = known.setdefault(row.objective.key, Kept(unix))
        if kept.since is None:
            kept.since = unix
        had = kept.slices.get(row.slice, (0, 0))
        kept.slices[row.slice] = (had[0] + row.requests, had[1] + row.bad)


def _over(slices: dict[Slice, tuple[int, int]], seconds: float, unix: float) -> tuple[int, int]:
    """(requests, bad) of the last `seconds`, the running slice included."""
    width, first = slice_width(seconds), first_slice(seconds, unix)
    requests = bad = 0
    for (of, number), (total, failed) in slices.items():
        if of == width and number >= first:
            requests += total
            bad += failed
    return requests, bad
