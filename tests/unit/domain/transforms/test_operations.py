"""Operations, queries, masks and templates, each by a table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spork.domain.transforms.masks import Mask, Masker
from spork.domain.transforms.operations import NotThere, Operation, compile_operation
from spork.domain.transforms.queries import QueryEdit, QueryTransform
from spork.domain.transforms.templates import compile_value, names_caller

WORDS = {"claim:org": "acme", "consumer": "c1", "header:X": 'a"b}&c', "request_id": "r1", "tenant": "t/1"}


def words(name: str) -> str | None:
    return WORDS.get(name)


@pytest.mark.parametrize(
    ("operation", "value", "result"),
    [
        (Operation("set", "/tenant", "{claim:org}"), {"tenant": "evil"}, {"tenant": "acme"}),
        (Operation("set", "/t", "{header:X}"), {}, {"t": 'a"b}&c'}),
        (Operation("set", "/t", "x-{tenant}-{request_id}"), {}, {"t": "x-t/1-r1"}),
        (Operation("set", "/t", "{claim:none}"), {"t": "the client's"}, {}),
        (Operation("set", "/t", {"a": ["{consumer}", 1, None]}), {}, {"t": {"a": ["c1", 1, None]}}),
        (Operation("set", "/t", "{not a word}"), {}, {"t": "{not a word}"}),
        (Operation("set", "", [1]), {"a": 1}, [1]),
        (Operation("remove", "/internal"), {"internal": 1, "b": 2}, {"b": 2}),
        (Operation("remove", "/none"), {"b": 2}, {"b": 2}),
        (Operation("rename", "/custId", "custom_id"), {"a": 1, "custId": 2, "z": 3}, {"a": 1, "custom_id": 2, "z": 3}),
        (Operation("rename", "/l/*/a", "b"), {"l": [{"a": 1}, {"a": 2, "b": 0}]}, {"l": [{"b": 1}, {"b": 2}]}),
        (Operation("rename", "/none", "b"), {"b": 1}, {"b": 1}),
        (Operation("move", "/a/b", "/c"), {"a": {"b": 1}}, {"a": {}, "c": 1}),
        (Operation("move", "/none", "/c"), {"a": 1}, {"a": 1}),
        (Operation("merge", "", {"source": "gateway", "old": None}), {"old": 1}, {"source": "gateway"}),
    ],
)
def test_operations(operation: Operation, value: Any, result: Any) -> None:
    done = compile_operation(operation)(value, words)
    assert done == result
    if isinstance(result, dict):
        assert list(done) == list(result)


@pytest.mark.parametrize("kind", ["remove", "rename", "move"])
def test_strict_wants_the_source(kind: str) -> None:
    apply = compile_operation(Operation(kind, "/none", "/x" if kind == "move" else "x"), strict=True)
    with pytest.raises(NotThere):
        apply({}, words)


@pytest.mark.parametrize(
    "operation",
    [
        Operation("remove", ""),
        Operation("remove", "x"),
        Operation("move", "/a/*", "/b"),
        Operation("move", "/a", "/a/b"),
    ],
)
def test_what_cannot_be_compiled(operation: Operation) -> None:
    with pytest.raises(ValueError, match=r"."):
        compile_operation(operation)


def test_what_is_set_is_not_shared_between_requests() -> None:
    apply = compile_operation(Operation("set", "/a/*", {"list": []}))
    first = apply({"a": [0, 0]}, words)
    first["a"][0]["list"].append(1)
    assert first["a"][1]["list"] == []
    assert apply({"a": [0]}, words) == {"a": [{"list": []}]}
    merged = compile_operation(Operation("merge", "", {"x": {"list": []}}))
    merged({}, words)["x"]["list"].append(1)
    assert merged({}, words) == {"x": {"list": []}}


def test_which_values_name_the_caller() -> None:
    assert names_caller({"a": ["{claim:org}"]}) and names_caller("{consumer}")
    assert not names_caller(["{request_id}", {"a": 1}])


@given(text=st.text(max_size=20))
def test_any_text_without_words_stays(text: str) -> None:
    if "{" not in text:
        assert compile_value(text)(words) == text


@pytest.mark.parametrize(
    ("edit", "query", "result"),
    [
        (QueryEdit(), b"a=%7e&b=+&&c", b"a=%7e&b=+&c"),
        (QueryEdit(set=(("tenant", "{claim:org}"),)), b"tenant=evil&a=1&%74enant=evil", b"a=1&tenant=acme"),
        (QueryEdit(set=(("tenant", "{claim:none}"),)), b"tenant=evil&a=1", b"a=1"),
        (QueryEdit(set=(("t", "{header:X}"),)), None, b"t=a%22b%7D%26c"),
        (QueryEdit(rename=(("q", "query"),)), b"a=1&q=x%20y&q=z", b"a=1&query=x%20y&query=z"),
        (QueryEdit(rename=(("a", "t"),), set=(("t", "1"),)), b"a=evil", b"t=1"),
        (QueryEdit(remove=frozenset({"debug"})), b"debug=1&%64ebug&d=1", b"d=1"),
        (QueryEdit(keep=frozenset({"page", "query"})), b"page=2&x=1&query=%C3%A4", b"page=2&query=%C3%A4"),
        (QueryEdit(remove=frozenset({"a"})), b"a=1", b""),
        (QueryEdit(remove=frozenset({"a"})), None, None),
    ],
)
def test_queries(edit: QueryEdit, query: bytes | None, result: bytes | None) -> None:
    assert QueryTransform(edit).apply(query, words) == result


@pytest.mark.parametrize(
    ("mask", "value", "result"),
    [
        (Mask(("iban",)), {"iban": "DE12", "a": [{"iban": 5}]}, {"iban": "***", "a": [{"iban": "***"}]}),
        (Mask(("iban",), keep_last=4), {"iban": "DE123456"}, {"iban": "***3456"}),
        (Mask(("iban",), keep_last=4), {"iban": "1234567"}, {"iban": "***"}),  # hardly longer than what would stay
        (Mask(("pin",), keep_last=2), {"pin": 123456}, {"pin": "***56"}),
        (Mask(("/card/number",)), {"card": {"number": "4"}, "number": "5"}, {"card": {"number": "***"}, "number": "5"}),
        (Mask(("/l/*/a",), "remove"), {"l": [{"a": 1, "b": 2}]}, {"l": [{"b": 2}]}),
        (Mask(("secret",), "remove"), {"secret": {"deep": 1}, "b": 2}, {"b": 2}),
        (Mask(("secret",)), {"secret": {"deep": 1}}, {"secret": "***"}),
        (Mask(("secret",)), {"secret": None}, {"secret": None}),
    ],
)
def test_masks(mask: Mask, value: Any, result: Any) -> None:
    assert Masker(mask).apply(value) == result


def test_hashes_are_keyed_and_the_same_for_the_same() -> None:
    one, two = Masker(Mask(("a",), "hash"), b"k"), Masker(Mask(("a",), "hash"), b"other")
    assert one.apply({"a": "x"}) == one.apply({"a": "x"}) != two.apply({"a": "x"})


def test_depth_costs_no_stack() -> None:
    deep: Any = {"iban": "1"}
    for _ in range(50_000):
        deep = [deep]
    Masker(Mask(("iban",))).apply(deep)
