"""One request in flight: everything its phases learn, in one place that every phase may read."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.graphql import GraphQLAsked, RefusalForms
from spork.application.exchange.tracing import RequestTrace, RouteTracing
from spork.application.kernel.streams import RequestBody, ResponseSink
from spork.application.upstreams.upstream import LiveUpstream
from spork.application.views import GuardVerdict
from spork.domain.graphql.policy import GraphQLPolicy
from spork.domain.http.answers_back import RewriteBack
from spork.domain.http.caching.policy import RouteCache
from spork.domain.http.edits import HeaderTransform
from spork.domain.http.event_stream import StreamPolicy
from spork.domain.http.head import Header, RequestHead
from spork.domain.http.websocket_policy import WebSocketPolicy
from spork.domain.identity.presentation import Presented
from spork.domain.identity.tokens import Principal
from spork.domain.outcomes import Denial, LocalResponse, Outcome
from spork.domain.routing.bodies import BodyChoice
from spork.domain.routing.table import PathRewriter, Redirect, RouteTable
from spork.domain.upstreams.model import Patience, Timeouts
from spork.domain.upstreams.splitting import SplitRule


class Exchange:
    """One request in flight.

    Times are monotonic seconds unless named otherwise. `finalizers` run once in the close phase, last added first,
    whatever happened; they must not raise. `response_headers` are added to whatever answer goes out.
    """

    __slots__ = (
        "answer_started",
        "asked_host",
        "attempts",
        "body",
        "body_values",
        "cache_result",
        "client",
        "consumed",
        "cost_units",
        "costed",
        "credential_problem",
        "fallback_name",
        "finalizers",
        "forgery",
        "graphql",
        "guard_seconds",
        "head",
        "identity_for",
        "limits_taken",
        "looped",
        "now",
        "outcome",
        "params",
        "passed_fields",
        "plan",
        "presented",
        "principal",
        "reason",
        "refunds",
        "request_headers",
        "request_id_bytes",
        "response_headers",
        "rest",
        "seconds",
        "sink",
        "snapshot",
        "socket_judge",
        "status",
        "subprotocol",
        "target_name",
        "threat_rule",
        "trace",
        "trace_fields",
        "trace_trusted",
        "traceparent",
        "trailers",
        "unix",
        "upstream_name",
        "upstream_seconds",
    )

    def __init__(
        self,
        head: RequestHead,
        body: RequestBody,
        sink: ResponseSink,
        snapshot: Snapshot,
        now: float,
        unix: float,
    ) -> None:
        self.head = head
        self.body = body
        self.sink = sink
        self.snapshot = snapshot
        self.now = now
        self.unix = unix
        #: The request id as it goes on the wire; ASCII.
        self.request_id_bytes = b""
        #: Our own pseudonym stood in Via.
        self.looped = False
        #: The client's address after trusted proxies were believed; textual, never with a port.
        self.client = head.peer
        #: The authority that the client asked a trusted proxy for, b"" when none says so.
        self.asked_host = b""
        self.plan: RoutePlan | None = None
        self.params: dict[str, str] = {}
        #: What came behind the target's answer; kept where somebody asks for it.
        self.trailers: Sequence[Header] = ()
        #: Fields of the JSON body that routes are told apart by.
        self.body_values: dict[str, str] | None = None
        #: What a prefix route left of the path, with its leading slash, or b"".
        self.rest = b""
        #: Header names that carried a credential the gateway took for itself, or are private; not forwarded.
        self.consumed = snapshot.private_fields
        self.principal: Principal | None = None
        #: Credentials taken from where the route looks for them; None where it looks in the usual places.
        self.presented: Presented | None = None
        #: Headers that guards want the target to receive (verified identity and the like).
        self.request_headers: list[Header] = []
        #: Makes the signed identity for the upstream of this name; None where none is asked for.
        self.identity_for: Callable[[str], bytes] | None = None
        self.response_headers: list[Header] = []
        self.finalizers: list[Callable[[Exchange], None]] | None = None
        #: Why the credentials were refused, a slug for operators; "" when they were not.
        self.credential_problem = ""
        #: The rule of the threat screen that matched, or "".
        self.threat_rule = ""
        #: What the CSRF guard found, for operators; "" when nothing.
        self.forgery = ""
        #: The GraphQL operation it carries; None where the route has no such policy.
        self.graphql: GraphQLAsked | None = None
        #: Judges what is said over its WebSocket; None where nobody does.
        self.socket_judge: MessageJudge | None = None
        #: (phase, seconds) of each guard, on routes that say Server-Timing.
        self.guard_seconds: list[tuple[str, float]] | None = None
        #: What limits took before authentication, given back if those after it refuse.
        self.limits_taken: TakenLimits | None = None
        #: The upstream that stood in for the route's own, or "".
        self.fallback_name = ""
        self.outcome: Outcome | None = None
        #: What a WebSocket handshake must be answered when the target selects no subprotocol; b"" for nothing.
        self.subprotocol = b""
        #: The answer is read for its cost: it must come without a content coding.
        self.costed = False
        #: What the answer said it cost, set when the exchange closes; 0 where nothing is read.
        self.cost_units = 0
        self.status = 0
        self.reason = ""
        #: What the cache did: hit, stale, revalidated, miss, collapsed, bypass; "" where the route has none.
        self.cache_result = ""
        #: Give back what limits charged, where the route does not count answers from the cache.
        self.refunds: tuple[Callable[[], None], ...] = ()
        self.attempts = 0
        self.upstream_name = ""
        self.target_name = ""
        self.upstream_seconds = 0.0
        #: Our place in the request's trace: `00-trace-span-flags`; for logs also where nothing is traced.
        self.traceparent = b""
        #: Trace fields that came with the request, and whether a trusted proxy sent them.
        self.trace_fields: list[Header] | None = None
        self.trace_trusted = False
        #: Trace fields that go to targets as they came, where this gateway does not trace.
        self.passed_fields: tuple[Header, ...] = ()
        #: None where this request is not traced.
        self.trace: RequestTrace | None = None
        self.answer_started = 0.0
        #: Whole duration, set when the exchange closes.
        self.seconds = 0.0

    @property
    def request_id(self) -> str:
        """The id this request is known by in answers, logs and problems."""
        return self.request_id_bytes.decode("ascii")

    @property
    def trace_id(self) -> str:
        """The trace this request belongs to: 32 hex digits of `traceparent`."""
        return self.traceparent[3:35].decode("ascii")

    def at_close(self, finalizer: Callable[[Exchange], None]) -> None:
        """Have `finalizer` called once when this exchange is over."""
        if self.finalizers is None:
            self.finalizers = [finalizer]
        else:
            self.finalizers.append(finalizer)


Verdict = Denial | LocalResponse | None

#: The `response_fields` of a guard that says nothing in answers.
NO_FIELDS: Final[frozenset[bytes]] = frozenset()


class TakenLimits(Protocol):
    """Charges that can be given back."""

    def refund(self, now: float) -> None:
        """Give back what was taken; `now` is wall time in seconds."""


class Guard(Protocol):
    """An admission check compiled for one route. `phase` is its word in metrics, trace and docs.

    `response_fields` are names of header fields that this guard's policy says in answers: a target's own are removed.
    """

    phase: str
    response_fields: frozenset[bytes]

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        """None lets the exchange go on; a Denial refuses it; a LocalResponse answers it here. An awaitable is returned only when the guard really has to wait."""

    def explain(self, exchange: Exchange) -> GuardVerdict | Awaitable[GuardVerdict]:
        """What `admit` would say, in words for operators; nothing is counted, charged, kept or told."""


class OperationInFlight(Protocol):
    """An operation that a message began. `denial`: it is refused. `payload`: what goes to the target instead of what was sent."""

    denial: Denial | None
    payload: dict[str, Any] | None

    def over(self) -> None:
        """It has ended: what it holds is given back. Once."""


class MessageJudge(Protocol):
    """Judges operations that come as messages of a WebSocket, up to `message_bytes` each."""

    message_bytes: int

    async def judge_message(self, exchange: Exchange, members: dict[str, Any], unix: float) -> OperationInFlight:
        """`exchange` is the handshake's, `unix` the time by now."""
        ...


class Observer(Protocol):
    """Sees each exchange once, when it is over. Must not raise, must not block, must not keep the exchange."""

    def closed(self, exchange: Exchange) -> None: ...


class AnswerPolicy(Protocol):
    """What becomes of a route's answers (`stages.AnswerStages`)."""

    def open(self, exchange: Exchange) -> None:
        """Put in front of the exchange's sink what every answer of this route goes through."""

    def relayed(self, exchange: Exchange) -> ResponseSink:
        """What a target's answer is written to."""

    def query(self, exchange: Exchange) -> bytes | None:
        """The query towards the target."""

    def towards_target(self, headers: list[Header]) -> list[Header]:
        """The request's fields, adapted to what will be done to the answer."""


class RoutePlan:
    """One route, ready to serve. `upstream` is None for redirects and for routes that name it by a path parameter."""

    __slots__ = (
        "answer",
        "body_bytes",
        "by_body",
        "cache",
        "config",
        "forms",
        "front",
        "gateway_owned_fields",
        "guards",
        "mirror",
        "name",
        "needs_rest",
        "patience",
        "patient_for",
        "redirect",
        "request_transform",
        "respond",
        "response_transform",
        "rewrite_back",
        "rewriter",
        "splits",
        "stream",
        "timed",
        "timeout",
        "tracing",
        "trusts_traces",
        "upstream",
        "upstream_param",
        "websocket",
    )

    def __init__(
        self,
        config: RouteConfig,
        guards: tuple[Guard, ...],
        upstream: LiveUpstream | None,
        body_bytes: int,
        gateway_owned_fields: frozenset[bytes],
        tracing: RouteTracing | None = None,
        answer: AnswerPolicy | None = None,
        cache: RouteCache | None = None,
    ) -> None:
        self.config = config
        self.cache = cache
        #: Stages that answers go through; None for almost every route.
        self.answer = answer
        self.name = config.name
        #: Other routes that only the body tells apart from this one; None almost always.
        self.by_body: BodyChoice[RoutePlan] | None = None
        #: The way into channels that answers its requests; "" where they go to a target.
        self.front = config.front
        self.guards = guards
        self.upstream = upstream
        name = config.upstream or ""
        self.upstream_param = name[1:-1] if name[:1] == "{" else ""
        self.redirect: Redirect | None = config.redirect
        static = config.respond
        self.respond = None if static is None else LocalResponse("respond", static.headers, static.body, static.status)
        self.rewrite_back: RewriteBack | None = config.rewrite_back
        self.rewriter: PathRewriter | None = config.rewrite.compile()
        #: Whether what a prefix leaves of the path is asked for at all.
        self.needs_rest = self.rewriter is not None or config.redirect is not None
        self.request_transform = HeaderTransform.compile(config.request_headers)
        self.response_transform = HeaderTransform.compile(config.response_headers)
        self.gateway_owned_fields = gateway_owned_fields
        self.body_bytes = body_bytes
        self.timeout = config.timeout
        #: Whether answers carry Server-Timing; then the guards are timed.
        self.timed = config.server_timing
        self.splits = tuple(SplitRule(s.upstream, s.weight, s.header, s.consumers) for s in config.splits)
        self.mirror = config.mirror
        #: What is asked of event streams; None where they pass as they come.
        self.stream = next((each for each in config.policies if isinstance(each, StreamPolicy)), None)
        first_event = 0.0 if self.stream is None else self.stream.first_event
        #: Its own deadlines; None where the upstream's hold.
        self.patience: Patience | None = None
        self.patient_for: dict[Timeouts, Timeouts] = {}
        if config.first_byte is not None or config.idle is not None or first_event:
            self.patience = Patience(config.first_byte, config.idle, first_event)
        #: What is asked of WebSockets after their handshake; None where they pass byte for byte.
        self.websocket = next((each for each in config.policies if isinstance(each, WebSocketPolicy)), None)
        #: How refusals are said to GraphQL clients; None on other routes.
        self.forms = next(
            (RefusalForms(each.draft, each.legacy) for each in config.policies if isinstance(each, GraphQLPolicy)), None
        )
        #: How its requests are traced; None where they are not.
        self.tracing = tracing
        self.trusts_traces = config.trace.trust

    def patient(self, timeouts: Timeouts) -> Timeouts:
        """The deadlines of an upstream with the route's own in their place; made once for each upstream it goes to."""
        patience = self.patience
        if patience is None:
            return timeouts
        known = self.patient_for.get(timeouts)
        if known is None:
            known = self.patient_for[timeouts] = patience.of(timeouts)
        return known

    def with_guards(self, guards: tuple[Guard, ...]) -> RoutePlan:
        """The same plan with these guards in place of its own."""
        return RoutePlan(
            self.config,
            guards,
            self.upstream,
            self.body_bytes,
            self.gateway_owned_fields,
            self.tracing,
            self.answer,
            self.cache,
        )

    def __repr__(self) -> str:
        return f"<RoutePlan {self.name} {self.config.match.path.text} -> {self.config.upstream}>"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The compiled configuration in force. Immutable but for the live state its upstreams carry."""

    revision: str
    configuration: Configuration
    table: RouteTable[RoutePlan]
    plans: Mapping[str, RoutePlan]
    upstreams: Mapping[str, LiveUpstream]
    #: How requests are traced that no route takes; None where nothing is.
    tracing: RouteTracing | None = None
    #: Request fields that are between the gateway and the proxies before it: no target gets them from anybody.
    private_fields: frozenset[bytes] = frozenset()
    #: Some route keeps `%2F` in paths; the others still refuse it.
    keeps_slashes: bool = False


class Current:
    """The snapshot in force, swapped as a whole."""

    __slots__ = ("snapshot",)

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
