"""Checks of the decision API: who may ask, and which policies of a route a front cannot express."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from spork.application.configuration.decisions import Decisions
from spork.application.configuration.model import Configuration, RouteConfig
from spork.application.configuration.problems import Diagnostic
from spork.domain.http.edits import HeaderEdit
from spork.domain.http.event_stream import StreamPolicy
from spork.domain.http.websocket_policy import WebSocketPolicy
from spork.domain.identity.webhooks import WebhookRule
from spork.domain.routing.table import Rewrite

#: Fronts that hand on fields of an allowing answer to the client, as their snippet is written.
_TELLS_ON_SUCCESS: Final = frozenset(("envoy", "haproxy", "nginx"))

_Asks = Callable[[RouteConfig], bool]


def _policy(kind: type[object]) -> _Asks:
    return lambda route: any(isinstance(value, kind) for value in route.policies)


#: What no front can: its words in the configuration, and whether a route asks for it.
_NEVER: Final[tuple[tuple[str, _Asks], ...]] = (
    ("auth.forward_credentials: false", lambda r: r.auth is not None and not r.auth.forward_credentials),
    ("body_bytes", lambda r: r.body_bytes is not None),
    ("cache", lambda r: r.cache is not None),
    ("compression", lambda r: r.compression is not None),
    ("decode", lambda r: r.decode is not None),
    ("encoded_slashes", lambda r: r.encoded_slashes),
    ("channels", lambda r: bool(r.front)),
    ("first_byte", lambda r: r.first_byte is not None),
    ("idle", lambda r: r.idle is not None),
    ("respond", lambda r: r.respond is not None),
    ("rewrite_back", lambda r: r.rewrite_back is not None),
    ("headers.request", lambda r: r.request_headers != HeaderEdit()),
    ("headers.response", lambda r: r.response_headers != HeaderEdit()),
    ("limits of concurrency", lambda r: any(limit.algorithm == "concurrency" for limit in r.limits)),
    ("limits with a cost from the answer", lambda r: any(limit.price is not None for limit in r.limits)),
    ("mirror", lambda r: r.mirror is not None),
    ("priority", lambda r: r.priority != "normal"),
    ("rewrite", lambda r: r.rewrite != Rewrite()),
    ("security.schema", lambda r: r.security is not None and bool(r.security.schema)),
    ("security.screen of bodies", lambda r: r.security is not None and r.security.screen != "off"),
    ("splits", lambda r: bool(r.splits)),
    ("stream", _policy(StreamPolicy)),
    ("timeout", lambda r: r.timeout is not None),
    ("transform", lambda r: r.transform is not None),
    ("webhook", _policy(WebhookRule)),
    ("websocket", _policy(WebSocketPolicy)),
)
#: What a front cannot that hands on nothing of an allowing answer.
_SILENT: Final[tuple[tuple[str, _Asks], ...]] = (
    ("cors", lambda r: r.cors is not None),
    ("RateLimit fields", lambda r: bool(r.limits)),
    ("security.headers", lambda r: r.security is not None and (r.security.headers or bool(r.security.hsts))),
)
#: Policies that stand in the upstream.
_OF_UPSTREAMS: Final = ("breaker", "retries", "fallback", "adaptive_concurrency", "credentials")


def inexpressible(route: RouteConfig, front: str, configuration: Configuration | None = None) -> list[str]:
    """The policies of `route`, as they are written, that are not applied where `front` forwards its requests."""
    names = [name for name, asks in _NEVER if asks(route)]
    if front not in _TELLS_ON_SUCCESS:
        names += [name for name, asks in _SILENT if asks(route)]
    elif route.cors is not None:
        names.append("cors")
    upstream = None
    if configuration is not None and route.upstream:
        upstream = next((each for each in configuration.upstreams if each.name == route.upstream), None)
    if upstream is not None:
        names += [f"upstream's {name}" for name in _OF_UPSTREAMS if getattr(upstream, name, None)]
    return sorted(names)


def check_decisions(configuration: Configuration) -> Iterator[Diagnostic]:
    decisions = configuration.decisions
    if decisions is None:
        return
    yield from _check_peers(configuration, decisions)
    for index, route in enumerate(configuration.routes):
        by_names: dict[tuple[str, ...], list[str]] = {}
        for front in decisions.fronts:
            names = tuple(inexpressible(route, front, configuration))
            if names:
                by_names.setdefault(names, []).append(front)
        for names, fronts in by_names.items():
            yield Diagnostic(
                f"routes[{index}]",
                f"behind {', '.join(fronts)} these are not applied, the front cannot express them: {', '.join(names)}",
                "let such requests go through this gateway, or set the same at the front",
                "warning",
            )


def _check_peers(configuration: Configuration, decisions: Decisions) -> Iterator[Diagnostic]:
    if not decisions.peers:
        yield Diagnostic(
            "decisions.from",
            "names nobody, so that every question is answered 404",
            "write from: [127.0.0.0/8]",
            "warning",
        )
    if not decisions.fronts:
        yield Diagnostic("decisions.fronts", "names no front", "write fronts: [nginx]", "warning")
    for index, peer in enumerate(decisions.peers):
        if peer.endswith("/0"):
            yield Diagnostic(
                f"decisions.from[{index}]",
                "lets everybody say which request is meant, and who it is from",
                "name the addresses of your proxies",
            )
    if decisions.listen.startswith("unix:") and "unix" not in decisions.peers:
        yield Diagnostic(
            "decisions.from", "does not name unix, and only unix sockets reach decisions.listen", "add unix"
        )
    if decisions.listen and not decisions.listen.startswith("unix:"):
        host, _, port_text = decisions.listen.rpartition(":")
        taken = {(configuration.host, configuration.port): "listen"}
        if configuration.admin.enabled:
            taken[configuration.admin.host, configuration.admin.port] = "admin.listen"
        other = taken.get((host.strip("[]") or "0.0.0.0", int(port_text)))  # noqa: S104 - compared, not bound
        if other is not None and int(port_text):
            yield Diagnostic("decisions.listen", f"is the address of {other}", "give it another port")
    for front in decisions.normalize:
        if front not in decisions.fronts:
            yield Diagnostic("decisions.normalize", f'"{front}" is not among the fronts', "add it to fronts", "warning")
        if front in ("nginx", "caddy"):
            yield Diagnostic(
                "decisions.normalize",
                f"{front} sends its target the path as it came: what is decided would not be what is served",
                "leave it out; such paths are refused then",
            )
