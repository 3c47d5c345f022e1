"""GraphQL operations as operators see them: what was asked for, by whom, at which cost, and why it was refused."""

from __future__ import annotations

from spork.application.graphql.operations import OperationCounters
from spork.application.views import GraphQLOperationView


class SeenOperations:
    """The operations that this process remembers."""

    def __init__(self, counters: OperationCounters) -> None:
        self._counters = counters

    def report(self, route: str = "") -> list[GraphQLOperationView]:
        """Those of `route`, or of all: the dearest in sum first, then the most refused."""
        return [
            GraphQLOperationView(
                each.route,
                each.name,
                each.kind,
                f"sha256:{each.document}",
                each.known,
                each.requests,
                each.refused,
                each.cost,
                each.first,
                each.last,
                dict(sorted(each.callers.items(), key=lambda item: -item[1])),
                dict(each.reasons),
                each.text,
            )
            for each in self._counters.seen(route)
        ]
