"""GraphQL operations are read, bounded, priced and allowed before they cost anything (`graphql:`).

Stands before limits by caller, which charge what an operation costs. A document that was seen before is judged at once; what must
wait (a body on its way, a shared store, a budget) is an awaitable.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import Diagnostic
from spork.application.exchange.bodies import HeldBody
from spork.application.exchange.codings import Codings
from spork.application.exchange.exchange import NO_FIELDS, Exchange, OperationInFlight, Verdict
from spork.application.exchange.graphql import GraphQLAsked
from spork.application.exchange.json_values import JsonValues, NotJson
from spork.application.exchange.reading import BodyReader, Read
from spork.application.graphql.asking import asked_in_body, canonical_query, expanded, members_of_query
from spork.application.graphql.documents import DocumentCache, KnownDocument
from spork.application.graphql.judging import Judge
from spork.application.graphql.operations import OperationCounters
from spork.application.graphql.registered import Registered
from spork.application.graphql.resolving import Resolved, resolve
from spork.application.graphql.socket_operations import ExpandedPayload, SocketOperation, exchange_of
from spork.application.graphql.stored import DocumentStore
from spork.application.guards.decode import CODED_FIELDS
from spork.application.guards.policy import Policy, declared
from spork.application.limits.descriptors import identify_by
from spork.application.views import GuardVerdict
from spork.domain.graphql.identity import digest_of
from spork.domain.graphql.judging import MALFORMED, Refusal
from spork.domain.graphql.policy import Bounds, GraphQLPolicy, PersistedQueries
from spork.domain.graphql.requests import Asked, Malformed, asked_of
from spork.domain.graphql.schema import Schema
from spork.domain.graphql.transport_ws import SUBPROTOCOL
from spork.domain.http.websocket_policy import offered
from spork.domain.limits.limit import Admitted, Charge, Limit, RateLimiter, Throttled
from spork.domain.outcomes import Answered, Denial, Denied, Local, LocalResponse

_TOO_LARGE: Final = Denial("body_too_large", "The request body is larger than this address takes.", close=True)
_MEDIA: Final = Denial("unsupported_media_type", "GraphQL requests are application/json.")
_METHODS: Final = Denial("method_not_allowed", "GraphQL requests are GET or POST.", headers=((b"allow", b"GET, POST"),))
_ONLY_POST: Final = Denial(
    "method_not_allowed",
    "Only queries are taken with GET.",
    headers=((b"allow", b"POST"),),
    members={"code": "METHOD_NOT_ALLOWED"},
)
_NOT_ACCEPTABLE: Final = Denial("graphql_not_acceptable", "None of the accepted media types is one of GraphQL answers.")
_NO_SUBSCRIPTIONS: Final = Refusal(
    "graphql_subscriptions_refused", "SUBSCRIPTIONS_DISABLED", "Subscriptions are not taken here."
)
_UNREGISTERED: Final = Refusal(
    "graphql_document_refused", "DOCUMENT_NOT_REGISTERED", "Only registered documents are taken here."
)
_NO_PROTOCOL: Final = Denial("bad_subprotocol", "The subprotocol spoken here is graphql-transport-ws.")
_NO_STREAM: Final = Denial(
    "graphql_not_acceptable", "Subscriptions are answered as text/event-stream, or over a WebSocket."
)
_OF_HANDSHAKES: Final = frozenset((b"sec-websocket-protocol", b"sec-websocket-extensions"))
_ANSWERS: Final = (
    b"application/json", b"application/graphql-response+json", b"application/*", b"*/*", b"text/event-stream", b"multipart/mixed",
)  # fmt: skip
_JSON: Final = b"application/json"


class GraphQLGuard:
    """Judges every operation of a request; one bad operation of a batch refuses them all."""

    phase = "graphql"

    def __init__(
        self,
        judge: Judge,
        cache: DocumentCache,
        bodies: BodyReader,
        values: JsonValues,
        limiter: RateLimiter,
        canonical: bool,
        registered: Registered,
        store: DocumentStore,
        scope: str,
        count: Callable[[Exchange], None],
    ) -> None:
        self._count = count
        self._registered = registered
        self._store = store
        #: What persisted queries and limits of rules are kept under.
        self._scope = scope
        self._judge = judge
        self._policy = policy = judge.policy
        self._cache = cache
        self._bodies = bodies
        self._values = values
        self._limiter = limiter
        #: Whether a GET is said in its one canonical form, which a cache keys by.
        self._canonical = canonical
        self._budget = None if policy.unknown is None else replace(policy.unknown, scope=scope)
        self._identify = identify_by("ip" if policy.unknown is None else policy.unknown.by)
        self._rule_limits = {
            at: [(replace(limit, scope=scope), identify_by(limit.by)) for limit in rule.limits]
            for at, rule in enumerate(policy.operations)
            if rule.limits
        }
        open_ones = policy.subscriptions
        self._open = None
        if open_ones is not None:
            self._open = (replace(open_ones.open, scope=scope), identify_by(open_ones.open.by))
        self._most = self.message_bytes = most_bytes(policy.bounds)
        self.response_fields = (
            frozenset((b"graphql-cost",)) if policy.cost is not None and policy.cost.header else NO_FIELDS
        )

    # ------------------------------------------------------------------------------------------------- the request

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        head = exchange.head
        if head.upgrade:
            return self._handshake(exchange)
        accept = head.header(b"accept")
        if accept is not None and b"json" not in accept and b"*/*" not in accept and not _acceptable(accept):
            return self._deny(exchange, _NOT_ACCEPTABLE)
        if head.method == "POST":
            if _media_type(exchange) != _JSON:
                return self._deny(exchange, _MEDIA)
            read = self._bodies.read(exchange, self._most)
            if read is None or isinstance(read, bytes | Denial):
                return self._body(exchange, read)
            return self._later(exchange, read)
        if head.method in ("GET", "HEAD"):
            try:
                return self._asked(exchange, [asked_of(members_of_query(head.query, self._values))])
            except Malformed as error:
                return self._malformed(exchange, str(error))
        return None if head.method == "OPTIONS" else self._deny(exchange, _METHODS)

    def _handshake(self, exchange: Exchange) -> Verdict:
        """A WebSocket, whose messages are judged one by one; nothing is agreed on that would hide them."""
        if self._policy.subscriptions is None:
            return self._refuse(exchange, _NO_SUBSCRIPTIONS)
        head = exchange.head
        if SUBPROTOCOL not in offered(head.headers):
            return self._deny(exchange, _NO_PROTOCOL)
        kept = [header for header in head.headers if header[0] not in _OF_HANDSHAKES]
        head.headers = (*kept, (b"sec-websocket-protocol", SUBPROTOCOL))
        exchange.socket_judge = self
        return None

    async def judge_message(self, exchange: Exchange, members: dict[str, Any], unix: float) -> OperationInFlight:
        """One `subscribe` of a socket: its payload is judged and charged as a request of its own would be."""
        one = exchange_of(exchange, unix)
        operation = SocketOperation(one)
        verdict: Verdict | Awaitable[Verdict]
        try:
            asked = asked_of(members)
        except Malformed as error:
            verdict = self._malformed(one, str(error))
        else:
            verdict = self._asked(one, [asked], members)
        verdict = await verdict if isinstance(verdict, Awaitable) else verdict
        if verdict is None and exchange.plan is not None:
            for guard in exchange.plan.guards:
                if guard.phase == "limits":
                    charged = guard.admit(one)
                    verdict = await charged if isinstance(charged, Awaitable) else charged
                    if verdict is not None:
                        break
        if isinstance(verdict, Denial):
            operation.denial = verdict
            one.outcome = Denied(verdict, 0)
            one.reason = verdict.reason
        elif isinstance(one.body, ExpandedPayload):
            operation.payload = one.body.value
        return operation

    async def _later(self, exchange: Exchange, read: Awaitable[Read]) -> Verdict:
        verdict = self._body(exchange, await read)
        return verdict if verdict is None or isinstance(verdict, Denial | LocalResponse) else await verdict

    def _body(self, exchange: Exchange, read: Read) -> Verdict | Awaitable[Verdict]:
        if read is None:
            return self._deny(exchange, _TOO_LARGE)
        if isinstance(read, Denial):
            return self._deny(exchange, read)
        try:
            value = self._values.read_request(read)
            asked = asked_in_body(value, self._policy.bounds.batch)
        except (NotJson, Malformed) as error:
            return self._malformed(exchange, str(error))
        bounds = self._policy.bounds
        if len(asked) > bounds.batch:
            return self._refuse(
                exchange, _exceeded("MAX_BATCH_EXCEEDED", "The batch is too long.", bounds.batch, len(asked))
            )
        if len(read) > bounds.variables:
            for one in asked:
                size = len(self._values.write(one.variables)) if one.variables else 0
                if size > bounds.variables:
                    found = Refusal(
                        "graphql_too_large",
                        "MAX_VARIABLES_EXCEEDED",
                        "The variables are too large.",
                        bounds.variables,
                        size,
                    )
                    return self._refuse(exchange, found)
        return self._asked(exchange, asked, value)

    # ----------------------------------------------------------------------------------------------- the documents

    def _asked(self, exchange: Exchange, asked: list[Asked], value: Any = None) -> Verdict | Awaitable[Verdict]:
        """At once where the only document was seen before; else an awaitable. `value` is the body that was read."""
        first = asked[0]
        if len(asked) == 1 and not first.document_id and not first.persisted:
            try:
                digest = digest_of(first.text)
            except ValueError:
                return self._malformed(exchange, "the document is no text")
            known = self._cache.get(self._judge.digest, digest)
            if known is not None:
                vouched = digest in self._registered.digests
                return self._decide(exchange, [Resolved(first, first.text, digest, vouched)], (known,), value)
        return self._unseen(exchange, asked, value)

    async def _unseen(self, exchange: Exchange, asked: list[Asked], value: Any) -> Verdict:
        resolved: list[Resolved] = []
        store = self._store if self._policy.apq is not None else None
        for one in asked:
            found = await resolve(one, self._registered, store, self._scope)
            if isinstance(found, Refusal):
                if (refused := self._refuse(exchange, found)) is not None:
                    return refused
                return None  # only observed: the target says what it makes of it
            resolved.append(found)
        if self._budget is not None:
            refused = await self._spend(exchange, resolved, self._budget)
            if refused is not None:
                return refused
        knowns = [self._known(one) for one in resolved]
        verdict = self._decide(exchange, resolved, knowns, value)
        return verdict if verdict is None or isinstance(verdict, Denial | LocalResponse) else await verdict

    async def _spend(self, exchange: Exchange, resolved: Sequence[Resolved], budget: Limit) -> Verdict:
        """Charge the budget of documents that nobody has seen or vouched for."""
        fresh = {
            one.digest for one in resolved if not one.vouched and not self._cache.seen(self._judge.digest, one.digest)
        }
        if not fresh:
            return None
        throttled = await self._acquire(exchange, [Charge(budget, self._identify(exchange), len(fresh))])
        if throttled is None:
            return None
        denial = Denial(
            "graphql_unknown_documents", "Too many documents that were never seen before.",
            retry_after=max(1.0, throttled.retry_after), members={"code": "UNKNOWN_DOCUMENTS_EXCEEDED"},
        )  # fmt: skip
        return self._deny(exchange, denial)

    async def _acquire(self, exchange: Exchange, charges: list[Charge]) -> Throttled | None:
        asked = self._limiter.acquire(charges, None if self._limiter.keeps_time else exchange.unix)
        decision = await asked if isinstance(asked, Awaitable) else asked
        if isinstance(decision, Admitted) and decision.lease is not None:
            lease = decision.lease
            exchange.at_close(lambda _: self._limiter.release(lease))
        return decision if isinstance(decision, Throttled) else None

    def _known(self, one: Resolved) -> KnownDocument:
        known = self._cache.get(self._judge.digest, one.digest)
        if known is None:
            known = self._judge.read(one.text, one.digest, one.asked.variables)
            self._cache.put(self._judge.digest, known)
        return known

    # ------------------------------------------------------------------------------------------------- the verdict

    def _decide(
        self, exchange: Exchange, resolved: Sequence[Resolved], knowns: Sequence[KnownDocument], value: Any
    ) -> Verdict | Awaitable[Verdict]:
        judge = self._judge
        policy = self._policy
        cost = 0
        limited: tuple[int, ...] = ()
        subscribed = False
        first: GraphQLAsked | None = None
        for one, known in zip(resolved, knowns, strict=True):
            judged = judge.choose(known, one.asked.operation)
            if isinstance(judged, Refusal):
                if exchange.graphql is None:
                    self._note(exchange, GraphQLAsked("", "", known.digest, 0, False))
                return self._refuse(exchange, judged)
            operation = judged.operation
            cost += judge.cost_of(judged, known.document, one.asked.variables)
            if first is None:
                registered = one.digest in self._registered.digests
                first = GraphQLAsked(
                    operation.name, operation.kind, known.digest, cost, registered, len(resolved), one.text
                )
                self._note(exchange, first)
            if policy.documents != "any" and (refused := self._unregistered(exchange, one)) is not None:
                return refused
            refusal = judge.refusal_of(judged, exchange.principal)
            if refusal is not None:
                return self._refuse(exchange, refusal)
            if operation.kind != "query":
                verdict = self._kind(exchange, operation.kind)
                if verdict is not None:
                    return verdict
                subscribed = subscribed or operation.kind == "subscription"
            limited += judged.rules
        if first is not None:
            first.cost = cost
        rules = policy.cost
        if rules is not None:
            if rules.header:
                exchange.response_headers.append((b"graphql-cost", b"%d" % cost))
            if 0 < rules.most < cost:
                return self._refuse(
                    exchange, _exceeded("COST_LIMIT_EXCEEDED", "The operation costs too much.", rules.most, cost)
                )
        if subscribed or (limited and self._rule_limits):
            return self._limit(exchange, resolved, limited, value, subscribed)
        return self._passed(exchange, resolved, value)

    async def _limit(
        self, exchange: Exchange, resolved: Sequence[Resolved], rules: tuple[int, ...], value: Any, subscribed: bool
    ) -> Verdict:
        """Charge the limits of the rules that the operations fall under, and of open subscriptions."""
        charges: dict[tuple[str, str], Charge] = {}
        for at in rules:
            for limit, identify in self._rule_limits.get(at, ()):
                identity = identify(exchange)
                before = charges.get((limit.name, identity))
                charges[(limit.name, identity)] = Charge(
                    limit, identity, 1 + (before.cost if before is not None else 0)
                )
        if subscribed and self._open is not None:
            limit, identify = self._open
            charges[(limit.name, "")] = Charge(limit, identify(exchange))
        throttled = await self._acquire(exchange, list(charges.values())) if charges else None
        if throttled is not None:
            violated = [state.limit.name for state in throttled.states if state.refused]
            many = violated == ["subscriptions"]
            denial = Denial(
                "concurrency_exceeded" if many else "quota_exceeded",
                "Too many subscriptions are open." if many else "The quota of this operation is used up.",
                retry_after=max(1.0, throttled.retry_after), members={"violated-policies": violated},
                limits=tuple(violated),
            )  # fmt: skip
            if (refused := self._deny(exchange, denial)) is not None:
                return refused
        return self._passed(exchange, resolved, value)

    def _unregistered(self, exchange: Exchange, one: Resolved) -> Verdict:
        """Refuse a document that is not registered, unless the caller may send what it likes."""
        if one.digest in self._registered.digests:
            return None
        principal = exchange.principal
        if self._policy.documents == "known" and principal is not None and self._policy.arbitrary & principal.roles:
            return None
        return self._refuse(exchange, _UNREGISTERED)

    def _passed(self, exchange: Exchange, resolved: Sequence[Resolved], value: Any) -> Verdict:
        """What goes to the target: texts instead of ids, a GET in its one form; what may be persisted is, at the end."""
        policy = self._policy
        changed = False
        for at, one in enumerate(resolved):
            asked = one.asked
            if asked.persisted and asked.text and policy.apq is not None:
                exchange.at_close(_Persist(self._store, self._scope, one, policy.apq))
            if policy.expand and (asked.persisted or asked.document_id):
                changed = True
                if isinstance(value, list):
                    value[at] = expanded(value[at], one.text)
                elif isinstance(value, dict):
                    value = expanded(value, one.text)
        if exchange.head.upgrade:
            if changed:
                exchange.body = ExpandedPayload(value)
        elif exchange.head.method == "POST":
            if changed and isinstance(exchange.body, HeldBody):
                exchange.body.replace(self._values.write(value))
                exchange.consumed |= CODED_FIELDS
        elif self._canonical or changed:
            exchange.head.query = canonical_query(
                exchange.head.query, resolved[0].asked, self._values, resolved[0].text
            )
        return None

    def _kind(self, exchange: Exchange, kind: str) -> Verdict:
        """Mutations are of POST (GraphQL over HTTP, GET); subscriptions of routes that take them, and of clients that can read a
        stream of answers."""
        head = exchange.head
        if kind == "mutation":
            return None if head.method == "POST" or head.upgrade else self._deny(exchange, _ONLY_POST)
        if self._policy.subscriptions is None:
            return self._refuse(exchange, _NO_SUBSCRIPTIONS)
        if not head.upgrade:
            accept = (head.header(b"accept") or b"").lower()
            if b"text/event-stream" not in accept and (b"multipart/mixed" not in accept or head.method != "POST"):
                return self._deny(exchange, _NO_STREAM)
        return None

    def _note(self, exchange: Exchange, asked: GraphQLAsked) -> None:
        """What is asked for is known, and counted when it is over."""
        exchange.graphql = asked
        exchange.at_close(self._count)

    def _malformed(self, exchange: Exchange, why: str) -> Verdict:
        return self._refuse(exchange, Refusal(MALFORMED, "BAD_REQUEST", f"The request is not well-formed: {why}."))

    def _refuse(self, exchange: Exchange, refusal: Refusal) -> Verdict:
        members: dict[str, object] = {"code": refusal.code}
        if refusal.limit >= 0:
            members["limit"] = refusal.limit
        if refusal.found >= 0:
            members["found"] = refusal.found
        return self._deny(exchange, Denial(refusal.reason, refusal.message, members=members))

    def _deny(self, exchange: Exchange, denial: Denial) -> Verdict:
        """The refusal; nothing where the policy only observes."""
        if exchange.graphql is None:
            self._note(exchange, GraphQLAsked("", "", "", 0, False))
        assert exchange.graphql is not None
        if not self._policy.observe:
            return denial
        exchange.graphql.refused = denial.reason
        return None

    async def explain(self, exchange: Exchange) -> GuardVerdict:
        """With a body at hand (`explain --data`) what the operation is and costs; nothing is charged or remembered."""
        head = exchange.head
        if head.method == "POST" and exchange.body.length == 0:
            return GuardVerdict(self.phase, "unknown", "depends on the operation; give it with --data")
        probe = GraphQLGuard(
            self._judge, DocumentCache(), self._bodies, self._values, self._limiter, self._canonical, self._registered,
            self._store, self._scope, self._count,
        )  # fmt: skip
        probe._budget = None
        probe._rule_limits = {}
        asked = probe.admit(exchange)
        verdict = await asked if isinstance(asked, Awaitable) else asked
        said = exchange.graphql
        if isinstance(verdict, Denial):
            more = "".join(
                f", {name} {verdict.members[name]}" for name in ("code", "limit", "found") if name in verdict.members
            )
            return GuardVerdict(self.phase, "refuse", f"{verdict.reason}: {verdict.detail}{more}")
        if said is None or not said.kind:
            return GuardVerdict(self.phase, "pass", "nothing to judge")
        name = f" {said.name}" if said.name else ""
        observed = f"; would be refused: {said.refused}" if said.refused else ""
        return GuardVerdict(
            self.phase, "pass", f"{said.kind}{name}, cost {said.cost}, sha256:{said.document_id}{observed}"
        )


class _Persist:
    """Keeps a persisted query once its request has been let through by every guard."""

    __slots__ = ("_one", "_rules", "_scope", "_store")

    def __init__(self, store: DocumentStore, scope: str, one: Resolved, rules: PersistedQueries) -> None:
        self._store = store
        self._scope = scope
        self._one = one
        self._rules = rules

    def __call__(self, exchange: Exchange) -> None:
        if isinstance(exchange.outcome, Answered | Local):
            self._store.put(self._scope, self._one.digest, self._one.text, self._rules.ttl, self._rules.entries)


def _media_type(exchange: Exchange) -> bytes:
    value = exchange.head.header(b"content-type")
    return b"" if value is None else value.partition(b";")[0].strip().lower()


def _acceptable(accept: bytes) -> bool:
    """Whether some type is accepted that GraphQL answers have."""
    lowered = accept.lower()
    return any(kind in lowered for kind in _ANSWERS)


def _exceeded(code: str, message: str, limit: int, found: int) -> Refusal:
    return Refusal("graphql_limit_exceeded", code, message, limit, found)


def most_bytes(bounds: Bounds) -> int:
    """The largest body that can be within bounds: texts double by their escapes in JSON."""
    return (2 * bounds.bytes + bounds.variables + 16 * 1024) * bounds.batch


class Sources(Protocol):
    """Reads what a policy names. Raises ValueError, OSError for what was found wrong when it was checked."""

    def schema(self, policy: GraphQLPolicy) -> Schema | None: ...

    def registered(self, policy: GraphQLPolicy) -> Registered: ...


class GraphQLPolicies(Policy):
    """`graphql:` of routes."""

    phase = "graphql"

    def __init__(
        self,
        codings: Codings,
        values: JsonValues,
        cache: DocumentCache,
        limiter: RateLimiter,
        store: DocumentStore,
        sources: Sources,
        counters: OperationCounters,
    ) -> None:
        """`sources` reads what a policy names: its schema and its registered documents."""
        self._codings = codings
        self._values = values
        self._cache = cache
        self._limiter = limiter
        self._store = store
        self._sources = sources
        self._counters = counters

    def compile(self, route: RouteConfig, configuration: Configuration) -> GraphQLGuard | None:
        policy = declared(route, GraphQLPolicy)
        if policy is None:
            return None
        bodies = BodyReader(self._codings, route.decode)
        judge = Judge(policy, self._sources.schema(policy))
        registered = self._sources.registered(policy)
        self._counters.registered[route.name] = len(registered.digests)
        return GraphQLGuard(
            judge, self._cache, bodies, self._values, self._limiter, route.cache is not None, registered, self._store,
            route.name, self._counters.closed,
        )  # fmt: skip

    @classmethod
    def check(cls, route: RouteConfig, configuration: Configuration) -> Iterator[Diagnostic]:
        policy = declared(route, GraphQLPolicy)
        if policy is None:
            if any(limit.by_operation for limit in route.limits):
                path = f"routes[{configuration.routes.index(route)}].limits"
                yield Diagnostic(
                    path, "cost: graphql counts 1 on a route without graphql", "add graphql: {}", "warning"
                )
            return
        path = f"routes[{configuration.routes.index(route)}].graphql"
        if policy.documents != "only" and any(rule.names for rule in policy.operations):
            yield Diagnostic(
                f"{path}.operations", "names of operations are the client's words", "write documents: only"
            )
        if policy.documents != "any" and not policy.manifest:
            yield Diagnostic(f"{path}.manifest", "is empty, so no document is registered", "name its files")
        if policy.fields and not policy.schema:
            yield Diagnostic(f"{path}.fields", "needs a schema: without one nobody knows a field's type", "add schema")
        if policy.documents == "known" and not policy.arbitrary:
            yield Diagnostic(f"{path}.arbitrary", "is empty, so `known` is `only`", "name roles", "warning")
        if policy.documents != "known" and policy.arbitrary:
            yield Diagnostic(f"{path}.arbitrary", "has no effect but with documents: known", "leave it out", "warning")
        demands = (
            policy.fields
            or any(rule.needs for rule in policy.operations)
            or isinstance(policy.introspection, frozenset)
        )
        if demands and route.auth is None:
            yield Diagnostic(
                path, "asks for roles or scopes, and the route authenticates nobody", "add auth", "warning"
            )
        methods = route.match.accepts
        if methods and "POST" not in methods:
            yield Diagnostic(
                f"routes[{configuration.routes.index(route)}].match.methods",
                "lacks POST, which GraphQL clients use",
                "",
                "warning",
            )
        if policy.observe:
            yield Diagnostic(f"{path}.observe", "refuses nothing", "", "warning")
