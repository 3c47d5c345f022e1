"""Redirects a route asks for."""

from __future__ import annotations

from spork.application.exchange.exchange import Exchange
from spork.domain.outcomes import LocalResponse
from spork.domain.routing.table import Redirect


def redirect(rule: Redirect, exchange: Exchange) -> LocalResponse:
    """The redirect answer for this request. Parts come from the canonical path, so nothing can break the header."""
    head = exchange.head
    location = rule.to if head.query else rule.to.replace("?{query}", "")
    if "{" in location:
        parts = {
            "scheme": head.scheme,
            "host": (exchange.asked_host or head.host).decode("ascii"),
            "path": head.path.decode("ascii"),
            "query": (head.query or b"").decode("ascii"),
            "rest": exchange.rest.decode("ascii"),
            **exchange.params,
        }
        for name, value in parts.items():
            location = location.replace("{" + name + "}", value)
    if head.query is not None and "{query}" not in rule.to and "?" not in rule.to:
        location += "?" + head.query.decode("ascii")
    return LocalResponse("redirect", ((b"location", location.encode("ascii")),), status=rule.status)
