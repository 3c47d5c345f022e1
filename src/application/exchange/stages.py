"""What becomes of a route's answers on their way from the target to the client, as stages in front of the sink.

In this order: transform (what a target answers), the cache fills here, mask (by caller), compress (whatever goes out).
A route without any has no `AnswerStages` at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from spork.application.exchange.compression import Compression
from spork.application.exchange.exchange import Exchange
from spork.application.exchange.transforming import AnswerTransform
from spork.application.exchange.versioning import VersionFields
from spork.application.exchange.words import words_of
from spork.application.kernel.streams import ResponseSink
from spork.domain.http.head import Header
from spork.domain.transforms.policy import When
from spork.domain.transforms.queries import QueryTransform, without
from spork.domain.transforms.templates import names_caller

#: Puts what fills the cache in front of a sink.
Fill = Callable[[ResponseSink], ResponseSink]
_RANGES: Final = frozenset((b"range", b"if-range", b"accept-encoding"))
_IDENTITY: Final[Header] = (b"accept-encoding", b"identity")


class AnswerCheck(Protocol):
    """Looks at a target's answers before anything is done to them."""

    def sink(self, exchange: Exchange, inner: ResponseSink) -> ResponseSink: ...


class AnswerStages:
    """The stages of one route, compiled; with them what they ask of the request's head."""

    def __init__(
        self,
        compression: Compression | None = None,
        transform: AnswerTransform | None = None,
        query: QueryTransform | None = None,
        when: When | None = None,
        version: VersionFields | None = None,
        check: AnswerCheck | None = None,
    ) -> None:
        self._check = check
        self._version = version
        self._selector = b""
        if version is not None and not version.version.selectors.keep:
            self._selector = version.version.selectors.query
        self._compression = compression
        self._transform = transform
        self._query = query
        self._when = when or When()
        #: Whether all that is done to answers depends on the caller, so that a cache keeps them as the target gave them.
        self.by_caller = transform is not None and (
            transform.policy.when.names_caller
            or any(names_caller(o.to) for rule in transform.policy.response for o in rule.operations)
            or any(names_caller(rule.body) for rule in transform.policy.response)
        )

    def open(self, exchange: Exchange) -> None:
        """Before the guards: what stands in front of every answer of this route, whoever gives it."""
        if self._compression is not None and not exchange.head.upgrade:
            exchange.sink = self._compression.sink(exchange)
        if self._version is not None:
            exchange.sink = self._version.sink(exchange)

    def relayed(self, exchange: Exchange, fill: Fill | None = None) -> ResponseSink:
        """What a target's answer is written to; `fill` is put where the cache fills."""
        sink = self._changed(exchange, fill)
        return sink if self._check is None else self._check.sink(exchange, sink)

    def _changed(self, exchange: Exchange, fill: Fill | None) -> ResponseSink:
        transform = self._transform
        if transform is None:
            return exchange.sink if fill is None else fill(exchange.sink)
        if fill is None:
            return transform.sink(exchange, exchange.sink)
        delivered = fill(self.delivered(exchange))
        return delivered if self.by_caller else transform.sink(exchange, delivered, masks=False)

    def delivered(self, exchange: Exchange) -> ResponseSink:
        """What an answer from the cache is written to."""
        if self._transform is None:
            return exchange.sink
        return self._transform.sink(exchange, exchange.sink, rest=self.by_caller)

    def query(self, exchange: Exchange) -> bytes | None:
        """The query towards the target."""
        query = exchange.head.query
        if self._selector and query:
            query = without(query, self._selector)
        if self._query is None or not self._when.holds(exchange.head, exchange.principal):
            return query
        return self._query.apply(query, words_of(exchange))

    def towards_target(self, headers: list[Header]) -> list[Header]:
        """The request's fields, adapted to what will be done to the answer."""
        if self._transform is not None:  # a whole answer, in no coding
            headers = [*(header for header in headers if header[0] not in _RANGES), _IDENTITY]
        if self._transform is None and self._compression is None:
            return headers
        # A tag that we made weak comes back so, and would match nothing (RFC 9110 13.1.1).
        return [(n, v.replace(b'W/"', b'"')) if n == b"if-match" else (n, v) for n, v in headers]
