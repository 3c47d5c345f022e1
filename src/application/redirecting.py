"""Redirects a route asks for."""

from __future__ import annotations

from application.exchange import Exchange
from domain.outcomes import Respond
from domain.routing import Redirect


def redirect(rule: Redirect, exchange: Exchange) -> Respond:
    """The redirect answer for this request. Parts come from the canonical path, so nothing can break the header."""
    head = exchange.head
    location = rule.to
    if "{" in location:
        parts = {
            "scheme": head.scheme,
            "host": head.host.decode("ascii"),
            "path": head.path.decode("ascii"),
            "query": (head.query or b"").decode("ascii"),
            "rest": exchange.rest.decode("ascii"),
            **exchange.params,
        }
        for name, value in parts.items():
            location = location.replace("{" + name + "}", value)
    if head.query is not None and "{query}" not in rule.to and "?" not in rule.to:
        location += "?" + head.query.decode("ascii")
    return Respond("redirect", ((b"location", location.encode("ascii")),), status=rule.status)
