"""Operations as they were asked for: counted for metrics, and remembered for the report that makes `documents: only` possible.

Counted when an exchange closes. Names of operations are the client's words, so that as a label they stand only where the document
is registered; what is remembered is bounded in number and in bytes, the ones asked for longest ago go first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from spork.application.limits.descriptors import caller
from spork.domain.outcomes import Abandoned, Answered, Denied, Local

if TYPE_CHECKING:
    from spork.application.exchange.exchange import Exchange
    from spork.application.graphql.documents import DocumentCache

#: Upper bounds of the cost histogram.
COSTS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)
#: Operations remembered, their texts together in bytes, and callers remembered of each.
MOST_SEEN: Final = 2000
MOST_TEXT: Final = 8 * 1024 * 1024
MOST_CALLERS: Final = 50
_WITH_ERRORS: Final = 294


class SeenOperation:
    """An operation of a document on a route. `last` in Unix seconds; `callers` with how often each asked."""

    __slots__ = (
        "callers",
        "cost",
        "document",
        "first",
        "kind",
        "known",
        "last",
        "name",
        "reasons",
        "refused",
        "requests",
        "route",
        "text",
    )

    def __init__(self, route: str, document: str, name: str, kind: str, text: str, known: bool, first: float) -> None:
        self.route = route
        self.document = document
        self.name = name
        self.kind = kind
        self.text = text
        self.known = known
        self.first = self.last = first
        self.requests = 0
        self.refused = 0
        #: The dearest so far.
        self.cost = 0
        self.callers: dict[str, int] = {}
        #: Why it was refused, or would have been.
        self.reasons: dict[str, int] = {}


class OperationCounters:
    """Counts every operation once. One per process. `registered` is how many documents each route knows by its manifest."""

    def __init__(self, documents: DocumentCache) -> None:
        self._documents = documents
        self._counts: dict[tuple[str, str, str, str], int] = {}
        self._costs: dict[str, list[int]] = {}
        self._sums: dict[str, int] = {}
        self._seen: dict[tuple[str, str, str], SeenOperation] = {}
        self._text = 0
        self.registered: dict[str, int] = {}

    def closed(self, exchange: Exchange) -> None:
        """An exchange with an operation is over."""
        asked, plan = exchange.graphql, exchange.plan
        if asked is None or plan is None:
            return
        route = plan.name
        result = result_of(exchange)
        key = (route, (asked.name or "anonymous") if asked.known else "other", asked.kind or "none", result)
        self._counts[key] = self._counts.get(key, 0) + 1
        if not asked.kind:
            return
        buckets = self._costs.get(route)
        if buckets is None:
            buckets = self._costs[route] = [0] * (len(COSTS) + 1)
            self._sums[route] = 0
        buckets[bisect_left(COSTS, asked.cost)] += 1
        self._sums[route] += asked.cost
        self._remember(exchange, route, result)

    def _remember(self, exchange: Exchange, route: str, result: str) -> None:
        asked = exchange.graphql
        assert asked is not None
        key = (route, asked.document_id, asked.name)
        seen = self._seen.pop(key, None)
        if seen is None:
            seen = SeenOperation(
                route, asked.document_id, asked.name, asked.kind, asked.text, asked.known, exchange.unix
            )
            self._text += len(seen.text)
        self._seen[key] = seen
        seen.last = exchange.unix
        seen.requests += 1
        seen.cost = max(seen.cost, asked.cost)
        reason = asked.refused or (exchange.reason if result == "refused" else "")
        if reason:
            seen.refused += 1
            seen.reasons[reason] = seen.reasons.get(reason, 0) + 1
        who = caller(exchange)
        if who in seen.callers or len(seen.callers) < MOST_CALLERS:
            seen.callers[who] = seen.callers.get(who, 0) + 1
        while len(self._seen) > MOST_SEEN or self._text > MOST_TEXT:
            oldest = next(iter(self._seen))
            self._text -= len(self._seen.pop(oldest).text)

    def seen(self, route: str = "") -> list[SeenOperation]:
        """What was asked for, the dearest and most refused first."""
        found = [each for each in self._seen.values() if route in ("", each.route)]
        return sorted(found, key=lambda each: (-each.cost * each.requests, -each.refused, each.name))

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        for labels, count in self._counts.items():
            yield "gateway_graphql_operations_total", labels, float(count)
        for route, buckets in self._costs.items():
            total = 0
            for bound, count in zip((*map(str, COSTS), "+Inf"), buckets, strict=True):
                total += count
                yield "gateway_graphql_cost", (route, bound), float(total)
            yield "gateway_graphql_cost", (route, "sum"), float(self._sums[route])
        yield "gateway_graphql_documents", ("known",), float(len(self._documents))
        yield "gateway_graphql_documents", ("evicted",), float(self._documents.evicted)
        yield "gateway_graphql_documents", ("registered",), float(sum(self.registered.values()))


def result_of(exchange: Exchange) -> str:
    """The word of metrics: ok, errors (data with errors), failed, refused, observed, abandoned."""
    outcome = exchange.outcome
    asked = exchange.graphql
    if isinstance(outcome, Denied):
        return "refused"
    if asked is not None and asked.refused:
        return "observed"
    if isinstance(outcome, Answered | Local):
        if exchange.status == _WITH_ERRORS:
            return "errors"
        return "ok" if exchange.status < 400 else "failed"
    return "abandoned" if isinstance(outcome, Abandoned) else "failed"
