"""The text of documents: JSON and YAML say the same, pieces come one at a time, an audience gets what it can use."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from spork.adapters.yaml.openapi_document import parse_any
from spork.domain.openapi.rendering import Title, document_of, json_text, rendering
from spork.domain.openapi.yaml_text import lines, yaml_text
from tests.unit.domain.openapi.merged import OK, answering, merged, route, source, whole

texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=12)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | texts
    | st.sampled_from(["yes", "on", "2026-01-01", "a: b", "- x", "#", ""]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=12,
)


def ended(steps: Any) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as done:
            return done.value


@given(st.dictionaries(texts, values, min_size=1, max_size=4))
def test_yaml_says_what_the_value_is(value: dict[str, Any]) -> None:
    assert parse_any("\n".join(lines(value)).encode()) == value


def test_both_forms_are_the_same_document() -> None:
    made = merged(
        [
            source(
                "orders", {"/o/{id}": {"get": {"responses": answering({"$ref": "#/components/schemas/A"})}}}, {"A": {}}
            )
        ],
        [route("orders", "/o/*", refusals=frozenset([401]))],
    )
    pieces = ended(rendering(made, Title("Acme: API", description="# Hello\n\nworld")))
    assert json.loads(ended(json_text(pieces))) == document_of(pieces) == parse_any(ended(yaml_text(pieces)))


def test_only_what_is_chosen_and_what_it_needs() -> None:
    paths = {
        "/a": {"get": {"tags": ["a"], "responses": answering({"$ref": "#/components/schemas/A"})}},
        "/b": {"get": {"tags": ["b"], "responses": answering({"$ref": "#/components/schemas/B"})}},
    }
    made = merged(
        [source("x", paths, {"A": {"type": "string"}, "B": {"type": "integer"}})],
        [route("a", "/a", "x"), route("b", "/b", "x")],
    )
    found = document_of(ended(rendering(made, Title(), lambda operation: operation.route == "a")))
    assert list(found["paths"]) == ["/a"]
    assert list(found["components"]["schemas"]) == ["X_A"]
    assert found["tags"] == [{"name": "a"}]


def test_routes_and_owners_are_for_operators() -> None:
    made = merged([source("x", {"/a": {"get": {"responses": OK}}})], [route("x", "/a", metadata={"owner": "team"})])
    assert "x-spork-route" not in str(whole(made))
    found = document_of(ended(rendering(made, Title(), operators=True)))
    assert found["paths"]["/a"]["get"]["x-spork-route"] == "x"
    assert found["paths"]["/a"]["get"]["x-spork-owner"] == "team"
