"""What a traced request sends to its target and leaves for the exporter: trust, sampling, tries, phases, links."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from spork.adapters.memory.upstream_transport import Received, Reply
from spork.application.configuration.telemetry import RouteTrace, Telemetry, Tracing
from spork.application.exchange.exchange import NO_FIELDS
from spork.application.exchange.tracing import CANCELLED
from spork.application.kernel.faults import FaultError
from spork.application.telemetry.spans import SpanRecord, SpanRing
from spork.domain.outcomes import Denial, Fault, FaultKind, Side
from spork.domain.tracing.context import TraceContext, parse_traceparent
from spork.domain.upstreams.model import Upstream
from spork.domain.upstreams.retries import RetryPolicy
from tests.unit.application.pipeline.test_forwarder import ONE, TWO, House, problem, route

TRACE, SPAN = b"0af7651916cd43dd8448eb211c80319c", b"b7ad6b7169203331"
SAMPLED = (b"traceparent", b"00-" + TRACE + b"-" + SPAN + b"-01")
UNSAMPLED = (b"traceparent", b"00-" + TRACE + b"-" + SPAN + b"-00")
PROXY = "10.0.0.1"


def house(handler: Any = None, *, trace: RouteTrace = RouteTrace(), **fields: Any) -> House:
    traces = {name: fields.pop(name) for name in list(fields) if name in Tracing.__dataclass_fields__}
    traces.setdefault("ratio", 1.0)
    fields.setdefault("routes", (route(trace=trace),))
    telemetry = Telemetry(traces=Tracing(**traces))
    return House(handler, trusted_proxies=("10.0.0.0/8",), telemetry=telemetry, **fields)


def sent(house: House, at: int = -1) -> TraceContext:
    """The context that a target got."""
    received = house.transport.requests[at]
    found = [value for name, value in received.headers if name == b"traceparent"]
    assert len(found) == 1
    context = parse_traceparent(found[0])
    assert context is not None
    return context


def records(house: House) -> list[SpanRecord]:
    ring = SpanRing()
    ring.active = True
    for exchange in house.closed:
        ring.closed(exchange)
    return ring.take()


async def test_a_new_trace_is_told_to_the_target_with_a_span_of_its_own_try() -> None:
    traced = house()
    await traced.get("/x")
    context = sent(traced)
    (record,) = records(traced)
    assert context.sampled and context.random
    assert record.trace.trace_id == context.trace_id
    (attempt,) = record.trace.tries
    assert attempt.span_id == context.span_id != record.trace.span_id
    assert attempt.status == 200
    assert traced.closed_one().trace_id.encode() == context.trace_id


async def test_an_unsampled_trace_says_so_and_leaves_nothing() -> None:
    traced = house(ratio=0.0)
    await traced.get("/x")
    assert sent(traced).sampled is False
    assert records(traced) == []


@pytest.mark.parametrize("given", [SAMPLED, UNSAMPLED])
async def test_a_strangers_trace_is_linked_never_joined_forced_or_suppressed(given: Any) -> None:
    for ratio in (0.0, 1.0):
        traced = house(ratio=ratio)
        await traced.get(
            "/x",
            given,
            (b"tracestate", b"a=1"),
            (b"baggage", b"k=v"),
            (b"b3", TRACE + b"-" + SPAN + b"-1"),
            peer="192.0.2.7",
        )
        context = sent(traced)
        assert context.trace_id != TRACE
        assert context.sampled is bool(ratio)
        names = {name for name, _ in traced.transport.requests[0].headers}
        assert not names & {b"tracestate", b"baggage", b"b3"}
        for record in records(traced):
            assert record.trace.parent_id == b""
            assert record.trace.link is not None and record.trace.link.trace_id == TRACE


async def test_links_may_be_left_out() -> None:
    traced = house(links=False)
    await traced.get("/x", SAMPLED, peer="192.0.2.7")
    assert records(traced)[0].trace.link is None


@pytest.mark.parametrize(("given", "kept"), [(SAMPLED, True), (UNSAMPLED, False)])
async def test_a_trusted_proxys_trace_goes_on_with_its_flag(given: Any, kept: bool) -> None:
    traced = house(ratio=0.0 if kept else 1.0, errors=False)
    await traced.get("/x", given, (b"tracestate", b"a=1 , b=2"), (b"tracestate", b"c=3"), (b"baggage", b"k=v"), (b"x-datadog-origin", b"rum"), peer=PROXY)  # fmt: skip
    context = sent(traced)
    assert (context.trace_id, context.sampled) == (TRACE, kept)
    assert context.span_id != SPAN, "a participant sets its own parent-id"
    received = traced.transport.requests[0]
    assert received.header(b"tracestate") == b"a=1,b=2,c=3"
    assert received.header(b"baggage") == b"k=v"
    assert received.header(b"x-datadog-origin") == b"rum"
    assert [r.trace.parent_id for r in records(traced)] == ([SPAN] if kept else [])
    assert traced.closed_one().trace_id.encode() == TRACE


async def test_a_route_may_trust_whoever_calls_it() -> None:
    traced = house(trace=RouteTrace(trust=True), ratio=0.0)
    await traced.get("/x", SAMPLED, peer="192.0.2.7")
    assert sent(traced).trace_id == TRACE
    assert sent(traced).sampled


@pytest.mark.parametrize(
    "fields",
    [
        ((b"traceparent", SAMPLED[1][:-3]),),
        (SAMPLED, (b"traceparent", SAMPLED[1][:-1] + b"0")),
        ((b"traceparent", b"ff" + SAMPLED[1][2:]),),
        ((b"traceparent", SAMPLED[1].upper()),),
    ],
)
async def test_an_invalid_context_of_a_trusted_proxy_begins_a_new_trace_without_tracestate(fields: Any) -> None:
    traced = house()
    await traced.get("/x", *fields, (b"tracestate", b"a=1"), peer=PROXY)
    assert sent(traced).trace_id != TRACE
    assert traced.transport.requests[0].header(b"tracestate") is None


@pytest.mark.parametrize("state", [b",".join(b"k%d=1" % n for n in range(33)), b"a=1,B=2", b"a=1,a b=2"])
async def test_a_bad_tracestate_is_dropped_and_the_trace_goes_on(state: bytes) -> None:
    traced = house()
    await traced.get("/x", SAMPLED, (b"tracestate", state), (b"baggage", b"k=" + b"v" * 9000), peer=PROXY)
    assert sent(traced).trace_id == TRACE
    assert traced.transport.requests[0].header(b"tracestate") is None
    assert traced.transport.requests[0].header(b"baggage") is None


async def test_other_propagators_are_read_and_written_anew() -> None:
    traced = house(propagate=("w3c", "b3", "b3multi", "jaeger"))
    await traced.get("/x", (b"b3", TRACE + b"-" + SPAN + b"-1"), (b"x-b3-parentspanid", SPAN), peer=PROXY)
    received = traced.transport.requests[0]
    span = sent(traced).span_id
    assert sent(traced).trace_id == TRACE
    assert received.header(b"b3") == TRACE + b"-" + span + b"-1"
    assert received.header(b"x-b3-spanid") == span
    assert received.header(b"x-b3-parentspanid") is None
    assert received.header(b"uber-trace-id") == TRACE + b":" + span + b":0:1"


async def test_a_forced_trace_needs_the_secret_and_the_secret_goes_no_further() -> None:
    traced = house(ratio=0.0, errors=False, force_header="x-trace", force_secret="s" * 16)
    await traced.get("/x", (b"x-trace", b"guess"))
    await traced.get("/x", (b"x-trace", b"s" * 16))
    assert [sent(traced, at).sampled for at in (0, 1)] == [False, True]
    assert all(r.header(b"x-trace") is None for r in traced.transport.requests)


async def test_the_cap_is_for_the_ratio_of_all_routes_together() -> None:
    traced = house(per_second=3, routes=(route("/a/*", name="a"), route("/b/*", name="b")))
    for _ in range(5):
        await traced.get("/a/1")
        await traced.get("/b/1")
    kept = sum(sent(traced, at).sampled is True for at in range(10))
    assert 3 <= kept <= 6, "three of a second; the test may cross into the next one"


async def test_a_route_has_a_ratio_of_its_own_or_is_never_traced() -> None:
    traced = house(
        ratio=0.0,
        errors=False,
        routes=(
            route("/all/*", name="all", trace=RouteTrace(ratio=1.0)),
            route("/off/*", name="off", trace=RouteTrace(enabled=False)),
        ),
    )
    await traced.get("/all/1")
    await traced.get("/off/1", SAMPLED, peer=PROXY)
    await traced.get("/off/1", SAMPLED, peer="192.0.2.7")
    await traced.get("/nowhere")
    assert [r.route for r in records(traced)] == ["all"]
    passed, dropped = traced.transport.requests[1:]
    assert passed.header(b"traceparent") == SAMPLED[1]
    assert dropped.header(b"traceparent") is None


async def test_failures_are_kept_at_their_end_and_the_target_was_told_00() -> None:
    def fails(received: Received) -> Reply:
        if received.path == b"/gone":
            raise FaultError(Fault(FaultKind.CONNECTION_REFUSED, Side.UPSTREAM))
        return Reply(int(received.path[1:]), [(b"content-length", b"0")])

    traced = house(fails, ratio=0.0)
    for path in ("/500", "/gone", "/404", "/200"):
        await traced.get(path)
    assert sent(traced, 0).sampled is False
    assert [r.status for r in records(traced)] == [500, 502]
    assert [r.trace.tries[0].fault for r in records(traced)] == ["", "connection_refused"]


async def test_slow_requests_are_kept_at_their_end() -> None:
    async def slow(_: Received) -> Reply:
        await asyncio.sleep(0.03)
        return Reply(200, [(b"content-length", b"0")])

    traced = house(slow, ratio=0.0, errors=False, slow=0.02)
    await traced.get("/x")
    assert len(records(traced)) == 1


async def test_every_try_has_a_span_and_the_target_of_each_is_called_by_it() -> None:
    seen = []

    def first_fails(received: Received) -> Reply:
        seen.append(received)
        return Reply(503 if len(seen) == 1 else 200, [(b"content-length", b"0")])

    retries = RetryPolicy(attempts=2, backoff_base=0)
    traced = house(first_fails, upstreams=(Upstream("u", (ONE, TWO), retries=retries),))
    await traced.get("/x")
    (record,) = records(traced)
    assert [(t.number, t.status) for t in record.trace.tries] == [(1, 503), (2, 200)]
    assert [t.span_id for t in record.trace.tries] == [sent(traced, at).span_id for at in (0, 1)]
    assert record.trace.tries[0].ended >= record.trace.tries[0].began
    assert record.trace.tries[1].target is not record.trace.tries[0].target


async def test_hedges_are_siblings_and_the_loser_was_cancelled() -> None:
    async def first_hangs(received: Received) -> Reply:
        if len(traced.transport.requests) == 1:
            await asyncio.sleep(5)
        return Reply(200, [(b"content-length", b"0")])

    retries = RetryPolicy(attempts=1, hedge_after=0.01)
    traced = house(first_hangs, upstreams=(Upstream("u", (ONE, TWO), retries=retries),))
    await traced.get("/x")
    (record,) = records(traced)
    lost, won = record.trace.tries
    assert (lost.fault, lost.status) == (CANCELLED, 0)
    assert (won.fault, won.status) == ("", 200)
    assert lost.span_id != won.span_id


async def test_an_answer_that_breaks_off_is_the_trys_fault() -> None:
    traced = house(lambda _: Reply(200, [], [b"part"], cut=True))
    await traced.get("/x")
    (record,) = records(traced)
    assert record.failed
    assert record.trace.tries[0].fault == "http_response_incomplete"
    assert record.trace.tries[0].status == 200


class Refuses:
    phase = "limits"
    response_fields = NO_FIELDS

    def admit(self, exchange: Any) -> Denial:
        return Denial("quota_exceeded", limits=("per-ip",))


async def test_refusals_have_no_try_and_problem_documents_name_the_trace() -> None:
    traced = house(guards=[Refuses()])
    sink = await traced.get("/x")
    (record,) = records(traced)
    assert record.trace.tries == []
    assert (record.reason, record.limits) == ("quota_exceeded", ("per-ip",))
    assert [phase for phase, _, _ in record.trace.phases] == ["limits"]
    assert problem(sink)["trace_id"].encode() == record.trace.trace_id


async def test_what_no_route_takes_is_traced_too() -> None:
    traced = house(routes=(route("/only"),))
    sink = await traced.get("/nowhere", SAMPLED, peer=PROXY)
    (record,) = records(traced)
    assert (record.route, record.pattern, record.reason) == ("", "", "no_route")
    assert record.trace.trace_id == TRACE
    assert problem(sink)["trace_id"].encode() == TRACE


async def test_without_tracing_problem_documents_name_no_trace() -> None:
    plain = House(guards=[Refuses()])
    assert "trace_id" not in problem(await plain.get("/x"))


async def test_request_headers_of_a_route_are_captured_for_kept_traces_only() -> None:
    traced = house(trace=RouteTrace(headers=("x-tenant",)))
    await traced.get("/x", (b"x-tenant", b"acme"), (b"x-other", b"1"))
    assert records(traced)[0].trace.captured == ((b"x-tenant", b"acme"),)


async def test_the_ring_is_bounded_in_requests_and_bytes_and_drops_the_oldest() -> None:
    traced = house()
    for number in range(10):
        await traced.get(f"/{number}", (b"user-agent", b"a" * 900))
    few = SpanRing(waiting=4)
    small = SpanRing(most_bytes=6000)
    for ring in (few, small):
        ring.active = True
        for exchange in traced.closed:
            ring.closed(exchange)
    assert [r.path for r in few.take()] == [b"/6", b"/7", b"/8", b"/9"]
    assert few.dropped == 12, "six requests of two spans each"
    held = small.take()
    assert held[-1].path == b"/9"
    assert 0 < sum(r.size for r in held) <= 6000
    assert few.recorded == small.recorded == 20


async def test_without_an_exporter_nothing_is_kept() -> None:
    traced = house()
    await traced.get("/x")
    ring = SpanRing()
    ring.closed(traced.closed_one())
    assert len(ring) == 0
