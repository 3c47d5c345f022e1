"""Objectives measured: good and bad requests by minute, burn rates over the usual windows, what is left of budgets."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from application.views import ObjectiveView
from domain.objectives import WINDOWS, Objective, budget_left, burn_rate

if TYPE_CHECKING:
    from application.exchange import Exchange

_SLICE: Final = 60
#: Minutes kept in memory: the longest window reported.
_KEPT: Final = 360


class _Book:
    """Counts of one objective. Minutes for the windows, and the whole period as it is known to this process."""

    __slots__ = ("bad", "minutes", "objective", "total", "total_bad", "total_requests")

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.total = 0
        self.bad = 0
        #: (minute, requests, bad), newest last
        self.minutes: deque[tuple[int, int, int]] = deque(maxlen=_KEPT)
        self.total_requests = 0
        self.total_bad = 0

    def over(self, seconds: int, minute: int) -> tuple[int, int]:
        """(requests, bad) of the last `seconds`, the running minute included."""
        first = minute - seconds // _SLICE + 1
        requests, bad = self.total, self.bad
        for at, count, failed in self.minutes:
            if at >= first:
                requests += count
                bad += failed
        return requests, bad


class ServiceLevels:
    """Counts exchanges against the objectives they are under (`application.ports.Observer`).

    A client that left (499) and refusals (4xx) are good: the gateway did what it should. Which objectives a route and
    consumer are under is remembered per pair, at most `pairs` of them.
    """

    def __init__(self, objectives: Sequence[Objective], unix: Callable[[], float], pairs: int = 10_000) -> None:
        self._unix = unix
        self._pairs = pairs
        self._books: list[_Book] = []
        self._under: dict[tuple[str, str], tuple[_Book, ...]] = {}
        self._minute = int(unix()) // _SLICE
        self.adopt(objectives)

    def adopt(self, objectives: Sequence[Objective]) -> None:
        """Take over the objectives of a new configuration; one that did not change keeps its counts."""
        known = {book.objective: book for book in self._books}
        self._books = [known.get(objective) or _Book(objective) for objective in objectives]
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

    def _find(self, pair: tuple[str, str]) -> tuple[_Book, ...]:
        if len(self._under) >= self._pairs:
            self._under.clear()
        found = tuple(book for book in self._books if book.objective.covers(*pair))
        self._under[pair] = found
        return found

    def tick(self) -> None:
        """About once a second: close the minute when it is over."""
        minute = int(self._unix()) // _SLICE
        if minute <= self._minute:
            return
        for book in self._books:
            if book.total:
                book.minutes.append((self._minute, book.total, book.bad))
                book.total_requests += book.total
                book.total_bad += book.bad
                book.total = book.bad = 0
        self._minute = minute

    def views(self) -> list[ObjectiveView]:
        return [self._view(book) for book in self._books]

    def _view(self, book: _Book) -> ObjectiveView:
        objective = book.objective
        requests, bad = book.total_requests + book.total, book.total_bad + book.bad
        return ObjectiveView(
            name=objective.name,
            route=objective.route or None,
            consumer=objective.consumer or None,
            target=objective.target,
            latency_ms=objective.latency * 1000 if objective.latency is not None else None,
            period=objective.period,
            requests=requests,
            bad=bad,
            budget_left=budget_left(bad, requests, objective.target),
            burn={
                name: burn_rate(failed, count, objective.target)
                for seconds, name in WINDOWS
                for count, failed in [book.over(seconds, self._minute)]
            },
        )

    def samples(self) -> list[tuple[str, tuple[str, ...], float]]:
        """For `application.metering`."""
        found: list[tuple[str, tuple[str, ...], float]] = []
        for view in self.views():
            found.append(("gateway_slo_budget_remaining", (view.name,), view.budget_left))
            found += [("gateway_slo_burn_rate", (view.name, window), rate) for window, rate in view.burn.items()]
            found.append(("gateway_slo_requests_total", (view.name, "all"), float(view.requests)))
            found.append(("gateway_slo_requests_total", (view.name, "bad"), float(view.bad)))
        return found
