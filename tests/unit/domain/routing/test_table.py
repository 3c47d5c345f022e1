"""Routing: the documented precedence, whatever the order of the routes, against an oracle that asks every route."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spork.domain.http.head import Header
from spork.domain.routing.conflicts import find_conflicts
from spork.domain.routing.patterns import Match, PathPattern
from spork.domain.routing.precedence import why_not
from spork.domain.routing.table import NO_ROUTE, Matched, MethodNotAllowed, RouteTable


def match(
    path: str,
    *methods: str,
    hosts: tuple[str, ...] = (),
    headers: tuple[tuple[bytes, bytes | None], ...] = (),
    query: tuple[tuple[bytes, bytes | None], ...] = (),
) -> Match:
    return Match(PathPattern.parse(path), hosts, frozenset(methods), headers, query)


def winner(
    routes: dict[str, Match],
    path: str,
    method: str = "GET",
    host: str = "api.example.com",
    headers: tuple[Header, ...] = (),
    query: bytes | None = None,
) -> str | None:
    """Who wins, asked of tables in both orders."""
    found = set()
    for order in (list(routes.items()), list(routes.items())[::-1]):
        table = RouteTable((m, name) for name, m in order)
        resolution = table.resolve(host, path.encode(), method, headers, query)
        found.add(resolution.route if isinstance(resolution, Matched) else None)
    assert len(found) == 1, "the order of the routes decides"
    return found.pop()


class TestPatterns:
    @pytest.mark.parametrize(
        ("pattern", "path", "takes"),
        [
            ("/", "/", True), ("/", "/x", False),
            ("/x", "/x", True), ("/x", "/x/", False), ("/x", "/x/y", False), ("/x/", "/x/", True), ("/x/", "/x", False),
            ("/x/*", "/x", True), ("/x/*", "/x/", True), ("/x/*", "/x/y/z", True), ("/x/*", "/xy", False),
            ("/*", "/", True), ("/*", "/a/b", True),
            ("/u/{id}", "/u/7", True), ("/u/{id}", "/u/", False), ("/u/{id}", "/u/7/x", False), ("/u/{id}", "/u", False),
            ("/u/{id}/*", "/u/7/x/y", True), ("/u/{id}/*", "/u/7", True), ("/u/{id}/*", "/u", False),
            ("/caf%C3%A9", "/caf%C3%A9", True), ("/A", "/a", False),
        ],
    )  # fmt: skip
    def test_what_they_take(self, pattern: str, path: str, takes: bool) -> None:
        assert (winner({"r": match(pattern)}, path) == "r") is takes
        assert (why_not(match(pattern), "", path.encode(), "GET", (), None) is None) is takes

    @pytest.mark.parametrize(
        "pattern",
        ["", "x", "/x//y", "//", "/./x", "/x/..", "/*/x", "/x*", "/{a}b", "/{}", "/{a}/{a}", "/a?b", "/a#b", "/a b", "/é",
         "/a\\b", "/%7E", "/%c3", "/%5C", "/%00", "/%", "/%2", "/{a b}", "//*", "/}x{"],
    )  # fmt: skip
    def test_what_could_never_match_is_no_pattern(self, pattern: str) -> None:
        with pytest.raises(ValueError):
            PathPattern.parse(pattern)

    def test_parameters_and_rest(self) -> None:
        table = RouteTable([(match("/api/{service}/v1/{id}/*"), "r")])
        resolution = table.resolve("", b"/api/users/v1/7/a/b", "GET", (), None)
        assert isinstance(resolution, Matched)
        assert (resolution.route, resolution.params) == ("r", {"service": "users", "id": "7"})
        assert resolution.rest == b"/a/b"

    @pytest.mark.parametrize(("path", "rest"), [("/x", b""), ("/x/", b"/"), ("/x/a", b"/a"), ("/x/a/", b"/a/")])
    def test_rest(self, path: str, rest: bytes) -> None:
        resolution = RouteTable([(match("/x/*"), "r")]).resolve("", path.encode(), "GET", (), None)
        assert isinstance(resolution, Matched)
        assert resolution.rest == rest


class TestPrecedence:
    """Each case: the winner first, then who loses, then a request that both take."""

    @pytest.mark.parametrize(
        ("first", "second", "path"),
        [
            ("/users/me", "/users/{id}", "/users/me"),
            ("/users/{id}", "/users/*", "/users/7"),
            ("/users/7", "/users/*", "/users/7"),
            ("/a/b/*", "/a/*", "/a/b/c"),
            ("/a/b/*", "/a/{x}/c", "/a/b/c"),
            ("/a/{x}/c", "/a/*", "/a/b/c"),
            ("/a/{x}/c", "/{y}/b/c", "/a/b/c"),
            ("/x", "/x/*", "/x"),
            ("/x/{a}/*", "/x/*", "/x/y"),
            ("/x/{a}", "/x/{a}/*", "/x/y"),
            ("/*", "/*", "/anything"),
        ],
    )
    def test_paths(self, first: str, second: str, path: str) -> None:
        if first != second:
            assert winner({"first": match(first), "second": match(second)}, path) == "first"
        specific_host = match(second, hosts=("api.example.com",))
        assert winner({"path": match(first), "host": specific_host}, path) == "host", "the host comes before the path"

    def test_hosts(self) -> None:
        routes = {
            "any": match("/*"),
            "suffix": match("/*", hosts=("*.example.com",)),
            "longer": match("/*", hosts=("*.eu.example.com",)),
            "exact": match("/*", hosts=("a.eu.example.com",)),
        }
        asked = {"a.eu.example.com": "exact", "b.eu.example.com": "longer", "eu.example.com": "suffix",
                 "example.com": "any", "notexample.com": "any", "": "any"}  # fmt: skip
        assert {host: winner(routes, "/x", host=host) for host in asked} == asked

    def test_the_next_host_is_asked(self) -> None:
        routes = {"host": match("/a", hosts=("api.example.com",)), "any": match("/b")}
        assert winner(routes, "/b") == "any"

    def test_methods_before_any_method(self) -> None:
        routes = {"any": match("/x"), "post": match("/x", "POST")}
        assert winner(routes, "/x", "POST") == "post"
        assert winner(routes, "/x", "GET") == "any"

    def test_a_method_that_is_not_taken_leaves_it_to_the_next_path(self) -> None:
        routes = {"me": match("/users/me", "GET"), "one": match("/users/{id}", "POST")}
        assert winner(routes, "/users/me", "POST") == "one"

    def test_head(self) -> None:
        get, head = match("/x", "GET"), match("/x", "HEAD")
        assert winner({"get": get}, "/x", "HEAD") == "get"
        assert winner({"get": get, "head": head}, "/x", "HEAD") == "head"
        assert winner({"get": get, "any": match("/x")}, "/x", "HEAD") == "get"
        assert winner({"post": match("/x", "POST"), "any": match("/x")}, "/x", "HEAD") == "any"
        conditioned = match("/x", "GET", headers=((b"x-a", None),))
        assert winner({"get": conditioned, "head": head}, "/x", "HEAD", headers=((b"x-a", b""),)) == "head"

    def test_conditions(self) -> None:
        routes = {
            "plain": match("/x"),
            "query": match("/x", query=((b"v", None),)),
            "header": match("/x", headers=((b"x-a", None),)),
            "valued": match("/x", headers=((b"x-a", b"1"),)),
            "two": match("/x", headers=((b"x-a", None), (b"x-b", None))),
        }
        a, b = (b"x-a", b"1"), (b"x-b", b"")
        assert winner(routes, "/x") == "plain"
        assert winner(routes, "/x", query=b"u=1&v") == "query"
        assert winner(routes, "/x", query=b"v=1", headers=(a,)) == "valued"
        assert winner(routes, "/x", headers=((b"x-a", b"2"),)) == "header"
        assert winner(routes, "/x", headers=(a, b)) == "two"

    def test_conditions_that_could_both_hold_are_told_apart_by_the_alphabet(self) -> None:
        routes = {"b": match("/x", headers=((b"x-b", b"1"),)), "a": match("/x", headers=((b"x-a", b"1"),))}
        assert winner(routes, "/x", headers=((b"x-b", b"1"), (b"x-a", b"1"))) == "a"

    def test_a_repeated_header_holds_by_any_of_its_values(self) -> None:
        routes = {"r": match("/x", headers=((b"x-a", b"2"),))}
        assert winner(routes, "/x", headers=((b"x-a", b"1"), (b"x-a", b"2"))) == "r"


class TestRefusals:
    def test_no_route(self) -> None:
        assert RouteTable([(match("/x"), "r")]).resolve("", b"/y", "GET", (), None) is NO_ROUTE
        assert RouteTable([]).resolve("", b"/", "GET", (), None) is NO_ROUTE  # type: ignore[var-annotated]

    def test_allow_is_everything_the_path_takes(self) -> None:
        routes = [
            match("/x", "GET"),
            match("/x", "DELETE"),
            match("/{p}", "PUT"),
            match("/*", "PATCH"),
            match("/y", "POST"),
        ]
        table = RouteTable(zip(routes, "abcde", strict=True))
        assert table.resolve("", b"/x", "OPTIONS", (), None) == MethodNotAllowed(
            ("DELETE", "GET", "HEAD", "PATCH", "PUT")
        )

    def test_a_header_that_is_missing_is_no_matter_of_methods(self) -> None:
        table = RouteTable([(match("/x", "GET", headers=((b"x-a", None),)), "r")])
        assert table.resolve("", b"/x", "POST", (), None) is NO_ROUTE


# ------------------------------------------------------------------------------------------------------------- oracle

SEGMENTS = ("a", "b", "{p}", "{q}")
paths = st.builds(
    lambda parts, tail: ("/" + "/".join(parts) + tail) if parts else ("/*" if tail else "/"),
    st.lists(st.sampled_from(SEGMENTS), max_size=3),
    st.sampled_from(("", "/*")),
).filter(lambda text: text.count("{p}") < 2 and text.count("{q}") < 2)
conditions = st.lists(
    st.sampled_from([(b"x-a", None), (b"x-a", b"1"), (b"x-b", b"1"), (b"x-b", None)]),
    max_size=2,
    unique_by=lambda c: c[0],
).map(lambda pairs: tuple(sorted(pairs, key=lambda pair: pair[0])))
matches = st.builds(
    Match,
    paths.map(PathPattern.parse),
    st.sampled_from(((), (), ("a.example.com",), ("*.example.com",), ("*.com", "b.org"))),
    st.frozensets(st.sampled_from(("GET", "POST", "HEAD")), max_size=2),
    conditions,
    conditions,
)
#: Without parameters and hosts the table takes a shorter way.
literal_matches = st.builds(
    Match,
    paths.filter(lambda text: "{" not in text).map(PathPattern.parse),
    st.just(()),
    st.frozensets(st.sampled_from(("GET", "POST", "HEAD")), max_size=2),
    st.just(()) | conditions,
)
requests = st.tuples(
    st.sampled_from(("a.example.com", "b.example.com", "example.com", "b.org", "c.org")),
    st.lists(st.sampled_from(("a", "b", "c", "")), min_size=1, max_size=4)
    .map(lambda parts: "/" + "/".join(p for p in parts[:-1] if p) + ("/" if any(parts[:-1]) else "") + parts[-1])
    .map(lambda text: text.replace("//", "/").encode()),
    st.sampled_from(("GET", "HEAD", "POST", "PUT")),
    st.lists(st.sampled_from([(b"x-a", b"1"), (b"x-a", b"2"), (b"x-b", b"1")]), max_size=2).map(tuple),
    st.sampled_from((None, b"", b"x-a=1", b"x-a&x-b=1", b"x-b=2")),
)


def oracle_rank(asked: Match, host: str, method: str) -> tuple[object, ...]:
    """docs/routing.md, written down once more: the smallest wins."""
    host_rank = min(
        [
            (0, 0) if h == host else (1, -len(h))
            for h in asked.hosts
            if h == host or (h[0] == "*" and host.endswith(h[1:]))
        ]
        or [(2, 0)]
    )
    path_rank = tuple(1 if s[:1] == b"{" else 0 for s in asked.path.segments) + ((2,) if asked.path.prefix else (-1,))
    method_rank = 0 if method in asked.methods else 1 if asked.methods else 2
    counts = (-len(asked.headers), -len(asked.query))
    valued = tuple(-sum(v is not None for _, v in pairs) for pairs in (asked.headers, asked.query))
    spelled = [[(k, v or b"") for k, v in pairs] for pairs in (asked.headers, asked.query)]
    return (host_rank, path_rank, method_rank, counts, valued, spelled)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(matches, max_size=8) | st.lists(literal_matches, max_size=8), requests, st.randoms(use_true_random=False)
)
def test_the_table_agrees_with_asking_every_route(
    routes: list[Match], request: tuple[str, bytes, str, tuple[Header, ...], bytes | None], chance: random.Random
) -> None:
    ties = {c.index for c in find_conflicts(routes) if c.kind == "conflict"}
    kept = [m for index, m in enumerate(routes) if index not in ties]
    shuffled = kept[:]
    chance.shuffle(shuffled)
    host, path, method, headers, query = request
    taking = [m for m in kept if why_not(m, host, path, method, headers, query) is None]
    resolution = RouteTable((m, m) for m in shuffled).resolve(host, path, method, headers, query)
    if taking:
        assert isinstance(resolution, Matched)
        assert resolution.route is min(taking, key=lambda m: oracle_rank(m, host, method))
    else:
        assert not isinstance(resolution, Matched)
        elsewise = {
            allowed for m in kept for allowed in m.accepts if why_not(m, host, path, allowed, headers, query) is None
        }
        assert resolution == (MethodNotAllowed(tuple(sorted(elsewise))) if elsewise else NO_ROUTE)


# ------------------------------------------------------------------------------------------------------------ explain


class TestExplain:
    ROUTES = {
        "users": match("/api/users/*"),
        "one": match("/api/users/{id}", "GET"),
        "me": match("/api/users/me", "GET"),
        "post": match("/api/users/me", "POST"),
        "hosted": match("/api/users/*", hosts=("*.example.org",)),
        "beta": match("/api/users/me", "GET", headers=((b"x-beta", b"1"),)),
        "search": match("/api/users/me", "GET", query=((b"q", None),)),
        "orders": match("/api/orders/*"),
    }

    def explain(
        self, path: str, method: str = "GET", host: str = "h", headers: tuple[Header, ...] = ()
    ) -> dict[str, str]:
        table = RouteTable((m, name) for name, m in self.ROUTES.items())
        rows = table.explain(host, path.encode(), method, headers, None)
        assert [won for _, won, _ in rows] == sorted((won for _, won, _ in rows), reverse=True)
        return {("+" if won else "") + route: why for route, won, why in rows}

    def test_every_route_of_the_path_says_why(self) -> None:
        assert self.explain("/api/users/me") == {
            "+me": "most specific: exact path /api/users/me, and method",
            "users": "also matches, but at segment 3 of /api/users/* is a prefix's end, less specific than"
            " the word 'me' of /api/users/me",
            "one": "also matches, but at segment 3 of /api/users/{id} is a parameter, less specific than"
            " the word 'me' of /api/users/me",
            "post": "method GET is not POST",
            "hosted": "host h is not *.example.org",
            "beta": "header x-beta is missing",
            "search": "query has no q",
        }

    def test_conditions(self) -> None:
        said = self.explain("/api/users/me", headers=((b"x-beta", b"1"),))
        assert said["+beta"] == "most specific: exact path /api/users/me, and method, 1 header"
        assert said["me"] == "also matches, but it has fewer header conditions (0 to 1)"
        assert self.explain("/api/users/me", headers=((b"x-beta", b"2"),))["beta"] == "header x-beta is '2', not '1'"

    def test_hosts(self) -> None:
        said = self.explain("/api/users/me", host="a.example.org")
        assert "+hosted" in said
        assert said["me"] == "also matches, but its host (any) is less specific than *.example.org"

    def test_nobody(self) -> None:
        said = self.explain("/api/user/me")
        assert not any(name.startswith("+") for name in said)
        assert said["orders"] == "path segment 2 is 'user', not 'orders' (/api/orders/*)"
        assert len(said) == 3
        assert self.explain("/elsewhere") == {}


# ---------------------------------------------------------------------------------------------------------- conflicts


def conflicts(*routes: Match) -> list[tuple[int, int, str]]:
    return [(c.index, c.other, c.kind) for c in find_conflicts(routes)]


class TestConflicts:
    def test_the_same_twice(self) -> None:
        assert conflicts(match("/u/{a}"), match("/u/{b}")) == [(1, 0, "conflict")]

    def test_shared_methods_are_named(self) -> None:
        (found,) = find_conflicts([match("/u", "GET", "PUT", "POST"), match("/u", "POST", "PUT")])
        assert found.why == "POST, PUT"

    @pytest.mark.parametrize(
        "others",
        [
            [match("/u", "GET"), match("/u", "POST")],
            [match("/u", "GET"), match("/u", "HEAD")],
            [match("/u", "GET"), match("/u")],
            [match("/u", hosts=("a.b",)), match("/u", hosts=("b.b",)), match("/u")],
            [
                match("/u", headers=((b"a", b"1"),)),
                match("/u", headers=((b"a", b"2"),)),
                match("/u", headers=((b"a", None),)),
            ],
            [match("/u", query=((b"a", b"1"),)), match("/u")],
            [match("/x/*"), match("/x/{a}/*"), match("/x")],
            [match("/*"), match("/"), match("/{a}")],
        ],
    )
    def test_what_precedence_tells_apart(self, others: list[Match]) -> None:
        assert conflicts(*others) == []

    def test_one_host_of_several(self) -> None:
        assert conflicts(match("/u", hosts=("a.b", "c.d")), match("/u", hosts=("c.d",))) == [(1, 0, "conflict")]

    def test_a_route_whose_every_request_others_take(self) -> None:
        assert conflicts(match("/x/*"), match("/x"), match("/x/"), match("/x/{a}/*")) == [(0, -1, "unreachable")]

    @settings(max_examples=100, deadline=None)
    @given(st.lists(matches, max_size=8))
    def test_routes_without_conflict_never_tie(self, routes: list[Match]) -> None:
        tied = {c.index for c in find_conflicts(routes) if c.kind == "conflict"}
        kept = [m for index, m in enumerate(routes) if index not in tied]
        for method in ("GET", "POST", "HEAD", "PUT"):
            for host in ("a.example.com", "b.org"):
                ranks = [
                    repr((m.path.shape, oracle_rank(m, host, method)))
                    for m in kept
                    if (not m.methods or method in m.methods) and (not m.hosts or host in m.hosts)
                ]
                assert len(set(ranks)) == len(ranks)


class TestSize:
    def test_ten_thousand_routes_are_built_and_checked_in_a_moment(self) -> None:
        """Bounds are loose: a quadratic step would take minutes."""
        import time

        begun = time.process_time()
        routes = [match(f"/s{i}/{{id}}/*", "GET") for i in range(6500)]
        routes += [match("/tenants/*", headers=((b"x-tenant", b"%d" % i),)) for i in range(1000)]
        routes += [match("/same", "GET") for _ in range(2500)]
        assert len(find_conflicts(routes)) == 2499
        assert time.process_time() - begun < 20
