"""The caches of routes, compiled."""

from __future__ import annotations

import hashlib

from spork.application.configuration.model import Configuration
from spork.domain.http.caching.policy import RouteCache


def route_caches(configuration: Configuration) -> dict[str, RouteCache]:
    """The caches of routes by name. A route that stores nothing has one too when another stores answers of the same path: what
    its requests change is invalidated there (RFC 9111 4.4)."""
    caches: dict[str, RouteCache] = {}
    stored = {route.match.path.text for route in configuration.routes if route.cache is not None}
    for route in configuration.routes:
        policy = route.cache
        if policy is not None:
            section = hashlib.sha256(f"{route.name}\0{policy!r}\0{route.match!r}".encode()).digest()[:12]
            caches[route.name] = RouteCache(section, policy, configuration.cache.purge_method)
        elif route.match.path.text in stored and route.redirect is None and route.respond is None:
            caches[route.name] = RouteCache(b"", None)
    return caches
