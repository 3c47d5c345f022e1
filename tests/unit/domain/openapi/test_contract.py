"""Requests and answers checked by a document: parameters by their styles, bodies by direction, answers by status."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spork.adapters.jsonschema_rs.body_schema import JsonBodySchema
from spork.domain.openapi.contract import Contract, OperationContract, Schema, Violation
from tests.unit.domain.openapi.merged import OK, answering, source

ORDER = {
    "type": "object",
    "required": ["id", "qty", "secret"],
    "properties": {
        "id": {"type": "string", "readOnly": True},
        "qty": {"type": "integer", "minimum": 0, "exclusiveMinimum": True},
        "secret": {"type": "string", "writeOnly": True},
        "note": {"type": "string", "nullable": True},
    },
}
REF = {"$ref": "#/components/schemas/Order"}


def contract(paths: dict[str, Any], version: str = "3.0.3", **more: Any) -> Contract:
    made = Contract(source("orders", paths, {"Order": ORDER}, version, **more), lambda s: JsonBodySchema(json.dumps(s)))
    for _ in made.building():
        pass
    return made


def operation(made: Contract, method: str, path: str) -> OperationContract:
    found = made.find(method, path.encode())
    assert isinstance(found, tuple)
    assert isinstance(found[0], OperationContract)
    return found[0]


def problems(schema: Any, query: str, **more: Any) -> list[tuple[str, str]]:
    parameter = {"name": "q", "in": "query", "schema": schema, **more}
    made = contract({"/o": {"get": {"parameters": [parameter], "responses": OK}}})
    return [(v.keyword, v.pointer) for v in operation(made, "GET", "/o").parameters([], query.encode(), ())]


@pytest.mark.parametrize(
    ("schema", "more", "good", "bad"),
    [
        ({"type": "integer", "maximum": 9}, {}, "q=7", "q=10"),
        ({"type": "integer"}, {}, "q=-7", "q=seven"),
        ({"type": "integer"}, {"required": True}, "q=1", ""),
        ({"type": "number"}, {}, "q=1.5", "q=1.5.1"),
        ({"type": "boolean"}, {}, "q=true", "q=1"),
        ({"type": "string", "enum": ["a", "b"]}, {}, "q=a", "q=c"),
        ({"enum": [1, 2]}, {}, "q=1", "q=3"),
        ({"type": "string", "pattern": "^[a-z]+$"}, {}, "q=abc", "q=%41"),
        ({"type": "string", "maxLength": 1}, {}, "q=%C3%A9", "q=ab"),
        ({"type": "array", "items": {"type": "integer"}}, {}, "q=1&q=2", "q=1&q=x"),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 2}, {"explode": False}, "q=1,2", "q=1,2,3"),
        (
            {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}},
            {"style": "deepObject"},
            "q[a]=1",
            "q[a]=x",
        ),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, {}, "a=1&b=x", "a=x"),
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"explode": False}, "q=a,1", "q=a,x"),
        ({"oneOf": [{"type": "integer"}, {"type": "boolean"}]}, {}, "q=true", "q=maybe"),
        ({"type": "integer", "nullable": True}, {}, "q=", "q=x"),
    ],
)
def test_a_query_parameter_is_read_as_its_style_says(schema: Any, more: Any, good: str, bad: str) -> None:
    assert problems(schema, good, **more) == []
    assert len(problems(schema, bad, **more)) == 1


def test_paths_headers_and_places_that_are_not_checked() -> None:
    parameters = [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}},
        {
            "name": "X-Kind",
            "in": "header",
            "required": True,
            "schema": {"type": "array", "items": {"enum": ["a", "b"]}},
        },
        {"name": "Accept", "in": "header", "schema": {"enum": ["no"]}},
        {"name": "session", "in": "cookie", "required": True, "schema": {"type": "string"}},
        {"name": "other", "in": "query", "style": "pipeDelimited", "schema": {"type": "integer"}},
    ]
    made = contract({"/o/{id}": {"get": {"parameters": parameters, "responses": OK}}})
    found = made.find("GET", b"/o/7")
    assert isinstance(found, tuple)
    get, values = found
    assert isinstance(get, OperationContract)
    assert values == ["7"]
    assert get.parameters(["7"], b"other=a|b", ((b"x-kind", b"a,b"), (b"accept", b"x"))) == []
    bad = get.parameters(["seven"], None, ((b"x-kind", b"a,c"),))
    assert [(v.where, v.pointer, v.keyword) for v in bad] == [("path", "/id", "type"), ("header", "/X-Kind", "enum")]
    assert "seven" not in str(bad)
    assert [v.keyword for v in get.parameters(["7"], None, ())] == ["required"]


def test_bodies_are_checked_for_their_direction() -> None:
    body = {"required": True, "content": {"application/json": {"schema": REF}, "text/*": {}}}
    post = {"requestBody": body, "responses": answering(REF)}
    made = operation(contract({"/o": {"post": post}}), "POST", "/o")
    schema = made.media("application/json")
    assert schema is not None
    assert not isinstance(schema, bool)
    assert made.body(schema, b'{"qty": 1, "secret": "s", "note": null}') == []  # id is only read
    (wrong,) = made.body(schema, b'{"qty": 0, "secret": "s"}')
    assert (wrong.where, wrong.pointer, wrong.keyword) == ("body", "/qty", "exclusiveMinimum")
    assert [v.keyword for v in made.body(schema, b"{oops")] == ["json"]
    assert [v.keyword for v in made.body(None, b"")] == ["required"]
    assert made.media("text/plain") is None
    assert made.media("application/xml") is False
    answer = made.answer(200, "application/json")
    assert not isinstance(answer, Violation)
    assert answer is not None
    assert answer.of_text(b'{"qty": 1, "id": "7"}') == []  # secret is only written
    assert [keyword for _, keyword, _ in answer.of_text(b'{"qty": 1}')] == ["required"]


def test_answers_go_by_status_range_and_default() -> None:
    json_type = {"application/json": {"schema": {"type": "integer"}}}
    answers = {"200": {"description": "", "content": json_type}, "4XX": {"description": ""}, "204": {"description": ""}}
    get = {"get": {"responses": answers}}
    made = operation(contract({"/o": get}), "GET", "/o")
    assert made.answer(404, "text/html") is None
    assert made.answer(204, "") is None
    other = made.answer(200, "text/html")
    assert isinstance(other, Violation)
    assert other.where == "answer_media_type"
    unknown = made.answer(201, "application/json")
    assert isinstance(unknown, Violation)
    assert unknown.where == "answer_status"
    default = {"get": {"responses": {"default": {"description": ""}}}}
    assert operation(contract({"/o": default}), "GET", "/o").answer(201, "x/y") is None


def test_operations_are_found_as_routes_are() -> None:
    paths = {"/o/{id}": {"get": {"responses": OK}}, "/o/vip": {"get": {"responses": OK}}, "/f/{a}.json": {"get": {}}}
    made = contract(paths, bases=("/v2",), servers=[{"url": "/v2/shop"}])
    assert operation(made, "GET", "/shop/o/vip").names == ()
    assert operation(made, "HEAD", "/shop/o/7").names == ("id",)
    assert made.find("POST", b"/shop/o/7") == ("GET", "HEAD")
    assert made.find("GET", b"/o/7") is None
    assert list(made.remarks) == ["GET /f/{a}.json"]


def test_what_cannot_be_compiled_is_a_remark_and_not_an_error() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "(?=x)y"}, "b": {"type": "integer"}}}
    gone = {"$ref": "#/components/schemas/Nope"}
    post = {"requestBody": {"content": {"application/json": {"schema": schema}}}, "responses": answering(gone)}
    made = contract({"/o": {"post": post}}, version="3.1.0")
    body: Schema | bool | None = operation(made, "POST", "/o").media("application/json")
    assert body is not None
    assert not isinstance(body, bool)
    assert body.of_text(b'{"a": "z", "b": 1}') == []  # its pattern is not checked
    assert len(body.of_text(b'{"b": "x"}')) == 1  # the rest is
    assert operation(made, "POST", "/o").answer(200, "application/json") is None
    assert {place: why.partition(":")[0] for place, why in made.remarks.items()} == {
        "POST /o body application/json": "its patterns are not checked",
        "POST /o answer 200 application/json": "is not checked",
    }
