"""Measures of operations against a visitor over graphql-core's tree, and texts that grow out of all proportion."""

from __future__ import annotations

import time
from typing import Any

import graphql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis_graphql import from_schema

from spork.domain.graphql.judging import exceeding
from spork.domain.graphql.measuring import MOST, Cyclic, Measures, Unknown, measure
from spork.domain.graphql.policy import Bounds
from spork.domain.graphql.reading import TooDeep, read
from tests.unit.domain.graphql.test_reading import SCHEMA

NESTED = """
query Q { ...A me: viewer { ...B id } __schema { types { fields { type { ofType { name } } } } } }
fragment A on Query { orders @skip(if: true) { ...B } a: orders { id } ... on Query { node(id: 1) { id } } }
fragment B on Node { id x: id ... @include(if: true) { n: id } }
"""


def measured(text: str, name: str = "") -> Measures:
    document = read(text)
    return measure(document, document.operations[name] if name else next(iter(document.operations.values())))


def counted(text: str) -> Measures:
    """The same, counted the slow way: fragments written out."""
    document = graphql.parse(text)
    fragments = {d.name.value: d for d in document.definitions if isinstance(d, graphql.FragmentDefinitionNode)}
    operation = next(d for d in document.definitions if isinstance(d, graphql.OperationDefinitionNode))
    counts = {"depth": 0, "introspection": 0, "aliases": 0, "fields": 0, "directives": 0, "root_fields": 0}
    roots = set()

    def walk(selections: Any, depth: int, within: int, root: bool) -> None:
        for each in selections.selections:
            counts["directives"] += len(each.directives or ())
            if isinstance(each, graphql.FieldNode):
                counts["fields"] += 1
                counts["aliases"] += each.alias is not None
                if root:
                    counts["root_fields"] += 1
                    roots.add(each.name.value)
                if within:
                    counts["introspection"] = max(counts["introspection"], within)
                else:
                    counts["depth"] = max(counts["depth"], depth)
                if each.selection_set:
                    named = each.name.value in ("__schema", "__type")
                    below = within + 1 if within else 2 if named else 0
                    walk(each.selection_set, depth + 1, below, False)
            elif isinstance(each, graphql.FragmentSpreadNode):
                counts["directives"] += len(fragments[each.name.value].directives or ())
                walk(fragments[each.name.value].selection_set, depth, within, root)
            else:
                walk(each.selection_set, depth, within, root)

    counts["directives"] += len(operation.directives or ())
    counts["directives"] += sum(len(v.directives or ()) for v in operation.variable_definitions or ())
    walk(operation.selection_set, 1, 0, True)
    return Measures(roots=frozenset(roots), **counts)


@settings(max_examples=60, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))
@given(from_schema(SCHEMA))
def test_measured_as_counted(text: str) -> None:
    assert measured(text) == counted(text)


def test_fragments_are_written_out() -> None:
    found = measured(NESTED)
    assert found == counted(NESTED)
    assert (found.depth, found.introspection, found.aliases, found.root_fields, found.directives) == (2, 6, 6, 5, 3)
    assert found.roots == {"orders", "node", "viewer", "__schema"}


def test_two_spreads_a_level_are_counted_at_once() -> None:
    text = "{ ...F0 } " + "".join(
        f"fragment F{n} on T {{ a {{ ...F{n + 1} }} b {{ ...F{n + 1} }} }} " for n in range(100)
    )
    begun = time.process_time()
    found = measured(text + "fragment F100 on T { c: d }")
    assert time.process_time() - begun < 0.1
    assert (found.fields, found.aliases, found.depth) == (MOST, MOST, 101)


def test_fragments_that_go_round_or_are_not_there() -> None:
    with pytest.raises(Cyclic):
        measured("{ ...A } fragment A on T { ...B } fragment B on T { a { ...A } }")
    with pytest.raises(Cyclic):
        measured("{ ...A } fragment A on T { ...A }")
    with pytest.raises(Unknown):
        measured("{ ...A }")
    with pytest.raises(TooDeep):
        measured(
            "{ ...F0 } "
            + "".join(f"fragment F{n} on T {{ ...F{n + 1} }} " for n in range(400))
            + "fragment F400 on T {a}"
        )


@pytest.mark.parametrize(
    ("text", "bounds", "code", "limit", "found"),
    [
        ("{a{b{c}}}", Bounds(depth=2), "MAX_DEPTH_EXCEEDED", 2, 3),
        ("{a{...F}} fragment F on T {b{c}}", Bounds(depth=2), "MAX_DEPTH_EXCEEDED", 2, 3),
        ("{__schema{types{name}}}", Bounds(depth=1, introspection_depth=2), "MAX_DEPTH_EXCEEDED", 2, 3),
        ("{x:a y:b}", Bounds(aliases=1), "MAX_ALIASES_EXCEEDED", 1, 2),
        ("{a ...F} fragment F on T {b}", Bounds(root_fields=1), "MAX_ROOT_FIELDS_EXCEEDED", 1, 2),
        ("{a b c}", Bounds(fields=2), "MAX_FIELDS_EXCEEDED", 2, 3),
        ("query Q($a: Int @x) @y {a @z}", Bounds(directives=2), "MAX_DIRECTIVES_EXCEEDED", 2, 3),
    ],
)
def test_bounds(text: str, bounds: Bounds, code: str, limit: int, found: int) -> None:
    refusal = exceeding(measured(text), bounds)
    assert refusal is not None
    assert (refusal.code, refusal.limit, refusal.found) == (code, limit, found)
    assert exceeding(measured(text), Bounds()) is None
