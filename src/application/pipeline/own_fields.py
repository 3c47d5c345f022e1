"""The fields that the gateway adds to every answer of a route, whoever made it."""

from __future__ import annotations

from collections.abc import Callable

from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.application.pipeline.answering_back import told_back
from spork.application.pipeline.server_timing import server_timing
from spork.domain.http import forwarding
from spork.domain.http.head import Header


def own_fields(
    exchange: Exchange, plan: RoutePlan, headers: list[Header], monotonic: Callable[[], float]
) -> list[Header]:
    """`headers`, which become this answer's, with the gateway's own and the route's edits."""
    if plan.rewrite_back is not None:
        headers = told_back(exchange, plan, plan.rewrite_back, headers)
    headers.append((b"x-request-id", exchange.request_id_bytes))
    headers.append(forwarding.VIA)
    if exchange.response_headers:
        headers += exchange.response_headers
    if plan.response_transform is not None:
        headers = plan.response_transform.apply(headers)
    if plan.timed:
        headers.append(server_timing(exchange, monotonic()))
    return headers
