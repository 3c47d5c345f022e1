"""Mistakes in apis, transforms, credentials: each names its place and says what to do; and what the good ones mean."""

from __future__ import annotations

import pytest

from spork.adapters.yaml.load import loads
from spork.domain.routing.table import RouteTable

BASE = "upstreams: {u: {targets: [http://127.0.0.1:1]}}\n"


def said(text: str) -> list[str]:
    return [f"{problem.severity} {problem.path}: {problem.message}" for problem in loads(text).problems]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("routes: [{match: /x, api: none}]", 'error routes[0].api: no API "none"'),
        (
            "apis: {a: {versions: {v1: {upstream: u}}}}\nroutes: [{match: /x, api: a}]",
            "routes[0].match: has no {version}",
        ),
        (
            "apis: {a: {select: [{header: V}], versions: {v1: {upstream: u}}}}\n"
            'routes: [{match: "/{version}/x", api: a}]',
            "routes[0].match: has {version}, but `select` has no path",
        ),
        (
            'apis: {a: {default: v7, versions: {v1: {upstream: u}}}}\nroutes: [{match: "/{version}/x", api: a}]',
            'apis.a.default: no version "v7"',
        ),
        ("apis: {a: {versions: {v1: {upstream: u}}}}", "warning apis.a: is used by no route"),
        (
            "apis: {a: {versions: {v1: {upstream: u, deprecated: 2027-01-01, sunset: 2026-01-01}}}}\n"
            'routes: [{match: "/{version}/x", api: a}]',
            "apis.a.versions.v1.sunset: is before `deprecated`",
        ),
        (
            "apis: {a: {versions: {v1: {upstream: u, deprecated: yesterday}}}}\n"
            'routes: [{match: "/{version}/x", api: a}]',
            "apis.a.versions.v1.deprecated: 'yesterday' is not a date",
        ),
        (
            'apis: {a: {versions: {v1: {upstream: u, brownouts: [{at: "25:00", for: 1h, every: 1w}]}}}}\n'
            'routes: [{match: "/{version}/x", api: a}]',
            "brownouts[0].at: '25:00' is not a time of day",
        ),
        (
            'apis: {a: {versions: {v1: {upstream: gone}}}}\nroutes: [{match: "/{version}/x", api: a}]',
            'no upstream "gone"',
        ),
        (
            "routes: [{match: /x, upstream: u, transform: {request: {json: [{set: /a, remove: /b}]}}}]",
            "transform.request.json[0]: is one of set, remove, rename, move, merge",
        ),
        (
            "routes: [{match: /x, upstream: u, transform: {request: {json: [{remove: a}]}}}]",
            "transform.request.json[0]: 'a' is no JSON Pointer",
        ),
        (
            "routes: [{match: /x, upstream: u, transform: {request: {json: [{move: /a}]}}}]",
            "transform.request.json[0]: move needs `to`",
        ),
        (
            "routes: [{match: /x, upstream: u, transform: {response: [{mask: {fields: [/~5]}}]}}]",
            "transform.response[0].mask.fields: '/~5' has a ~",
        ),
        (
            'routes: [{match: {path: /x, headers: {accept: text/event-stream}}, upstream: u, transform: {shape: "a"}}]',
            "warning routes[0].transform: would hold whole bodies, and the route is of event streams",
        ),
        (
            "upstreams: {v: {targets: [https://a.example.com], credentials: {bearer: a, basic: {user: a, password: b}}}}",
            "upstreams.v.credentials: is exactly one of",
        ),
        (
            "upstreams: {v: {targets: [http://a.example.com], credentials: {bearer: abc}}}",
            "warning upstreams.v.targets[0]: would get the credentials in clear text",
        ),
        (
            "upstreams: {v: {targets: [https://a.example.com], credentials: {hmac: {secret: s, over: [mood]}}}}",
            'credentials.hmac.over: "mood" is none of',
        ),
        ("upstreams: {v: {targets: [https://a.example.com], allow: [home]}}", "'home' is neither a network nor public"),
        (
            "upstreams: {v: {targets: [https://a.example.com], allow: [public], transport: httpx}}",
            "upstreams.v.allow: is only kept by transport httptools",
        ),
    ],
)
def test_mistakes(text: str, complaint: str) -> None:
    whole = text if text.startswith("upstreams") else BASE + text
    assert any(complaint in line for line in said(whole)), said(whole)


def test_one_route_per_version_and_the_table_finds_them() -> None:
    loaded = loads(
        BASE
        + """
apis:
  a:
    select: [path, {header: V}, {query: v}, {accept: version}]
    default: v2
    versions: {v1: {upstream: u}, v2: {upstream: u}}
routes: [{name: a, match: "/api/{version}/a/*", api: a}]
"""
    )
    assert not loaded.problems
    assert loaded.configuration is not None
    routes = loaded.configuration.routes
    assert [route.name for route in routes] == ["a@v1", "a@v2"]
    table = RouteTable((match, route.name) for route in routes for match in (route.match, *route.also))
    for path, headers, query, found in [
        (b"/api/v1/a", [], None, "a@v1"),
        (b"/api/v2/a/x", [], None, "a@v2"),
        (b"/api/a/x", [], None, "a@v2"),
        (b"/api/a/x", [(b"v", b"v1")], None, "a@v1"),
        (b"/api/a/x", [], b"v=v1", "a@v1"),
        (b"/api/a/x", [(b"accept", b"application/vnd.x.v1+json")], None, "a@v1"),
    ]:
        assert table.resolve("", path, "GET", headers, query).route == found  # type: ignore[union-attr]


def test_ten_thousand_versioned_routes_are_read_and_checked() -> None:
    versions = ", ".join(f"v{number}: {{upstream: u}}" for number in range(100))
    routes = "\n".join(f'  - {{name: r{number}, match: "/{{version}}/r{number}", api: a}}' for number in range(100))
    loaded = loads(BASE + f"apis: {{a: {{versions: {{{versions}}}}}}}\nroutes:\n{routes}\n")
    assert not loaded.problems
    assert loaded.configuration is not None and len(loaded.configuration.routes) == 10_000
