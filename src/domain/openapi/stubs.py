"""Operations of routes that no document describes: that they are there, and what the gateway asks and answers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from spork.domain.openapi.protection import with_refusals
from spork.domain.openapi.publication import PublishedOperation, RouteExposure
from spork.domain.routing.patterns import Match

ANY_METHOD: Final = ("GET", "POST", "PUT", "PATCH", "DELETE")
_PARAMETER: Final = re.compile(r"\{([^{}/]*)\}")
_NOT_ID: Final = re.compile(r"[^A-Za-z0-9_]+")
_WITH_BODY: Final = frozenset(("POST", "PUT", "PATCH"))
_KNOWN: Final = frozenset(("GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH"))
_LAST: Final = {"description": "The rest of the path; it may hold slashes", "schema": {"type": "string"}}


def stub_operations(exposure: RouteExposure) -> Iterator[PublishedOperation]:
    """One for each path and method that the route takes."""
    for match in exposure.published:
        yield from _of_match(exposure, match)


def _of_match(exposure: RouteExposure, match: Match) -> Iterator[PublishedOperation]:
    names = list(match.path.params)
    path = match.path.text.removesuffix("/*") if match.path.prefix else match.path.text
    parameters: list[dict[str, Any]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names
    ]
    if match.path.prefix:
        last = "path"
        while last in names:
            last += "_"
        path = f"{path}/{{{last}}}"
        parameters.append({"name": last, "in": "path", "required": True, **_LAST})
    for method in sorted(match.methods & _KNOWN) or ([] if match.methods else ANY_METHOD):
        statuses = exposure.refusals | (exposure.body_refusals if method in _WITH_BODY else frozenset())
        node: dict[str, Any] = {
            "summary": f"{method} {path}",
            "description": "No document describes this address.",
            "operationId": f"{method.lower()}_{_NOT_ID.sub('_', path).strip('_')}",
            "tags": ["Other addresses"],
            "x-spork-undocumented": True,
        }
        if parameters or exposure.asked:
            node["parameters"] = [*parameters, *exposure.asked]
        node["responses"] = with_refusals(_answers(exposure), statuses)
        if exposure.deprecated:
            node["deprecated"] = True
        if exposure.sunset:
            node["x-sunset"] = exposure.sunset
        asked = [dict(one) for one in exposure.security(method)]
        node["security"] = [] if asked == [{}] else asked
        shape = _PARAMETER.sub("{}", path)
        yield PublishedOperation(
            exposure.route, exposure.upstream, method.lower(), path, shape, match.hosts, node, documented=False
        )


def _answers(exposure: RouteExposure) -> dict[str, Any]:
    if exposure.answers:
        location = {"Location": {"description": "Where to go instead", "schema": {"type": "string"}}}
        return {
            str(status): {"description": "It is elsewhere", "headers": location}
            if 300 < status < 400
            else {"description": "Answered at once"}
            for status in exposure.answers
        }
    return {"default": {"description": "Whatever the service answers"}}
