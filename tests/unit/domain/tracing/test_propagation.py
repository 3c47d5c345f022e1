"""Every spelling of a context: what is written is read again, what is forged or malformed is none."""

from __future__ import annotations

import pytest

from spork.domain.http.head import Header
from spork.domain.tracing.propagation import extract, inject

TRACE = b"0af7651916cd43dd8448eb211c80319c"
SPAN = b"b7ad6b7169203331"


@pytest.mark.parametrize("propagator", ["b3", "b3multi", "jaeger"])
@pytest.mark.parametrize("sampled", [True, False])
def test_what_is_written_is_read_again(propagator: str, sampled: bool) -> None:
    fields = inject([propagator], TRACE, SPAN, sampled)
    assert fields[0][0] == b"traceparent"
    context = extract(fields[1:], [propagator])
    assert context is not None
    assert (context.trace_id, context.span_id, context.sampled) == (TRACE, SPAN, sampled)
    assert extract(fields[1:], []) is None, "a format that is not configured is not read"


@pytest.mark.parametrize(
    ("fields", "trace_id", "span_id", "sampled"),
    [
        ([(b"b3", TRACE + b"-" + SPAN)], TRACE, SPAN, None),
        ([(b"b3", TRACE + b"-" + SPAN + b"-d")], TRACE, SPAN, True),
        ([(b"b3", TRACE + b"-" + SPAN + b"-0-" + SPAN)], TRACE, SPAN, False),
        ([(b"b3", TRACE[16:] + b"-" + SPAN + b"-1")], b"0" * 16 + TRACE[16:], SPAN, True),
        ([(b"x-b3-traceid", TRACE), (b"x-b3-spanid", SPAN)], TRACE, SPAN, None),
        ([(b"x-b3-traceid", TRACE), (b"x-b3-spanid", SPAN), (b"x-b3-sampled", b"true")], TRACE, SPAN, True),
        ([(b"x-b3-traceid", TRACE), (b"x-b3-spanid", SPAN), (b"x-b3-flags", b"1")], TRACE, SPAN, True),
        ([(b"uber-trace-id", b"af7651916cd43dd8448eb211c80319c:7ad6b7169203331:0:3")], TRACE, b"0" + SPAN[1:], True),
        ([(b"uber-trace-id", TRACE + b"%3A" + SPAN + b"%3A0%3A0")], TRACE, SPAN, False),
    ],
)
def test_forms_that_others_send(fields: list[Header], trace_id: bytes, span_id: bytes, sampled: bool | None) -> None:
    context = extract(fields, ["b3", "b3multi", "jaeger"])
    assert context is not None
    assert (context.trace_id, context.span_id, context.sampled) == (trace_id, span_id, sampled)


@pytest.mark.parametrize(
    "fields",
    [
        [(b"b3", b"0")],
        [(b"b3", TRACE.upper() + b"-" + SPAN + b"-1")],
        [(b"b3", b"0" * 32 + b"-" + SPAN + b"-1")],
        [(b"b3", TRACE + b"-" + SPAN + b"-x")],
        [(b"b3", TRACE + b"-" + SPAN), (b"b3", TRACE + b"-" + SPAN)],
        [(b"x-b3-traceid", TRACE)],
        [(b"x-b3-traceid", TRACE + b"00"), (b"x-b3-spanid", SPAN)],
        [(b"uber-trace-id", b"xyz:1:0:1")],
        [(b"uber-trace-id", TRACE + b":" + SPAN + b":0")],
        [(b"uber-trace-id", TRACE + b":" + SPAN + b":0:zz")],
        [(b"traceparent", b"00-" + TRACE + b"-" + SPAN + b"-01")] * 2,
    ],
)
def test_malformed_or_doubled_fields_are_no_context(fields: list[Header]) -> None:
    assert extract(fields, ["b3", "b3multi", "jaeger"]) is None
