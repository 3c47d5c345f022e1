"""Regular expressions of paths: they mean what `re` means by them, in one step per octet, or are refused."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.routing.patterns import Match, PathPattern
from spork.domain.routing.regexps import MOST_STATES, PathRegexp
from spork.domain.routing.table import Matched, RouteTable

_ATOMS = st.sampled_from(["a", "b", "/", ".", "[ab]", "[^a/]", "[a-c]", r"\d", r"\w", r"\.", "-"])
_PATTERNS = st.recursive(
    _ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda two: f"(?:{two[0]}|{two[1]})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{2,}"])).map(
            lambda two: f"({two[0]}){two[1]}"
        ),
    ),
    max_leaves=6,
)


@given(_PATTERNS, st.lists(st.text("abc/.-0_Z", max_size=8), min_size=1, max_size=8))
def test_a_pattern_takes_what_the_library_takes_for_the_whole_text(pattern: str, texts: list[str]) -> None:
    try:
        compiled = PathRegexp(pattern)
    except ValueError as refused:
        assert str(MOST_STATES) in str(refused)
        return
    for text in texts:
        assert compiled.matches(text.encode()) is (re.fullmatch(pattern, text) is not None), (pattern, text)


@given(_PATTERNS)
def test_an_example_is_one(pattern: str) -> None:
    try:
        compiled = PathRegexp("/" + pattern)
    except ValueError:
        return
    example = compiled.example()
    assert example is not None
    assert re.fullmatch("/" + pattern, example.decode())


@pytest.mark.parametrize(
    ("pattern", "path", "takes"),
    [
        ("^/a$", "/a", True), ("(?i)/Api/x", "/aPI/X", True), ("/a", "/ab", False), ("/a", "/x/a", False),
        ("/users/[0-9]+(/posts)?", "/users/7/posts", True), ("/users/[0-9]+(/posts)?", "/users/x", False),
        ("/a|/b", "/b", True), ("/[]a]+", "/]a", True), ("/[a-]", "/-", True), (r"/\W", "/%", True), ("/a.b", "/a\xe9b", False),
    ],
)  # fmt: skip
def test_what_they_take(pattern: str, path: str, takes: bool) -> None:
    assert PathRegexp(pattern).matches(path.encode("latin-1")) is takes


@pytest.mark.parametrize(
    "pattern",
    ["", "/(", "/)", "/[", "/[a", "/a**", "/a+?", r"/\1", r"/\b", "/(?=a)", "/(?!a)", "/(?P<n>a)", "*a", "/a{3,1}", "/a{0}",
     "/a{999}", "/a{x}", "/[b-a]", "/a^b", "/a$b", "/a b", "/\xe9", "/" + "(" * 60 + ")" * 60, "/((a{50}){50}){50}",
     "/(a|b)*a(a|b){12}", "/[^\\w\\W]"],
)  # fmt: skip
def test_what_is_refused_when_it_is_read(pattern: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        PathRegexp(pattern)


@pytest.mark.parametrize("pattern", ["/(a*)*b", "/(a+)+$", "/(a|aa)+b", "/(.*)(.*)(.*)x", "/(a?){20}a{20}"])
def test_what_makes_others_backtrack_for_ever_takes_one_step_per_octet(pattern: str) -> None:
    compiled = PathRegexp(pattern)
    begun = time.process_time()
    for _ in range(20):
        compiled.matches(b"/" + b"a" * 8000 + b"!")
    assert time.process_time() - begun < 2.0


def test_a_route_with_one_comes_before_the_same_path_without_and_the_longer_one_first() -> None:
    def regexp(path: str, text: str | None, *methods: str) -> Match:
        pattern = PathPattern.parse(path)
        return Match(pattern, methods=frozenset(methods), regexp=None if text is None else PathRegexp(text))

    table = RouteTable(
        [
            (regexp("/*", None), "rest"),
            (regexp("/*", "/[a-z]+"), "word"),
            (regexp("/*", "/[a-z]+[0-9]*"), "longer"),
            (regexp("/a/*", None, "GET"), "below"),
            (regexp("/a/*", "/a/[0-9]+", "GET"), "number"),
            (regexp("/a/*", None, "HEAD"), "heads"),
        ]
    )

    def winner(path: str, method: str = "GET") -> str | None:
        found = table.resolve("", path.encode(), method, (), None)
        return found.route if isinstance(found, Matched) else None

    assert winner("/word") == "longer"
    assert winner("/Word") == "rest"
    assert winner("/a/7") == "number"
    assert winner("/a/x") == "below"
    assert winner("/a/7", "HEAD") == "number"
    assert winner("/a/x", "HEAD") == "heads"
    assert winner("/a/7", "POST") == "rest"
    rows = table.explain("", b"/a/7", "GET", (), None)
    assert rows[0][:2] == ("number", True)
    assert {route: why for route, _, why in rows}[
        "below"
    ] == "also matches, but it has no regular expression for the path"
