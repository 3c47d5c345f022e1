"""Who a limit counts for, read from an exchange: one small function per `by`, chosen when a route is compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from spork.application.exchange.exchange import Exchange
from spork.domain.limits.identity import bounded, network_of

Identify = Callable[[Exchange], str]

#: What `by` may say, besides header:NAME and claim:NAME.
BY: Final = ("ip", "consumer", "key", "tenant", "route", "global")
#: These need no credential, so they may run before authentication and protect it.
BEFORE_AUTHENTICATION: Final = frozenset(("ip",))
#: These count all callers as one, who is called this.
COUNTED_TOGETHER: Final = frozenset(("route", "global"))
EVERYONE: Final = "*"


def identify_by(by: str) -> Identify:
    """The function for `by`. Raises ValueError when it is unknown."""
    simple = _SIMPLE.get(by)
    if simple is not None:
        return simple
    kind, _, name = by.partition(":")
    if kind == "header" and name:
        return _header(name.lower().encode("latin-1"))
    if kind == "claim" and name:
        return _claim(name)
    if kind == "json" and name:
        return _body_field(name)
    raise ValueError(f"{by!r} is nothing to count by: {', '.join(BY)}, header:NAME, claim:NAME, json:FIELD")


def client_network(exchange: Exchange) -> str:
    client = exchange.client
    return network_of(client) if ":" in client else client


def caller(exchange: Exchange) -> str:
    """The consumer, else the token's subject at its issuer, else the address: never one bucket for all strangers."""
    principal = exchange.principal
    if principal is None:
        return "address " + network_of(exchange.client)
    if principal.consumer:
        return bounded(principal.consumer)
    return bounded(f"subject {principal.issuer} {principal.subject}")


def _key(exchange: Exchange) -> str:
    principal = exchange.principal
    return principal.key_id if principal is not None and principal.key_id else caller(exchange)


def _tenant(exchange: Exchange) -> str:
    principal = exchange.principal
    return bounded(principal.tenant) if principal is not None and principal.tenant else caller(exchange)


def _everyone(exchange: Exchange) -> str:
    return EVERYONE


def _header(name: bytes) -> Identify:
    def by_header(exchange: Exchange) -> str:
        value = exchange.head.header(name)
        return "(none)" if value is None else bounded(value.decode("latin-1"))

    return by_header


def _body_field(name: str) -> Identify:
    def by_body_field(exchange: Exchange) -> str:
        value = None if exchange.body_values is None else exchange.body_values.get(name)
        return "(none)" if value is None else bounded(value)

    return by_body_field


def _claim(name: str) -> Identify:
    def by_claim(exchange: Exchange) -> str:
        principal = exchange.principal
        value = None if principal is None else principal.claims.get(name)
        return caller(exchange) if value is None else bounded(str(value))

    return by_claim


_SIMPLE: Final[dict[str, Identify]] = {
    "ip": client_network,
    "consumer": caller,
    "key": _key,
    "tenant": _tenant,
    "route": _everyone,
    "global": _everyone,
}
