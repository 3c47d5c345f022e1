"""The trace of one request, and how a route traces: what is drawn, read and decided before anything is known of the answer.

Nothing here formats a span. While a request is under way its trace is a handful of references: ids, the tries, the phases.
`spork.application.telemetry.spans` puts them into one tuple when the exchange closes; a thread makes bytes of them.

Trust: who is not a trusted proxy, and does not call a route with `trace: {trust: true}`, begins a trace here whatever it
sends. Its own trace is linked, its sampled flag and everything else of it is ignored and goes no further.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hmac import compare_digest
from typing import Final, Protocol

from spork.application.configuration.model import RouteConfig
from spork.application.configuration.telemetry import RouteTrace, Tracing
from spork.domain.http.head import Header, RequestHead
from spork.domain.tracing.context import TraceContext, bounded_baggage, combined_state, traceparent
from spork.domain.tracing.propagation import PROPAGATORS, WRITTEN, extract, inject
from spork.domain.tracing.sampling import SecondCap, bound_of, head_sampled
from spork.domain.upstreams.model import Target


class Traced(Protocol):
    """What tracing reads and writes of an exchange."""

    head: RequestHead
    now: float
    seconds: float
    consumed: frozenset[bytes]
    traceparent: bytes
    trace: RequestTrace | None
    trace_fields: list[Header] | None
    trace_trusted: bool
    passed_fields: tuple[Header, ...]


#: Tries and phases that one trace keeps.
MOST_TRIES: Final = 64
MOST_PHASES: Final = 64

#: How a try ended, beside the slug of a fault.
CANCELLED: Final = "cancelled"


class TryRecord:
    """One try on a target. Times in monotonic seconds; `ended` is 0 while its answer is being relayed.

    `fault` is a fault's slug, `CANCELLED` for the loser of two hedged tries, or "".
    """

    __slots__ = ("began", "ended", "fault", "number", "path", "span_id", "status", "target")

    def __init__(self, span_id: bytes, target: Target, number: int, began: float) -> None:
        self.span_id = span_id
        self.target = target
        #: The request target as the target got it.
        self.path = b""
        self.number = number
        self.began = began
        self.ended = 0.0
        self.status = 0
        self.fault = ""


class RequestTrace:
    """The trace of one request in flight.

    `sampled` was decided at its head, and targets are told so. `recording` says whether tries and phases are kept: also
    when the end of the request may still decide that its trace is kept.
    """

    __slots__ = (
        "captured",
        "kept",
        "link",
        "parent_id",
        "phases",
        "random",
        "recording",
        "route",
        "sampled",
        "span_id",
        "state",
        "state_fields",
        "trace_id",
        "tries",
    )

    def __init__(self, route: RouteTracing, trace_id: bytes, span_id: bytes) -> None:
        self.route = route
        self.trace_id = trace_id
        self.span_id = span_id
        #: The span of the trusted caller, b"" at the root of a trace.
        self.parent_id = b""
        self.random = True
        self.link: TraceContext | None = None
        self.state = b""
        #: `tracestate`, `baggage` and fields of tracers not spoken here, on to every target.
        self.state_fields: tuple[Header, ...] = ()
        self.sampled = False
        self.recording = False
        self.tries: list[TryRecord] = []
        #: (phase, began, seconds) of the guards that were asked.
        self.phases: list[tuple[str, float, float]] = []
        self.captured: tuple[Header, ...] = ()
        #: Whether its spans are sent out; known when the exchange has closed.
        self.kept = False

    def begin_try(self, target: Target, number: int, now: float) -> TryRecord:
        """Note that a try begins. Its span calls the target; an id is drawn only where the target is told to record."""
        span_id = b"%016x" % (self.route.bits(64) or 1) if self.sampled else b""
        record = TryRecord(span_id, target, number, now)
        if len(self.tries) < MOST_TRIES:
            self.tries.append(record)
        return record

    def cut(self, fault: str, now: float) -> None:
        """The answer of the try that is being relayed broke off."""
        for record in self.tries:
            if not record.ended:
                record.fault = fault
                record.ended = now

    def fields(self, record: TryRecord | None) -> list[Header]:
        """The fields that a target gets: the try's span as parent, or the request's where tries are not kept."""
        span_id = self.span_id if record is None or not record.span_id else record.span_id
        if not self.route.propagate and not self.state_fields:
            return [(b"traceparent", traceparent(self.trace_id, span_id, self.sampled, self.random))]
        fields = inject(self.route.propagate, self.trace_id, span_id, self.sampled, self.random)
        fields += self.state_fields
        return fields

    def note_phase(self, phase: str, began: float, took: float) -> None:
        if len(self.phases) < MOST_PHASES:
            self.phases.append((phase, began, took))


class RouteTracing:
    """How one route traces, compiled from the configuration. `bits` draws random bits."""

    __slots__ = (
        "bits",
        "bound",
        "cap",
        "consumer",
        "errors",
        "force_header",
        "force_secret",
        "headers",
        "late_cap",
        "links",
        "own_fields",
        "phases",
        "propagate",
        "recording",
        "slow",
        "trust",
    )

    def __init__(
        self, traces: Tracing, route: RouteTrace, bits: Callable[[int], int], cap: SecondCap, late_cap: SecondCap
    ) -> None:
        self.bits = bits
        self.bound = bound_of(traces.ratio if route.ratio is None else route.ratio)
        self.cap = cap
        self.late_cap = late_cap
        self.trust = route.trust
        self.propagate = tuple(name for name in traces.propagate if name != "w3c")
        #: Fields that are written anew here, whatever a trusted caller sent under these names.
        self.own_fields: frozenset[bytes] = frozenset().union(*(WRITTEN[name] for name in traces.propagate))
        self.links = traces.links
        self.force_header = traces.force_header.encode("ascii")
        self.force_secret = traces.force_secret.encode("utf-8")
        self.headers = frozenset(name.encode("ascii") for name in route.headers)
        self.errors = traces.errors
        self.slow = 0.0 if traces.slow is None else traces.slow
        self.phases = traces.phases
        self.consumer = traces.consumer
        #: Whether the end of a request may decide that its trace is kept.
        self.recording = traces.errors or traces.slow is not None

    def begin(self, exchange: Traced) -> RequestTrace:
        """Start the request's trace, or go on with its trusted caller's, and decide whether it is kept."""
        own = exchange.traceparent
        trace = RequestTrace(self, own[3:35], own[36:52])
        parent: bool | None = None
        fields = exchange.trace_fields
        if fields is not None:
            context = extract(fields, self.propagate)
            if exchange.trace_trusted or self.trust:
                self._continue(exchange, trace, fields, context)
                if context is not None:
                    parent = context.sampled
            elif self.links:
                trace.link = context
        forced = bool(self.force_header) and self._forced(exchange)
        trace.sampled = head_sampled(parent, forced, trace.trace_id, self.bound, self.cap, exchange.now)
        trace.recording = trace.sampled or self.recording
        if self.headers and trace.recording:
            trace.captured = tuple(header for header in exchange.head.headers if header[0] in self.headers)
        if trace.sampled or trace.parent_id:
            exchange.traceparent = traceparent(trace.trace_id, trace.span_id, trace.sampled, trace.random)
        exchange.trace = trace
        return trace

    def _continue(
        self, exchange: Traced, trace: RequestTrace, fields: Sequence[Header], context: TraceContext | None
    ) -> None:
        if context is not None:
            trace.trace_id = context.trace_id
            trace.parent_id = context.span_id
            trace.random = context.random
            trace.state = combined_state([value for name, value in fields if name == b"tracestate"])
        baggage = bounded_baggage([value for name, value in fields if name == b"baggage"])
        kept: list[Header] = [field for field in fields if field[0] not in self.own_fields]
        if trace.state:
            kept.append((b"tracestate", trace.state))
        if baggage:
            kept.append((b"baggage", baggage))
        trace.state_fields = tuple(kept)

    def _forced(self, exchange: Traced) -> bool:
        """Whether the request carries the secret; then it is taken away."""
        given = exchange.head.header(self.force_header)
        if given is None:
            return False
        exchange.consumed = exchange.consumed | {self.force_header}
        return compare_digest(given, self.force_secret)

    def keeps_at_the_end(self, exchange: Traced, failed: bool) -> bool:
        """Whether a trace that was not sampled at its head is kept for how it ended."""
        if not ((self.errors and failed) or (self.slow and exchange.seconds >= self.slow)):
            return False
        return self.late_cap.take(exchange.now)


class TracingPlan:
    """How a configuration traces: what its routes have in common, the caps before all."""

    def __init__(self, traces: Tracing, bits: Callable[[int], int]) -> None:
        self._traces = traces
        self._bits = bits
        self._cap = SecondCap(traces.per_second)
        self._late_cap = SecondCap(traces.per_second)

    def of(self, route: RouteConfig | None) -> RouteTracing | None:
        """How a route traces, None for one that never does; without a route: how what no route takes is traced."""
        trace = RouteTrace() if route is None else route.trace
        if not trace.enabled:
            return None
        return RouteTracing(self._traces, trace, self._bits, self._cap, self._late_cap)


def pass_on(exchange: Traced, trusted: bool) -> None:
    """Without tracing: a trusted caller's fields go on as they are, a stranger's are dropped, none are made up."""
    fields = exchange.trace_fields
    if fields is not None and trusted:
        exchange.passed_fields = tuple(fields)
        context = extract(fields, PROPAGATORS)
        if context is not None:  # logs name the trace that the caller and the target know
            exchange.traceparent = traceparent(context.trace_id, context.span_id, bool(context.sampled), context.random)
