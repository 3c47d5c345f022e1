"""Which fields of clients the decisions of a configuration look at: what a front has to show, and no more."""

from __future__ import annotations

from spork.application.configuration.model import Configuration

#: Looked at whatever is configured: credentials, browsers' facts, trace and preflights.
ALWAYS = (
    "authorization",
    "cookie",
    "x-api-key",
    "origin",
    "referer",
    "sec-fetch-site",
    "sec-fetch-mode",
    "access-control-request-method",
    "access-control-request-headers",
    "user-agent",
    "accept",
    "content-type",
    "traceparent",
    "tracestate",
    "date",
    "signature",
    "signature-input",
    "content-digest",
)


def request_fields(configuration: Configuration) -> tuple[str, ...]:
    """The lower-case names of request fields that some route's match, limit, version or policy looks at."""
    names: dict[str, None] = dict.fromkeys(ALWAYS)
    for route in configuration.routes:
        for match in (route.match, *route.also):
            names.update((name.decode("latin-1"), None) for name, _ in match.headers)
        if route.auth is not None and route.auth.tenant:
            names[route.auth.tenant.lower()] = None
        if route.version is not None and route.version.selectors.header:
            names[route.version.selectors.header.decode("latin-1")] = None
    for limit in (*configuration.limits, *(limit for route in configuration.routes for limit in route.limits)):
        if limit.by.startswith("header:"):
            names[limit.by.removeprefix("header:").lower()] = None
    return tuple(name for name in names if name)
