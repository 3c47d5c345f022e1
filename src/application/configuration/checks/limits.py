"""Checks of limits: numbers that can never admit, and choices that surprise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from spork.application.configuration.model import Configuration
from spork.application.configuration.problems import Diagnostic, child
from spork.domain.limits.limit import Limit, limit_problems, limit_warnings

_IDENTITIES = ("consumer", "key", "tenant")


def check_limits(configuration: Configuration) -> Iterator[Diagnostic]:
    shared: dict[str, tuple[Limit, str]] = {}
    for path, limits in _lists(configuration):
        seen: dict[str, int] = {}
        for index, limit in enumerate(limits):
            where = f"{path}[{index}]"
            if limit.name and limit.name in seen:
                yield Diagnostic(f"{where}.name", f'"{limit.name}" is the name of {path}[{seen[limit.name]}] too')
            seen.setdefault(limit.name, index)
            yield from _check_limit(limit, where)
            if limit.shared:
                yield from _check_shared(limit, where, shared)
    yield from _check_plans(configuration)
    yield from _check_identities(configuration)
    yield from _check_body_fields(configuration)


def _lists(configuration: Configuration) -> Iterator[tuple[str, Sequence[Limit]]]:
    yield "limits", configuration.limits
    for plan in configuration.plans:
        yield child(child("plans", plan.name), "limits"), plan.limits
        yield child(child("plans", plan.name), "quotas"), plan.quotas
    for index, route in enumerate(configuration.routes):
        if route.limits:
            yield f"routes[{index}].limits", route.limits


def _check_limit(limit: Limit, path: str) -> Iterator[Diagnostic]:
    if limit.source == "plan":
        return
    for sentence in limit_problems(limit):
        yield Diagnostic(_about(sentence, path), sentence)
    for sentence in limit_warnings(limit):
        yield Diagnostic(_about(sentence, path), sentence, "", "warning")
    if limit.quota == 0:
        yield Diagnostic(f"{path}.quota", "0 refuses every request", "", "warning")
    if limit.burst is not None and limit.algorithm != "gcra":
        yield Diagnostic(f"{path}.burst", f"has no effect with {limit.algorithm}", "only gcra has a burst", "warning")


def _about(sentence: str, path: str) -> str:
    """The key that a sentence of the domain begins with."""
    word = sentence.split(" ", 1)[0]
    key = word if word in ("quota", "per", "burst", "cost", "accuracy") else "algorithm"
    return f"{path}.{key}"


def _check_shared(limit: Limit, path: str, shared: dict[str, tuple[Limit, str]]) -> Iterator[Diagnostic]:
    first, where = shared.setdefault(limit.name, (limit, path))
    if first != limit:
        yield Diagnostic(
            path, f'shared limit "{limit.name}" differs from {where}', "give both the same numbers, or two names"
        )


def _check_plans(configuration: Configuration) -> Iterator[Diagnostic]:
    if configuration.plans:
        return
    for path, limits in _lists(configuration):
        for index, limit in enumerate(limits):
            if limit.source == "plan":
                yield Diagnostic(f"{path}[{index}].from", "there are no plans", "declare some under plans:")


def _check_body_fields(configuration: Configuration) -> Iterator[Diagnostic]:
    """A field of the body is known only where a route is told apart by it."""
    routes = configuration.routes
    for index, route in enumerate(routes):
        known = {name for name, _ in route.match.body}
        alike = replace(route.match, body=())
        for other in routes:
            if other.match.body and replace(other.match, body=()) == alike:
                known |= {name for name, _ in other.match.body}
        for number, limit in enumerate(route.limits):
            if limit.by.startswith("json:") and limit.by[5:] not in known:
                yield Diagnostic(
                    f"routes[{index}].limits[{number}].by",
                    f"counts by {limit.by}, which no match.body of this route names",
                    f"add match.body: {{{limit.by[5:]}: ...}}",
                )
    for path, limits in _lists(configuration):
        for number, limit in enumerate(limits):
            if limit.by.startswith("json:") and not path.startswith("routes["):
                yield Diagnostic(
                    f"{path}[{number}].by", "fields of bodies are known on routes only", "count by consumer"
                )


def _check_identities(configuration: Configuration) -> Iterator[Diagnostic]:
    """A limit by caller on a route that asks nobody who they are counts everybody as one."""
    for index, route in enumerate(configuration.routes):
        if route.auth is not None:
            continue
        for number, limit in enumerate(route.limits):
            if limit.by in _IDENTITIES or limit.by.startswith("claim:"):
                yield Diagnostic(
                    f"routes[{index}].limits[{number}].by",
                    f"counts by {limit.by}, but the route has no auth: that tells callers apart",
                    "add auth:, or count by ip",
                    "warning",
                )
