"""A route compiled with everything its requests need, and the snapshot that holds all of them.

Compiled once per configuration: nothing here is looked up, parsed or formatted per request.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from application.configuration import Configuration, HeaderEdit, RouteConfig
from application.guards.security import SECURITY_HEADERS
from application.ports import Guard
from application.server_timing import TimedGuard
from application.upstreams import LiveUpstream
from domain.cors import RESPONSE_FIELDS
from domain.http import Header
from domain.routing import PathRewriter, Redirect, RouteTable
from domain.splitting import SplitRule

#: Makes the guard of one phase for one route, or None when the route does not ask for it.
GuardMaker = Callable[[RouteConfig, Configuration], Guard | None]


class HeaderTransform:
    """A compiled `HeaderEdit`: remove, then set (replacing), then add."""

    __slots__ = ("_append", "_drop")

    def __init__(self, edit: HeaderEdit) -> None:
        self._drop = edit.remove | {name for name, _ in edit.set}
        self._append = [*edit.set, *edit.add]

    @staticmethod
    def compile(edit: HeaderEdit) -> HeaderTransform | None:
        """None when there is nothing to change."""
        return HeaderTransform(edit) if edit.set or edit.add or edit.remove else None

    def apply(self, headers: list[Header]) -> list[Header]:
        kept = [header for header in headers if header[0] not in self._drop] if self._drop else headers
        return kept + self._append


def answered_by_us(config: RouteConfig) -> frozenset[bytes]:
    """Header names that a target's answer loses because the gateway says them itself: two would contradict each other."""
    names = {b"x-request-id"}
    if config.cors is not None:
        names |= RESPONSE_FIELDS
    if config.security is not None:
        if config.security.headers:
            names |= {name for name, _ in SECURITY_HEADERS}
        if config.security.hsts:
            names.add(b"strict-transport-security")
    return frozenset(names)


class RoutePlan:
    """One route, ready to serve. `upstream` is None for redirects and for routes that name it by a path parameter."""

    __slots__ = (
        "body_bytes",
        "config",
        "guards",
        "mirror",
        "name",
        "needs_rest",
        "ours",
        "redirect",
        "request_transform",
        "response_transform",
        "rewriter",
        "splits",
        "timed",
        "timeout",
        "upstream",
        "upstream_param",
    )

    def __init__(
        self,
        config: RouteConfig,
        guards: tuple[Guard, ...],
        upstream: LiveUpstream | None,
        body_bytes: int,
    ) -> None:
        self.config = config
        self.name = config.name
        self.guards = guards
        self.upstream = upstream
        name = config.upstream or ""
        self.upstream_param = name[1:-1] if name[:1] == "{" else ""
        self.redirect: Redirect | None = config.redirect
        self.rewriter: PathRewriter | None = config.rewrite.compile()
        #: Whether what a prefix leaves of the path is asked for at all.
        self.needs_rest = self.rewriter is not None or config.redirect is not None
        self.request_transform = HeaderTransform.compile(config.request_headers)
        self.response_transform = HeaderTransform.compile(config.response_headers)
        self.ours = answered_by_us(config)
        self.body_bytes = body_bytes
        self.timeout = config.timeout
        #: Whether answers carry Server-Timing; then the guards are timed.
        self.timed = config.server_timing
        self.splits = tuple(SplitRule(s.upstream, s.weight, s.header, s.consumers) for s in config.splits)
        self.mirror = config.mirror

    def __repr__(self) -> str:
        return f"<RoutePlan {self.name} {self.config.match.path.text} -> {self.config.upstream}>"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The compiled configuration in force. Immutable but for the live state its upstreams carry."""

    revision: str
    configuration: Configuration
    table: RouteTable[RoutePlan]
    plans: Mapping[str, RoutePlan]
    upstreams: Mapping[str, LiveUpstream]


def compile_snapshot(
    configuration: Configuration,
    upstreams: Mapping[str, LiveUpstream],
    guard_makers: Sequence[GuardMaker],
) -> Snapshot:
    """Compile a configuration that `check` found no error in. `guard_makers` are in the order of admission."""
    plans: dict[str, RoutePlan] = {}
    for route in configuration.routes:
        guards = tuple(guard for make in guard_makers if (guard := make(route, configuration)) is not None)
        if route.server_timing:
            guards = tuple(TimedGuard(guard, time.monotonic) for guard in guards)
        upstream = upstreams.get(route.upstream) if route.upstream else None
        body_bytes = configuration.edge.body_bytes if route.body_bytes is None else route.body_bytes
        plans[route.name] = RoutePlan(route, guards, upstream, body_bytes)
    table = RouteTable((plan.config.match, plan) for plan in plans.values())
    return Snapshot(configuration.revision, configuration, table, plans, upstreams)
