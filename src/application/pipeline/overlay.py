"""What operators lay over the configuration in force: routes that are in maintenance until they say otherwise."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from spork.application.configuration.model import Configuration, RouteConfig
from spork.domain.http.static_answers import Maintenance

#: Stands for every route.
EVERYTHING: Final = "*"


class RouteOverlay:
    """Compiled with each configuration, so that a request pays nothing for it. `away` is by route name."""

    def __init__(self) -> None:
        self.away: dict[str, Maintenance] = {}

    def over(self, configuration: Configuration) -> Configuration:
        """The configuration with what is laid over it; the very same where that is nothing."""
        if not self.away:
            return configuration
        return replace(configuration, routes=tuple(self._route(route) for route in configuration.routes))

    def _route(self, route: RouteConfig) -> RouteConfig:
        away = self.away.get(route.name) or self.away.get(EVERYTHING)
        # In front of what the route itself says: the first of a kind counts.
        return route if away is None else replace(route, policies=(away, *route.policies))
