"""The applications that Litestar serves: the admin listener's, and the endpoints of the gateway's own on the data listener.

The web framework is imported where an application is built, so that `spork explain` does without.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spork.adapters.prometheus.exposition import expose
from spork.application.admin.access import Operators
from spork.application.admin.actions import Actions
from spork.application.admin.commands import Operations
from spork.application.admin.configuration import ConfigurationActions
from spork.application.admin.controls import Controls
from spork.application.admin.explain import Explainer
from spork.application.admin.maintenance import FleetMaintenance
from spork.application.admin.monitoring import Monitoring
from spork.application.admin.operations_seen import SeenOperations
from spork.application.admin.queries import Queries
from spork.application.admin.security_notes import SecurityNotes
from spork.application.admin.stream import Stream
from spork.application.admin.upstream_views import UpstreamMoment
from spork.application.admin.versions import VersionReport
from spork.application.callers.self_service import AuthDesk
from spork.application.configuration.live import LiveConfiguration
from spork.application.configuration.model import Configuration
from spork.application.exchange.answers import Gateway, ProblemResponses
from spork.application.exchange.exchange import Current
from spork.application.fleet.lifecycle import Lifecycle
from spork.application.kernel.clock import Clock
from spork.application.pipeline.client_address import ClientAddress
from spork.application.telemetry.audit import AuditTrail
from spork.application.telemetry.history import History
from spork.application.telemetry.objectives import ObjectiveTracker
from spork.application.telemetry.usage import UsageMeter, UsageStore
from spork.application.upstreams.registration import Registrations
from spork.application.upstreams.registry import UpstreamRegistry
from spork.composition.catalog import DocumentPages
from spork.composition.identity import ProcessIdentity
from spork.composition.log_settings import FleetLogging

if TYPE_CHECKING:
    from litestar import Litestar


@dataclass(frozen=True, slots=True)
class Discovery:
    """What clients may ask about services, and services about themselves."""

    configuration: Configuration
    registrations: Registrations | None
    registry: UpstreamRegistry
    queries: Queries
    operators: Operators
    notes: SecurityNotes
    clock: Clock

    def handlers(self) -> list[Any]:
        """What only reads is open on a loopback listener, as monitoring is."""
        from spork.adapters.litestar.admin.access import Authenticated, role_guard
        from spork.adapters.litestar.discovery import DiscoveryQueries, discovery_router, registration_router

        token = [Authenticated(self.operators, self.clock.unix, self.notes.refused)]
        role = [role_guard(self.notes.refused)]
        closed = not open_to_readers(self.configuration)
        asked = DiscoveryQueries(
            lambda: self.queries.overview().services(),
            lambda: self.queries.overview().targets(),
            lambda: self.queries.overview().routes(),
            self._history,
        )
        routers = [discovery_router(self.registrations, asked, token if closed else (), role if closed else ())]
        if self.registrations is not None:
            closed = self.configuration.registration != "open"
            routers.append(registration_router(self.registrations, token if closed else (), role if closed else ()))
        return routers

    def _history(self, service: str) -> list[tuple[float, float, float]]:
        upstream = self.registry.get(service)
        if upstream is None:
            return []
        moment = UpstreamMoment(self.clock.monotonic(), self.clock.unix())
        minutes = upstream.history.minutes(moment.monotonic)
        return [(moment.stamp(at) or 0.0, availability, seconds) for at, availability, seconds in minutes]


def open_to_readers(configuration: Configuration) -> bool:
    """Whether what only reads needs no token: as configured, or because the admin listener is on loopback."""
    admin = configuration.admin
    if admin.readers != "auto":
        return admin.readers == "open"
    return admin.host in ("127.0.0.1", "::1", "localhost")


def admin_application(
    configuration: Configuration,
    identity: ProcessIdentity,
    clock: Clock,
    current: Current,
    queries: Queries,
    controls: Controls,
    actions: Actions,
    operations: Operations,
    operators: Operators,
    notes: SecurityNotes,
    stream: Stream,
    live: LiveConfiguration,
    explainer: Explainer,
    monitoring: Monitoring,
    objectives: ObjectiveTracker,
    audit: AuditTrail,
    usage: UsageMeter,
    usage_store: UsageStore,
    history: History,
    versions: VersionReport,
    seen: SeenOperations,
    lifecycle: Lifecycle,
    logs: FleetLogging,
    maintenance: FleetMaintenance,
    discovery: Discovery,
) -> Any:
    """The ASGI application of the admin listener."""
    from spork.adapters.litestar.admin.access import Authenticated
    from spork.adapters.litestar.admin.accounting import accounting_handlers
    from spork.adapters.litestar.admin.acting import acting_handlers
    from spork.adapters.litestar.admin.application import admin_application as application
    from spork.adapters.litestar.admin.caching import caching_handlers
    from spork.adapters.litestar.admin.configuring import configuring_handlers
    from spork.adapters.litestar.admin.data_planes import data_plane_handlers
    from spork.adapters.litestar.admin.logging import logging_handlers
    from spork.adapters.litestar.admin.maintenance import maintenance_handlers
    from spork.adapters.litestar.admin.monitoring import monitoring_handlers
    from spork.adapters.litestar.admin.openapi import openapi_handlers
    from spork.adapters.litestar.admin.profiling import profiling_handlers
    from spork.adapters.litestar.admin.reading import reading_handlers
    from spork.adapters.litestar.admin.streaming import streaming_handlers
    from spork.adapters.litestar.health import health_handlers
    from spork.application.telemetry.profiler import Profiler

    def names() -> tuple[str, ...]:
        """Names with a dot that the admin listener answers to: those configured now, and this machine's own."""
        in_force = current.snapshot.configuration.admin.hosts
        return (*in_force, *configuration.admin.hosts, configuration.admin.host.lower(), identity.host.lower())

    own = identity.node
    closed = None if open_to_readers(configuration) else Authenticated(operators, clock.unix, notes.refused)
    return application(
        [
            *reading_handlers(queries, controls, identity.gateway, identity.version, own, history, stream.prime),
            *acting_handlers(actions, operations),
            *configuring_handlers(queries, ConfigurationActions(live, identity.same_gateway), operations, explainer),
            *streaming_handlers(stream, lambda operator: operators.still(operator, clock.unix())),
            *profiling_handlers(Profiler(), own, notes.profiled),
            *openapi_handlers(queries, controls),
            *caching_handlers(queries, controls, actions, operations),
            *data_plane_handlers(current, lifecycle, clock),
            *logging_handlers(operations, logs.state, logs.change),
            *maintenance_handlers(queries, maintenance, operations),
            *accounting_handlers(
                queries,
                operations,
                objectives,
                audit,
                usage_store,
                usage.flush,
                versions,
                seen,
                lambda: controls.cache,
            ),
        ],
        [
            *health_handlers(lifecycle, frozenset({"health", "ready", "startup"})),
            *monitoring_handlers(monitoring, queries, expose, closed),
            *discovery.handlers(),
        ],
        operators,
        clock.unix,
        notes.refused,
        identity.version,
        names,
    )


def data_application(
    exposed: Sequence[str],
    gateway: Gateway,
    refusals: ProblemResponses,
    lifecycle: Lifecycle,
    desk: Callable[[], AuthDesk],
    key_set: Callable[[], Any],
    clients: ClientAddress,
    monitoring: Monitoring,
    discovery: Discovery,
    pages: DocumentPages,
) -> Litestar:
    """The data listener's application: the proxy, and the endpoints that `exposed` names."""
    from spork.adapters.litestar.admin.monitoring import metrics_handlers
    from spork.adapters.litestar.applications import application
    from spork.adapters.litestar.auth import auth_router, jwks_handler
    from spork.adapters.litestar.health import health_handlers
    from spork.adapters.litestar.proxy import proxy_mount

    handlers: list[Any] = [proxy_mount(gateway, refusals), *health_handlers(lifecycle, frozenset(exposed))]
    if "auth" in exposed:
        handlers.append(auth_router(desk(), refusals, clients))
    if "jwks" in exposed:
        handlers.append(jwks_handler(key_set))
    if "metrics" in exposed:  # open, because the operator asked for it
        handlers += metrics_handlers(monitoring, expose)
    if "discovery" in exposed:
        handlers += discovery.handlers()
    if "docs" in exposed:
        handlers += pages.handlers(desk)
    return application(handlers)
