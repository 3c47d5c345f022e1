"""The places of plugins among the guards: before credentials are looked at, and after limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import ClassVar

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.exchange import Guard
from spork.application.guards.policy import Policy, Reason
from spork.domain.outcomes import DenialCategory

#: Makes the guard of a route's plugins at one stage; None where it has none there.
MakeGuard = Callable[[RouteConfig], Guard | None]


class _Plugged(Policy):
    phase = "plugins"

    def __init__(self, make: MakeGuard | None = None) -> None:
        self._make = make

    def compile(self, route: RouteConfig, configuration: Configuration) -> Guard | None:
        return self._make(route) if self._make is not None and route.plugins else None


class EarlyPlugins(_Plugged):
    """`plugins` of routes whose stage is `before_credentials`."""

    reasons: ClassVar[Mapping[str, Reason]] = {
        "plugin_failed": Reason(DenialCategory.OTHER, "A part of the gateway failed")
    }


class LatePlugins(_Plugged):
    """`plugins` of routes whose stage is `after_limits`."""
