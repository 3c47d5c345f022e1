"""From where a route may be called: networks let in and networks refused."""

from __future__ import annotations

from typing import Final

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.guards.explaining import explained
from spork.application.guards.policy import Policy, ordinary
from spork.application.views import GuardVerdict
from spork.domain.http.addresses import AddressSet
from spork.domain.outcomes import Denial

DENIED: Final = Denial("address_denied", "Not allowed from this address.")


class AddressGuard:
    """`deny` is asked first; where `allow` names anything, only that is let in. What is no address is not let in."""

    phase = "addresses"
    response_fields = NO_FIELDS

    def __init__(self, allow: tuple[str, ...], deny: tuple[str, ...]) -> None:
        self._allow = AddressSet(allow)
        self._deny = AddressSet(deny)

    def admit(self, exchange: Exchange) -> Verdict:
        client = exchange.client
        if self._deny and client in self._deny:
            return DENIED
        return DENIED if self._allow and client not in self._allow else None

    def explain(self, exchange: Exchange) -> GuardVerdict:
        return explained(self.phase, self.admit(exchange), f"{exchange.client} is let in")


@ordinary
class AddressPolicy(Policy):
    """`security: {allow, deny}` of routes."""

    phase = "addresses"

    def compile(self, route: RouteConfig, configuration: Configuration) -> AddressGuard | None:
        policy = route.security
        return AddressGuard(policy.allow, policy.deny) if policy is not None and (policy.allow or policy.deny) else None
