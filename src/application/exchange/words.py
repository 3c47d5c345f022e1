"""What placeholders of transforms stand for in one exchange."""

from __future__ import annotations

from spork.application.exchange.exchange import Exchange
from spork.domain.transforms.templates import Lookup


def words_of(exchange: Exchange) -> Lookup:
    """`{request_id}`, `{consumer}`, `{claim:NAME}`, `{header:NAME}`, and the path's parameters."""

    def lookup(name: str) -> str | None:
        kind, colon, rest = name.partition(":")
        if not colon:
            return _plain(exchange, name)
        if kind == "header":
            value = exchange.head.header(rest.lower().encode("latin-1", "replace"))
            return None if value is None else value.decode("latin-1")
        if kind == "claim" and exchange.principal is not None:
            claim = exchange.principal.claims.get(rest)
            if isinstance(claim, bool) or not isinstance(claim, str | int | float):
                return None
            return str(claim)
        return None

    return lookup


def _plain(exchange: Exchange, name: str) -> str | None:
    if name == "request_id":
        return exchange.request_id
    if name == "consumer":
        principal = exchange.principal
        return None if principal is None else principal.consumer or None
    return exchange.params.get(name)
