"""What a hash balancer keeps together: the part of an exchange that decides which target it sticks to."""

from __future__ import annotations

from collections.abc import Callable

from application.exchange import Exchange
from domain.upstreams import Balance

KeyReader = Callable[[Exchange], bytes | None]


def key_reader(balance: Balance) -> KeyReader | None:
    """Reads the key that `balance` hashes on: consumer, ip, header:X or cookie:X. None when nothing is hashed.

    An exchange that lacks it (no consumer, no such header) reads as None and is balanced without affinity.
    """
    if balance.algorithm != "hash":
        return None
    kind, _, name = balance.hash_on.partition(":")
    if kind == "consumer":
        return _consumer
    if kind == "header":
        wanted = name.strip().lower().encode("ascii")
        return lambda exchange: exchange.head.header(wanted)
    if kind == "cookie":
        named = name.strip().encode("ascii")
        return lambda exchange: _cookie(exchange, named)
    return _address


def _address(exchange: Exchange) -> bytes | None:
    return exchange.client.encode("ascii", "replace") or None


def _consumer(exchange: Exchange) -> bytes | None:
    principal = exchange.principal
    if principal is None:
        return None
    return (principal.consumer or principal.subject).encode() or None


def _cookie(exchange: Exchange, named: bytes) -> bytes | None:
    for name, value in exchange.head.headers:
        if name == b"cookie":
            for pair in value.split(b";"):
                given, _, content = pair.strip().partition(b"=")
                if given == named:
                    return content or None
    return None
