"""A route compiled with everything its requests need, and the snapshot that holds all of them.

Compiled once per configuration: nothing here is looked up, parsed or formatted per request.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Generator, Mapping, Sequence

from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.exchange.exchange import AnswerPolicy, Guard, RoutePlan, Snapshot
from spork.application.exchange.tracing import TracingPlan
from spork.application.guards.policy import Policy
from spork.application.pipeline.by_body import ByBody
from spork.application.pipeline.route_caches import route_caches
from spork.application.pipeline.server_timing import TimedGuard
from spork.application.upstreams.upstream import LiveUpstream
from spork.domain.http.caching.facts import FOR_US
from spork.domain.routing.table import RouteTable

#: Makes what becomes of a route's answers, or None when they go out as they came.
AnswerMaker = Callable[[RouteConfig, Configuration], AnswerPolicy | None]
_REQUEST_ID = frozenset((b"x-request-id",))


def gateway_owned_fields(guards: Sequence[Guard], route: RouteConfig) -> frozenset[bytes]:
    """Response fields removed from the upstream's answer because the gateway sets them: two would contradict each other."""
    own = _REQUEST_ID if route.cache is None else _REQUEST_ID | FOR_US
    return own.union(*(guard.response_fields for guard in guards))


def compiling(
    configuration: Configuration,
    upstreams: Mapping[str, LiveUpstream],
    policies: Sequence[Policy],
    bits: Callable[[int], int] = random.getrandbits,
    answer_maker: AnswerMaker | None = None,
) -> Generator[None, None, Snapshot]:
    """Compile a configuration that `check` found no error in, one route a step, so that the event loop may go on between.

    `policies` are in the order of admission.
    """
    tracer = None if configuration.telemetry is None else TracingPlan(configuration.telemetry.traces, bits)
    plans: dict[str, RoutePlan] = {}
    caches = route_caches(configuration)
    table: RouteTable[RoutePlan] = RouteTable(())
    by_body = ByBody()
    for route in configuration.routes:
        guards = tuple(guard for each in policies if (guard := each.compile(route, configuration)) is not None)
        tracing = tracer.of(route) if tracer is not None else None
        if route.version is not None and not route.version.name:
            # Which version is meant is known only there; its own guards stand behind (`admission.go_on`).
            last = next(at for at, guard in enumerate(guards) if guard.phase == "version")
            guards = guards[: last + 1]
        if route.server_timing or (tracing is not None and tracing.phases != "off"):
            guards = tuple(TimedGuard(guard, time.monotonic, route.server_timing) for guard in guards)
        upstream = upstreams.get(route.upstream) if route.upstream else None
        body_bytes = configuration.edge.body_bytes if route.body_bytes is None else route.body_bytes
        answer = None if answer_maker is None else answer_maker(route, configuration)
        owned = gateway_owned_fields(guards, route)
        cache = caches.get(route.name)
        plan = plans[route.name] = RoutePlan(route, guards, upstream, body_bytes, owned, tracing, answer, cache)
        for match in (route.match, *route.also):
            if not by_body.add(match, plan):
                table.add(match, plan)
        yield
    by_body.finish(table)
    unrouted = tracer.of(None) if tracer is not None else None
    private = frozenset((configuration.mtls_header.encode("ascii"),)) if configuration.mtls_header else frozenset()
    keeps = any(route.encoded_slashes for route in configuration.routes)
    return Snapshot(configuration.revision, configuration, table, plans, upstreams, unrouted, private, keeps)


def compile_snapshot(
    configuration: Configuration,
    upstreams: Mapping[str, LiveUpstream],
    policies: Sequence[Policy],
    bits: Callable[[int], int] = random.getrandbits,
    answer_maker: AnswerMaker | None = None,
) -> Snapshot:
    """`compiling`, all steps at once."""
    steps = compiling(configuration, upstreams, policies, bits, answer_maker)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            compiled: Snapshot = done.value
            return compiled
