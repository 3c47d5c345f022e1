"""How a trace context travels in request fields: W3C, B3 in one field or several, and Jaeger's.

Reading is for callers that are trusted; whoever is not only gets a link (`extract` then says where to). Fields of other
tracers have no reader here: they are taken away from strangers like the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from spork.domain.http.head import Header
from spork.domain.tracing.context import TraceContext, is_span_id, is_trace_id, parse_traceparent, traceparent

PROPAGATORS: Final = ("w3c", "b3", "b3multi", "jaeger")

#: Fields that continue, suppress or decorate a trace. No stranger may send them to a target.
TRACE_FIELDS: Final = frozenset(
    (
        b"traceparent",
        b"tracestate",
        b"baggage",
        b"b3",
        b"x-b3-traceid",
        b"x-b3-spanid",
        b"x-b3-parentspanid",
        b"x-b3-sampled",
        b"x-b3-flags",
        b"uber-trace-id",
        b"jaeger-baggage",
        b"jaeger-debug-id",
        b"x-cloud-trace-context",
        b"x-datadog-trace-id",
        b"x-datadog-parent-id",
        b"x-datadog-sampling-priority",
        b"x-datadog-origin",
        b"x-datadog-tags",
    )
)
_B3_FIELDS: Final = frozenset(name for name in TRACE_FIELDS if name.startswith(b"x-b3-"))
#: Fields that each propagator writes anew; with that propagator in use, a caller's own never pass.
WRITTEN: Final = {
    "w3c": frozenset((b"traceparent", b"tracestate", b"baggage")),
    "b3": frozenset((b"b3",)),
    "b3multi": _B3_FIELDS,
    "jaeger": frozenset((b"uber-trace-id",)),
}


def extract(fields: Sequence[Header], propagators: Sequence[str]) -> TraceContext | None:
    """The context that `fields` carry by the first of `propagators` that finds one; W3C is always asked first."""
    found = [value for name, value in fields if name == b"traceparent"]
    if len(found) == 1:
        context = parse_traceparent(found[0])
        if context is not None:
            return context
    for propagator in propagators:
        context = None
        if propagator == "b3":
            context = _b3(_only(fields, b"b3"))
        elif propagator == "b3multi":
            context = _b3multi(fields)
        elif propagator == "jaeger":
            context = _jaeger(_only(fields, b"uber-trace-id"))
        if context is not None:
            return context
    return None


def inject(
    propagators: Sequence[str], trace_id: bytes, span_id: bytes, sampled: bool, random: bool = True
) -> list[Header]:
    """The fields that tell a target which span calls it; `traceparent` always."""
    fields: list[Header] = [(b"traceparent", traceparent(trace_id, span_id, sampled, random))]
    bit = b"1" if sampled else b"0"
    for propagator in propagators:
        if propagator == "b3":
            fields.append((b"b3", b"%b-%b-%b" % (trace_id, span_id, bit)))
        elif propagator == "b3multi":
            fields += ((b"x-b3-traceid", trace_id), (b"x-b3-spanid", span_id), (b"x-b3-sampled", bit))
        elif propagator == "jaeger":
            fields.append((b"uber-trace-id", b"%b:%b:0:%b" % (trace_id, span_id, bit)))
    return fields


def _only(fields: Sequence[Header], name: bytes) -> bytes:
    """The value of a field that stands there once; b"" when it does not, or twice."""
    found = [value.strip(b" \t") for key, value in fields if key == name]
    return found[0] if len(found) == 1 else b""


def _wide(trace_id: bytes) -> bytes:
    """A trace id of 64 bits as one of 128 (B3 and Jaeger still send such)."""
    return trace_id.rjust(32, b"0") if len(trace_id) in range(1, 33) else b""


def _context(trace_id: bytes, span_id: bytes, sampled: bool | None) -> TraceContext | None:
    return TraceContext(trace_id, span_id, sampled) if is_trace_id(trace_id) and is_span_id(span_id) else None


def _b3(value: bytes) -> TraceContext | None:
    """`b3: TRACE-SPAN[-STATE[-PARENT]]`; a state alone carries no context."""
    parts = value.split(b"-")
    if len(parts) not in (2, 3, 4) or len(parts[0]) not in (16, 32):
        return None
    states: dict[bytes, bool | None] = {b"": None, b"0": False, b"1": True, b"d": True}
    state = parts[2] if len(parts) > 2 else b""
    if state not in states:
        return None
    return _context(_wide(parts[0]), parts[1], states[state])


def _b3multi(fields: Sequence[Header]) -> TraceContext | None:
    trace_id = _only(fields, b"x-b3-traceid")
    if len(trace_id) not in (16, 32):
        return None
    sampled = {b"1": True, b"true": True, b"0": False, b"false": False}.get(_only(fields, b"x-b3-sampled"))
    if _only(fields, b"x-b3-flags") == b"1":
        sampled = True
    return _context(_wide(trace_id), _only(fields, b"x-b3-spanid"), sampled)


def _jaeger(value: bytes) -> TraceContext | None:
    """`uber-trace-id: TRACE:SPAN:PARENT:FLAGS`, ids without leading zeros, colons perhaps as %3A."""
    parts = value.replace(b"%3A", b":").replace(b"%3a", b":").split(b":")
    if len(parts) != 4 or not 1 <= len(parts[1]) <= 16 or not 1 <= len(parts[3]) <= 2:
        return None
    try:
        flags = int(parts[3], 16)
    except ValueError:
        return None
    return _context(_wide(parts[0]), parts[1].rjust(16, b"0"), bool(flags & 1))
