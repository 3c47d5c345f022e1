"""Refuses writes that another site may have made a browser send."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.guards.explaining import explained
from spork.application.guards.policy import Policy
from spork.application.kernel.events import EventSink
from spork.application.views import GuardVerdict
from spork.domain.identity.authorization import RequestSecurity
from spork.domain.outcomes import Denial
from spork.domain.security.csrf import Forgery, judge, make_token, session_of, token_cookie, wants_token

REFUSED = Denial("csrf_failed", "The request does not come from a page that may send it.")


class CsrfGuard:
    """`origins` are other origins that may write. `key` signs tokens and is the same on every replica. Tokens are
    bound to the value of `session_cookie`."""

    phase = "csrf"
    response_fields = NO_FIELDS

    def __init__(
        self,
        origins: Iterable[str],
        key: bytes,
        events: EventSink | None = None,
        chance: Callable[[int], bytes] = secrets.token_bytes,
        session_cookie: str = "",
    ) -> None:
        self._origins = frozenset(origin.encode("ascii") for origin in origins)
        self._key = key
        self._events = events
        self._chance = chance
        self._cookie = session_cookie.encode("ascii")

    def admit(self, exchange: Exchange) -> Verdict:
        head = exchange.head
        found = judge(head, self._origins, self._key, self._cookie)
        if found is Forgery.NONE:
            if wants_token(head, self._key, self._cookie):
                token = make_token(self._chance(16), self._key, session_of(head, self._cookie))
                exchange.response_headers.extend(token_cookie(token, head.scheme == "https"))
            return None
        exchange.forgery = found.value
        if self._events is not None:
            self._events.publish("csrf.refused", exchange.client, {"outcome": "refused", "detail": found.value})
        return REFUSED

    def explain(self, exchange: Exchange) -> GuardVerdict:
        found = judge(exchange.head, self._origins, self._key, self._cookie)
        verdict = None if found is Forgery.NONE else REFUSED
        return explained(self.phase, verdict, "cannot be forged", found.value)


class CsrfPolicy(Policy):
    """`security: {csrf, csrf_origins, csrf_session}` of routes. `key` signs tokens, the same on every replica."""

    phase = "csrf"

    def __init__(self, key: bytes, events: EventSink | None = None) -> None:
        self._key = key
        self._events = events

    def compile(self, route: RouteConfig, configuration: Configuration) -> CsrfGuard | None:
        policy = route.security
        if policy is None or not policy.csrf:
            return None
        return CsrfGuard(policy.csrf_origins, self._key, self._events, session_cookie=_session_cookie(route, policy))


def _session_cookie(route: RouteConfig, policy: RequestSecurity) -> str:
    """The cookie that tokens are bound to: the one configured, else the one that carries the route's credential."""
    places = () if route.auth is None else (route.auth.tokens, route.auth.keys)
    return policy.csrf_session or next((place.cookie for place in places if place is not None and place.cookie), "")
