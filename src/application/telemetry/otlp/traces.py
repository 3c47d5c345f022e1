"""Spans of a finished request: one SERVER span, a CLIENT span per try, its phases as events or spans of their own.

Attributes follow OpenTelemetry's semantic conventions for HTTP (stable since 1.23). Durations come from the monotonic clock, the
one wall reading is that of the request's begin: a clock that steps moves spans, it never stretches them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from typing import Final

from spork.application.exchange.tracing import CANCELLED, TryRecord
from spork.application.telemetry.otlp.wire import Attributes, Value, fixed32, fixed64, message, nanoseconds
from spork.application.telemetry.spans import SpanRecord
from spork.domain.http.authority import without_port
from spork.domain.outcomes import SERVER_ERRORS
from spork.domain.upstreams.model import Target

SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.37.0"
#: Methods that are told apart; any other is `_OTHER` and a span of it is called HTTP.
_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "QUERY"))
_INTERNAL, _SERVER, _CLIENT = b"\x30\x01", b"\x30\x02", b"\x30\x03"
#: Status: code 2 (ERROR).
_ERROR: Final = b"\x7a\x02\x18\x02"
#: A guard that took longer was waiting for something: then its phase is a span.
WAITED: Final = 0.001
#: Flags of a span: whether its parent is remote is known, and it is (bits 8 and 9).
_LOCAL_PARENT, _REMOTE_PARENT = 0x100, 0x300
#: Sets of attributes that are remembered.
_REMEMBERED: Final = 1024
_SPAN: Final = b"\x12"
_ATTRIBUTE: Final = b"\x4a"

Redact = Callable[[str], str]


class SpanEncoder:
    """Encodes records. `redact` takes credentials out of text, `redact_query` out of a query too. For one thread."""

    def __init__(self, redact: Redact, redact_query: Redact, chance: random.Random | None = None) -> None:
        self._redact = redact
        self._redact_query = redact_query
        self._attributes = Attributes()
        self._server_known: dict[tuple[object, ...], bytes] = {}
        self._client_known: dict[tuple[object, ...], bytes] = {}
        self._bits = (chance or random.Random()).getrandbits

    def encode(self, record: SpanRecord) -> list[bytes]:
        """The spans of one request, each framed as field 2 of ScopeSpans; the server's first."""
        began = nanoseconds(record.unix)
        spans = [self._server(record, began)]
        spans += [self._client(record, began, attempt) for attempt in record.trace.tries]
        if record.trace.route.phases != "off":
            spans += self._phase_spans(record, began)
        return spans

    # ------------------------------------------------------------------------------------------------- server

    def _server(self, record: SpanRecord, began: int) -> bytes:
        trace = record.trace
        method = record.method if record.method in _METHODS else "HTTP"
        name = f"{method} {record.pattern}" if record.pattern else method
        ended = began + round(record.seconds * 1e9)
        out = [
            _ids(trace.trace_id, trace.span_id, trace.state, trace.parent_id),
            message(b"\x2a", name.encode("ascii", "replace")),
            _SERVER,
            fixed64(b"\x39", began),
            fixed64(b"\x41", ended),
        ]
        out += self._server_attributes(record)
        if trace.route.phases == "events":
            out += self._events(record, began)
        if trace.link is not None:
            link = trace.link
            linked = message(b"\x0a", bytes.fromhex(link.trace_id.decode("ascii")))
            linked += message(b"\x12", bytes.fromhex(link.span_id.decode("ascii")))
            flags = (1 if link.sampled else 0) | (2 if link.random else 0) | _REMOTE_PARENT
            out.append(message(b"\x6a", linked + fixed32(b"\x35", flags)))
        if record.failed or record.status >= SERVER_ERRORS:
            out.append(_ERROR)
        parent = _REMOTE_PARENT if trace.parent_id else _LOCAL_PARENT
        out.append(fixed32(b"\x85\x01", _flags(record) | parent))
        return message(_SPAN, b"".join(out))

    def _server_attributes(self, record: SpanRecord) -> list[bytes]:
        """What repeats from request to request is encoded once; paths, queries and ports each time."""
        known = (record.method, record.scheme, record.pattern, record.status, record.host, record.failed, record.peer,
                 record.client, record.version, record.route, record.upstream, record.consumer, record.reason,
                 record.limits, record.local)  # fmt: skip
        fixed = self._server_known.get(known)
        if fixed is None:
            if len(self._server_known) >= _REMEMBERED:
                self._server_known.clear()
            fixed = self._server_known[known] = self._server_fixed(record)
        once: list[tuple[str, Value]] = [("url.path", self._text(record.path))]
        if record.query:
            once.append(("url.query", self._redact_query(record.query.decode("utf-8", "replace"))))
        if record.user_agent:
            once.append(("user_agent.original", self._text(record.user_agent)))
        if record.peer_port:
            once.append(("network.peer.port", record.peer_port))
        if record.trace.captured:
            by_name: dict[bytes, list[str]] = {}
            for header, value in record.trace.captured:
                by_name.setdefault(header, []).append(self._text(value))
            once += [(f"http.request.header.{h.decode('ascii')}", tuple(values)) for h, values in by_name.items()]
        return [fixed, *(self._attributes.once(_ATTRIBUTE, key, value) for key, value in once)]

    def _server_fixed(self, record: SpanRecord) -> bytes:
        host, port = _host_and_port(record.host)
        found: list[tuple[str, Value | None]] = [
            ("http.request.method", record.method if record.method in _METHODS else "_OTHER"),
            ("url.scheme", record.scheme),
            ("http.route", record.pattern or None),
            ("http.response.status_code", record.status or None),
            ("server.address", host or None),
            ("server.port", port),
            ("error.type", _error_type(record)),
            ("network.peer.address", record.peer or None),
            ("client.address", record.client or None),
            ("network.protocol.version", record.version),
            ("spork.route", record.route or None),
            ("spork.upstream", record.upstream or None),
            ("spork.consumer", record.consumer or None),
            ("spork.reason", record.reason or None),
            ("spork.limit", ",".join(record.limits) or None),
            ("spork.answer", record.local or None),
        ]
        if record.method not in _METHODS:
            found.append(("http.request.method_original", record.method))
        return b"".join([self._attributes.once(_ATTRIBUTE, key, value) for key, value in found if value is not None])

    def _events(self, record: SpanRecord, began: int) -> list[bytes]:
        """Phases as events: where each began, and how long it took."""
        events: list[tuple[str, float, float | None]] = []
        events += [(phase, at - record.began, took) for phase, at, took in record.trace.phases]
        events += [("send", attempt.began - record.began, None) for attempt in record.trace.tries]
        if record.answer_started:
            events.append(("relay" if record.trace.tries else "answer", record.answer_started - record.began, None))
        out = []
        for phase, offset, took in events:
            content = fixed64(b"\x09", began + max(0, round(offset * 1e9)))
            content += b"\x12\x0bspork.phase"
            content += self._attributes.encode(b"\x1a", "spork.phase", phase)
            if took is not None:
                content += self._attributes.once(b"\x1a", "spork.phase.duration", took)
            out.append(message(b"\x5a", content))
        return out

    def _phase_spans(self, record: SpanRecord, began: int) -> Iterable[bytes]:
        every = record.trace.route.phases == "spans"
        for phase, at, took in record.trace.phases:
            if every or took > WAITED:
                start = began + max(0, round((at - record.began) * 1e9))
                content = _ids(record.trace.trace_id, b"%016x" % (self._bits(64) or 1), b"", record.trace.span_id)
                content += message(b"\x2a", phase.encode("utf-8")) + _INTERNAL
                content += fixed64(b"\x39", start) + fixed64(b"\x41", start + round(took * 1e9))
                content += self._attributes.encode(_ATTRIBUTE, "spork.phase", phase)
                yield message(_SPAN, content + fixed32(b"\x85\x01", _flags(record) | _LOCAL_PARENT))

    # ------------------------------------------------------------------------------------------------- client

    def _client(self, record: SpanRecord, began: int, attempt: TryRecord) -> bytes:
        """The span of one try. One that still relayed its answer when the request was over ended with it."""
        method = record.method if record.method in _METHODS else "HTTP"
        start = began + max(0, round((attempt.began - record.began) * 1e9))
        end = attempt.ended or record.began + record.seconds
        out = [
            _ids(record.trace.trace_id, attempt.span_id, record.trace.state, record.trace.span_id),
            message(b"\x2a", method.encode("ascii")),
            _CLIENT,
            fixed64(b"\x39", start),
            fixed64(b"\x41", max(start, began + round((end - record.began) * 1e9))),
        ]
        error = _try_error(attempt)
        known = (record.method, attempt.target, attempt.status, error, attempt.number, record.upstream, attempt.fault)
        fixed = self._client_known.get(known)
        if fixed is None:
            if len(self._client_known) >= _REMEMBERED:
                self._client_known.clear()
            fixed = self._client_known[known] = self._client_fixed(record, attempt, error)
        out.append(fixed)
        path, mark, query = attempt.path.partition(b"?")
        url = _origin(attempt.target) + self._text(path)
        if mark:
            url += "?" + self._redact_query(query.decode("utf-8", "replace"))
        out.append(self._attributes.once(_ATTRIBUTE, "url.full", url))
        if error:
            out.append(_ERROR)
        out.append(fixed32(b"\x85\x01", _flags(record) | _LOCAL_PARENT))
        return message(_SPAN, b"".join(out))

    def _client_fixed(self, record: SpanRecord, attempt: TryRecord, error: str) -> bytes:
        found: list[tuple[str, Value | None]] = [
            ("http.request.method", record.method if record.method in _METHODS else "_OTHER"),
            ("server.address", attempt.target.unix_path or attempt.target.host),
            ("server.port", attempt.target.port or None),
            ("http.response.status_code", attempt.status or None),
            ("error.type", error or None),
            ("http.request.resend_count", attempt.number - 1 if attempt.number > 1 else None),
            ("spork.upstream", record.upstream or None),
            ("spork.cancelled", True if attempt.fault == CANCELLED else None),
        ]
        return b"".join([self._attributes.once(_ATTRIBUTE, key, value) for key, value in found if value is not None])

    def _text(self, raw: bytes) -> str:
        """What a client sent, as text without credentials."""
        return self._redact(raw.decode("utf-8", "replace"))


def _flags(record: SpanRecord) -> int:
    """W3C trace flags of a span that is kept: sampled, and whether the id is random."""
    return 3 if record.trace.random else 1


def _ids(trace_id: bytes, span_id: bytes, state: bytes, parent_id: bytes) -> bytes:
    out = message(b"\x0a", bytes.fromhex(trace_id.decode("ascii")))
    out += message(b"\x12", bytes.fromhex(span_id.decode("ascii")))
    if state:
        out += message(b"\x1a", state)
    if parent_id:
        out += message(b"\x22", bytes.fromhex(parent_id.decode("ascii")))
    return out


def _error_type(record: SpanRecord) -> str | None:
    """`error.type` of the server's span: the fault, or the status of a failure; None for what did not fail."""
    if record.failed:
        return record.reason or "fault"
    return (record.reason or str(record.status)) if record.status >= SERVER_ERRORS else None


def _try_error(attempt: TryRecord) -> str:
    """A try failed by its fault, or by a status from 400 on; the loser of two hedged tries did not fail."""
    if attempt.fault:
        return "" if attempt.fault == CANCELLED else attempt.fault
    return str(attempt.status) if attempt.status >= 400 else ""


def _origin(target: Target) -> str:
    host = f"[{target.host}]" if ":" in target.host else target.host
    usual = 443 if target.scheme == "https" else 80
    return f"{target.scheme}://{host}" + (f":{target.port}" if target.port and target.port != usual else "")


def _host_and_port(authority: bytes) -> tuple[str, int | None]:
    """The host and the port of a validated authority; None when it names none."""
    host = without_port(authority)
    port = authority[len(host) + 1 :]
    return host.decode("ascii", "replace").strip("[]"), int(port) if port.isdigit() else None
