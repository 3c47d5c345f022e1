"""Answers preflights and tells browsers which origins may read the route's answers."""

from __future__ import annotations

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.exchange import Exchange, Verdict
from spork.application.guards.explaining import explained
from spork.application.guards.policy import Policy, ordinary
from spork.application.views import GuardVerdict
from spork.domain.identity.authorization import CorsPolicy
from spork.domain.outcomes import LocalResponse
from spork.domain.security.cors import RESPONSE_FIELDS, Cors


class CorsGuard:
    """Stands before credentials: a preflight carries none. What it adds goes out with any answer, refusals included."""

    phase = "cors"
    response_fields = RESPONSE_FIELDS

    def __init__(self, policy: CorsPolicy) -> None:
        self._cors = Cors(policy)

    def admit(self, exchange: Exchange) -> Verdict:
        head = exchange.head
        if head.method == "OPTIONS":
            headers = self._cors.preflight(head)
            if headers is not None:
                missed = self._cors.missed(head)
                exchange.reason = f"preflight_{missed}_not_allowed" if missed else ""
                return LocalResponse("preflight", headers)
        exchange.response_headers.extend(self._cors.actual(head))
        return None

    def explain(self, exchange: Exchange) -> GuardVerdict:
        origin = exchange.head.header(b"origin")
        if origin is None:
            return GuardVerdict(self.phase, "pass", "no Origin: not a cross-origin request")
        known = (
            "may read the answer" if self._cors.allows(origin) else "is not listed: a browser will not show the answer"
        )
        return explained(self.phase, self.admit(exchange), f"origin {origin.decode('latin-1')} {known}")


@ordinary
class CorsPolicyOfRoutes(Policy):
    """`cors` of routes."""

    phase = "cors"

    def compile(self, route: RouteConfig, configuration: Configuration) -> CorsGuard | None:
        return CorsGuard(route.cors) if route.cors is not None else None
