"""Body schemas whose work is bounded by the body's size, whatever the schema and whatever the body."""

from __future__ import annotations

import json
import time

import pytest

from spork.adapters.jsonschema_rs.body_schema import MAX_BYTES, JsonBodySchema, SchemaRefused


def schema(**written: object) -> JsonBodySchema:
    return JsonBodySchema(json.dumps(written))


def seconds(checked: JsonBodySchema, body: bytes) -> float:
    began = time.thread_time()
    checked.problem(body)
    return time.thread_time() - began


@pytest.mark.parametrize(
    ("checked", "body"),
    [
        (schema(uniqueItems=True), b"[" + b",".join(b'{"a":%d}' % n for n in range(6000)) + b"]"),
        (schema(uniqueItems=True), b"[" + b",".join(b"%d" % (10**20 + n) for n in range(6000)) + b"]"),
        (schema(uniqueItems=True), b"[" + b",".join(b"[%d]" % (2**63 + n) for n in range(6000)) + b"]"),
        (schema(uniqueItems=True), b"[" + b",".join(b'"%d"' % n if n % 2 else b"[%d]" % n for n in range(9000)) + b"]"),
        (schema(pattern="^(a+)+$"), b'"' + b"a" * 200_000 + b'!"'),
        (schema(pattern=r"^([a-z]+\.)*[a-z]+$"), b'"' + b"a." * 100_000 + b'!"'),
        (schema(items={"oneOf": [{"required": [f"a{n}"]} for n in range(8)]}), b"[" + b'{"a7":1},' * 60_000 + b"{}]"),
        (schema(format="email"), b'"' + b"a@" * 100_000 + b'"'),
    ],
    ids=["unique", "unique-huge", "unique-u64", "unique-mixed", "pattern", "pattern-2", "oneOf", "format"],
)
def test_a_body_that_stopped_the_process_costs_little_processor_time(checked: JsonBodySchema, body: bytes) -> None:
    """These took seconds to minutes; the bound is generous for a busy machine."""
    assert seconds(checked, body) < 2.0


def test_whole_numbers_beyond_64_bits_are_refused_where_items_must_be_unique() -> None:
    said = schema(uniqueItems=True).problem(b"[9223372036854775808]")
    assert said == "not JSON: a whole number has more than 64 bits"
    assert schema(uniqueItems=True).problem(b'["9223372036854775808", 9223372036854775807]') is None
    assert schema(type="array").problem(b"[9223372036854775808]") is None


TREE = {"type": "object", "properties": {"left": {"$ref": "#/$defs/n"}, "right": {"$ref": "#/$defs/n"}}}
LISTS = {"items": {"$ref": "#/$defs/n"}}


@pytest.mark.parametrize(
    ("node", "why"),
    [
        ({"oneOf": [LISTS, LISTS]}, "several ways"),
        ({"anyOf": [{"properties": {"x": {"$ref": "#/$defs/n"}}}, {"additionalProperties": {"$ref": "#/$defs/n"}}]}, "several ways"),
        ({"properties": {"x": {"allOf": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}]}}}, "several ways"),
        ({"allOf": [{"$ref": "#/$defs/n"}]}, "to the same value"),
        ({"if": LISTS, "then": LISTS}, "several ways"),
        ({"items": {"$ref": "#/$defs/n"}, "contains": {"$ref": "#/$defs/n"}}, "several ways"),
    ],
)  # fmt: skip
def test_recursion_that_multiplies_is_refused(node: dict[str, object], why: str) -> None:
    with pytest.raises(SchemaRefused, match=why):
        JsonBodySchema(json.dumps({"$ref": "#/$defs/n", "$defs": {"n": node}}))


@pytest.mark.parametrize(
    "node",
    [
        TREE,
        LISTS,
        {"oneOf": [{"type": "integer"}, LISTS]},
        {"anyOf": [{"properties": {"and": LISTS}}, {"properties": {"or": LISTS}}]},
        {"properties": {"a": {"$ref": "#/$defs/n"}}, "additionalProperties": {"$ref": "#/$defs/n"}},
        {"prefixItems": [{"$ref": "#/$defs/n"}, {"$ref": "#/$defs/n"}], "items": False},
    ],
)
def test_ordinary_recursion_is_taken(node: dict[str, object]) -> None:
    assert JsonBodySchema(json.dumps({"$ref": "#/$defs/n", "$defs": {"n": node}})).problem(b"{}") is None


def test_subschemas_that_multiply_without_recursion_are_refused() -> None:
    doubled = {f"a{n}": {"allOf": [{"$ref": f"#/$defs/a{n + 1}"}] * 2} for n in range(20)}
    with pytest.raises(SchemaRefused, match="more than 1000 subschemas apply to one value"):
        JsonBodySchema(json.dumps({"$ref": "#/$defs/a0", "$defs": {**doubled, "a20": {"type": "integer"}}}))
    nested: dict[str, object] = {"type": "integer"}
    for _ in range(5):
        nested = {"items": {"anyOf": [nested] * 5}}
    with pytest.raises(SchemaRefused, match="more than 1000"):
        JsonBodySchema(json.dumps(nested))


def test_the_more_a_schema_multiplies_the_smaller_its_bodies() -> None:
    assert schema(type="object").max_bytes == MAX_BYTES
    heavy = schema(oneOf=[{"required": [f"a{n}"]} for n in range(100)])
    assert heavy.weight == 101
    assert heavy.max_bytes < MAX_BYTES // 10


@pytest.mark.parametrize("pattern", ["(?=a)b", "^(?!x)", r"(a)\1", "(a{1,1000}){1,1000}"])
def test_patterns_without_linear_time_are_refused_by_name(pattern: str) -> None:
    with pytest.raises(SchemaRefused, match="no pattern of linear time"):
        schema(properties={"x": {"pattern": pattern}})


def test_a_reference_that_leads_nowhere_is_refused_when_it_is_compiled() -> None:
    with pytest.raises(SchemaRefused, match="does not exist"):
        schema(properties={"x": {"$ref": "#/$defs/nope"}})
