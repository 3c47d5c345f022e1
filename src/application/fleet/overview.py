"""The operators' views, built from a picture of the fleet and the configuration in force. Pure but for the snapshot it reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.fleet.nodes import FleetState
from spork.application.telemetry.rolling import WINDOW, Window, percentile_ms
from spork.application.telemetry.tally import SERIES
from spork.application.upstreams.state import service_state, takes_traffic
from spork.application.views import (
    BreakerView,
    PulseView,
    RouteView,
    Series,
    ServiceView,
    TargetView,
)

_NONE = Window()


class Overview:
    """Views of one moment. `routes_of` (see there) may be kept for as long as the configuration is in force."""

    def __init__(
        self, picture: FleetState, configuration: Configuration, routes_of: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        self.picture = picture
        self.configuration = configuration
        self._routes_of = routes_by_upstream(configuration) if routes_of is None else routes_of
        self._targets: list[TargetView] | None = None
        self._services: list[ServiceView] | None = None

    # -------------------------------------------------------------------------------------------------------- targets

    def targets(self) -> Sequence[TargetView]:
        if self._targets is None:
            self._targets = [self._with_traffic(view) for view in self.picture.targets()]
        return self._targets

    def _with_traffic(self, view: TargetView) -> TargetView:
        window = self.picture.windows.targets.get((view.upstream, view.name), _NONE)
        traffic = view.traffic
        if traffic in ("ok", "idle", "failing", ""):
            traffic = traffic_of(window)
        return replace(
            view,
            rps=window.rps,
            error_ratio=window.error_ratio,
            p95_ms=percentile_ms(window.upstream_buckets, 0.95),
            traffic=traffic,
        )

    # ------------------------------------------------------------------------------------------------------- breakers

    def breakers(self) -> list[BreakerView]:
        return [self._with_routes(view) for view in self.picture.breakers()]

    def _with_routes(self, view: BreakerView) -> BreakerView:
        upstream, _, target = view.name.partition("/")
        windows = self.picture.windows
        window = windows.targets.get((upstream, target)) if target else windows.upstreams.get(upstream)
        return replace(view, rps=(window or _NONE).rps, routes=tuple(self._routes_of.get(upstream, ())))

    # ------------------------------------------------------------------------------------------------------- services

    def services(self) -> Sequence[ServiceView]:
        if self._services is None:
            self._services = self._judged()
        return self._services

    def _judged(self) -> list[ServiceView]:
        targets: dict[str, list[TargetView]] = {}
        for view in self.targets():
            targets.setdefault(view.upstream, []).append(view)
        breakers = {view.name: view for view in self.picture.breakers()}
        balances = {declared.name: declared.balance.algorithm for declared in self.configuration.upstreams}
        balances |= {name: "least_request" for name in sorted(targets) if name not in balances}  # discovered ones
        return [self._service(name, balance, targets.get(name, []), breakers) for name, balance in balances.items()]

    def _service(
        self, name: str, balance: str, targets: list[TargetView], breakers: dict[str, BreakerView]
    ) -> ServiceView:
        window = self.picture.windows.upstreams.get(name, _NONE)
        breaker = breaker_of(name, breakers)
        own = breakers.get(name)
        up = sum(1 for target in targets if takes_traffic(target))
        return ServiceView(
            name=name,
            state=service_state(
                targets,
                breaker,
                () if own is None else own.by_node,
                any(v.ramp is not None for key, v in breakers.items() if key == name or key.startswith(name + "/")),
                window.requests,
                window.error_ratio,
            ),
            targets_up=up,
            targets_total=len(targets),
            rps=window.rps,
            error_ratio=window.error_ratio,
            throttled_ratio=window.throttled_ratio,
            p50_ms=window.percentile_ms(0.50),
            p95_ms=window.percentile_ms(0.95),
            p99_ms=window.percentile_ms(0.99),
            in_flight=sum(target.in_flight for target in targets),
            breaker=breaker,
            balance=balance,
            retries_per_second=window.retries / WINDOW,
            availability=self.picture.availability(name),
            routes=tuple(self._routes_of.get(name, ())),
            revision=self.configuration.revision,
        )

    # --------------------------------------------------------------------------------------------------------- routes

    def routes(self) -> list[RouteView]:
        return [self.route(route) for route in self.configuration.routes]

    def route(self, route: RouteConfig) -> RouteView:
        window = self.picture.route(route.name)
        return RouteView(
            name=route.name,
            pattern=", ".join(dict.fromkeys(match.path.text for match in (route.match, *route.also))),
            hosts=route.match.hosts,
            methods=tuple(sorted(route.match.methods)),
            upstream=route.upstream,
            auth=route.auth.methods if route.auth is not None else (),
            limits=tuple(limit.name for limit in route.limits),
            rps=window.rps,
            error_ratio=window.error_ratio,
            p95_ms=window.percentile_ms(0.95),
            hits=self.picture.hits(route.name),
            origin=route.origin,
        )

    # ---------------------------------------------------------------------------------------------------------- pulse

    def pulse(self) -> PulseView:
        windows = self.picture.windows
        total = windows.total
        services = self.services()
        return PulseView(
            rps=total.rps,
            error_ratio=total.error_ratio,
            throttled_ratio=total.throttled_ratio,
            p50_ms=total.percentile_ms(0.50),
            p95_ms=total.percentile_ms(0.95),
            p99_ms=total.percentile_ms(0.99),
            overhead_p95_ms=percentile_ms(windows.overhead, 0.95),
            in_flight=self.picture.in_flight,
            series=series_of(self.picture.series()),
            health_score=health_score(total, windows.overhead, services),
        )


def routes_by_upstream(configuration: Configuration) -> dict[str, list[str]]:
    """Names of the routes whose requests may go to each upstream."""
    found: dict[str, list[str]] = {}
    for route in configuration.routes:
        for upstream in upstreams_of(route, configuration):
            found.setdefault(upstream, []).append(route.name)
    return found


def upstreams_of(route: RouteConfig, configuration: Configuration) -> list[str]:
    """Every upstream a route's requests may go to, its own first."""
    found: list[str] = []
    if route.upstream and not route.upstream.startswith("{"):
        found.append(route.upstream)
    elif route.upstream:
        found += [upstream.name for upstream in configuration.upstreams]
    found += [split.upstream for split in route.splits if split.upstream not in found]
    return found


def series_of(seconds: Iterable[tuple[int, int, int, int]]) -> tuple[Series, ...]:
    """rps, 5xx and 429 of the last five minutes."""
    rows = list(seconds)[-SERIES:]
    missing: tuple[float | None, ...] = (None,) * (SERIES - len(rows))
    return (
        Series("rps", (*missing, *(float(row[1]) for row in rows))),
        Series("5xx", (*missing, *(float(row[2]) for row in rows))),
        Series("429", (*missing, *(float(row[3]) for row in rows))),
    )


def breaker_of(name: str, breakers: dict[str, BreakerView]) -> str:
    """The state shown for an upstream: its own circuit's, else the worst of its targets', else off."""
    if name in breakers:
        return breakers[name].state
    states = [view.state for key, view in breakers.items() if key.startswith(name + "/")]
    for state in ("forced_open", "open", "half_open", "closed"):
        if state in states:
            return state
    return "off"


def traffic_of(window: Window) -> str:
    """ok, failing (half of the last requests were 5xx) or idle."""
    if window.requests == 0:
        return "idle"
    return "failing" if window.error_ratio >= 0.5 else "ok"


def health_score(total: Window, overhead: list[int], services: Sequence[ServiceView]) -> float | None:
    """0 to 100, None while there is neither traffic nor a service to judge: 100 less the `health_parts`."""
    parts = health_parts(total, overhead, services)
    return None if parts is None else round(max(0.0, 100.0 - sum(parts.values())), 1)


def health_parts(total: Window, overhead: list[int], services: Sequence[ServiceView]) -> dict[str, float] | None:
    """What is taken off the score of 100:

    errors 50 * min(1, error_ratio / 0.10); services 30 * (down + half of degraded) / services;
    throttling 10 * min(1, throttled_ratio / 0.50); overhead 10 * min(1, overhead p95 / 50 ms).
    """
    known = [service for service in services if service.state != "unknown"]
    if not known and not total.requests:
        return None
    bad = sum({"down": 1.0, "degraded": 0.5}.get(service.state, 0.0) for service in known)
    slow = percentile_ms(overhead, 0.95) or 0.0
    return {
        "errors": 50.0 * min(1.0, total.error_ratio / 0.10),
        "services": 30.0 * bad / len(known) if known else 0.0,
        "throttling": 10.0 * min(1.0, total.throttled_ratio / 0.50),
        "overhead": 10.0 * min(1.0, slow / 50.0),
    }
