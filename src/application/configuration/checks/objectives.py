"""What objectives mean: their routes exist, and their target leaves something to be missed."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from spork.application.configuration.model import Configuration
from spork.application.configuration.problems import Diagnostic, child, did_you_mean


def check_objectives(configuration: Configuration, unread: Collection[str] = ()) -> Iterator[Diagnostic]:
    all_read = not any(path.startswith("routes[") for path in unread)
    routes = [route.name for route in configuration.routes]
    for objective in configuration.objectives:
        path = child("objectives", objective.name)
        if objective.route and objective.route not in routes and all_read:
            hint = did_you_mean(objective.route, routes)
            yield Diagnostic(f"{path}.route", f'no route "{objective.route}"', hint)
        if not 0.0 < objective.target < 1.0:
            yield Diagnostic(f"{path}.availability", "must be more than 0 and less than 100%", "99.9% is usual")
        if objective.period < 3600:
            yield Diagnostic(f"{path}.period", "must be at least 1h")
