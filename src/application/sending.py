"""Choose and send: a permit, a target, one try, and whether there may be another.

One try ends in a response, a fault, or a refusal by the gateway's own breaker, which is never retried. Every permit is
settled and every target released exactly once, by the `Trial` that holds them.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

from application.clients import ClientFinder
from application.exchange import Exchange
from application.plan import RoutePlan
from application.ports import Clock, FaultError, RequestBody, UpstreamRequest, UpstreamResponse, UpstreamTransport
from application.replay import ReplayBody
from application.targets import LiveTarget
from application.upstreams import LiveUpstream
from domain import forwarding
from domain.circuit import CallResult, Open, Permit, result_of_fault, result_of_status
from domain.http import Header
from domain.outcomes import Denial, Fault, FaultKind, Side
from domain.retries import Again, Attempt, RetryPolicy, Stop, may_retry, retry_after_seconds, try_timeout

_NO_TARGET = FaultError(Fault(FaultKind.DESTINATION_UNAVAILABLE, Side.UPSTREAM, retry_safe=True))
_FAILURE_STATUSES = (502, 503, 504)
_FOREVER = float("inf")


class Trial:
    """One try at one target, from its permits to its result."""

    __slots__ = ("_began", "_target", "_target_permit", "_upstream", "_upstream_permit", "target")

    def __init__(
        self,
        upstream: LiveUpstream,
        target: LiveTarget,
        upstream_permit: Permit | None,
        target_permit: Permit | None,
        now: float,
    ) -> None:
        self._upstream = upstream
        self._upstream_permit = upstream_permit
        self._target_permit = target_permit
        self._began = now
        self.target = target
        target.started()

    def settle(self, result: CallResult, now: float) -> None:
        """The try is over."""
        seconds = now - self._began
        self.target.finished(result, seconds, now)
        if self._upstream_permit is not None and self._upstream.breaker is not None:
            self._upstream.breaker.record(self._upstream_permit, result, seconds, now)
        if self._target_permit is not None and self.target.breaker is not None:
            self.target.breaker.record(self._target_permit, result, seconds, now)


Sent = tuple[UpstreamResponse, Trial]


def upstream_result(status: int, upstream: LiveUpstream) -> CallResult:
    """What an answer's status says about the upstream."""
    breaker = upstream.declared.breaker
    return result_of_status(status, _FAILURE_STATUSES if breaker is None else breaker.statuses)


class Sender:
    """Sends requests to upstreams. One per process."""

    def __init__(
        self,
        transports: Mapping[str, UpstreamTransport],
        clock: Clock,
        clients: ClientFinder,
        chance: random.Random,
    ) -> None:
        self._transports = dict(transports)
        self._monotonic = clock.monotonic
        self._clients = clients
        self._chance = chance.random
        self._said_of_clients: dict[tuple[str, str, bytes], tuple[Header, ...]] = {}

    async def send(self, exchange: Exchange, plan: RoutePlan, upstream: LiveUpstream) -> Sent | Denial:
        """A response head and the open trial behind it, or the breaker's refusal. Raises FaultError."""
        policy = upstream.declared.retries
        if upstream.retry_budget is not None:
            upstream.retry_budget.deposit(exchange.now)
        exchange.upstream_name = upstream.name
        transport = self._transports[upstream.declared.transport]
        total = plan.timeout or upstream.declared.timeouts.total
        deadline = exchange.now + total if total else _FOREVER
        body = self.body_to_send(exchange, policy)
        tried: list[LiveTarget] = []
        now = exchange.now
        while True:
            trial = self.choose(exchange, plan, upstream, tried, now)
            if isinstance(trial, Denial):
                return trial
            request = self.upstream_request(exchange, plan, upstream, trial.target, body)
            request.deadline = try_timeout(policy, deadline, now)
            response: UpstreamResponse | None = None
            fault: FaultError | None = None
            try:
                response = await transport.send(trial.target.target, request)
            except FaultError as error:
                fault = error
            except BaseException:
                trial.settle(CallResult.IGNORED, self._monotonic())
                raise
            if response is not None and (policy is None or response.status not in policy.statuses):
                return response, trial
            now = self._monotonic()
            again = self.again(exchange, upstream, policy, response, fault, body, now, deadline)
            if isinstance(again, Stop):
                exchange.retry_stop = again.why
                if response is not None:
                    return response, trial
            if fault is not None:
                trial.settle(result_of_fault(fault.fault), now)
            if isinstance(again, Stop):
                assert fault is not None
                raise fault
            if response is not None:
                response.close()
                trial.settle(upstream_result(response.status, upstream), now)
            tried.append(trial.target)
            if isinstance(body, ReplayBody):
                body.rewind()
            if again.delay:
                await asyncio.sleep(again.delay)
            now = self._monotonic()

    def choose(
        self, exchange: Exchange, plan: RoutePlan, upstream: LiveUpstream, tried: list[LiveTarget], now: float
    ) -> Trial | Denial:
        """Permits and a target for one try, or the circuit's refusal. Raises FaultError when there is no target."""
        breaker = upstream.breaker
        permit: Permit | None = None
        if breaker is not None:
            answer = breaker.permit(now)
            if isinstance(answer, Open):
                return Denial("breaker_open", "The service is not available right now.", retry_after=answer.retry_after)
            permit = answer
        key = plan.balance_key(exchange) if upstream.declared.balance.hash_on else None
        target = upstream.choose(key, now, tried)
        target_permit: Permit | None = None
        if target is not None and target.breaker is not None:
            target_answer = target.breaker.permit(now)
            if isinstance(target_answer, Open):
                target = None
            else:
                target_permit = target_answer
        if target is None:
            if permit is not None and breaker is not None:
                breaker.record(permit, CallResult.IGNORED, 0.0, now)
            raise _NO_TARGET
        exchange.attempts += 1
        exchange.target_name = target.name
        return Trial(upstream, target, permit, target_permit, now)

    def again(
        self,
        exchange: Exchange,
        upstream: LiveUpstream,
        policy: RetryPolicy | None,
        response: UpstreamResponse | None,
        fault: FaultError | None,
        body: RequestBody | bytes | None,
        now: float,
        deadline: float,
    ) -> Stop | Again:
        """Whether this try may be followed by another."""
        if policy is None:
            return Stop("off")
        head = exchange.head
        wait = None
        if response is not None:
            wait = next(
                (retry_after_seconds(value) for name, value in response.headers if name == b"retry-after"), None
            )
        attempt = Attempt(
            exchange.attempts,
            head.method,
            None if fault is None else fault.fault,
            0 if response is None else response.status,
            body is None or isinstance(body, bytes) or (isinstance(body, ReplayBody) and body.replayable),
            exchange.sink.started,
            head.header(b"idempotency-key") is not None,
            wait,
        )
        return may_retry(policy, upstream.retry_budget, attempt, now, deadline, self._chance())

    @staticmethod
    def body_to_send(exchange: Exchange, policy: RetryPolicy | None) -> RequestBody | bytes | None:
        """The body in the handiest form: none, whole bytes, one that can be sent again, or the stream itself."""
        body = exchange.body
        length = body.length
        if length == 0:
            return None
        whole = body.whole()
        if whole is not None:
            return whole
        if policy is not None and length is not None and length <= policy.replay_bytes:
            return ReplayBody(body, policy.replay_bytes)
        return body

    # ------------------------------------------------------------------------------------------- the request's head

    def upstream_request(
        self,
        exchange: Exchange,
        plan: RoutePlan,
        upstream: LiveUpstream,
        target: LiveTarget,
        body: RequestBody | bytes | None,
    ) -> UpstreamRequest:
        """The request as the target will see it."""
        head = exchange.head
        declared = upstream.declared
        path = head.path if plan.rewriter is None else plan.rewriter.apply(head.path, exchange.params, exchange.rest)
        if target.target.base_path:
            path = target.target.base_path + path
        headers = [(b"host", head.host if declared.pass_host else target.authority)]
        headers += forwarding.end_to_end_request(head.headers, exchange.consumed)
        if self._clients.believes(head.peer):
            headers += forwarding.gateway_headers_behind_proxy(
                head.peer, exchange.client, head.scheme, head.host, head.headers
            )
        else:
            headers += self.said_of_client(exchange.client, head.scheme, head.host)
        headers += (
            (b"x-request-id", exchange.request_id.encode("ascii")),
            (b"traceparent", exchange.traceparent),
            forwarding.VIA,
        )
        if exchange.request_headers:
            headers += exchange.request_headers
        if plan.request_transform is not None:
            headers = plan.request_transform.apply(headers)
        return UpstreamRequest(
            head.method,
            path if head.query is None else path + b"?" + head.query,
            headers,
            body,
            declared.timeouts,
            _FOREVER,
            head.upgrade,
            exchange.sink.inform if head.version == "1.1" else None,
            declared.pool,
        )

    def said_of_client(self, client: str, scheme: str, host: bytes) -> tuple[Header, ...]:
        """`gateway_headers`, remembered: most requests come from few clients."""
        key = (client, scheme, host)
        said = self._said_of_clients.get(key)
        if said is None:
            if len(self._said_of_clients) >= 4096:
                self._said_of_clients.clear()
            said = self._said_of_clients[key] = forwarding.gateway_headers(client, scheme, host)
        return said
