"""Our protobuf against the reference implementation's: each message built twice, byte for byte the same."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, InstrumentationScope, KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord, ResourceLogs, ScopeLogs
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, Status

from spork.adapters.structlog.redaction import redact, redact_query
from spork.application.configuration.telemetry import RouteTrace, Tracing
from spork.application.exchange.tracing import CANCELLED, RequestTrace, RouteTracing, TryRecord
from spork.application.telemetry.families import report_of
from spork.application.telemetry.otlp.logs import LogEncoder, LogLine
from spork.application.telemetry.otlp.metrics import DURATION_BOUNDS, MetricEncoder, buckets_of
from spork.application.telemetry.otlp.traces import SpanEncoder
from spork.application.telemetry.otlp.wire import Attributes, Value, rejected, request_of, resource_of, scope_of
from spork.application.telemetry.rolling import BOUNDS, SIZE
from spork.application.telemetry.spans import SpanRecord, record_of
from spork.application.telemetry.tally import RequestCounters
from spork.domain.outcomes import Denial, Denied, Failed, Fault, FaultKind, Side
from spork.domain.tracing.context import TraceContext
from spork.domain.tracing.sampling import SecondCap
from spork.domain.upstreams.model import parse_target
from tests.closed_exchanges import closed_exchange

TRACE = "0af7651916cd43dd8448eb211c80319c"
SERVER, PARENT, CLIENT = "b7ad6b7169203331", "00f067aa0ba902b7", "53995c3f42cd8ad8"
BEGAN = 1_800_000_000_250_000_000


def key_value(key: str, value: Any) -> KeyValue:
    if isinstance(value, tuple):
        return KeyValue(
            key=key, value=AnyValue(array_value=ArrayValue(values=[AnyValue(string_value=v) for v in value]))
        )
    kind = {bool: "bool_value", int: "int_value", float: "double_value", str: "string_value"}[type(value)]
    return KeyValue(key=key, value=AnyValue(**{kind: value}))


def routing(**fields: Any) -> RouteTracing:
    return RouteTracing(Tracing(**fields), RouteTrace(), random.Random(1).getrandbits, SecondCap(0), SecondCap(0))


def traced(exchange: Any, **fields: Any) -> RequestTrace:
    trace = RequestTrace(routing(**fields), TRACE.encode(), SERVER.encode())
    trace.sampled = trace.recording = True
    exchange.trace = trace
    return trace


def attempt(status: int = 200, number: int = 1, fault: str = "", span: str = CLIENT, ended: float = 0.0) -> TryRecord:
    record = TryRecord(span.encode(), parse_target("http://127.0.0.1:7001"), number, 1000.001)
    record.status, record.fault, record.ended = status, fault, ended
    record.path = b"/42?token=hush&a=1"
    return record


def encoder() -> SpanEncoder:
    return SpanEncoder(redact, redact_query, random.Random(3))


def decoded(record: SpanRecord) -> list[Span]:
    content = request_of(resource_of({"service.name": "gw"}), scope_of("spork", "1"), encoder().encode(record))
    request = ExportTraceServiceRequest.FromString(content)
    assert request.SerializeToString(deterministic=True) == content
    return list(request.resource_spans[0].scope_spans[0].spans)


def values(span: Span) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for pair in span.attributes:
        assert pair.key not in found, f"{pair.key} stands twice"
        found[pair.key] = getattr(pair.value, pair.value.WhichOneof("value"))
    return found


def test_a_request_with_one_try_equals_the_reference_byte_for_byte() -> None:
    exchange = closed_exchange(query=b"q=1&access_token=hush", headers=((b"user-agent", b"curl/8"),))
    exchange.head.host = b"api.example.com:8443"
    trace = traced(exchange)
    trace.parent_id, trace.state = PARENT.encode(), b"rojo=1"
    trace.tries.append(attempt())
    trace.phases.append(("limits", 1000.0005, 0.0002))
    exchange.answer_started = 1000.003
    ours = request_of(
        resource_of({"service.name": "gw", "process.pid": 7}),
        scope_of("spork", "1.0"),
        encoder().encode(record_of(exchange, trace)),
        "https://opentelemetry.io/schemas/1.37.0",
    )
    phase = [("limits", 500_000, 0.0002), ("send", 1_000_000, None), ("relay", 3_000_000, None)]
    server = Span(
        trace_id=bytes.fromhex(TRACE),
        span_id=bytes.fromhex(SERVER),
        trace_state="rojo=1",
        parent_span_id=bytes.fromhex(PARENT),
        name="GET /*",
        kind=Span.SPAN_KIND_SERVER,
        start_time_unix_nano=BEGAN,
        end_time_unix_nano=BEGAN + 4_000_000,
        flags=0x303,
        attributes=[
            key_value("http.request.method", "GET"),
            key_value("url.scheme", "http"),
            key_value("http.route", "/*"),
            key_value("http.response.status_code", 200),
            key_value("server.address", "api.example.com"),
            key_value("server.port", 8443),
            key_value("network.peer.address", "192.0.2.7"),
            key_value("client.address", "192.0.2.7"),
            key_value("network.protocol.version", "1.1"),
            key_value("spork.route", "users"),
            key_value("spork.upstream", "users"),
            key_value("url.path", "/api/v1/users/42"),
            key_value("url.query", "q=1&access_token=[redacted]"),
            key_value("user_agent.original", "curl/8"),
        ],
        events=[
            Span.Event(
                name="spork.phase",
                time_unix_nano=BEGAN + at,
                attributes=[
                    key_value("spork.phase", name),
                    *([] if took is None else [key_value("spork.phase.duration", took)]),
                ],
            )
            for name, at, took in phase
        ],
    )
    client = Span(
        trace_id=bytes.fromhex(TRACE),
        span_id=bytes.fromhex(CLIENT),
        trace_state="rojo=1",
        parent_span_id=bytes.fromhex(SERVER),
        name="GET",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=BEGAN + 1_000_000,
        end_time_unix_nano=BEGAN + 4_000_000,
        flags=0x103,
        attributes=[
            key_value("http.request.method", "GET"),
            key_value("server.address", "127.0.0.1"),
            key_value("server.port", 7001),
            key_value("http.response.status_code", 200),
            key_value("spork.upstream", "users"),
            key_value("url.full", "http://127.0.0.1:7001/42?token=[redacted]&a=1"),
        ],
    )
    schema = "https://opentelemetry.io/schemas/1.37.0"
    scoped = ScopeSpans(
        scope=InstrumentationScope(name="spork", version="1.0"), spans=[server, client], schema_url=schema
    )
    resource = Resource(attributes=[key_value("service.name", "gw"), key_value("process.pid", 7)])
    reference = ExportTraceServiceRequest(
        resource_spans=[ResourceSpans(resource=resource, scope_spans=[scoped], schema_url=schema)]
    )
    assert str(ExportTraceServiceRequest.FromString(ours)).split("\n") == str(reference).split("\n")
    assert ours == reference.SerializeToString(deterministic=True)


def test_tries_are_siblings_and_tell_how_they_ended() -> None:
    exchange = closed_exchange(status=200, attempts=4)
    trace = traced(exchange)
    spans = [f"{n:016x}" for n in range(1, 5)]
    trace.tries += [
        attempt(0, 1, "connection_refused", spans[0], 1000.002),
        attempt(503, 2, "", spans[1], 1000.002),
        attempt(0, 3, CANCELLED, spans[2], 1000.002),
        attempt(200, 4, "", spans[3]),
    ]
    server, *clients = decoded(record_of(exchange, trace))
    assert {span.parent_span_id for span in clients} == {server.span_id}
    assert [values(span).get("http.request.resend_count") for span in clients] == [None, 1, 2, 3]
    assert [values(span).get("error.type") for span in clients] == ["connection_refused", "503", None, None]
    assert [span.status.code for span in clients] == [Status.STATUS_CODE_ERROR] * 2 + [Status.STATUS_CODE_UNSET] * 2
    assert values(clients[2])["spork.cancelled"] is True
    assert server.status.code == Status.STATUS_CODE_UNSET


@pytest.mark.parametrize(
    ("outcome", "status", "reason", "code", "error"),
    [
        (Denied(Denial("no_route"), 404), 404, "no_route", 0, None),
        (Denied(Denial("quota_exceeded", limits=("per-ip",)), 429), 429, "quota_exceeded", 0, None),
        (Denied(Denial("overloaded"), 503), 503, "overloaded", 2, "overloaded"),
        (Failed(Fault(FaultKind.HTTP_RESPONSE_INCOMPLETE, Side.UPSTREAM), 0), 200, "http_response_incomplete", 2, "http_response_incomplete"),
        (Failed(Fault(FaultKind.CLIENT_GONE, Side.DOWNSTREAM), 499), 499, "client_gone", 0, None),
    ],
)  # fmt: skip
def test_a_server_span_fails_by_5xx_and_faults_only(
    outcome: Any, status: int, reason: str, code: int, error: str | None
) -> None:
    exchange = closed_exchange(route=None, status=status, attempts=0)
    exchange.outcome, exchange.reason = outcome, reason
    (server,) = decoded(record_of(exchange, traced(exchange)))
    assert server.name == "GET"
    assert server.status.code == code
    assert values(server).get("error.type") == error
    assert values(server)["spork.reason"] == reason
    assert "http.route" not in values(server)
    assert values(server).get("spork.limit") == ("per-ip" if reason == "quota_exceeded" else None)


def test_names_come_from_the_configuration_only_and_unknown_methods_are_other() -> None:
    exchange = closed_exchange(method="PROPFIND", path=b"/secret/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x")
    (server,) = decoded(record_of(exchange, traced(exchange)))
    assert server.name == "HTTP /*"
    assert values(server)["http.request.method"] == "_OTHER"
    assert values(server)["http.request.method_original"] == "PROPFIND"
    assert values(server)["url.path"] == "/secret/[redacted]"


def test_hostile_text_is_valid_utf8_and_bounded() -> None:
    exchange = closed_exchange(path=b"/" + b"\xff\xfe" * 3000, query=b"\xc3" * 5000, headers=((b"user-agent", b"\xe2" * 9000), (b"x-tenant", "ä".encode() * 2000)))  # fmt: skip
    trace = traced(exchange)
    trace.captured = tuple(h for h in exchange.head.headers if h[0] == b"x-tenant")
    (server,) = decoded(record_of(exchange, trace))
    for key in ("url.path", "url.query", "user_agent.original"):
        assert 0 < len(values(server)[key].encode()) <= 1024
    (tenant,) = values(server)["http.request.header.x-tenant"].values
    assert set(tenant.string_value[:-1]) == {"ä"}


def test_a_strangers_trace_is_a_link_and_nothing_else() -> None:
    exchange = closed_exchange(attempts=0)
    trace = traced(exchange)
    trace.link = TraceContext(b"1" * 32, b"2" * 16, True)
    (server,) = decoded(record_of(exchange, trace))
    (link,) = server.links
    assert (link.trace_id.hex(), link.span_id.hex()) == ("1" * 32, "2" * 16)
    assert server.parent_span_id == b""
    assert server.trace_id.hex() == TRACE


def test_phases_are_spans_when_asked_for_and_always_when_a_guard_waited() -> None:
    exchange = closed_exchange(attempts=0)
    trace = traced(exchange)
    trace.phases += [("addresses", 1000.0001, 0.00001), ("credentials", 1000.0002, 0.0021)]
    server, waited = decoded(record_of(exchange, trace))
    assert [event.attributes[0].value.string_value for event in server.events] == ["addresses", "credentials"]
    assert (waited.name, waited.kind, waited.parent_span_id) == ("credentials", Span.SPAN_KIND_INTERNAL, server.span_id)
    assert waited.end_time_unix_nano - waited.start_time_unix_nano == 2_100_000
    trace.route = routing(phases="spans")
    server, *phases = decoded(record_of(exchange, trace))
    assert [span.name for span in phases] == ["addresses", "credentials"]
    assert not server.events
    trace.route = routing(phases="off")
    assert len(decoded(record_of(exchange, trace))) == 1


@given(
    st.dictionaries(
        st.text(min_size=1, max_size=20),
        st.text(max_size=100) | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.lists(st.text(max_size=20), max_size=3).map(tuple),
        max_size=8,
    )
)  # fmt: skip
def test_attributes_equal_the_reference(attributes: dict[str, Value]) -> None:
    keys = {k.encode("utf-8", "replace").decode(): k for k in attributes}
    given = {k: attributes[o] for k, o in keys.items()}
    given = {k: _clean(v) for k, v in given.items()}
    reference = Resource(attributes=[key_value(k, v) for k, v in given.items()])
    assert resource_of(given) == reference.SerializeToString(deterministic=True)
    remembered = Attributes()
    for _ in range(2):
        encoded = b"".join(remembered.encode(b"\x0a", k, v) for k, v in given.items())
        assert encoded == reference.SerializeToString(deterministic=True)


def _clean(value: Value) -> Value:
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    return tuple(str(_clean(v)) for v in value) if isinstance(value, tuple) else value


def test_true_and_1_and_1_0_are_not_one_remembered_attribute() -> None:
    remembered = Attributes()
    encoded = {remembered.encode(b"\x0a", "k", value) for value in (True, 1, 1.0)}
    assert len(encoded) == 3


@pytest.mark.parametrize(
    ("answer", "count"),
    [
        (b"", 0),
        (
            ExportTraceServiceResponse(
                partial_success={"rejected_spans": 3, "error_message": "no"}
            ).SerializeToString(),
            3,
        ),
        (ExportTraceServiceResponse(partial_success={"error_message": "a warning"}).SerializeToString(), 0),
        (b"<html>", 0),
        (b'{"partialSuccess":{}}', 0),
        (b"\xff" * 40, 0),
        (b"\x0a\xff\xff\xff\xff\x0f", 0),
        (b"\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 0),
    ],
)
def test_a_collectors_answer_is_read_whatever_it_is(answer: bytes, count: int) -> None:
    assert rejected(answer) == count


@given(st.binary(max_size=60))
def test_no_answer_breaks_the_reader(answer: bytes) -> None:
    assert rejected(answer) >= 0


def test_log_records_equal_the_reference() -> None:
    line = LogLine(1_800_000_000.5, "error", "request", "GET users 502", (("route", "users"), ("ms", 1.5), ("status", 502)), f"00-{TRACE}-{SERVER}-03".encode())  # fmt: skip
    bare = LogLine(1_800_000_001.0, "info", "breaker.opened", "users", ())
    encode = LogEncoder().encode
    ours = request_of(resource_of({}), scope_of("spork", ""), [encode(line, 1_800_000_002.0), encode(bare, 1_800_000_002.0)])  # fmt: skip
    records = [
        LogRecord(
            time_unix_nano=1_800_000_000_500_000_000,
            observed_time_unix_nano=1_800_000_002_000_000_000,
            severity_number=17,
            severity_text="ERROR",
            body=AnyValue(string_value="GET users 502"),
            attributes=[key_value("route", "users"), key_value("ms", 1.5), key_value("status", 502)],
            flags=3,
            trace_id=bytes.fromhex(TRACE),
            span_id=bytes.fromhex(SERVER),
            event_name="request",
        ),
        LogRecord(
            time_unix_nano=1_800_000_001_000_000_000,
            observed_time_unix_nano=1_800_000_002_000_000_000,
            severity_number=9,
            severity_text="INFO",
            body=AnyValue(string_value="users"),
            event_name="breaker.opened",
        ),
    ]
    scoped = ScopeLogs(scope=InstrumentationScope(name="spork"), log_records=records)
    reference = ExportLogsServiceRequest(resource_logs=[ResourceLogs(resource=Resource(), scope_logs=[scoped])])
    assert ours == reference.SerializeToString(deterministic=True)


def test_metrics_are_what_prometheus_would_show_and_opentelemetrys_own() -> None:
    tally = RequestCounters()
    for status, seconds in ((200, 0.004), (200, 0.04), (502, 20.0)):
        tally.closed(
            closed_exchange(status=status, seconds=seconds, reason="connection_refused" if status > 500 else "")
        )
    flying: Any = SimpleNamespace(samples=lambda: [("gateway_requests_in_flight", (), 2.0)])
    report = report_of("w", 1_700_000_000.0, 1_700_000_060.0, tally, [flying])
    content = request_of(resource_of({}), scope_of("spork", "1"), MetricEncoder().encode(report, {"users": "/users/*"}, "https"))  # fmt: skip
    request = ExportMetricsServiceRequest.FromString(content)
    assert request.SerializeToString(deterministic=True) == content
    metrics = {m.name: m for m in request.resource_metrics[0].scope_metrics[0].metrics}
    points = {p_status(p): p for p in metrics["http.server.request.duration"].histogram.data_points}
    assert points[200].count == 2
    assert points[200].sum == pytest.approx(0.044)
    assert list(points[200].explicit_bounds) == list(DURATION_BOUNDS)
    assert list(points[200].bucket_counts) == [1, 0, 0, 0, 1] + [0] * 11
    assert points[502].bucket_counts[-1] == 1
    assert {a.key: a.value.string_value for a in points[502].attributes}["http.route"] == "/users/*"
    assert points[200].exemplars[0].trace_id.hex() == TRACE
    assert metrics["http.server.request.duration"].histogram.aggregation_temporality == 2
    assert metrics["gateway_requests_total"].sum.is_monotonic
    assert sum(p.as_double for p in metrics["gateway_requests_total"].sum.data_points) == 3
    assert metrics["http.server.active_requests"].sum.data_points[0].as_double == 2
    assert not metrics["http.server.active_requests"].sum.is_monotonic
    assert metrics["gateway_requests_in_flight"].WhichOneof("data") == "gauge"
    client = metrics["http.client.request.duration"].histogram.data_points[0]
    assert {a.key: a.value.int_value or a.value.string_value for a in client.attributes}["server.port"] == 7001


def p_status(point: Any) -> int:
    return next(int(a.value.int_value) for a in point.attributes if a.key == "http.response.status_code")


def test_buckets_add_up_whatever_their_bounds() -> None:
    counts = list(range(1, SIZE + 1))
    added = buckets_of(counts)
    assert sum(added) == sum(counts)
    for at, bound in enumerate(DURATION_BOUNDS):
        assert sum(added[: at + 1]) == sum(c for c, b in zip(counts, BOUNDS, strict=False) if b <= bound)
