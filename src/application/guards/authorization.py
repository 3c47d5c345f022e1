"""What the caller may do: one route's demands on a verified principal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from application.guards.explaining import explained
from application.ports import EventSink, Verdict
from application.views import GuardVerdict
from domain.authorization import Asked, AuthPolicy, authorize
from domain.outcomes import Denial

if TYPE_CHECKING:
    from application.exchange import Exchange

_NOBODY: Final = Denial(
    "unauthenticated", "A credential is needed.", headers=((b"www-authenticate", b'Bearer realm="spork"'),)
)


class AuthorizationGuard:
    """Admits an exchange whose principal has what the policy asks. Decided per request, never remembered.

    Only needed where `demands_anything(policy)`. An anonymous caller passes no demand.
    """

    phase = "authorization"

    def __init__(self, policy: AuthPolicy, events: EventSink | None = None) -> None:
        self._policy = policy
        self._events = events

    def quiet(self) -> AuthorizationGuard:
        """The same guard with nothing told: for explaining."""
        return AuthorizationGuard(self._policy)

    def admit(self, exchange: Exchange) -> Verdict:
        principal = exchange.principal
        if principal is None:
            return _NOBODY
        head = exchange.head
        denial = authorize(principal, self._policy, Asked(head.method, exchange.unix, exchange.params, head.header))
        if denial is not None and self._events is not None:
            self._events.publish("auth.denied", principal.subject, {"outcome": "refused", "detail": denial.reason})
        return denial

    def explain(self, exchange: Exchange) -> GuardVerdict:
        if exchange.principal is None:
            return GuardVerdict(self.phase, "unknown", "depends on who calls")
        head = exchange.head
        asked = Asked(head.method, exchange.unix, exchange.params, head.header)
        denial = authorize(exchange.principal, self._policy, asked)
        return explained(self.phase, denial, f"{exchange.principal.subject} may do this")
