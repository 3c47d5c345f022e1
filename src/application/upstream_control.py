"""What operators see and do of upstreams (`insight.UpstreamControl`), over the registry, its circuits and probes."""

from __future__ import annotations

from collections.abc import Callable

from application import upstream_views
from application.insight import Act
from application.probe import Probes
from application.registry import UpstreamRegistry
from application.upstream_views import Moment, RoutesOf, no_routes
from application.views import BreakerView, ServiceView, TargetView


class LiveControl:
    """Answers from this process; trips and resets reach the fleet through the circuits' adapter.

    `connections(upstream, target)` counts open connections, when the transport can say.
    """

    def __init__(
        self,
        registry: UpstreamRegistry,
        probes: Probes,
        routes: RoutesOf = no_routes,
        connections: Callable[[str, str], int] | None = None,
    ) -> None:
        self._registry = registry
        self._probes = probes
        self._routes = routes
        self._connections = connections

    def breakers(self, now: float, unix: float) -> list[BreakerView]:
        return upstream_views.breakers(self._registry, Moment(now, unix), self._routes)

    def targets(self, now: float, unix: float) -> list[TargetView]:
        return upstream_views.targets(self._registry, Moment(now, unix))

    def services(self, now: float, unix: float) -> list[ServiceView]:
        return upstream_views.services(self._registry, Moment(now, unix), self._routes)

    def trip(self, name: str, act: Act, now: float) -> None:
        self._registry.breakers.force_open(name, act.reason, act.by, act.ttl, now)

    def reset(self, name: str, act: Act, now: float) -> None:
        self._registry.breakers.reset(name, act.reason, act.by, now)

    def drain(self, upstream: str, target: str, act: Act, now: float) -> None:
        self._registry.drain(upstream, target, act.reason, act.ttl, now)

    def undrain(self, upstream: str, target: str, act: Act, now: float) -> None:
        self._registry.undrain(upstream, target, act.reason, now)

    async def probe(self, upstream: str, target: str) -> str:
        """Probe now and say how it went. Raises KeyError when there is no such target."""
        return await self._probes.probe_now(self._registry.find(upstream, target))
