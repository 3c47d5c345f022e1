"""What answers of a versioned route say of the version: API-Version, Deprecation, Sunset, links, and one Vary.

On every answer, refusals, 304, cached and fallback answers included; preflights speak of no resource and stay as they are.
"""

from __future__ import annotations

from spork.application.exchange.exchange import Exchange
from spork.application.exchange.sinks import PassingSink
from spork.application.kernel.streams import ResponseSink
from spork.domain.http.coding import merge_vary
from spork.domain.http.head import Header
from spork.domain.routing.versions import ApiVersion, earlier_kept


class VersionFields:
    """The fields of one version, made once."""

    def __init__(self, version: ApiVersion) -> None:
        self.version = version
        self.fields = version.fields()
        self.vary = version.selectors.vary()

    def sink(self, exchange: Exchange) -> ResponseSink:
        """What stands in front of the exchange's sink."""
        head = exchange.head
        if head.method == "OPTIONS" and head.header(b"access-control-request-method") is not None:
            return exchange.sink
        return VersionSink(exchange.sink, self, exchange)


class VersionSink(PassingSink):
    """Adds the fields to the head."""

    def __init__(self, inner: ResponseSink, fields: VersionFields, exchange: Exchange) -> None:
        super().__init__(inner)
        self._fields = fields
        self._exchange = exchange

    def start(self, status: int, headers: list[Header]) -> None:
        if status >= 200:
            fields = self._of_plan()
            headers = earlier_kept(headers, fields.fields)
            link = fields.version.successor_link(self._exchange.head.path)
            if link is not None:
                headers.append(link)
            if fields.vary:
                headers = merge_vary(headers, fields.vary)
        self.inner.start(status, headers)

    def _of_plan(self) -> VersionFields:
        """The fields of the version that serves: another than was routed to, where the consumer's own is meant."""
        plan = self._exchange.plan
        version = None if plan is None else plan.config.version
        return self._fields if version is None or version is self._fields.version else VersionFields(version)
