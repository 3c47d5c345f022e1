"""What a hash balancer keeps together: the part of an exchange that decides which target it sticks to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from spork.domain.http.head import RequestHead
from spork.domain.identity.tokens import Principal
from spork.domain.upstreams.model import Balance, StickyCookie


class Request(Protocol):
    """What a hash balancer may go by: an exchange has all of it."""

    head: RequestHead
    client: str
    principal: Principal | None


KeyReader = Callable[[Request], bytes | None]


def key_reader(balance: Balance, sticky: StickyCookie | None = None) -> KeyReader | None:
    """Reads the key that `balance` hashes on: consumer, ip, header:X or cookie:X; or the token in the cookie of `sticky`. None
    when nothing is hashed.

    An exchange that lacks it (no consumer, no such header) reads as None and is balanced without affinity.
    """
    if sticky is not None:
        issued = sticky.name.encode("ascii")
        return lambda exchange: _cookie(exchange, issued)
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


def _address(exchange: Request) -> bytes | None:
    return exchange.client.encode("ascii", "replace") or None


def _consumer(exchange: Request) -> bytes | None:
    principal = exchange.principal
    if principal is None:
        return None
    return (principal.consumer or principal.subject).encode() or None


def _cookie(exchange: Request, named: bytes) -> bytes | None:
    for name, value in exchange.head.headers:
        if name == b"cookie":
            for pair in value.split(b";"):
                given, _, content = pair.strip().partition(b"=")
                if given == named:
                    return content or None
    return None
