"""What becomes of a route's answers on their way from the target to the client, as stages in front of the sink.

In this order: transform (what a target answers), the cache fills here, mask (by caller), compress (whatever goes out).
A route without any has no `AnswerStages` at all.
"""

from __future__ import annotations

from typing import Final

from spork.application.exchange.compression import Compression
from spork.application.exchange.exchange import Exchange
from spork.application.kernel.streams import ResponseSink
from spork.domain.http.head import Header

_IF_MATCH: Final = b"if-match"


class AnswerStages:
    """The stages of one route, compiled."""

    def __init__(self, compression: Compression | None = None) -> None:
        self._compression = compression

    def open(self, exchange: Exchange) -> None:
        """Before the guards: what stands in front of every answer of this route, whoever gives it."""
        if self._compression is not None and not exchange.head.upgrade:
            exchange.sink = self._compression.sink(exchange)

    def relayed(self, exchange: Exchange) -> ResponseSink:
        """What a target's answer is written to."""
        return exchange.sink

    def towards_target(self, headers: list[Header]) -> list[Header]:
        """The request's fields, adapted to what will be done to the answer."""
        if self._compression is not None:
            # A tag that we made weak comes back so, and would match nothing (RFC 9110 13.1.1).
            return [(n, v.replace(b'W/"', b'"')) if n == _IF_MATCH else (n, v) for n, v in headers]
        return headers
