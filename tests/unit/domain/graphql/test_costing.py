"""What operations cost: with a schema and its directives, without one, and what grows out of all proportion."""

from __future__ import annotations

import time
from typing import Any

import pytest

from spork.adapters.graphql_core.schema import NotASchema, compile_schema
from spork.domain.graphql.costing import NoSuchField, Pricing, Weights
from spork.domain.graphql.measuring import MOST
from spork.domain.graphql.policy import CostRules, Needs
from spork.domain.graphql.reading import TooDeep, read
from spork.domain.graphql.schema import Schema

SDL = """
directive @cost(weight: Int!) on ARGUMENT_DEFINITION | ENUM | FIELD_DEFINITION | INPUT_FIELD_DEFINITION | OBJECT | SCALAR
directive @listSize(assumedSize: Int, slicingArguments: [String!], sizedFields: [String!], requireOneSlicingArgument: Boolean = true) on FIELD_DEFINITION
scalar Blob @cost(weight: 5)
type Heavy @cost(weight: 7) { id: ID }
input Page { max: Int, after: String @cost(weight: 2) }
input Filter { text: String @cost(weight: 3), more: Filter, page: Page }
interface Person { name: String, salary: Int }
type Employee implements Person @authenticated { name: String, salary: Int }
type Edge { node: Order, cursor: String }
type Connection { edges: [Edge], nodes: [Order], total: Int }
type Order { id: ID, blob: Blob, heavy: Heavy, lines(first: Int): [Line!]! @listSize(slicingArguments: ["first"], assumedSize: 50) }
type Line { sku: String, order: Order }
union Found = Order | Line
type Query {
  orders(first: Int = 10, last: Int): [Order] @listSize(slicingArguments: ["first", "last"])
  page(filter: Filter): [Order] @listSize(slicingArguments: ["filter.page.max"], assumedSize: 4)
  connection(first: Int): Connection @listSize(slicingArguments: ["first"], sizedFields: ["edges", "nodes"])
  all: [Order]
  search(text: String @cost(weight: 2), filter: Filter): [Found] @cost(weight: 6)
  people: [Person]
  secret: Int @requiresScopes(scopes: [["a", "b"], ["c"]])
}
type Mutation { cancel(id: ID): Order }
"""
SCHEMA = compile_schema(SDL, [("Employee.salary", Needs(frozenset(["hr"])))])


def priced(text: str, schema: Schema | None = SCHEMA, variables: dict[str, Any] | None = None, **rules: Any) -> Pricing:
    document = read(text)
    operation = next(iter(document.operations.values()))
    return Pricing(document, operation, variables or {}, Weights(CostRules(**rules)), schema)


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("{__typename}", 0),
        ("{orders {id}}", 10),  # the argument's default
        ("{orders(first: 3) {id}}", 3),
        ("{orders(first: 3, last: 7) {id}}", 7),  # the largest
        ("{orders(first: -1) {id}}", 20),  # what no list can be: assumed
        ("{orders(first: null) {id}}", 20),
        ('{orders(first: "x") {id}}', 20),
        ("{orders(first: 2) {lines(first: 3) {sku}}}", 2 * (1 + 3)),
        ("{orders(first: 2) {lines {sku}}}", 2 * (1 + 50)),
        ("{orders(first: 2) {blob heavy {id}}}", 2 * (1 + 5 + 7)),
        ("{all {id}}", 20),
        ("{page {id}}", 4),
        ("{page(filter: {page: {max: 6}}) {id}}", 6),
        ('{page(filter: {page: {max: 6, after: "x"}, text: "y", more: {text: "z"}}) {id}}', 6 + 2 + 3 + 3),
        ("{connection(first: 5) {total edges {node {id}} nodes {id}}}", 1 + 5 * 2 + 5),
        ("{connection(first: 5) {...C}} fragment C on Connection {edges {cursor}}", 1 + 5),
        ('{search(text: "x") {... on Order {id} ... on Line {sku}}}', 2 + 20 * 6),
        ("mutation {cancel(id: 1) {id}}", 11),
        ("mutation {...M} fragment M on Mutation {a: cancel {id} b: cancel {id}}", 22),
        ("query ($n: Int = 3) {orders(first: $n) {id}}", 3),
        ("{__schema {types {name}} __type(name: 1) {name}}", 0),
    ],
)
def test_with_a_schema(text: str, cost: int) -> None:
    assert priced(text).cost() == cost


def test_variables() -> None:
    text = "query ($n: Int, $p: Page) {orders(first: $n) {id} page(filter: {page: $p}) {id}}"
    one = priced(text, variables={"n": 6, "p": {"max": 8}})
    assert (one.cost(), one.by_variables) == (14, {"n", "p"})
    assert priced(text).cost() == 10 + 4
    assert priced(text, variables={"n": None, "p": None}).cost() == 20 + 4
    plain = priced("{orders {id}}")
    plain.cost()
    assert not plain.by_variables


def test_weights_of_the_operator_stand_above_the_schemas() -> None:
    rules = {"weights": (("Query.orders", 4), ("*.lines", 2)), "assumed_list": 3}
    assert priced("{orders(first: 2) {lines(first: 5) {sku}} all {id}}", **rules).cost() == 2 * (4 + 5 * 2) + 3


@pytest.mark.parametrize(
    ("text", "cost"),
    [
        ("{a b}", 0),
        ("{a {b}}", 1),
        ("{a(first: 5) {b {c}}}", 10),
        ("{a(limit: 2, first: 5) {b(last: 3) {c}}}", 5 * (1 + 3)),
        ("{a(first: -1) {b}}", 1),
        ("{search {b} ...F} fragment F on Query {search {lines {b}}}", 4 + (4 + 2)),
        ("{a {search {b}}}", 2),  # weighed at the root only
        ("query ($n: Int = 4) {a(first: $n) {b}}", 4),
        ("mutation {a}", 10),
    ],
)
def test_without_a_schema(text: str, cost: int) -> None:
    assert priced(text, None, weights=(("Query.search", 4), ("*.lines", 2))).cost() == cost


@pytest.mark.parametrize(
    "text",
    ["{nothing}", "{orders {nothing}}", "{...F} fragment F on Nothing {a}", "{orders {id {x}}}", "subscription {a}",
     "{search {sku}}", "{orders {__schema {types {name}}}}", "{... on Nothing {a}}"],
)  # fmt: skip
def test_what_is_not_there(text: str) -> None:
    with pytest.raises(NoSuchField) as refused:
        priced(text).cost()
    assert "Query" not in str(refused.value)
    assert "Order" not in str(refused.value)


def test_needs_of_fields() -> None:
    def needs(text: str) -> set[Needs]:
        one = priced(text)
        one.cost()
        return {SCHEMA.needs[at] for at in one.needs}

    hr, signed_in = Needs(frozenset(["hr"])), Needs()
    assert needs("{all {id}}") == set()
    assert needs("{people {name}}") == {signed_in}  # an employee is behind the interface
    assert needs("{people {salary}}") == {hr, signed_in}
    assert needs("{people {...E}} fragment E on Employee {pay: salary}") == {hr, signed_in}
    assert needs("{secret}") == {Needs(scope_sets=(frozenset(["a", "b"]), frozenset(["c"])))}


@pytest.mark.parametrize("schema", [SCHEMA, None])
def test_costs_do_not_overflow_and_are_found_at_once(schema: Schema | None) -> None:
    fragments = "".join(
        f"fragment F{n} on Order {{ a: lines(first: 99999) {{ order {{ ...F{n + 1} }} }} b: lines {{ order {{ ...F{n + 1} }} }} }} "
        for n in range(50)
    )
    begun = time.process_time()
    one = priced("{ orders { ...F0 } } " + fragments + "fragment F50 on Order { id }", schema)
    assert one.cost() == MOST
    assert time.process_time() - begun < 0.2
    with pytest.raises(TooDeep):
        priced("{" + "all {lines {order {" * 1 + "lines {order {" * 150 + "id" + "}" * 304, schema).cost()


@pytest.mark.parametrize(
    ("sdl", "said"),
    [("type Query {", "line 1"), ("type Query { a: Nothing }", "Nothing"), ('type Query { a: Int @cost(weight: "x") }', "@cost"),
     ("type Query { a: Int @requiresScopes(scopes: 1) }", "@requiresScopes")],
)  # fmt: skip
def test_no_schema(sdl: str, said: str) -> None:
    with pytest.raises(NotASchema, match=said):
        compile_schema(sdl)


def test_a_rule_about_a_field_that_is_not_there() -> None:
    with pytest.raises(NotASchema, match=r"Employee\.wage"):
        compile_schema(SDL, [("Employee.wage", Needs())])


def test_texts_as_weights() -> None:
    assert compile_schema('type Query { a: Int @cost(weight: "2.5") }').types["Query"]["a"].weight == 3
