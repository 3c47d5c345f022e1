"""A route that is away on purpose: a planned 503 that says when to come back (`maintenance:`)."""

from __future__ import annotations

import math
from collections.abc import Iterator

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import Diagnostic
from spork.application.exchange.exchange import NO_FIELDS, Exchange, Verdict
from spork.application.guards.explaining import explained
from spork.application.guards.policy import Policy, declared
from spork.application.views import GuardVerdict
from spork.domain.http.addresses import AddressSet
from spork.domain.http.static_answers import Maintenance
from spork.domain.outcomes import Denial, LocalResponse


class MaintenanceGuard:
    """Answers everybody but the networks and consumers that the maintenance names."""

    phase = "maintenance"
    response_fields = NO_FIELDS

    def __init__(self, maintenance: Maintenance) -> None:
        self._maintenance = maintenance
        self._allow = AddressSet(maintenance.allow)

    def admit(self, exchange: Exchange) -> Verdict:
        maintenance = self._maintenance
        wait = maintenance.wait(exchange.unix)
        if wait is None or exchange.client in self._allow:
            return None
        principal = exchange.principal
        if principal is not None and principal.consumer in maintenance.consumers:
            return None
        if maintenance.answer is None:
            return Denial("maintenance", "This address is away for maintenance.", retry_after=wait)
        exchange.reason = "maintenance"
        answer = maintenance.answer
        headers = (*answer.headers, (b"retry-after", b"%d" % math.ceil(wait)), (b"cache-control", b"no-store"))
        return LocalResponse("maintenance", headers, answer.body, answer.status)

    def explain(self, exchange: Exchange) -> GuardVerdict:
        reason = exchange.reason
        said = explained(self.phase, self.admit(exchange), "served all the same, or not away at this time")
        exchange.reason = reason
        return said


class EarlyMaintenance(Policy):
    """`maintenance` of routes that lets no consumer through: told before credentials are asked for, which may be away too."""

    phase = "maintenance"

    def compile(self, route: RouteConfig, configuration: Configuration) -> MaintenanceGuard | None:
        maintenance = declared(route, Maintenance)
        return None if maintenance is None or maintenance.consumers else MaintenanceGuard(maintenance)


class LateMaintenance(Policy):
    """`maintenance` of routes that lets consumers through: told once it is known who calls."""

    phase = "maintenance"

    def compile(self, route: RouteConfig, configuration: Configuration) -> MaintenanceGuard | None:
        maintenance = declared(route, Maintenance)
        return None if maintenance is None or not maintenance.consumers else MaintenanceGuard(maintenance)

    @classmethod
    def check(cls, route: RouteConfig, configuration: Configuration) -> Iterator[Diagnostic]:
        maintenance = declared(route, Maintenance)
        if maintenance is None or not maintenance.consumers:
            return
        path = f"routes[{[each.name for each in configuration.routes].index(route.name)}].maintenance.consumers"
        if route.auth is None:
            yield Diagnostic(path, "nobody is known here: the route has no auth", "add auth:, or allow networks")
        known = {consumer.name for consumer in configuration.consumers}
        for name in sorted(maintenance.consumers - known):
            yield Diagnostic(path, f'no consumer "{name}" in this configuration', "", "warning")
