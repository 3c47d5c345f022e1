"""One JSON line per exchange, built while the exchange closes, written elsewhere.

Every line is valid JSON whatever bytes a client sent: what is not ASCII is written as `\\xNN` text, control characters as
JSON escapes. Query values and header values are not logged, but for the fields an operator asks for by name, and
those pass redaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from spork.adapters.files.line_sink import LineSink
from spork.adapters.structlog.redaction import is_secret, redact, redact_query
from spork.domain.outcomes import Failed, cause

if TYPE_CHECKING:
    from spork.application.exchange.exchange import Exchange
    from spork.application.exchange.graphql import GraphQLAsked

#: What a line holds unless the operator says otherwise, in this order.
DEFAULT_FIELDS: Final = (
    "time",
    "level",
    "event",
    "request_id",
    "trace_id",
    "client",
    "method",
    "host",
    "path",
    "status",
    "ms",
    "upstream_ms",
    "route",
    "upstream",
    "target",
    "subject",
    "consumer",
    "reason",
    "attempts",
    "bytes_in",
    "bytes_out",
    "cause",
    "cache",
    "graphql",
)


class AccessLine(msgspec.Struct, omit_defaults=True, gc=False):
    """The default line. Times `ms` in milliseconds, `time` in UTC (RFC 3339); what was not measured is left out."""

    time: str
    level: str
    event: str
    request_id: str
    trace_id: str
    client: str
    method: str
    host: str
    path: str
    status: int
    ms: float
    upstream_ms: float | None = None
    route: str | None = None
    upstream: str | None = None
    target: str | None = None
    subject: str | None = None
    consumer: str | None = None
    reason: str | None = None
    attempts: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    #: What broke, where a fault ended it: refused, which name, which TLS check. Never told to clients.
    cause: str | None = None
    #: What the cache did: hit, stale, revalidated, miss, collapsed, bypass; left out where the route has none.
    cache: str | None = None
    #: The GraphQL operation: name, type, id of the document, cost.
    graphql: dict[str, str | int] | None = None


class AccessLog:
    """Writes each closed exchange to `sink` (`application.ports.Observer`).

    `fields` chooses and orders the line's members: the names in `DEFAULT_FIELDS`, `query` (redacted), `version`,
    `scheme`, `plan`, `span_id`, `sampled` (whether the trace is kept), and `header:NAME` for a request header (redacted). With the default fields a line costs about
    2 microseconds.
    `enabled` may be changed at run time.
    """

    def __init__(self, sink: LineSink, fields: Sequence[str] = DEFAULT_FIELDS) -> None:
        self.sink = sink
        self.enabled = True
        self._encode = msgspec.json.Encoder().encode
        self._second = 0
        self._stamp = ""
        self._readers: list[tuple[str, Callable[[AccessLine, Exchange], Any]]] | None = None
        self.choose(fields)

    def choose(self, fields: Sequence[str]) -> None:
        """Change the fields of the lines to come. Raises ValueError for a field that does not exist."""
        chosen = tuple(fields)
        self._readers = None if chosen == DEFAULT_FIELDS else [(name, _reader(name)) for name in chosen]
        self.fields = chosen

    @staticmethod
    def check(fields: Sequence[str]) -> None:
        """Raises ValueError for a field that does not exist."""
        for name in fields:
            _reader(name)

    def closed(self, exchange: Exchange) -> None:
        if not self.enabled:
            return
        line: object = self.line(exchange)
        if self._readers is not None:
            line = {name: read(line, exchange) for name, read in self._readers}  # type: ignore[arg-type]
        self.sink.put(self._encode(line))

    def line(self, exchange: Exchange) -> AccessLine:
        head = exchange.head
        plan = exchange.plan
        principal = exchange.principal
        status = exchange.status
        unix = exchange.unix
        second = int(unix)
        if second != self._second:
            self._second = second
            self._stamp = time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(second))
        path = head.path.decode("ascii", "backslashreplace")
        if "spk_" in path or "eyJ" in path:
            path = redact(path)
        attempts = exchange.attempts
        return AccessLine(
            f"{self._stamp}{int((unix - second) * 1000):03d}Z",
            "info" if status < 500 else "error",
            "request",
            exchange.request_id,
            exchange.trace_id,
            exchange.client,
            head.method,
            head.host.decode("ascii", "backslashreplace"),
            path,
            status,
            int(exchange.seconds * 1000000) / 1000,
            int(exchange.upstream_seconds * 1000000) / 1000 if attempts else None,
            plan.name if plan is not None else None,
            exchange.upstream_name or None,
            exchange.target_name or None,
            principal.subject if principal is not None else None,
            principal.consumer if principal is not None else None,
            exchange.reason or None,
            attempts,
            exchange.body.received,
            exchange.sink.sent,
            cause(exchange.outcome.fault) if isinstance(exchange.outcome, Failed) else None,
            exchange.cache_result or None,
            None if exchange.graphql is None else operation_of(exchange.graphql),
        )


def operation_of(asked: GraphQLAsked) -> dict[str, str | int]:
    """A GraphQL operation as it is logged; its name is the client's words, cut."""
    said: dict[str, str | int] = {
        "name": asked.name[:100], "type": asked.kind, "id": f"sha256:{asked.document_id}" if asked.document_id else "",
        "cost": asked.cost,
    }  # fmt: skip
    if asked.refused:
        said["observed"] = asked.refused
    return {name: value for name, value in said.items() if value != ""}


def line_fields(line: AccessLine) -> list[tuple[str, str | int | float]]:
    """What a line says beside its time and ids, as pairs; for log records that go to a collector."""
    left_out = ("time", "level", "event", "trace_id", "graphql")
    pairs = ((name, getattr(line, name)) for name in DEFAULT_FIELDS if name not in left_out)
    return [(name, value) for name, value in pairs if value is not None]


def _reader(name: str) -> Callable[[AccessLine, Exchange], Any]:
    """Reads one member. Built when the fields are chosen, never per request."""
    if name in DEFAULT_FIELDS:
        return lambda line, exchange: getattr(line, name)
    if name.startswith("header:"):
        header = name[7:].lower()
        if is_secret(header):
            raise ValueError(f"{name} is a credential and never logged")
        return lambda line, exchange: _text(exchange.head.header(header.encode()))
    if name in _MORE:
        return _MORE[name]
    raise ValueError(
        f"the access log has no field {name!r}; it has {', '.join((*DEFAULT_FIELDS, *_MORE, 'header:NAME'))}"
    )


def _text(value: bytes | None) -> str | None:
    return None if value is None else redact(value.decode("ascii", "backslashreplace"))


_MORE: Final[dict[str, Callable[[AccessLine, Any], Any]]] = {
    "cost": lambda line, exchange: exchange.cost_units if exchange.costed else None,
    "query": lambda line, exchange: (
        None if exchange.head.query is None else redact_query(exchange.head.query.decode("ascii", "backslashreplace"))
    ),
    "span_id": lambda line, exchange: exchange.traceparent[36:52].decode("ascii"),
    "sampled": lambda line, exchange: exchange.trace is not None and exchange.trace.kept,
    "version": lambda line, exchange: exchange.head.version,
    "scheme": lambda line, exchange: exchange.head.scheme,
    "plan": lambda line, exchange: exchange.principal.plan if exchange.principal is not None else None,
}
