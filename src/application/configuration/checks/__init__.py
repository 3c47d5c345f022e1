"""What a configuration means, checked as a whole: references, conflicts, ranges, and what is legal but unwise.

`check` answers problems by configuration path and never raises; the adapter that read the configuration knows the
lines. What a single value may look like was checked when it was read; here are the rules between values.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator

from spork.application.configuration.checks.caching import check_caches
from spork.application.configuration.checks.callers import check_auth, check_consumers, check_issuers
from spork.application.configuration.checks.channels import check_channels
from spork.application.configuration.checks.closing import check_closing
from spork.application.configuration.checks.decisions import check_decisions
from spork.application.configuration.checks.limits import check_limits
from spork.application.configuration.checks.listeners import check_listeners
from spork.application.configuration.checks.objectives import check_objectives
from spork.application.configuration.checks.openapi import check_openapi
from spork.application.configuration.checks.plugins import check_plugged
from spork.application.configuration.checks.routes import check_routes
from spork.application.configuration.checks.telemetry import check_telemetry
from spork.application.configuration.checks.upstreams import check_upstreams
from spork.application.configuration.model import Configuration
from spork.application.configuration.problems import Diagnostic

IsFile = Callable[[str], bool]


def check(
    configuration: Configuration, *, unread: Collection[str] = (), is_file: IsFile | None = None
) -> list[Diagnostic]:
    """Every problem of `configuration`.

    `unread` are paths of things that were written but could not be read (`upstreams.users`): references to them are not
    complained about. With `is_file`, files that are named must exist.
    """
    return [
        *check_server(configuration, is_file),
        *check_issuers(configuration, is_file),
        *check_consumers(configuration, unread),
        *check_upstreams(configuration, unread, is_file),
        *check_routes(configuration, unread),
        *check_caches(configuration),
        *check_channels(configuration),
        *check_auth(configuration, unread, is_file),
        *check_closing(configuration),
        *check_limits(configuration),
        *check_objectives(configuration, unread),
        *check_openapi(configuration, is_file),
        *check_telemetry(configuration),
        *check_decisions(configuration),
        *check_plugged(configuration),
    ]


def is_loopback(host: str) -> bool:
    return host == "localhost" or host == "::1" or host.startswith("127.")


def check_server(configuration: Configuration, is_file: IsFile | None) -> Iterator[Diagnostic]:
    """Listeners, files and what the process as a whole does."""
    admin = configuration.admin
    if admin.enabled and admin.port and (admin.port, admin.host) == (configuration.port, configuration.host):
        yield Diagnostic(
            "admin.listen", f"is the data listener's address {admin.host}:{admin.port}", "give it another port"
        )
    if admin.enabled and not is_loopback(admin.host):
        yield Diagnostic(
            "admin.listen",
            f"the admin API would answer on {admin.host} without TLS",
            "keep it on 127.0.0.1, or behind a proxy that adds TLS",
            "warning",
        )
    yield from _check_tokens(configuration)
    if configuration.discovery_file and is_file is not None and not is_file(configuration.discovery_file):
        yield Diagnostic("discovery_file", f"no file {configuration.discovery_file!r} yet", "", "warning")
    yield from check_listeners(configuration, is_file)
    for index, network in enumerate(configuration.trusted_proxies):
        if network.endswith("/0"):
            yield Diagnostic(
                f"trusted_proxies[{index}]", "lets every client choose its own address", "name your proxies", "warning"
            )
    if configuration.edge.drain_delay > configuration.edge.grace:
        yield Diagnostic("edge.drain_delay", "is longer than grace", "", "warning")
    for name in ("header_timeout", "idle_timeout", "body_grace"):
        if getattr(configuration.edge, name) <= 0:
            yield Diagnostic(f"edge.{name}", "must be longer than 0")
    for index, method in enumerate(configuration.edge.methods):
        if method in ("CONNECT", "TRACE", "PRI"):
            yield Diagnostic(f"edge.methods[{index}]", f"{method} would break or expose connections", "take it out")
    if configuration.edge.header_bytes < 1024:
        yield Diagnostic("edge.header_bytes", "is less than 1KiB, which ordinary requests exceed")


def _check_tokens(configuration: Configuration) -> Iterator[Diagnostic]:
    seen: dict[str, int] = {}
    for index, token in enumerate(configuration.admin.tokens):
        if token.name in seen:
            yield Diagnostic(
                f"admin.tokens[{index}].name", f'"{token.name}" is the name of admin.tokens[{seen[token.name]}] too'
            )
        seen.setdefault(token.name, index)


def needs_shared_state(configuration: Configuration) -> list[str]:
    """What several processes could only do through a shared store, in words; empty when nothing, or there is one."""
    if configuration.shared != "memory":
        return []
    limited = [r.name for r in configuration.routes if r.limits]
    broken = [u.name for u in configuration.upstreams if u.breaker]
    reasons = [
        (configuration.limits, "limits of the whole gateway are counted across processes"),
        (limited, f"limits are counted across processes (routes: {_some(limited)})"),
        (configuration.registration != "off", "registered services must be known to every process"),
        (configuration.channels, "events of channels must reach every process"),
        (configuration.issuers, "a revoked token must be refused by every process"),
        (broken, f"circuits open for all processes at once (upstreams: {_some(broken)})"),
    ]
    return [words for needed, words in reasons if needed]


def _some(names: Iterable[str]) -> str:
    listed = list(names)
    return ", ".join(listed[:3]) + (f" and {len(listed) - 3} more" if len(listed) > 3 else "")
