"""What the caller may do: one route's demands on a verified principal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from spork.application.callers.methods import only
from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.exchange import NO_FIELDS, Verdict
from spork.application.guards.explaining import explained
from spork.application.guards.policy import Policy, ordinary
from spork.application.kernel.events import EventSink
from spork.application.views import GuardVerdict
from spork.domain.identity.authorization import AuthorizationInput, AuthPolicy, authorize, demands_anything
from spork.domain.outcomes import Denial

if TYPE_CHECKING:
    from spork.application.exchange.exchange import NO_FIELDS, Exchange

_NOBODY: Final = Denial(
    "unauthenticated", "A credential is needed.", headers=((b"www-authenticate", b'Bearer realm="spork"'),)
)


def _asked(exchange: Exchange) -> AuthorizationInput:
    head = exchange.head
    return AuthorizationInput(head.method, exchange.unix, exchange.params, lambda name: only(head.headers, name))


class AuthorizationGuard:
    """Admits an exchange whose principal has what the policy asks. Decided per request, never remembered.

    Only needed where `demands_anything(policy)`. An anonymous caller passes no demand.
    """

    phase = "authorization"
    response_fields = NO_FIELDS

    def __init__(self, policy: AuthPolicy, events: EventSink | None = None) -> None:
        self._policy = policy
        self._events = events

    def admit(self, exchange: Exchange) -> Verdict:
        principal = exchange.principal
        if principal is None:
            return _NOBODY
        denial = authorize(principal, self._policy, _asked(exchange))
        if denial is not None and self._events is not None:
            self._events.publish("auth.denied", principal.subject, {"outcome": "refused", "detail": denial.reason})
        return denial

    def explain(self, exchange: Exchange) -> GuardVerdict:
        if exchange.principal is None:
            return GuardVerdict(self.phase, "unknown", "depends on who calls")
        denial = authorize(exchange.principal, self._policy, _asked(exchange))
        return explained(self.phase, denial, f"{exchange.principal.subject} may do this")


@ordinary
class AuthorizationPolicy(Policy):
    """`auth: {roles, scopes, permissions, tenant, mfa, ...}` of routes: what the caller must have."""

    phase = "authorization"

    def __init__(self, events: EventSink | None = None) -> None:
        self._events = events

    def compile(self, route: RouteConfig, configuration: Configuration) -> AuthorizationGuard | None:
        policy = route.auth
        return AuthorizationGuard(policy, self._events) if policy is not None and demands_anything(policy) else None
