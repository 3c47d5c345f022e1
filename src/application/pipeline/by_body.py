"""Choosing among routes that only fields of the JSON body tell apart.

Asked once per request of such a route, before its guards: 64 KiB of the body are held at most, and go on to the target as they came.
"""

from __future__ import annotations

from dataclasses import replace

from spork.application.exchange.bodies import hold
from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.domain.http.coding import codings_of
from spork.domain.outcomes import Denial
from spork.domain.routing.bodies import MOST_BYTES, BodyChoice, is_json, values_of
from spork.domain.routing.patterns import Match
from spork.domain.routing.table import RouteTable

NO_ROUTE = Denial("no_route", "Nothing is served at this address.")
TOO_LARGE = Denial("body_too_large", "The request body is larger than this address takes.", close=True)


class ByBody:
    """The routes of one table that are told apart by their bodies, gathered while it is compiled."""

    def __init__(self) -> None:
        self._groups: list[tuple[Match, list[tuple[tuple[tuple[str, str], ...], RoutePlan]]]] = []
        self._plain: list[tuple[Match, RoutePlan]] = []

    def add(self, match: Match, plan: RoutePlan) -> bool:
        """Take in a match; False: it asks nothing of bodies and belongs into the table itself."""
        if not match.body:
            self._plain.append((match, plan))
            return False
        alike = replace(match, body=())
        for known, options in self._groups:
            if known == alike:
                options.append((match.body, plan))
                return True
        self._groups.append((alike, [(match.body, plan)]))
        return True

    def finish(self, table: RouteTable[RoutePlan]) -> None:
        """Put one way in for each group into the table."""
        for match, options in self._groups:
            otherwise = next((plan for known, plan in self._plain if known == match), None)
            entrance = otherwise or options[0][1]
            entrance.by_body = BodyChoice(options, otherwise)
            if otherwise is None:
                table.add(match, entrance)


async def choose(exchange: Exchange, choice: BodyChoice[RoutePlan]) -> RoutePlan | Denial:
    """The plan that the exchange's body asks for; it is the exchange's from now on."""
    head = exchange.head
    values: dict[str, str] = {}
    if is_json(head.header(b"content-type") or b"") and not codings_of(head.headers):
        body = await hold(exchange, MOST_BYTES)
        if body is not None:
            values = values_of(body, choice.names)
    exchange.body_values = values
    plan = choice.choose(values)
    if plan is None:
        return NO_ROUTE
    exchange.plan = plan
    length = exchange.body.length
    if length is not None and length > plan.body_bytes:
        return TOO_LARGE
    if length != 0:
        exchange.body.limit(plan.body_bytes)
    return plan
