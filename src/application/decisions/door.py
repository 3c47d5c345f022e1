"""The decision API: a front door that answers whether another proxy may forward a request, and stops there.

A decision opens an exchange about the request that the front describes, routes and admits it like any other, and answers
200 with the caller's identity, or the refusal itself. Guards that look into a body, keep an answer or hold a place until
the answer is over are left out: a front sends no body, and tells of no answer (docs/decisions.md).
"""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from spork.application.configuration.decisions import LEFT_OUT, Decisions
from spork.application.decisions.sink import DecisionSink
from spork.application.exchange.answers import ProblemResponses
from spork.application.exchange.exchange import Current, Exchange, RoutePlan, Snapshot
from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import RequestBody, ResponseSink
from spork.application.pipeline.admission import NO_ROUTE, Admission, admit, begin_trace, route
from spork.application.pipeline.forwarder import Forwarder
from spork.application.pipeline.redirects import redirect
from spork.domain.decisions.fronts import DECIDE, IDENTITY_FIELDS, ROUTE_FIELD, SECRET_FIELD, asked
from spork.domain.http.authority import HostList
from spork.domain.http.head import Header, RequestHead
from spork.domain.http.proxies import TrustedProxies
from spork.domain.outcomes import Abandoned, Denial, Fault, FaultKind, LocalResponse, Side

log = logging.getLogger("spork.decide")

#: How a peer on a unix socket is named in `decisions.from`.
UNIX: Final = "unix"
_INTERNAL: Final = Fault(FaultKind.PROXY_INTERNAL_ERROR, Side.GATEWAY)
_NOT_SAID: Final = Denial("no_route", "The gateway answers this by itself, which the proxy that asks cannot pass on.")
_EMPTY: Final[dict[bytes, bytes]] = dict.fromkeys(IDENTITY_FIELDS, b"")


class NoBody:
    """`RequestBody` of a request whose body stays with the front."""

    length = 0
    received = 0

    def whole(self) -> bytes | None:
        return b""

    async def read(self) -> bytes:
        return b""

    def limit(self, maximum: int) -> None:
        """Nothing to bound."""


class DecidingPlans(Mapping[str, RoutePlan]):
    """The plans of a snapshot without the guards that a decision leaves out; each is made when it is first asked for."""

    def __init__(self, plans: Mapping[str, RoutePlan]) -> None:
        self._plans = plans
        self._made: dict[str, RoutePlan] = {}

    def __getitem__(self, name: str) -> RoutePlan:
        plan = self._made.get(name)
        if plan is None:
            whole = self._plans[name]
            plan = whole.with_guards(tuple(guard for guard in whole.guards if guard.phase not in LEFT_OUT))
            self._made[name] = plan
        return plan

    def __iter__(self) -> Iterator[str]:
        return iter(self._plans)

    def __len__(self) -> int:
        return len(self._plans)


class _InForce:
    """What one snapshot says of decisions, made when it is first seen."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.of = snapshot
        self.plans = DecidingPlans(snapshot.plans)
        self.snapshot = replace(snapshot, plans=self.plans)
        configuration = snapshot.configuration
        decisions = configuration.decisions or Decisions()
        self.fronts = frozenset(decisions.fronts)
        self.normalize = frozenset(decisions.normalize)
        self.secret = decisions.secret.encode()
        self.allows_unknown = decisions.unknown == "allow"
        self.unix = UNIX in decisions.peers
        self.peers = TrustedProxies(peer for peer in decisions.peers if peer != UNIX)
        self.hosts = HostList(configuration.hosts)

    def trusts(self, head: RequestHead) -> bool:
        """Whether the asking peer may be told anything at all."""
        if not (self.peers.trusts(head.peer) if head.peer else self.unix):
            return False
        given = [value for name, value in head.headers if name == SECRET_FIELD]
        return not self.secret or (len(given) == 1 and hmac.compare_digest(given[0], self.secret))


class DecisionCounts:
    """Decisions by front, route and result. Implements `Meter`."""

    def __init__(self) -> None:
        self.counts: dict[tuple[str, str, str], int] = {}

    def count(self, front: str, route: str, result: str) -> None:
        """`result`: allow, deny, or answer (a redirect)."""
        key = (front, route, result)
        self.counts[key] = self.counts.get(key, 0) + 1

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        for key, count in self.counts.items():
            yield ("gateway_decisions_total", key, float(count))


class DecisionDoor:
    """Implements `Gateway` for requests below `/decide/`."""

    def __init__(
        self,
        admission: Admission,
        forwarder: Forwarder,
        refusals: ProblemResponses,
        current: Current,
        counts: DecisionCounts,
    ) -> None:
        self._admission = admission
        self._forwarder = forwarder
        self._refusals = refusals
        self._current = current
        self._counts = counts
        self._in_force = _InForce(current.snapshot)

    async def handle(self, head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        """Answer one question. Raises nothing but the cancellation it was sent."""
        snapshot = self._current.snapshot
        if self._in_force.of is not snapshot:
            self._in_force = _InForce(snapshot)
        rules = self._in_force
        front = head.path[len(DECIDE) :].partition(b"/")[0].decode("ascii", "replace")
        if not head.path.startswith(DECIDE) or front not in rules.fronts or not rules.trusts(head):
            self._say(NO_ROUTE, sink)
            return
        about = asked(front, head, rules.hosts, front in rules.normalize)
        told = DecisionSink(sink, front)
        if isinstance(about, Denial):
            self._counts.count(front, "", "deny")
            self._say(about, told)
            return
        await self._decide(front, about, _asked_as(head), told, rules)

    async def _decide(
        self, front: str, head: RequestHead, request_id: bytes, sink: DecisionSink, rules: _InForce
    ) -> None:
        forwarder = self._forwarder
        exchange = self._admission.open(head, NoBody(), sink)
        exchange.snapshot = rules.snapshot
        exchange.request_id_bytes = request_id or exchange.request_id_bytes
        try:
            verdict = await self._judge(exchange, rules)
            if verdict is None or (isinstance(verdict, LocalResponse) and verdict.kind == "preflight"):
                # What a preflight is answered is the target's, or the front's own, to say.
                result, verdict = "allow", _allowed(exchange)
            else:
                result = "deny" if isinstance(verdict, Denial) else "answer"
            self._counts.count(front, exchange.plan.name if exchange.plan is not None else "", result)
            forwarder.answer_verdict(exchange, verdict)
        except FaultError as error:
            forwarder.fail(exchange, error.fault)
        except asyncio.CancelledError:
            exchange.outcome = Abandoned()
            exchange.status = exchange.status or 499
            exchange.reason = FaultKind.CLIENT_GONE.value
            raise
        except Exception:
            log.exception("internal error, request %s", exchange.request_id)
            forwarder.fail(exchange, _INTERNAL)
        finally:
            forwarder.close(exchange)

    async def _judge(self, exchange: Exchange, rules: _InForce) -> Denial | LocalResponse | None:
        """The first verdict that ends the exchange; None admits it."""
        found = route(exchange)
        begin_trace(exchange)
        if isinstance(found, Denial):
            return None if found is NO_ROUTE and rules.allows_unknown else found
        exchange.plan = plan = rules.plans[found.name]
        asked_guards = admit(exchange, plan)
        verdict = (
            asked_guards
            if asked_guards is None or isinstance(asked_guards, Denial | LocalResponse)
            else await asked_guards
        )
        plan = exchange.plan or plan
        if verdict is None and plan.redirect is not None:
            return redirect(plan.redirect, exchange)
        if verdict is None and plan.config.front:
            return _NOT_SAID
        if verdict is None:
            verdict = plan.respond
        if isinstance(verdict, LocalResponse) and verdict.kind != "preflight" and (verdict.status or 200) < 300:
            return _NOT_SAID  # a front would take it for leave to forward
        return verdict

    def _say(self, denial: Denial, sink: ResponseSink) -> None:
        """Answer a question that is none."""
        answer = self._refusals.deny(denial, "")
        sink.start(answer.status, list(answer.headers))
        sink.write(answer.body)
        sink.finish()


def _asked_as(head: RequestHead) -> bytes:
    """The request id that the front gave, b"" where it gave none that can be one."""
    given = head.header(b"x-request-id") or b""
    return given if len(given) <= 128 and given.isascii() and b" " not in given else b""


def _allowed(exchange: Exchange) -> LocalResponse:
    """The answer that lets a front forward: every identity field, empty where nothing is known."""
    plan = exchange.plan
    told = _EMPTY.copy()
    for name, value in exchange.request_headers:
        if name in told:
            told[name] = value
    if plan is not None:
        told[ROUTE_FIELD] = plan.name.encode("ascii", "replace")
        if exchange.identity_for is not None and plan.upstream is not None:
            told[b"x-gateway-identity"] = exchange.identity_for(plan.upstream.name)
    headers: list[Header] = list(told.items())
    return LocalResponse("allow", tuple(headers))
