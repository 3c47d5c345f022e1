"""The routes and healthy targets of this gateway as another proxy's configuration: Traefik as data plane.

Traefik polls the document over its HTTP provider. Its routers stand in our order of precedence by explicit priorities, its
services list the targets that are healthy here. What it has no word for is named in the report, and with `strict` refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from spork.application.configuration.checks.decisions import inexpressible
from spork.application.configuration.model import Configuration, DataPlane, RouteConfig
from spork.application.exchange.exchange import Snapshot
from spork.domain.decisions.fronts import IDENTITY_FIELDS
from spork.domain.routing.patterns import Match

#: Policies that the document expresses all the same.
_EXPRESSED = frozenset(("rewrite", "auth.forward_credentials: false"))


@dataclass(slots=True)
class DataPlaneExport:
    """`document` is what the proxy reads; `lost` are the routes with what they lose there."""

    document: dict[str, Any]
    lost: dict[str, list[str]] = field(default_factory=dict)


def traefik(snapshot: Snapshot, plane: DataPlane, now: float) -> DataPlaneExport:
    """The snapshot as Traefik's dynamic configuration; `now` is monotonic, for what is healthy."""
    configuration = snapshot.configuration
    routers: dict[str, Any] = {}
    middlewares: dict[str, Any] = {}
    lost: dict[str, list[str]] = {}
    decides = _decide_address(configuration, plane)
    if decides:
        middlewares["spork-decide"] = {
            "forwardAuth": {
                "address": f"http://{decides}/decide/traefik",
                "trustForwardHeader": False,
                "authResponseHeaders": [name.decode() for name in IDENTITY_FIELDS],
            }
        }
    ordered = sorted(_matches(configuration), key=lambda each: each[0])
    for position, (_, route, match, host) in enumerate(ordered):
        missing = [name for name in inexpressible(route, "traefik", configuration) if name not in _EXPRESSED]
        if match.accept is not None:
            missing.append("select: accept")
        if not decides and (route.auth is not None or route.limits or route.security is not None):
            missing.append("auth, limits and security (decisions for traefik are not configured)")
        if missing:
            lost[route.name] = sorted(missing)
        if route.upstream is None or route.upstream not in snapshot.upstreams or match.accept is not None:
            lost.setdefault(route.name, []).append("the route as a whole")
            continue
        chain = ["spork-decide"] if decides else []
        rewrite = route.rewrite
        if rewrite.strip:
            middlewares[f"{route.name}-strip"] = {"stripPrefix": {"prefixes": [rewrite.strip]}}
            chain.append(f"{route.name}-strip")
        if rewrite.add:
            middlewares[f"{route.name}-add"] = {"addPrefix": {"prefix": rewrite.add}}
            chain.append(f"{route.name}-add")
        routers[f"{route.name}-{position}"] = {
            "rule": _rule(match, host),
            "priority": len(ordered) - position,
            "service": route.upstream,
            "entryPoints": list(plane.entry_points),
            **({"middlewares": chain} if chain else {}),
        }
    services = {name: _service(snapshot, name, now) for name in sorted({r["service"] for r in routers.values()})}
    http = {"routers": routers, "services": services, **({"middlewares": middlewares} if middlewares else {})}
    return DataPlaneExport({"http": http}, lost)


def _decide_address(configuration: Configuration, plane: DataPlane) -> str:
    """Where Traefik asks for decisions; empty where it may not."""
    decisions = configuration.decisions
    if decisions is None or "traefik" not in decisions.fronts or decisions.listen.startswith("unix:"):
        return ""
    return plane.decide or decisions.listen or f"{configuration.host}:{configuration.port}"


def _matches(configuration: Configuration) -> Iterator[tuple[tuple[Any, ...], RouteConfig, Match, str]]:
    """Every match once per host, with a key that sorts it by our precedence."""
    for route in configuration.routes:
        for match in (route.match, *route.also):
            for host in match.hosts or ("",):
                specific = (0 if not host else 1, -1000 if host and not host.startswith("*.") else -len(host))
                path = tuple(_path_rank(segment) for segment in match.path.shape)
                key = (
                    -specific[0], specific[1], path, match.regexp is None, not match.methods,
                    -len(match.headers), -len(match.query), route.name,
                )  # fmt: skip
                yield key, route, match, host


def _path_rank(segment: bytes) -> tuple[int, bytes]:
    """A literal segment before the end of the path, a parameter after it, everything below last."""
    return {b"$": (1, b""), b"{}": (2, b""), b"*": (3, b"")}.get(segment, (0, segment))


def _rule(match: Match, host: str) -> str:
    """The match as a rule of Traefik 3."""
    parts = (
        [f"HostRegexp(`^[^.]+(\\.[^.]+)*{re.escape(host[1:])}$`)" if host.startswith("*.") else f"Host(`{host}`)"]
        if host
        else []
    )
    path = match.path
    plain = "/" + "/".join(segment.decode() for segment in path.segments)
    if any(segment[:1] == b"{" for segment in path.segments):
        pieces = "".join("/[^/]+" if s[:1] == b"{" else "/" + re.escape(s.decode()) for s in path.segments)
        parts.append(f"PathRegexp(`^{pieces}{'(/.*)?' if path.prefix else ''}$`)")
    elif not path.prefix:
        parts.append(f"Path(`{plain}`)")
    elif plain == "/":
        parts.append("PathPrefix(`/`)")
    else:
        parts.append(f"(Path(`{plain}`) || PathPrefix(`{plain}/`))")
    if match.regexp is not None:
        parts.append(f"PathRegexp(`{match.regexp.text}`)")
    if match.methods:
        parts.append("(" + " || ".join(f"Method(`{method}`)" for method in sorted(match.accepts)) + ")")
    for name, value in match.headers:
        wanted = (
            f"Header(`{name.decode()}`, `{value.decode()}`)"
            if value is not None
            else f"HeaderRegexp(`{name.decode()}`, `.*`)"
        )
        parts.append(wanted)
    for name, value in match.query:
        wanted = (
            f"Query(`{name.decode()}`, `{value.decode()}`)"
            if value is not None
            else f"QueryRegexp(`{name.decode()}`, `.*`)"
        )
        parts.append(wanted)
    return " && ".join(parts)


def _service(snapshot: Snapshot, name: str, now: float) -> dict[str, Any]:
    """The upstream's targets that are let in and healthy; all that are let in where none is healthy, as here."""
    upstream = snapshot.upstreams[name]
    allowed = [target for target in upstream.targets if target.allowed(now)]
    healthy = [target for target in allowed if target.healthy(now)]
    servers = []
    for target in healthy or allowed:
        declared = target.declared
        if declared.unix_path is None and declared.scheme in ("http", "https"):
            host = f"[{declared.host}]" if ":" in declared.host else declared.host
            server: dict[str, Any] = {"url": f"{declared.scheme}://{host}:{declared.port}"}
            if declared.weight != 1:
                server["weight"] = declared.weight
            servers.append(server)
    return {"loadBalancer": {"servers": servers, "passHostHeader": upstream.declared.pass_host}}
