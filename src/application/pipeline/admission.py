"""Admission of a request: open the exchange, find its route, ask the guards. The first three phases of every front door.

The Forwarder goes on from here to a target; a front door that only decides (for another proxy) stops here. Plain functions
wherever nothing suspends: `admit` answers a verdict at once, or an awaitable from the first guard that has to wait.
"""

from __future__ import annotations

import random
from binascii import hexlify
from collections.abc import Awaitable
from typing import Any, Final

from spork.application.configuration.model import Configuration
from spork.application.exchange.exchange import Current, Exchange, RoutePlan, Verdict
from spork.application.exchange.tracing import pass_on
from spork.application.kernel.clock import Clock
from spork.application.kernel.streams import RequestBody, ResponseSink
from spork.application.pipeline.client_address import ClientAddress
from spork.domain.http import forwarding
from spork.domain.http.head import BAD_TARGET, RequestHead
from spork.domain.outcomes import Denial, LocalResponse
from spork.domain.routing.table import Matched, MethodNotAllowed, NoRoute, RouteTable
from spork.domain.tracing.propagation import TRACE_FIELDS

NO_ROUTE: Final = Denial("no_route", "Nothing is served at this address.")
_LOOP: Final = Denial("loop_detected", "This request has been through this gateway before.")
#: Fields of a request that say something about how it came here.
_NOTED: Final = frozenset((b"x-request-id", b"via")) | TRACE_FIELDS


class _Nothing:
    """Body and sink of a request that was refused before it had either."""

    length = 0
    received = 0
    sent = 0
    started = True


_NOTHING: Final[Any] = _Nothing()


class Admission:
    """Opens exchanges on the snapshot in force. One per process, shared by every front door."""

    def __init__(self, current: Current, clock: Clock, chance: random.Random, clients: ClientAddress) -> None:
        self._current = current
        self._monotonic = clock.monotonic
        self._wall_clock = clock.unix
        self._bits = chance.getrandbits
        self._clients = clients

    @property
    def configuration(self) -> Configuration:
        """The one in force."""
        return self._current.snapshot.configuration

    def open(self, head: RequestHead, body: RequestBody, sink: ResponseSink) -> Exchange:
        """Start the exchange: clocks read once, the snapshot taken, the client known, ids given."""
        exchange = Exchange(head, body, sink, self._current.snapshot, self._monotonic(), self._wall_clock())
        given: dict[bytes, bytes] | None = None
        for header in head.headers:
            if header[0] in _NOTED:
                given = {} if given is None else given
                if header[0] not in TRACE_FIELDS:
                    given[header[0]] = header[1]
                elif exchange.trace_fields is None:
                    exchange.trace_fields = [header]
                else:
                    exchange.trace_fields.append(header)
        self._name(exchange)
        if given is not None:
            self.believe(exchange, given)
        elif self._clients.trusts(head.peer):
            self._ask_proxies(exchange)
        return exchange

    def believe(self, exchange: Exchange, given: dict[bytes, bytes]) -> None:
        """What a client says of itself; of who it is, what it is called and its trace only from a trusted proxy."""
        head = exchange.head
        if b"via" in given:
            exchange.looped = forwarding.passed_through(head.headers)
        if self._clients.trusts(head.peer):
            exchange.trace_trusted = True
            self._ask_proxies(exchange)
            request_id = given.get(b"x-request-id", b"")
            if 0 < len(request_id) <= 128 and request_id.isascii() and b" " not in request_id:
                exchange.request_id_bytes = request_id

    def _ask_proxies(self, exchange: Exchange) -> None:
        asked = self._clients.resolve(exchange.head)
        exchange.client = asked.address
        exchange.head.scheme = asked.scheme or exchange.head.scheme
        exchange.asked_host = asked.host

    def refused_at_the_edge(self, head: RequestHead, request_id: str) -> Exchange:
        """The exchange of a request that the edge refused, with what could be told of its head."""
        exchange = Exchange(head, _NOTHING, _NOTHING, self._current.snapshot, self._monotonic(), self._wall_clock())
        self._name(exchange)
        exchange.request_id_bytes = request_id.encode("ascii", "replace")
        return exchange

    def _name(self, exchange: Exchange) -> None:
        """Draw the ids of the request: its trace and span of our own, until a trusted caller's are found."""
        ids = hexlify(self._bits(192).to_bytes(24, "big"))
        token = ids[:32]
        exchange.request_id_bytes = token
        exchange.traceparent = b"00-%b-%b-02" % (token, ids[32:])


def route(exchange: Exchange) -> RoutePlan | Denial:
    """Find the plan, or say why there is none, or why this request cannot have it."""
    head = exchange.head
    table = exchange.snapshot.table
    host = "" if table.any_host else host_name(head.host)
    if head.method == "OPTIONS" and (method := preflight_for(head)):
        resolution = resolve_preflight(table, host, head, method)
    else:
        resolution = table.resolve(host, head.path, head.method, head.headers, head.query)
    if not isinstance(resolution, Matched):
        return no_route(resolution)
    exchange.plan = plan = resolution.route
    exchange.params = resolution.params
    if plan.needs_rest or plan.by_body is not None:
        exchange.rest = resolution.rest
    if exchange.looped:
        return _LOOP
    if exchange.snapshot.keeps_slashes and not plan.config.encoded_slashes and b"%2F" in head.path:
        return BAD_TARGET
    if plan.by_body is not None:
        return plan  # whose bounds hold is known once the body was looked into
    length = exchange.body.length
    if length is not None and length > plan.body_bytes:
        _let_browsers_read(exchange, plan)
        return Denial("body_too_large", "The request body is larger than this address takes.", close=True)
    if length != 0:
        exchange.body.limit(plan.body_bytes)
    return plan


def begin_trace(exchange: Exchange) -> None:
    """Begin the request's trace as its route says, or, where it is not traced, let a trusted caller's fields pass."""
    plan = exchange.plan
    tracing = exchange.snapshot.tracing if plan is None else plan.tracing
    if tracing is not None:
        tracing.begin(exchange)
    elif exchange.trace_fields is not None:
        pass_on(exchange, exchange.trace_trusted or (plan is not None and plan.trusts_traces))


def _let_browsers_read(exchange: Exchange, plan: RoutePlan) -> None:
    """Put the route's CORS fields on a refusal from before the guards, as they stand on every later one."""
    for guard in plan.guards:
        if guard.phase == "cors":
            guard.admit(exchange)


def admit(exchange: Exchange, plan: RoutePlan) -> Verdict | Awaitable[Verdict]:
    """What the plan's guards say, in their order: None lets the exchange go on, the first other verdict ends it.

    An awaitable only when a guard has to wait; awaiting it asks the guards behind that one, too.
    """
    for at, guard in enumerate(plan.guards):
        asked = guard.admit(exchange)
        if asked is not None:
            if isinstance(asked, Denial | LocalResponse):
                return asked
            return _wait(exchange, plan, at + 1, asked)
    return None


async def _wait(exchange: Exchange, plan: RoutePlan, at: int, waiting: Awaitable[Verdict]) -> Verdict:
    verdict = await waiting
    if verdict is not None:
        return verdict
    for guard in plan.guards[at:]:
        asked = guard.admit(exchange)
        if asked is not None:
            verdict = asked if isinstance(asked, Denial | LocalResponse) else await asked
            if verdict is not None:
                return verdict
    return None


def resolve_preflight(
    table: RouteTable[RoutePlan], host: str, head: RequestHead, method: str
) -> Matched[RoutePlan] | NoRoute | MethodNotAllowed:
    """Where a preflight for `method` goes: its policy is that of the route which the announced request will find.

    A route that leaves CORS to its target gets the preflight if it takes OPTIONS. Never is it answered by the policy of
    another route: that one says nothing about the request to come (Fetch, CORS-preflight fetch).
    """
    wanted = table.resolve(host, head.path, method, head.headers, head.query)
    if isinstance(wanted, Matched) and wanted.route.config.cors is not None:
        return wanted
    found = table.resolve(host, head.path, "OPTIONS", head.headers, head.query)
    if not isinstance(wanted, Matched) or not isinstance(found, Matched) or found.route is wanted.route:
        return found
    if found.route.config.cors is None:
        return found
    return MethodNotAllowed(tuple(sorted(wanted.route.config.match.accepts)))


def go_on(exchange: Exchange, name: str, phase: str) -> Verdict | Awaitable[Verdict]:
    """Leave the plan that was routed to for the one called `name`: its guards from `phase` on are asked."""
    exchange.plan = plan = exchange.snapshot.plans[name]
    at = next(at for at, guard in enumerate(plan.guards) if guard.phase == phase)
    for behind, guard in enumerate(plan.guards[at:], at + 1):
        asked = guard.admit(exchange)
        if asked is not None:
            return asked if isinstance(asked, Denial | LocalResponse) else _wait(exchange, plan, behind, asked)
    return None


def host_name(authority: bytes) -> str:
    """The host of a validated authority, without its port."""
    host = authority.decode("ascii")
    return host if host[-1:] == "]" else host.rpartition(":")[0] or host


def no_route(resolution: NoRoute | MethodNotAllowed) -> Denial:
    """Why no route takes a request, as a refusal."""
    if isinstance(resolution, NoRoute):
        return NO_ROUTE
    allow = ", ".join(resolution.allow).encode("ascii")
    return Denial("method_not_allowed", "This address takes other methods.", headers=((b"allow", allow),))


def preflight_for(head: RequestHead) -> str:
    """The method a CORS preflight asks about, or "" when this is none (Fetch standard, CORS-preflight request)."""
    if head.method != "OPTIONS" or head.header(b"origin") is None:
        return ""
    return (head.header(b"access-control-request-method") or b"").decode("ascii", "replace")
