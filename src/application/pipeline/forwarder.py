"""The life of a request, top to bottom: open, route, admit (pipeline/admission), choose, send, relay, close.

Every front door (the Litestar mount, the protocol's own callbacks) drives these phases with a request head, a body and a
sink. Phases that cannot wait are plain functions; the one coroutine awaits only what really suspends. `close` runs
whatever happened. Exceptions here are faults already translated by an adapter, or the client leaving (cancellation).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Final, Protocol

from spork.application.channels.door import Door
from spork.application.exchange.answers import GatewayResponse, ProblemResponses
from spork.application.exchange.exchange import Exchange, Observer, RoutePlan
from spork.application.exchange.json_values import JsonValues
from spork.application.kernel.clock import Clock
from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import RequestBody, ResponseSink
from spork.application.live.registry import STREAM, LiveExchanges
from spork.application.pipeline.admission import NO_ROUTE, Admission, admit, begin_trace, route
from spork.application.pipeline.by_body import choose
from spork.application.pipeline.cached import CacheStop
from spork.application.pipeline.early_stream import begin_early
from spork.application.pipeline.graphql_sockets import GraphQLSocket
from spork.application.pipeline.own_fields import own_fields
from spork.application.pipeline.redirects import redirect
from spork.application.pipeline.sender import Sender
from spork.application.pipeline.server_timing import server_timing
from spork.application.pipeline.streaming import ERROR_EVENT, copy, copy_events, live_copy, live_kind, unbuffered
from spork.application.pipeline.tunnel import live_splice, splice
from spork.application.pipeline.websockets import SUBPROTOCOL, WebSocketRelay, compressed, judge_again
from spork.application.upstreams.transport import UpstreamResponse
from spork.domain.http.head import Header, RequestHead
from spork.domain.limits.limit import RateLimiter
from spork.domain.outcomes import (
    ANSWERED,
    Abandoned,
    Denial,
    Denied,
    Failed,
    Fault,
    FaultKind,
    Local,
    LocalResponse,
    Side,
    cause,
)
from spork.domain.upstreams.circuit import CallResult, result_of_fault

log = logging.getLogger("spork.forward")

_INTERNAL: Final = Fault(FaultKind.PROXY_INTERNAL_ERROR, Side.GATEWAY)
_GONE: Final = Fault(FaultKind.CLIENT_GONE, Side.DOWNSTREAM)


class ChannelService(Protocol):
    """Answers the routes of channels."""

    def serve(self, door: Door, exchange: Exchange, plan: RoutePlan) -> Coroutine[None, None, None]: ...


class Forwarder:
    """Serves requests from the current snapshot. One per process; implements `ports.Gateway`."""

    def __init__(
        self,
        admission: Admission,
        refusals: ProblemResponses,
        clock: Clock,
        observers: Sequence[Observer],
        sender: Sender,
        live: LiveExchanges | None = None,
        cached: CacheStop | None = None,
        messages: RateLimiter | None = None,
        channels: ChannelService | None = None,
        values: JsonValues | None = None,
    ) -> None:
        """`live` lists what outlives its head and ends it when its caller is no longer trusted; None: nobody does."""
        self._cached = cached
        self._channels = channels
        #: Reads messages of WebSockets that are judged.
        self._values = values
        self._admission = admission
        self._refusals = refusals
        self._monotonic = clock.monotonic
        self._wall_clock = clock.unix
        self._observers = tuple(observer.closed for observer in observers)
        self._sender = sender
        self._live = live
        #: Counts WebSocket messages; of this process, so that no message waits for a store.
        self._messages = messages

    async def handle(self, head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        """Answer one request, whatever it takes. Raises nothing but the cancellation it was sent."""
        exchange = self._admission.open(head, body, sink)
        try:
            plan = route(exchange)
            if not isinstance(plan, Denial) and plan.by_body is not None:
                plan = await choose(exchange, plan.by_body)
            begin_trace(exchange)
            if isinstance(plan, Denial):
                self.answer_verdict(exchange, plan)
                return
            if plan.answer is not None:
                plan.answer.open(exchange)
            asked = admit(exchange, plan)
            if asked is not None:
                verdict = asked if isinstance(asked, Denial | LocalResponse) else await asked
                if verdict is not None:
                    self.answer_verdict(exchange, verdict)
                    return
            plan = exchange.plan or plan  # a guard may know a better one (versions by consumer)
            if plan.redirect is not None:
                self.answer_verdict(exchange, redirect(plan.redirect, exchange))
            elif plan.respond is not None:
                self.answer_verdict(exchange, plan.respond)
            elif plan.front:
                if self._channels is None:
                    self.answer_verdict(exchange, NO_ROUTE)
                else:
                    await self._channels.serve(self, exchange, plan)
            elif plan.cache is None or self._cached is None:
                await self.forward(exchange, plan)
            else:
                await self._cached.serve(self, exchange, plan, plan.cache)
        except FaultError as error:
            self.fail(exchange, error.fault)
        except asyncio.CancelledError:
            exchange.outcome = Abandoned()
            exchange.status = exchange.status or self._refusals.fail(_GONE, exchange.request_id).status
            exchange.reason = FaultKind.CLIENT_GONE.value
            raise
        except Exception:
            log.exception("internal error, request %s", exchange.request_id)
            self.fail(exchange, _INTERNAL)
        finally:
            self.close(exchange)

    # ------------------------------------------------------------------------------------------ 5 choose and 6 send

    async def forward(self, exchange: Exchange, plan: RoutePlan) -> None:
        """Send to a target of the plan's upstream, again if that may be, and relay what it answers."""
        upstream = plan.upstream or exchange.snapshot.upstreams.get(exchange.params.get(plan.upstream_param, ""))
        if upstream is None:
            return self.answer_verdict(exchange, NO_ROUTE)
        if plan.stream is not None and plan.stream.heartbeat_early:
            begin_early(exchange, plan.stream.heartbeat)
        sent = await self._sender.send(exchange, plan, upstream)
        if isinstance(sent, Denial | LocalResponse):
            return self.answer_verdict(exchange, sent)
        response, target, permit, seconds = sent
        result = CallResult.IGNORED
        why = ""
        try:
            rest = self.relay(exchange, plan, response)
            if rest is not None:
                await rest
            result = upstream.judge(response.status) if exchange.reason != ERROR_EVENT else CallResult.FAILED
        except FaultError as error:
            result = result_of_fault(error.fault)
            why = cause(error.fault)
            if exchange.trace is not None and error.fault.side is Side.UPSTREAM:
                exchange.trace.cut(error.fault.kind.value, self._monotonic())
            raise
        finally:
            if exchange.costed:
                exchange.trailers = response.trailers
            response.close()
            target.upstream.settle(target, permit, result, seconds, self._monotonic(), why)
        return None

    # ----------------------------------------------------------------------------------------------------- 6 relay

    def relay(
        self, exchange: Exchange, plan: RoutePlan, response: UpstreamResponse
    ) -> Coroutine[None, None, None] | None:
        """Give the client the target's answer; what did not come with its head is streamed by what is returned."""
        status = response.status
        sink = exchange.sink if plan.answer is None or status == 101 else plan.answer.relayed(exchange)
        exchange.status = status
        exchange.answer_started = self._monotonic()
        headers = self.response_headers(exchange, plan, response.headers)
        if status == 101 and exchange.subprotocol and all(name != SUBPROTOCOL for name, _ in headers):
            headers.append((SUBPROTOCOL, exchange.subprotocol))
        if plan.stream is not None and live_kind(response.headers) == STREAM:
            unbuffered(headers)
        sink.start(status, headers)
        if status == 101:
            exchange.outcome = ANSWERED[status]
            if self._live is None:
                return splice(sink.tunnel(), response.tunnel())
            return self.tunnel(exchange, plan, response, self._live)
        piece, ended = response.take()
        if piece or not ended:  # an empty write sends a head that has no body yet (event streams)
            sink.write(piece)
        if not ended:
            return self.stream(exchange, plan, response, sink, piece)
        sink.finish()
        exchange.outcome = ANSWERED[exchange.status]
        return None

    def tunnel(
        self, exchange: Exchange, plan: RoutePlan, response: UpstreamResponse, live: LiveExchanges
    ) -> Coroutine[None, None, None]:
        """A WebSocket after its 101: under the route's policies, or byte for byte."""
        client, target = exchange.sink.tunnel(), response.tunnel()
        judge = exchange.socket_judge
        if judge is not None and self._values is not None:
            return GraphQLSocket(judge, self._values, exchange, plan, client, target, self._wall_clock).run(live)
        policy = plan.websocket
        if policy is None:
            return live_splice(exchange, plan, live, client, target)

        def rejudge(exchange: Exchange, plan: RoutePlan) -> Awaitable[Denial | None]:
            return judge_again(exchange, plan, self._wall_clock())

        relay = WebSocketRelay(policy, exchange, plan, client, target, self._monotonic, rejudge)
        return relay.run(live, self._messages, compressed(response.headers))

    def stream(
        self, exchange: Exchange, plan: RoutePlan, response: UpstreamResponse, sink: ResponseSink, begun: bytes
    ) -> Coroutine[None, None, None]:
        """The rest of the target's answer, of which `begun` was sent; one that may go on for long is listed among what is live."""
        kind = live_kind(response.headers) if self._live is not None else ""
        if kind == STREAM and self._live is not None:
            return copy_events(exchange, plan, response, self._live, sink, self._monotonic, begun)
        if kind and self._live is not None:
            return live_copy(exchange, plan, response, self._live, kind, sink)
        return copy(exchange, response, sink)

    def response_headers(self, exchange: Exchange, plan: RoutePlan, received: list[Header]) -> list[Header]:
        """A target's headers, with the gateway's own."""
        gateway_owned_fields = plan.gateway_owned_fields
        headers = [header for header in received if header[0] not in gateway_owned_fields]
        live = exchange.snapshot.upstreams.get(exchange.upstream_name)
        if live is not None and live.response_edit is not None:
            headers = live.response_edit.apply(headers)
        return own_fields(exchange, plan, headers, self._monotonic)

    # --------------------------------------------------------------------------------- answers of the gateway's own

    def answer_verdict(self, exchange: Exchange, verdict: Denial | LocalResponse) -> None:
        """Give the answer that a refusal, redirect or local reply calls for."""
        if isinstance(verdict, Denial):
            answer = self._refusals.deny(verdict, exchange.request_id, _traced(exchange))
            answer = self._formed(exchange, answer, verdict.reason, verdict)
            exchange.reason = verdict.reason
            exchange.outcome = Denied(verdict, answer.status)
        else:
            answer = self._refusals.respond(verdict, exchange.request_id)
            exchange.outcome = Local(answer.status, verdict.kind)
        self.answer(exchange, answer)

    def _formed(
        self, exchange: Exchange, answer: GatewayResponse, reason: str, denial: Denial | None
    ) -> GatewayResponse:
        """A refusal or fault in the form that the route's clients read."""
        plan = exchange.plan
        if plan is None or plan.forms is None:
            return answer
        form = plan.forms.of(exchange.head.header(b"accept"), exchange.head.upgrade)
        return answer if form is None else self._refusals.graphql(answer, reason, denial, exchange.request_id, form)

    def fail(self, exchange: Exchange, fault: Fault) -> None:
        """Answer a fault, or cut the answer that had begun."""
        exchange.reason = fault.kind.value
        if exchange.sink.started:
            exchange.outcome = Failed(fault, 0)
            exchange.sink.abort()
            return
        answer = self._refusals.fail(fault, exchange.request_id, _traced(exchange))
        answer = self._formed(exchange, answer, fault.kind.value, None)
        exchange.outcome = Failed(fault, answer.status)
        self.answer(exchange, answer)

    def answer(self, exchange: Exchange, answer: GatewayResponse) -> None:
        """Send a whole answer of the gateway's own."""
        exchange.status = answer.status
        exchange.answer_started = self._monotonic()
        headers = [*answer.headers, (b"x-request-id", exchange.request_id_bytes)]  # a Date is the sink's to add
        headers += exchange.response_headers
        if exchange.plan is not None and exchange.plan.timed:
            headers.append(server_timing(exchange, exchange.answer_started))
        if answer.close:
            headers.append((b"connection", b"close"))
        exchange.sink.start(answer.status, headers)
        if answer.body:
            exchange.sink.write(answer.body)
        exchange.sink.finish()

    def begin(self, exchange: Exchange, status: int, headers: list[Header]) -> None:
        """Send the head of an answer of the gateway's own, whose body follows by the exchange's sink."""
        exchange.status = status
        exchange.answer_started = self._monotonic()
        exchange.sink.start(
            status, [*headers, (b"x-request-id", exchange.request_id_bytes), *exchange.response_headers]
        )

    # ----------------------------------------------------------------------------------------------------- 7 close

    def close(self, exchange: Exchange) -> None:
        """Settle everything the phases left open, then tell the observers."""
        exchange.seconds = self._monotonic() - exchange.now
        if exchange.finalizers is not None:
            for finalize in reversed(exchange.finalizers):
                self._safely(finalize, exchange)
        for closed in self._observers:
            try:
                closed(exchange)
            except Exception:
                log.exception("closing request %s", exchange.request_id)

    def answer_without_route(
        self, head: RequestHead, body: RequestBody, sink: ResponseSink, verdict: Denial | LocalResponse
    ) -> None:
        """Give the answer of a listener that looks at no route; observers hear of it like of any other."""
        exchange = self._admission.open(head, body, sink)
        try:
            self.answer_verdict(exchange, verdict)
        finally:
            self.close(exchange)

    def refused(self, denial: Denial, status: int, head: RequestHead, request_id: str) -> None:
        """The edge refused a request, of which `head` says what could be told: observers hear of it like of any other."""
        exchange = self._admission.refused_at_the_edge(head, request_id)
        exchange.status = status
        exchange.reason = denial.reason
        exchange.outcome = Denied(denial, status)
        self.close(exchange)

    def _safely(self, act: Callable[[Exchange], None], exchange: Exchange) -> None:
        try:
            act(exchange)
        except Exception:
            log.exception("closing request %s", exchange.request_id)


def _traced(exchange: Exchange) -> str:
    """The trace that a problem document names: only one that operators can find."""
    return exchange.trace_id if exchange.trace is not None else ""
