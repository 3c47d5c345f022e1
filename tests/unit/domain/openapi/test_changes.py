"""Each rule on the smallest pair of documents that shows it, and its mirror image that breaks nobody."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from spork.domain.openapi.changes import BREAKING, SEVERITIES, changes
from spork.domain.openapi.document import Document, NotOpenApi

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer"},
        "name": {"type": "string", "maxLength": 10},
        "kind": {"enum": ["a", "b"]},
    },
}


def document(**operation: Any) -> dict[str, Any]:
    node = {"responses": {"200": answer(SCHEMA)}, **operation}
    return {"openapi": "3.1.0", "info": {"title": "t", "version": "1"}, "paths": {"/x/{id}": {"post": node}}}


def answer(schema: Any, media: str = "application/json") -> dict[str, Any]:
    return {"description": "ok", "content": {media: {"schema": schema}}}


def body(schema: Any, required: bool = False) -> dict[str, Any]:
    return {"required": required, "content": {"application/json": {"schema": schema}}}


def changed(schema: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return copy.deepcopy(schema) | fields


def rules(old: dict[str, Any], new: dict[str, Any]) -> set[str]:
    return {change.rule for change in changes(Document(old), Document(new))}


def with_property(name: str, **fields: Any) -> dict[str, Any]:
    return changed(SCHEMA, properties=SCHEMA["properties"] | {name: fields})


def query(required: bool = False, **schema: Any) -> list[dict[str, Any]]:
    return [{"name": "q", "in": "query", "required": required, "schema": schema or {"type": "string"}}]


REQUEST, ANSWER = "request", "answer"


def around(direction: str, schema: Any) -> dict[str, Any]:
    return document(requestBody=body(schema)) if direction == REQUEST else document(responses={"200": answer(schema)})


NOTHING: set[str] = set()


@pytest.mark.parametrize(
    ("direction", "old", "new", "forwards", "backwards"),
    [
        (REQUEST, {"type": "number"}, {"type": "integer"}, {"request-type-narrowed"}, NOTHING),
        (ANSWER, {"type": "integer"}, {"type": "number"}, {"response-type-widened"}, NOTHING),
        (ANSWER, {"type": "string"}, {"type": ["string", "null"]}, {"response-type-widened"}, NOTHING),
        (REQUEST, {"type": "string", "nullable": True}, {"type": "string"}, {"request-type-narrowed"}, NOTHING),
        (REQUEST, {}, {"type": "string"}, {"request-type-narrowed"}, NOTHING),
        (REQUEST, {"enum": ["a", "b"]}, {"enum": ["a"]}, {"request-enum-narrowed"}, NOTHING),
        (ANSWER, {"enum": ["a"]}, {"enum": ["a", "b"]}, {"response-enum-widened"}, NOTHING),
        (ANSWER, {"const": "a"}, {"type": "string"}, {"response-enum-widened"}, {"response-type-widened"}),
        (REQUEST, {"maxLength": 9}, {"maxLength": 5}, {"request-bound-narrowed"}, NOTHING),
        (REQUEST, {}, {"minItems": 1}, {"request-bound-narrowed"}, NOTHING),
        (ANSWER, {"maximum": 5}, {"maximum": 9}, {"response-bound-widened"}, NOTHING),
        (REQUEST, {"maximum": 5}, {"exclusiveMaximum": 5}, {"request-bound-narrowed"}, NOTHING),
        (REQUEST, {"minimum": 1}, {"minimum": 1, "exclusiveMinimum": True}, {"request-bound-narrowed"}, NOTHING),
        (REQUEST, {}, {"pattern": "^a"}, {"request-pattern-changed"}, NOTHING),
        (ANSWER, {"format": "date"}, {}, {"response-pattern-changed"}, NOTHING),
        (REQUEST, SCHEMA, changed(SCHEMA, required=["id", "name"]), {"request-property-became-required"}, NOTHING),
        (ANSWER, changed(SCHEMA, required=["id", "name"]), SCHEMA, {"response-property-became-optional"}, NOTHING),
        (ANSWER, with_property("more", type="string"), SCHEMA, {"response-property-removed"}, NOTHING),
        (REQUEST, with_property("more", type="string"), SCHEMA, {"request-property-removed"}, NOTHING),
        (REQUEST, SCHEMA, changed(SCHEMA, additionalProperties=False), {"request-closed"}, NOTHING),
        (REQUEST, {"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"oneOf": [{"type": "string"}]}, {"request-variant-removed"}, NOTHING),
        (ANSWER, {"oneOf": [{"type": "string"}]}, {"oneOf": [{"type": "string"}, {"type": "integer"}]}, {"response-variant-added"}, NOTHING),
        (REQUEST, {"type": "array", "items": {"type": "number"}}, {"type": "array", "items": {"type": "integer"}}, {"request-type-narrowed"}, NOTHING),
    ],
)  # fmt: skip
def test_schemas_in_both_directions_of_time(
    direction: str, old: Any, new: Any, forwards: set[str], backwards: set[str]
) -> None:
    assert rules(around(direction, old), around(direction, new)) == forwards
    assert rules(around(direction, new), around(direction, old)) == backwards


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        (document(parameters=query()), document(), {"parameter-removed"}),
        (document(), document(parameters=query()), {"parameter-optional-added"}),
        (document(), document(parameters=query(True)), {"parameter-required-added"}),
        (document(parameters=query()), document(parameters=query(True)), {"parameter-became-required"}),
        (document(parameters=query(maximum=9)), document(parameters=query(maximum=5)), {"request-bound-narrowed"}),
        (document(requestBody=body(SCHEMA)), document(), {"body-removed"}),
        (document(), document(requestBody=body(SCHEMA)), {"body-added"}),
        (document(requestBody=body(SCHEMA)), document(requestBody=body(SCHEMA, True)), {"body-became-required"}),
        (document(requestBody=body(SCHEMA)), document(requestBody={"content": {"text/plain": {}}}), {"request-media-type-removed"}),
        (document(), document(responses={"200": answer(SCHEMA, "text/plain")}), {"response-media-type-removed"}),
        (document(), document(responses={"201": answer(SCHEMA)}), {"response-removed"}),
        (document(responses={"200": {}, "404": {}}), document(responses={"200": {}}), {"error-response-removed"}),
        (document(), document(security=[{"key": []}]), {"security-added"}),
        (document(security=[{"key": []}]), document(security=[{"jwt": []}]), {"security-alternative-removed"}),
        (document(security=[{"jwt": ["a"]}]), document(security=[{"jwt": ["a", "b"]}]), {"security-scope-added"}),
        (document(security=[{"key": []}]), document(security=[{"key": []}, {"jwt": []}]), set()),
        (document(security=[{"key": []}]), document(), set()),
        (document(), document(deprecated=True), {"operation-deprecated"}),
        (document(), document(**{"x-sunset": "2027-01-01"}), {"sunset-added"}),
        (document(**{"x-sunset": "2027-01-01"}), document(**{"x-sunset": "2026-12-01"}), {"sunset-earlier"}),
        (document(**{"x-sunset": "2027-01-01"}), document(**{"x-sunset": "2027-02-01"}), set()),
    ],
)  # fmt: skip
def test_operations(old: Any, new: Any, found: set[str]) -> None:
    assert rules(old, new) == found


def test_every_rule_is_shown_by_a_case_here() -> None:
    shown = set()
    for mark in (*test_schemas_in_both_directions_of_time.pytestmark, *test_operations.pytestmark):  # type: ignore[attr-defined]
        for case in mark.args[1]:
            shown |= set().union(*(part for part in case if isinstance(part, set)))
    assert set(SEVERITIES) - shown == {"operation-removed", "operation-added"}


def test_paths_are_the_same_whatever_their_parameters_are_called() -> None:
    old, new = document(), document()
    old["paths"]["/x/{id}"]["parameters"] = [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
    ]
    new["paths"] = {"/x/{orderId}": dict(new["paths"]["/x/{id}"])}
    new["paths"]["/x/{orderId}"]["parameters"] = [
        {"name": "orderId", "in": "path", "required": True, "schema": {"type": "integer"}}
    ]
    assert rules(old, new) == {"request-type-narrowed"}
    new["paths"] = {"/y": new["paths"]["/x/{orderId}"]}
    found = changes(Document(old), Document(new))
    assert [(c.rule, c.operation) for c in found] == [
        ("operation-removed", "POST /x/{id}"),
        ("operation-added", "POST /y"),
    ]
    assert found[0].severity == BREAKING


def test_references_and_recursion_are_followed_and_end() -> None:
    def tree(kind: str) -> dict[str, Any]:
        given = around(REQUEST, {"$ref": "#/components/schemas/Tree"})
        node = {
            "type": "object",
            "properties": {"value": {"type": kind}, "next": {"$ref": "#/components/schemas/Tree"}},
        }
        given["components"] = {"schemas": {"Tree": {"allOf": [node]}, "Loop": {"$ref": "#/components/schemas/Loop"}}}
        return given

    assert rules(tree("number"), tree("integer")) == {"request-type-narrowed"}
    assert rules(tree("number"), tree("number")) == set()
    looped = around(REQUEST, {"$ref": "#/components/schemas/Loop"})
    looped["components"] = tree("number")["components"]
    assert rules(looped, looped) == set()


def test_read_only_properties_are_no_matter_of_requests() -> None:
    with_id = with_property("at", type="string", readOnly=True)
    assert rules(around(REQUEST, with_id), around(REQUEST, SCHEMA)) == set()
    hidden = with_property("pin", type="string", writeOnly=True)
    assert rules(around(ANSWER, hidden), around(ANSWER, SCHEMA)) == set()


@pytest.mark.parametrize("root", [[], "x", {}, {"swagger": "2.0"}, {"openapi": "2.1"}, {"openapi": 3}])
def test_what_is_no_document_is_refused(root: Any) -> None:
    with pytest.raises(NotOpenApi):
        Document(root)
