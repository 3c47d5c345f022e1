"""Whether a service lets a request pass (`authorize:` of a route): asked with the request's facts, kept by chosen ones.

Equal questions that are asked at the same time are asked once. A service that does not answer lets nobody in, unless the
route says `on_error: allow`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Final, Protocol
from urllib.parse import urlsplit

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import Diagnostic
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.guards.policy import Policy, declared
from spork.application.kernel.events import EventSink
from spork.application.views import GuardVerdict
from spork.domain.identity.claim_headers import is_free
from spork.domain.identity.external_policy import (
    BY,
    ExternalPolicy,
    Facts,
    Judgement,
    No,
    NoAnswer,
    Question,
    facts_of,
    key_of,
    question,
)
from spork.domain.outcomes import Denial, LocalResponse

#: Answers kept at a time, per route.
MOST_KEPT: Final = 10_000
_REFUSED: Final = "The caller may not do this."


class Deciders(Protocol):
    """The services that are asked, each behind a circuit of its own."""

    def decide(self, policy: ExternalPolicy, asked: Question) -> Awaitable[Judgement]: ...


class ExternalDecisions:
    """Counts what services decided. A `Meter`."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def count(self, route: str, outcome: str) -> None:
        """`outcome`: allowed, denied, kept, failed (refused without an answer), let_through (passed without one)."""
        self._counts[route, outcome] = self._counts.get((route, outcome), 0) + 1

    def samples(self) -> Iterator[tuple[str, tuple[str, ...], float]]:
        for labels, count in self._counts.items():
            yield "gateway_external_authorization_total", labels, float(count)


class ExternalGuard:
    """Admits an exchange that one service says yes to."""

    phase = "external_authorization"
    response_fields = NO_FIELDS

    def __init__(
        self,
        route: str,
        policy: ExternalPolicy,
        deciders: Deciders,
        decisions: ExternalDecisions,
        events: EventSink | None = None,
    ) -> None:
        self._route = route
        self._policy = policy
        self._deciders = deciders
        self._decisions = decisions
        self._events = events
        self._told = frozenset(name.lower().encode("ascii") for name in policy.headers)
        self._own = frozenset(name.lower().encode("ascii") for name in policy.forward)
        self._kept: dict[str, tuple[Judgement, float]] = {}
        self._asking: dict[str, asyncio.Task[Judgement]] = {}

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        if self._own:
            # What only the service may say, clients do not.
            exchange.consumed = exchange.consumed | self._own
        facts = self._facts(exchange)
        if self._policy.keep:
            kept = self._kept.get(key_of(self._policy.by, facts))
            if kept is not None and exchange.now < kept[1]:
                self._decisions.count(self._route, "kept")
                return self._verdict(exchange, kept[0])
        return self._ask(exchange, facts)

    def _facts(self, exchange: Exchange) -> Facts:
        head = exchange.head
        headers: dict[str, str] = {}
        for name, value in head.headers:
            if name in self._told:
                key, text = name.decode("ascii"), value.decode("latin-1")
                headers[key] = f"{headers[key]}, {text}" if key in headers else text
        return facts_of(
            self._route,
            head.method,
            head.path.decode("ascii", "replace"),
            None if head.query is None else head.query.decode("ascii", "replace"),
            head.scheme,
            head.host.decode("ascii", "replace"),
            exchange.client,
            exchange.params,
            headers,
            exchange.principal,
        )

    async def _ask(self, exchange: Exchange, facts: Facts) -> Verdict:
        target = exchange.head.target.decode("ascii", "replace")
        asked = question(self._policy, facts, target, exchange.request_id)
        # Equal facts make an equal question, whoever asks it first.
        mark = key_of(self._policy.by, facts) if self._policy.keep else f"{facts!r}"
        flight = self._asking.get(mark)
        if flight is None:
            flight = asyncio.ensure_future(self._decide(mark, asked, exchange.now))
            self._asking[mark] = flight
        judgement = await asyncio.shield(flight)
        if isinstance(judgement, NoAnswer):
            self._decisions.count(self._route, "let_through" if self._policy.on_error == "allow" else "failed")
        else:
            self._decisions.count(self._route, "denied" if isinstance(judgement, No) else "allowed")
        return self._verdict(exchange, judgement)

    async def _decide(self, mark: str, asked: Question, now: float) -> Judgement:
        try:
            judgement = await self._deciders.decide(self._policy, asked)
            if self._policy.keep and not isinstance(judgement, NoAnswer):
                if len(self._kept) >= MOST_KEPT:
                    self._kept = {key: kept for key, kept in self._kept.items() if now < kept[1]}
                    if len(self._kept) >= MOST_KEPT:
                        self._kept.clear()
                self._kept[mark] = (judgement, now + self._policy.keep)
            return judgement
        finally:
            self._asking.pop(mark, None)

    def _verdict(self, exchange: Exchange, judgement: Judgement) -> Verdict:
        if isinstance(judgement, NoAnswer):
            if self._policy.on_error == "allow":
                return None
            self._tell(exchange, judgement.reason)
            return Denial("policy_unavailable", "This cannot be decided right now.", retry_after=judgement.retry_after)
        if isinstance(judgement, No):
            self._tell(exchange, "refused")
            own = (
                LocalResponse("policy", judgement.headers, judgement.body, judgement.status)
                if judgement.status
                else None
            )
            return Denial("policy_denied", _REFUSED, instead=own)
        exchange.request_headers.extend(judgement.headers)
        return None

    def _tell(self, exchange: Exchange, why: str) -> None:
        if self._events is not None:
            who = exchange.principal.subject if exchange.principal is not None else exchange.client
            detail = f"{self._route}: {urlsplit(self._policy.url).hostname} {why}"
            self._events.publish("auth.denied", who, {"outcome": "refused", "detail": detail})

    def explain(self, exchange: Exchange) -> GuardVerdict:
        """Nobody is asked: what was decided lately for these facts, if it is known."""
        if self._policy.keep:
            kept = self._kept.get(key_of(self._policy.by, self._facts(exchange)))
            if kept is not None and exchange.now < kept[1]:
                refused = isinstance(kept[0], No)
                return GuardVerdict(
                    self.phase, "refuse" if refused else "pass", "policy_denied" if refused else "decided"
                )
        return GuardVerdict(self.phase, "unknown", f"asks {urlsplit(self._policy.url).hostname}")


class ExternalAuthorization(Policy):
    """`authorize:` of routes."""

    phase = "external_authorization"

    def __init__(
        self,
        deciders: Callable[[], Deciders],
        decisions: ExternalDecisions,
        events: EventSink | None = None,
    ) -> None:
        self._deciders = deciders
        self._decisions = decisions
        self._events = events

    def compile(self, route: RouteConfig, configuration: Configuration) -> ExternalGuard | None:
        policy = declared(route, ExternalPolicy)
        if policy is None:
            return None
        return ExternalGuard(route.name, policy, self._deciders(), self._decisions, self._events)

    @classmethod
    def check(cls, route: RouteConfig, configuration: Configuration) -> Iterator[Diagnostic]:
        policy = declared(route, ExternalPolicy)
        if policy is None:
            return
        where = f"routes[{[each.name for each in configuration.routes].index(route.name)}].authorize"
        for index, name in enumerate(policy.by):
            kind, separator, rest = name.partition(":")
            if name not in BY and not (kind in ("header", "param", "claim") and separator and rest):
                yield Diagnostic(
                    f"{where}.cache.by[{index}]",
                    f'"{name}" is no fact',
                    f"{', '.join(BY)}, header:NAME, param:NAME, claim:NAME",
                )
            elif kind == "header" and rest.lower() not in {header.lower() for header in policy.headers}:
                yield Diagnostic(f"{where}.cache.by[{index}]", f"the service is not told {rest}", "add it to headers")
        if policy.keep and "method" not in policy.by:
            yield Diagnostic(
                f"{where}.cache.by",
                "does not tell methods apart: what is decided of a GET counts for a DELETE",
                "add method",
                "warning",
            )
        for index, name in enumerate(policy.forward):
            if not is_free(name):
                yield Diagnostic(f"{where}.forward[{index}]", f"{name} is not the service's to say")
        host = urlsplit(policy.url).hostname or ""
        secret = {"authorization", "cookie", "x-api-key"} & {name.lower() for name in policy.headers}
        if policy.url.startswith("http://") and secret and host not in ("127.0.0.1", "localhost", "::1"):
            yield Diagnostic(
                f"{where}.url", f"gets {', '.join(sorted(secret))} over plain http", "write https://", "warning"
            )
        if policy.on_error == "allow":
            yield Diagnostic(
                f"{where}.on_error", "lets everybody in while the service is away", "leave it at deny", "warning"
            )
