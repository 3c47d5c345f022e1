"""Choose and send: leave from the circuit, a target, one try, and whether there may be another.

1. `admit`: the upstream's circuit and balancing hand out a target, or refuse;
2. the transport sends and answers with a response head, or a fault;
3. a failed try is judged by `may_retry`; again means back to 1 with another target;
4. when all tries are over, the upstream's fallback may answer instead.

Every target handed out is settled exactly once: here when the try failed, by the caller once the answer was relayed.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Coroutine, Mapping
from typing import Final

from spork.application.exchange.bodies import at_hand, awaited, hold
from spork.application.exchange.exchange import Exchange, RoutePlan
from spork.application.exchange.replay import ReplayBody
from spork.application.exchange.tracing import CANCELLED, TryRecord
from spork.application.guards.stale import StaleAnswers
from spork.application.kernel.clock import Clock
from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import RequestBody
from spork.application.pipeline.client_address import ClientAddress
from spork.application.pipeline.hedging import Runner, hedge_after, race
from spork.application.pipeline.mirroring import Mirrors
from spork.application.upstreams.credentials import CredentialStore
from spork.application.upstreams.target import LiveTarget
from spork.application.upstreams.transport import UpstreamRequest, UpstreamResponse, UpstreamTransport
from spork.application.upstreams.upstream import LiveUpstream
from spork.domain.http import forwarding
from spork.domain.http.head import Header, canonical_path, cookie
from spork.domain.limits.limit import Charge, RateLimiter, Throttled
from spork.domain.outcomes import Denial, Fault, FaultKind, LocalResponse, Side, cause
from spork.domain.upstreams.circuit import CallResult, Open, Permit, result_of_fault
from spork.domain.upstreams.credentials import Credential
from spork.domain.upstreams.retries import Again, Attempt, Stop, may_retry, retry_after_seconds, try_timeout
from spork.domain.upstreams.splitting import split

_NO_TARGET: Final = Fault(FaultKind.DESTINATION_UNAVAILABLE, Side.UPSTREAM, retry_safe=True)
#: Carries the identity that the gateway signed for the upstream it goes to.
IDENTITY_TOKEN: Final = b"x-gateway-identity"
_FOREVER: Final = float("inf")
TOO_MANY_REQUESTS: Final = 429
#: The longest that a target's own Retry-After keeps it resting, seconds.
LONGEST_REST: Final = 300.0
STOP: Final = Stop("answered")

#: Body bytes kept for a mirror or a fallback, when retries keep none.
KEPT_BYTES: Final = 65536

#: Largest body that is held to be signed.
SIGNED_BYTES: Final = 1024 * 1024
_LATER: Final = "The service may be asked again later."

#: A response head, and what the caller settles once it is relayed: the target, its permit, the seconds it took.
Sent = tuple[UpstreamResponse, LiveTarget, Permit, float]
SentBody = RequestBody | bytes | None


class Sender:
    """Sends requests to upstreams. One per process."""

    def __init__(
        self,
        transports: Mapping[str, UpstreamTransport],
        clock: Clock,
        clients: ClientAddress,
        chance: random.Random,
        mirrors: Mirrors | None = None,
        stale: StaleAnswers | None = None,
        credentials: CredentialStore | None = None,
        quotas: RateLimiter | None = None,
    ) -> None:
        self._credentials = credentials
        self._quotas = quotas
        self._wall_clock = clock.unix
        self._mirrors = mirrors
        self._stale = stale
        self._transports = dict(transports)
        self._monotonic = clock.monotonic
        self._clients = clients
        self._chance = chance.random
        self._said_of_clients: dict[tuple[str, str, bytes], tuple[Header, ...]] = {}

    def destination(self, exchange: Exchange, plan: RoutePlan) -> LiveUpstream | None:
        """The upstream this request goes to: the plan's, the one its path names, or the one a canary rule chooses."""
        upstream = plan.upstream or exchange.snapshot.upstreams.get(exchange.params.get(plan.upstream_param, ""))
        if upstream is None or not plan.splits:
            return upstream
        return split_upstream(exchange, plan, upstream, self._chance())

    def send(
        self, exchange: Exchange, plan: RoutePlan, upstream: LiveUpstream, chosen: bool = False
    ) -> Coroutine[None, None, Sent | Denial | LocalResponse]:
        """A response head, the circuit's refusal, or the fallback's answer. `chosen`: the upstream is the one that `destination`
        gave, and no canary rule is asked again. Raises FaultError."""
        if plan.splits and not chosen:
            upstream = split_upstream(exchange, plan, upstream, self._chance())
        body = self.body_to_send(exchange, plan, upstream)
        if plan.mirror is not None and self._mirrors is not None:
            self._mirrors.consider(plan.mirror, self, exchange, plan, body)
        return self._send(exchange, plan, upstream, body)

    def transport_of(self, upstream: LiveUpstream) -> UpstreamTransport:
        return self._transports[upstream.declared.transport]

    async def _send(
        self, exchange: Exchange, plan: RoutePlan, upstream: LiveUpstream, body: SentBody, spare: bool = True
    ) -> Sent | Denial | LocalResponse:
        if body is not None and not isinstance(body, bytes) and awaited(body):
            body = await at_hand(body)  # a connection would wait for it as long as the client likes
        now = self._monotonic()  # not `exchange.now`: guards may have waited, which is not the target's time
        declared = upstream.declared
        transport = self._transports[declared.transport]
        total = plan.timeout or declared.timeouts.total
        deadline = now + total if total else _FOREVER
        tried: tuple[LiveTarget, ...] = ()
        hedges = hedge_after(declared.retries, exchange.head, body is None)
        exchange.upstream_name = upstream.name
        if declared.rest is not None or declared.quotas:
            refused = await self._kept_back(upstream, now)
            if refused is not None:
                return await self._fall_back(exchange, plan, upstream, body, spare) or refused
        if declared.credentials is not None and self._credentials is not None:
            body = await self._signable(exchange, declared.credentials, body)
        if upstream.retry_budget is not None:
            upstream.retry_budget.deposit(now)
        while True:
            granted = upstream.admit(exchange, now, tried)
            if granted is None or isinstance(granted, Open):
                return await self._unserved(exchange, plan, upstream, body, granted, spare)
            target, permit = granted
            exchange.attempts += 1
            exchange.target_name = target.name
            record = self._begin_try(exchange, target, now)
            response: UpstreamResponse | None = None
            failure: FaultError | None = None
            result = CallResult.IGNORED
            try:
                request = self.upstream_request(exchange, plan, upstream, target, body, record)
                request.deadline = try_timeout(declared.retries, deadline, now)
                if declared.credentials is not None and self._credentials is not None:
                    fetched = self._credentials.of(declared.credentials).apply(request, exchange.head.headers)
                    if fetched is not None:
                        await fetched
                if hedges is None:
                    response = await transport.send(target.declared, request)
                else:
                    response, target, permit, record = await self._hedged(
                        exchange, plan, upstream, target, permit, request, hedges, record
                    )
            except FaultError as error:
                failure = error
                result = result_of_fault(error.fault)
                if record is not None:
                    record.fault = error.fault.kind.value
                again = self._again(exchange, upstream, error.fault, None, body, deadline)
            else:
                result = upstream.judge(response.status)
                if declared.rest is not None:
                    upstream.told_to_rest(response.status, retry_after_of(response), self._monotonic())
                if declared.credentials is not None and response.status == 401 and self._credentials is not None:
                    self._credentials.of(declared.credentials).refused(request)
                if record is not None:
                    record.status = response.status
                if response.status == TOO_MANY_REQUESTS:
                    self._rest(upstream, target, response)
                again = STOP
                if declared.retries is not None and response.status in declared.retries.statuses:
                    again = self._again(exchange, upstream, None, response, body, deadline)
                if isinstance(again, Stop):
                    fallback = declared.fallback
                    if fallback is not None and response.status in fallback.statuses and spare:
                        instead = await self._instead(exchange, plan, upstream, body)
                        if instead is not None:
                            response.close()
                            response = None
                            return instead
                        exchange.upstream_name, exchange.target_name = upstream.name, target.name
                    return self._sent(exchange, response, target, permit, now)
                response.close()
                response = None
            finally:
                if response is None:
                    ended = self._monotonic()
                    exchange.upstream_seconds += ended - now
                    if record is not None:
                        record.ended = ended
                    why = "" if failure is None else cause(failure.fault)
                    upstream.settle(target, permit, result, ended - now, ended, why)
            if isinstance(again, Stop):
                assert failure is not None
                return await self._failed(exchange, plan, upstream, body, failure, spare)
            tried += (target,)
            if isinstance(body, ReplayBody):
                body.rewind()
            if again.delay:
                await asyncio.sleep(again.delay)
            now = self._monotonic()

    async def _hedged(
        self,
        exchange: Exchange,
        plan: RoutePlan,
        upstream: LiveUpstream,
        target: LiveTarget,
        permit: Permit,
        request: UpstreamRequest,
        wait: float,
        record: TryRecord | None,
    ) -> tuple[UpstreamResponse, LiveTarget, Permit, TryRecord | None]:
        """Like one try, but with a second one on another target when no head came within `wait` seconds."""
        transport = self._transports[upstream.declared.transport]

        def second() -> Runner | None:
            now = self._monotonic()
            if upstream.retry_budget is not None and not upstream.retry_budget.withdraw(now):
                return None
            granted = upstream.admit(exchange, now, (target,))
            if granted is None or isinstance(granted, Open):
                return None
            other, leave = granted
            if other is target:
                upstream.settle(other, leave, CallResult.IGNORED, 0.0, now)
                return None
            exchange.attempts += 1
            beside = self._begin_try(exchange, other, now)
            again = self.upstream_request(exchange, plan, upstream, other, None, beside)
            again.deadline = request.deadline
            return Runner(other, leave, now, asyncio.ensure_future(transport.send(other.declared, again)), beside)

        first = Runner(
            target, permit, self._monotonic(), asyncio.ensure_future(transport.send(target.declared, request)), record
        )
        won = await race(first, second, wait, lambda runner, result: self._lost(upstream, runner, result))
        exchange.target_name = won.target.name
        return won.sending.result(), won.target, won.permit, won.record

    def _lost(self, upstream: LiveUpstream, runner: Runner, result: CallResult) -> None:
        now = self._monotonic()
        if runner.record is not None:
            runner.record.ended = now
            runner.record.fault = runner.fault or CANCELLED
        upstream.settle(runner.target, runner.permit, result, now - runner.began, now)

    @staticmethod
    def _begin_try(exchange: Exchange, target: LiveTarget, now: float) -> TryRecord | None:
        """The span of the try that begins, where the request's trace keeps its tries."""
        trace = exchange.trace
        if trace is None or not trace.recording:
            return None
        return trace.begin_try(target.declared, exchange.attempts, now)

    def _sent(
        self, exchange: Exchange, response: UpstreamResponse, target: LiveTarget, permit: Permit, began: float
    ) -> Sent:
        now = self._monotonic()
        seconds = now - began
        exchange.upstream_seconds += seconds
        sticky = target.upstream.declared.sticky
        if sticky is not None:
            token = target.token
            if cookie(exchange.head.headers, sticky.name.encode("ascii")) != token:
                exchange.response_headers.append(sticky.field(token, exchange.head.scheme))
        if permit.probe:
            target.upstream.answered(target, permit, response.status, seconds, now)
        return response, target, permit, seconds

    def _again(
        self,
        exchange: Exchange,
        upstream: LiveUpstream,
        fault: Fault | None,
        response: UpstreamResponse | None,
        body: SentBody,
        deadline: float,
    ) -> Stop | Again:
        """Whether this try may be followed by another."""
        head = exchange.head
        wait = None if response is None else retry_after_of(response)
        attempt = Attempt(
            exchange.attempts,
            head.method,
            fault,
            0 if response is None else response.status,
            body is None or isinstance(body, bytes) or (isinstance(body, ReplayBody) and body.replayable),
            exchange.sink.started or head.upgrade,
            head.header(b"idempotency-key") is not None,
            wait,
        )
        policy = upstream.declared.retries
        return may_retry(policy, upstream.retry_budget, attempt, self._monotonic(), deadline, self._chance())

    # -------------------------------------------------------------------------------------------- external services

    async def _kept_back(self, upstream: LiveUpstream, now: float) -> Denial | None:
        """Why nothing may be sent there now: it has asked for a pause, or what it grants us is used up."""
        if now < upstream.rests_until:
            return Denial("upstream_resting", _LATER, retry_after=upstream.rests_until - now)
        quotas = upstream.declared.quotas
        if not quotas or self._quotas is None:
            return None
        charges = [Charge(limit, upstream.name, limit.cost) for limit in quotas]
        asked = self._quotas.acquire(charges, None if self._quotas.keeps_time else self._wall_clock())
        decision = await asked if isinstance(asked, Awaitable) else asked
        if isinstance(decision, Throttled):
            return Denial("upstream_quota", _LATER, retry_after=decision.retry_after)
        return None

    async def _signable(self, exchange: Exchange, credential: Credential, body: SentBody) -> SentBody:
        """The body at hand whole where the credential signs it, if it is not too large for that."""
        assert self._credentials is not None
        if body is None or isinstance(body, bytes) or not self._credentials.of(credential).signs_body:
            return body
        if isinstance(body, ReplayBody):
            exchange.body = body
        whole = await hold(exchange, SIGNED_BYTES)
        return exchange.body if whole is None else whole

    # ------------------------------------------------------------------------------------------ nothing to send to

    async def _unserved(
        self,
        exchange: Exchange,
        plan: RoutePlan,
        upstream: LiveUpstream,
        body: SentBody,
        refused: Open | None,
        spare: bool,
    ) -> Sent | Denial | LocalResponse:
        """The circuit refuses, or there is no target: the fallback if there is one."""
        fallen = await self._fall_back(exchange, plan, upstream, body, spare)
        if fallen is not None:
            return fallen
        if refused is None:
            raise FaultError(_NO_TARGET)
        return Denial("breaker_open", "The service is not available right now.", retry_after=refused.retry_after)

    async def _instead(
        self, exchange: Exchange, plan: RoutePlan, upstream: LiveUpstream, body: SentBody
    ) -> Sent | Denial | LocalResponse | None:
        """What the fallback answers for a status that asks for it; None when the answer at hand is the better one."""
        if exchange.sink.started:
            return None
        try:
            fallen = await self._fall_back(exchange, plan, upstream, body, True)
        except FaultError:
            return None
        return None if isinstance(fallen, Denial) else fallen

    def _rest(self, upstream: LiveUpstream, target: LiveTarget, response: UpstreamResponse) -> None:
        """A target that says 429 with Retry-After rests for that long: its own word."""
        wait = next((retry_after_seconds(value) for name, value in response.headers if name == b"retry-after"), None)
        if wait:
            upstream.rest(target, min(wait, LONGEST_REST), self._monotonic())

    async def _failed(
        self,
        exchange: Exchange,
        plan: RoutePlan,
        upstream: LiveUpstream,
        body: SentBody,
        error: FaultError,
        spare: bool,
    ) -> Sent | Denial | LocalResponse:
        """The last try failed without an answer: the fallback if there is one, else the fault."""
        if error.fault.side is Side.UPSTREAM and not exchange.sink.started:
            fallen = await self._fall_back(exchange, plan, upstream, body, spare)
            if fallen is not None:
                return fallen
        raise error

    async def _fall_back(
        self, exchange: Exchange, plan: RoutePlan, upstream: LiveUpstream, body: SentBody, spare: bool
    ) -> Sent | Denial | LocalResponse | None:
        """What answers instead: a static answer, or another upstream, whose own fallback is not asked again."""
        fallback = upstream.declared.fallback
        if fallback is None or not spare or exchange.head.upgrade:
            return None
        exchange.fallback_name = upstream.name
        if fallback.stale and self._stale is not None:
            kept = self._stale.find(exchange, fallback.stale)
            if kept is not None:
                return kept
        if not fallback.upstream:
            headers = ((b"content-type", fallback.content_type.encode("ascii")),)
            return LocalResponse("fallback", headers, fallback.body, fallback.status)
        other = exchange.snapshot.upstreams.get(fallback.upstream)
        if other is None or (isinstance(body, ReplayBody) and not body.replayable):
            return None
        if isinstance(body, ReplayBody):
            body.rewind()
        elif body is not None and not isinstance(body, bytes) and body.received:
            return None
        return await self._send(exchange, plan, other, body, spare=False)

    @staticmethod
    def body_to_send(exchange: Exchange, plan: RoutePlan, upstream: LiveUpstream) -> SentBody:
        """The body in the handiest form: none, whole bytes, one that can be sent again, or the stream itself."""
        body = exchange.body
        length = body.length
        if length == 0:
            return None
        whole = body.whole()
        if whole is not None:
            return whole
        declared = upstream.declared
        kept = declared.retries.replay_bytes if declared.retries is not None else 0
        if plan.mirror is not None or declared.fallback is not None:
            kept = max(kept, KEPT_BYTES)
        return ReplayBody(body, kept) if length is not None and length <= kept else body

    # ------------------------------------------------------------------------------------------- the request's head

    def upstream_request(
        self,
        exchange: Exchange,
        plan: RoutePlan,
        upstream: LiveUpstream,
        target: LiveTarget,
        body: SentBody,
        record: TryRecord | None = None,
    ) -> UpstreamRequest:
        """The request as the target will see it; `record` is the try it is sent in."""
        head = exchange.head
        declared = upstream.declared
        path = head.path if plan.rewriter is None else plan.rewriter.apply(head.path, exchange.params, exchange.rest)
        if target.declared.base_path:
            path = target.declared.base_path + path
        headers = [(b"host", head.host if declared.pass_host else target.authority)]
        headers += forwarding.end_to_end_request(head.headers, exchange.consumed)
        if self._clients.trusts(head.peer):
            headers += forwarding.gateway_headers_behind_proxy(
                head.peer, exchange.client, head.scheme, exchange.asked_host or head.host, head.headers
            )
        else:
            headers += self.said_of_client(exchange.client, head.scheme, head.host)
        headers += ((b"x-request-id", exchange.request_id_bytes), forwarding.VIA)
        if plan.rewriter is not None and plan.rewriter.strips and (prefix := plan.rewriter.stripped(head.path)):
            headers.append((b"x-forwarded-prefix", self._prefixes(exchange) + prefix))
        if exchange.trace is not None:
            headers += exchange.trace.fields(record)
        elif exchange.passed_fields:
            headers += exchange.passed_fields
        if exchange.request_headers:
            headers += exchange.request_headers
        if exchange.identity_for is not None:
            headers.append((IDENTITY_TOKEN, exchange.identity_for(upstream.name)))
        if plan.request_transform is not None:
            headers = plan.request_transform.apply(headers)
        query = head.query if plan.answer is None else plan.answer.query(exchange)
        sent_target = path if query is None else path + b"?" + query
        if record is not None:
            record.path = sent_target
        if plan.answer is not None:
            headers = plan.answer.towards_target(headers)
        if upstream.request_edit is not None:
            headers = upstream.request_edit.apply(headers)
        if exchange.costed:  # what is read for its cost must not be coded
            headers = [header for header in headers if header[0] != b"accept-encoding"]
        return UpstreamRequest(
            head.method,
            sent_target,
            headers,
            body,
            declared.timeouts if plan.patience is None else plan.patient(declared.timeouts),
            _FOREVER,
            head.upgrade,
            exchange.sink.inform if head.version == "1.1" else None,
            declared.pool,
        )

    def _prefixes(self, exchange: Exchange) -> bytes:
        """What trusted proxies before us took off the path."""
        head = exchange.head
        if not self._clients.trusts(head.peer):
            return b""
        said = head.header(b"x-forwarded-prefix") or b""
        return (
            said.rstrip(b"/")
            if said[:1] == b"/" and canonical_path(said.rstrip(b"/") or b"/") == said.rstrip(b"/")
            else b""
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


def split_upstream(exchange: Exchange, plan: RoutePlan, upstream: LiveUpstream, chance: float) -> LiveUpstream:
    """The upstream that a canary rule names, or the route's own. With a `chance` of 1.0 no share is drawn."""
    principal = exchange.principal
    name = split(plan.splits, exchange.head, "" if principal is None else principal.consumer, chance)
    return upstream if name is None else exchange.snapshot.upstreams.get(name, upstream)


def retry_after_of(response: UpstreamResponse) -> float | None:
    """Seconds that an answer asks to wait (RFC 9110 10.2.3), None when it does not say."""
    return next((retry_after_seconds(value) for name, value in response.headers if name == b"retry-after"), None)
