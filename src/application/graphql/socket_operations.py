"""One operation of a GraphQL socket as an exchange of its own: guards judge it as they judge a request."""

from __future__ import annotations

from typing import Any

from spork.application.exchange.exchange import Exchange
from spork.domain.outcomes import ANSWERED, Denial


class NoSink:
    """The sink of an operation of a socket: it has none of its own."""

    started = False
    sent = 0


class ExpandedPayload:
    """The body of an operation of a socket whose id was expanded: what goes to the target."""

    length = 0
    received = 0

    def __init__(self, value: Any) -> None:
        self.value = value

    def whole(self) -> bytes:
        return b""

    async def read(self) -> bytes:
        return b""

    def limit(self, maximum: int) -> None:
        """Nothing comes."""


def exchange_of(exchange: Exchange, unix: float) -> Exchange:
    """An exchange for one operation of a socket: its caller and its route are the handshake's."""
    sink: Any = NoSink()
    one = Exchange(exchange.head, exchange.body, sink, exchange.snapshot, exchange.now, unix)
    one.plan, one.params, one.client, one.principal = (
        exchange.plan,
        exchange.params,
        exchange.client,
        exchange.principal,
    )
    one.request_id_bytes, one.traceparent = exchange.request_id_bytes, exchange.traceparent
    return one


class SocketOperation:
    """An operation of a socket, from its `subscribe` to its end."""

    __slots__ = ("_exchange", "denial", "payload")

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self.denial: Denial | None = None
        self.payload: dict[str, Any] | None = None

    def over(self) -> None:
        """It has ended: what its guards hold is given back."""
        exchange = self._exchange
        exchange.outcome = exchange.outcome or ANSWERED[200]
        exchange.status = exchange.status or 200
        finalizers, exchange.finalizers = exchange.finalizers or [], None
        for finalize in reversed(finalizers):
            finalize(exchange)
