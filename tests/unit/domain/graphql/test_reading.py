"""The own reader against graphql-core, both ways, and against texts that mean harm."""

from __future__ import annotations

import time
from typing import Any

import graphql
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis_graphql import from_schema

from spork.domain.graphql.reading import FIELD, SPREAD, Document, Selection, TooDeep, Variable, read
from spork.domain.graphql.tokens import TooManyTokens, Unreadable, tokens_of

SCHEMA = """
scalar Any
enum State { OPEN CLOSED }
input Filter { state: State, tags: [String!], at: Int = 1, more: Filter, any: Float }
interface Node { id: ID! }
type Line implements Node { id: ID!, price: Float, order: Order }
type Order implements Node { id: ID!, total(in: String = "EUR"): Float, lines(first: Int, after: String): [Line!]!, state: State }
union Found = Order | Line
type Query { orders(first: Int, filter: Filter): [Order], node(id: ID!): Node, search(text: String): [Found!] }
type Mutation { cancel(id: ID!, why: Filter): Order }
"""
#: Pieces of documents, and of what is no document.
PIECES = st.sampled_from(
    ["{", "}", "(", ")", "[", "]", ":", "!", "=", "@", "$", "&", "|", "...", "on", "query", "mutation", "fragment", "a", "b",
     "__typename", "true", "null", "1", "-1", "1.5", "1e3", "0", "01", '"x"', '""', '"""b"""', '"\\u00e9"', '"\\u{1F600}"',
     '"\\ud83d\\ude00"', '"\\ud83d"', ",", " ", "\n", "\r", "\ufeff", "# c }\n", "#", "\t", "é", "\x00", '"', '"""', "\\", ".",
     "..", "{a}", "(a: 1)", "@skip(if: $a)", "query Q($a: [Int!]! = 1 @d) ", "fragment F on T ", "...F", "... on T {a}"]
)  # fmt: skip
_OPTIONS: dict[str, Any] = {"derandomize": True, "deadline": None, "suppress_health_check": list(HealthCheck)}


def theirs(text: str) -> graphql.DocumentNode | None:
    """What graphql-core makes of an executable document; None for what it refuses or what executes nothing."""
    try:
        document = graphql.parse(text)
    except (graphql.GraphQLSyntaxError, RecursionError):
        return None
    names = []
    for definition in document.definitions:
        if not isinstance(definition, graphql.OperationDefinitionNode | graphql.FragmentDefinitionNode):
            return None
        names.append((type(definition).__name__, definition.name.value if definition.name else ""))
    anonymous = sum(name == ("OperationDefinitionNode", "") for name in names)
    operations = sum(name[0] == "OperationDefinitionNode" for name in names)
    if len(set(names)) != len(names) or (anonymous and operations > 1):
        return None  # valid to the letter of the grammar, and refused by validation
    return None if not operations or odd(document) else document


def odd(document: graphql.DocumentNode) -> bool:
    """Whether an argument, member or variable stands twice (validation's to refuse there, reading's here), or a selection set
    is empty, which graphql-core reads and the grammar (2.4) does not know."""
    found = False

    class Twice(graphql.Visitor):
        def enter(self, node: Any, *_: Any) -> None:
            nonlocal found
            found = found or (isinstance(node, graphql.SelectionSetNode) and not node.selections)
            for of in ("arguments", "fields", "variable_definitions"):
                items = getattr(node, of, None) or ()
                names = [i.name.value if hasattr(i, "name") else i.variable.name.value for i in items]
                found = found or len(set(names)) != len(names)

    graphql.visit(document, Twice())
    return found


def value_of(node: Any) -> Any:
    match node:
        case graphql.VariableNode():
            return Variable(node.name.value)
        case graphql.IntValueNode() | graphql.FloatValueNode():
            text = node.value
            return int(text) if len(text) < 19 and text.lstrip("-").isdigit() else float(text)
        case graphql.BooleanValueNode():
            return node.value
        case graphql.NullValueNode():
            return None
        case graphql.ListValueNode():
            return [value_of(each) for each in node.values]
        case graphql.ObjectValueNode():
            return {each.name.value: value_of(each.value) for each in node.fields}
        case graphql.StringValueNode():
            return "a text"
    return node.value


def plain(value: Any) -> Any:
    """Our value, with texts made alike."""
    if isinstance(value, Variable):
        return value
    if isinstance(value, str):
        return "a text" if value[:1] == '"' else value
    if isinstance(value, list):
        return [plain(each) for each in value]
    return {name: plain(each) for name, each in value.items()} if isinstance(value, dict) else value


def their_selections(node: Any) -> Any:
    if node is None:
        return []
    found = []
    for each in node.selections:
        directives = [
            (d.name.value, {a.name.value: value_of(a.value) for a in d.arguments or ()}) for d in each.directives or ()
        ]
        if isinstance(each, graphql.FieldNode):
            arguments = {a.name.value: value_of(a.value) for a in each.arguments or ()}
            alias = each.alias.value if each.alias else ""
            found.append(("field", each.name.value, alias, arguments, directives, their_selections(each.selection_set)))
        elif isinstance(each, graphql.FragmentSpreadNode):
            found.append(("spread", each.name.value, directives))
        else:
            on = each.type_condition.name.value if each.type_condition else ""
            found.append(("inline", on, directives, their_selections(each.selection_set)))
    return found


def our_selections(selections: tuple[Selection, ...]) -> Any:
    found: list[Any] = []
    for kind, name, alias, arguments, applied, below in selections:
        directives = [(d.name, plain(d.arguments)) for d in applied]
        if kind == FIELD:
            found.append(("field", name, alias, plain(arguments), directives, our_selections(below)))
        elif kind == SPREAD:
            found.append(("spread", name, directives))
        else:
            found.append(("inline", name, directives, our_selections(below)))
    return found


def same(text: str, document: graphql.DocumentNode, ours: Document) -> None:
    operations = {}
    fragments = {}
    for each in document.definitions:
        assert isinstance(each, graphql.OperationDefinitionNode | graphql.FragmentDefinitionNode)
        body = their_selections(each.selection_set)
        if isinstance(each, graphql.FragmentDefinitionNode):
            fragments[each.name.value] = (each.type_condition.name.value, body)
        else:
            defaults = {
                v.variable.name.value: (
                    graphql.print_ast(v.type),
                    value_of(v.default_value) if v.default_value else None,
                )
                for v in each.variable_definitions or ()
            }
            operations[each.name.value if each.name else ""] = (each.operation.value, defaults, body)
    assert {
        o.name: (
            o.kind,
            {n: (t.partition(" @")[0], plain(d)) for n, (t, d) in o.variables.items()},
            our_selections(o.selections),
        )
        for o in ours.operations.values()
    } == operations
    assert {name: (f.on, our_selections(f.selections)) for name, f in ours.fragments.items()} == fragments
    lexer = graphql.language.Lexer(graphql.Source(text))
    count = 0
    while lexer.advance().kind != graphql.TokenKind.EOF:
        count += 1
    assert ours.tokens == count


def compare(text: str) -> None:
    document = theirs(text)
    try:
        ours = read(text)
    except Unreadable:
        ours = None
    if document is None:
        assert ours is None or not ours.operations, text
    else:
        assert ours is not None, text
        same(text, document, ours)


@settings(max_examples=40, **_OPTIONS)
@given(from_schema(SCHEMA))
def test_what_a_schema_allows_is_read_alike(text: str) -> None:
    compare(text)


@settings(max_examples=400, **_OPTIONS)
@given(st.lists(PIECES, max_size=14).map("".join) | st.lists(PIECES, max_size=14).map(" ".join))
def test_pieces_are_read_alike_or_refused_by_both(text: str) -> None:
    compare(text)


@settings(max_examples=100, **_OPTIONS)
@given(from_schema(SCHEMA), st.integers(0, 400), PIECES)
def test_a_document_with_a_piece_put_in(text: str, at: int, piece: str) -> None:
    compare(text[: at % (len(text) + 1)] + piece + text[at % (len(text) + 1) :])


@settings(max_examples=500, **_OPTIONS)
@given(st.text(max_size=200) | st.text(alphabet='"\\u{}()a1.#\n', max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    compare(text)


@pytest.mark.parametrize(
    "text",
    ["query Q { a } query Q { b }", "{ a } query Q { b }", "{ a } { b }", "fragment F on T { a } fragment F on T { b } { a }",
     "{ a(b: 1, b: 2) }", "{ a(b: {c: 1, c: 2}) }", "query ($a: Int, $a: Int) { b }", "type T { a: Int }", "{}", "", "# only",
     '"described" { a }', "query ($a: Int = $b) { c }", "{ a(b: $) }", "fragment on on T { a }", '{ a(b: "\\uD800") }',
     '{ a(b: "\\u{110000}") }', '{ a(b: "x', '{ a(b: """x', "{ a(b: 01) }", "{ a(b: 1a) }", "{ a(b: 1.) }", "{ ..a }"],
)  # fmt: skip
def test_refused(text: str) -> None:
    with pytest.raises(Unreadable) as refused:
        read(text)
    assert len(str(refused.value)) < 80  # says what, and quotes nothing of the text


def test_descriptions_and_other_new_syntax() -> None:
    document = read(
        '"what it does" query Q("how many" $n: Int = 3 @d) @x { a(b: "\\ud83d\\ude00", c: """x "y" \\""" z""") }'
    )
    assert document.operations["Q"].variables == {"n": ("Int @d", 3)}


def test_bounds() -> None:
    assert read("{a b c}", 5).tokens == 5
    for text, most in (("{a b c}", 4), ("{" + "a " * 20_000 + "}", 2000), ("{a", 1)):
        with pytest.raises(TooManyTokens):
            read(text, most)
    for text in (
        "{a" * 300 + "}" * 300,
        "{a(b:" + "[" * 300 + "]" * 300 + ")}",
        "query($a:" + "[" * 300 + "I" + "]" * 300 + "){a}",
    ):
        with pytest.raises(TooDeep):
            read(text)


KIB32 = 32 * 1024
HOSTILE = ['"\\', '"', '"""', "{", "#", "#\n", "a", "1", ".", "{a ", "\\u", '"\\u{1', "{a(b:[", "{a(b:{c:", ",", "-", '"""\\"""', "{a:",
           "{...", '"a" ', "{a @b ", "$", "query($a:", "\x00", "\ufeff", "1e", "{a(b:1.", "é", "{a}", "...", "@a(b:[{"]  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_hostile_texts_of_32_kib_take_less_than_10_ms(piece: str) -> None:
    text = piece * (KIB32 // len(piece))
    best = 1.0
    for _ in range(20):
        begun = time.process_time()
        with pytest.raises((Unreadable, TooManyTokens)):
            read(text, 2000)
        best = min(best, time.process_time() - begun)
        if best < 0.01:
            break
    assert best < 0.01


def test_time_is_linear() -> None:
    def taken(size: int) -> float:
        text = "{" + "a(b: [1, 2]) @c { d } " * size + "}"
        begun = time.process_time()
        assert tokens_of(text, 10_000_000)[0] == "{"
        return time.process_time() - begun

    small = min(taken(2_000) for _ in range(5))
    assert min(taken(16_000) for _ in range(3)) < 8 * small * 3
