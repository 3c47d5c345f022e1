"""JSON Pointer by the examples of RFC 6901 section 5, merge patch by those of RFC 7396 appendix A."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.transforms.pointers import MISSING, change, find, merge_patch, parse_pointer, put, remove

#: RFC 6901 section 5.
DOCUMENT = {
    "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, 'k"l': 6, " ": 7, "m~n": 8,
}  # fmt: skip


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("", DOCUMENT),
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
        ("/foo/2", MISSING),
        ("/foo/-", MISSING),
        ("/foo/01", MISSING),  # section 4: no leading zeros
        ("/foo/+1", MISSING),
        ("/foo/-1", MISSING),
        ("/foo/١", MISSING),  # a digit of another script
        ("/foo/bar", MISSING),
        ("/foo/0/x", MISSING),
    ],
)
def test_pointers_find(pointer: str, value: Any) -> None:
    assert find(DOCUMENT, parse_pointer(pointer)) is value or find(DOCUMENT, parse_pointer(pointer)) == value


@pytest.mark.parametrize("pointer", ["foo", "/a~2b", "/~", "#/foo"])
def test_what_is_no_pointer(pointer: str) -> None:
    with pytest.raises(ValueError, match=r"Pointer|~"):
        parse_pointer(pointer)


def test_escapes_are_undone_in_the_right_order() -> None:
    assert parse_pointer("/~01") == ("~1",)


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(copy.deepcopy(target), patch) == result


@pytest.mark.parametrize(
    ("value", "pointer", "result"),
    [
        ({"a": 1}, "/a", {"a": 9}),
        ({}, "/a", {"a": 9}),
        ({}, "/a/b/c", {"a": {"b": {"c": 9}}}),
        ({"a": [1, 2]}, "/a/1", {"a": [1, 9]}),
        ({"a": [1]}, "/a/-", {"a": [1, 9]}),
        ({"a": [1]}, "/a/5", {"a": [1]}),
        ({"a": [1]}, "/a/5/b", {"a": [1]}),
        ({"a": 1}, "/a/b", {"a": 1}),
        ({"a": [{}, {"b": 1}]}, "/a/*/b", {"a": [{"b": 9}, {"b": 9}]}),
        ({"a": {"x": 1, "y": 2}}, "/a/*", {"a": {"x": 9, "y": 9}}),
        ({"a": [1, 2]}, "/a/*", {"a": [9, 9]}),
        (7, "", 9),
    ],
)
def test_put(value: Any, pointer: str, result: Any) -> None:
    assert put(value, parse_pointer(pointer), 9) == result


@pytest.mark.parametrize(
    ("value", "pointer", "result", "there"),
    [
        ({"a": 1, "b": 2}, "/a", {"b": 2}, True),
        ({"a": 1}, "/b", {"a": 1}, False),
        ({"a": [1, 2, 3]}, "/a/1", {"a": [1, 3]}, True),
        ({"a": [1]}, "/a/-", {"a": [1]}, False),
        ({"lines": [{"cost": 1, "sku": 2}, {"cost": 3}, 4]}, "/lines/*/cost", {"lines": [{"sku": 2}, {}, 4]}, True),
        ({"a": {"x": 1}}, "/a/*", {"a": {}}, True),
        ("scalar", "/a", "scalar", False),
    ],
)
def test_remove(value: Any, pointer: str, result: Any, there: bool) -> None:
    assert remove(value, parse_pointer(pointer)) is there
    assert value == result


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)
POINTER = st.lists(st.sampled_from(["a", "b", "0", "1", "-", "*", ""]), max_size=4).map(tuple)


@given(value=JSON, tokens=POINTER)
def test_nothing_breaks_whatever_the_value(value: Any, tokens: tuple[str, ...]) -> None:
    """Total: no pointer over no value raises, and what was put at a plain pointer into an object is found there."""
    if tokens:
        remove(copy.deepcopy(value), tokens)
    change(copy.deepcopy(value), tokens, lambda _: MISSING if tokens else None)
    done = put(copy.deepcopy(value) if isinstance(value, dict) else {}, tokens, 9)
    if tokens and not {"*", "-"} & set(tokens) and isinstance(find(done, tokens[:-1]), dict):
        assert find(done, tokens) == 9
