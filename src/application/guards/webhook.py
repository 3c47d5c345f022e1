"""Webhooks that come in: only what its sender signed reaches the target (`webhook:`)."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.bodies import HeldBody, held, hold
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.guards.policy import Policy, declared
from spork.application.kernel.events import EventSink
from spork.application.views import GuardVerdict
from spork.domain.identity.webhooks import WebhookRule, refusal_of
from spork.domain.outcomes import Denial

_REFUSED: Final = Denial("webhook_refused", "The webhook's signature does not hold.")
_TOO_LARGE: Final = Denial("body_too_large", "The request body is larger than this address takes.", close=True)


class WebhookGuard:
    """Holds the body as it came, coding and all, for that is what was signed."""

    phase = "webhook"
    response_fields = NO_FIELDS

    def __init__(self, rule: WebhookRule, events: EventSink | None) -> None:
        self._rule = rule
        self._events = events

    def admit(self, exchange: Exchange) -> Verdict | Awaitable[Verdict]:
        body = held(exchange)
        return self._later(exchange) if body is None else self._judge(exchange, body)

    async def _later(self, exchange: Exchange) -> Verdict:
        body = await hold(exchange, self._rule.maximum)
        return _TOO_LARGE if body is None else self._judge(exchange, body)

    def _judge(self, exchange: Exchange, body: bytes) -> Verdict:
        if len(body) > self._rule.maximum:
            return _TOO_LARGE
        wire = exchange.body.wire if isinstance(exchange.body, HeldBody) else body
        why = refusal_of(self._rule, exchange.head.headers, wire, exchange.unix)
        if not why:
            return None
        if self._events is not None:
            data: dict[str, object] = {"detail": why, "provider": self._rule.provider}
            self._events.publish("webhook.refused", exchange.client, data)
        return _REFUSED

    def explain(self, exchange: Exchange) -> GuardVerdict:
        why = refusal_of(self._rule, exchange.head.headers, held(exchange) or b"", exchange.unix)
        return GuardVerdict(self.phase, "refuse" if why else "pass", why or f"signed by {self._rule.provider}")


class WebhookPolicy(Policy):
    """`webhook:` of a route."""

    phase = "webhook"

    def __init__(self, events: EventSink | None = None) -> None:
        self._events = events

    def compile(self, route: RouteConfig, configuration: Configuration) -> WebhookGuard | None:
        rule = declared(route, WebhookRule)
        return None if rule is None else WebhookGuard(rule, self._events)
