"""SDL, with the directives of cost and authorization, to the compact schema of the domain."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any, Final

import graphql

from spork.domain.graphql.policy import Needs
from spork.domain.graphql.schema import InputField, ListSize, Schema, SchemaField

_AUTHENTICATED: Final = Needs()


class NotASchema(ValueError):
    """The text is no schema. str() says where and why."""


def compile_schema(sdl: str, fields: Iterable[tuple[str, Needs]] = ()) -> Schema:
    """The schema in `sdl`, with rules by field from the configuration beside its own. Raises NotASchema, also for a rule about a
    field that is not there."""
    try:
        built = graphql.build_schema(sdl, assume_valid_sdl=True)
    except (graphql.GraphQLError, TypeError, RecursionError) as error:
        raise NotASchema(_words(error)) from error
    return _Compiling(built, sdl, dict(fields)).schema()


def _words(error: Exception) -> str:
    if isinstance(error, graphql.GraphQLError) and error.locations:
        at = error.locations[0]
        return f"line {at.line}, column {at.column}: {error.message}"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


class _Compiling:
    def __init__(self, built: graphql.GraphQLSchema, sdl: str, rules: Mapping[str, Needs]) -> None:
        self._built = built
        self._sdl = sdl
        self._rules = rules
        self._needs: list[Needs] = []
        self._places: dict[Needs, int] = {}

    def schema(self) -> Schema:
        types: dict[str, dict[str, SchemaField]] = {}
        inputs: dict[str, dict[str, InputField]] = {}
        built = self._built
        own: dict[str, Any] = {name: kind for name, kind in built.type_map.items() if not name.startswith("__")}
        for rule in self._rules:
            on, _, field = rule.partition(".")
            kind = own.get(on)
            if on != "*" and not (isinstance(kind, _WITH_FIELDS) and field in kind.fields):
                raise NotASchema(f"it has no field {rule}")
        for name, kind in own.items():
            if isinstance(kind, graphql.GraphQLInputObjectType):
                inputs[name] = {field: _input(each) for field, each in kind.fields.items()}
        for name, kind in own.items():
            if isinstance(kind, _WITH_FIELDS):
                types[name] = {field: self._field(kind, field, each, inputs) for field, each in kind.fields.items()}
            elif isinstance(kind, graphql.GraphQLUnionType):
                types[name] = {}
        roots = {"query": built.query_type, "mutation": built.mutation_type, "subscription": built.subscription_type}
        named = {kind: root.name for kind, root in roots.items() if root is not None}
        return Schema(named, types, inputs, tuple(self._needs), sha256(self._sdl.encode()).hexdigest())

    def _field(self, on: Any, name: str, field: graphql.GraphQLField, inputs: Mapping[str, Any]) -> SchemaField:
        named = graphql.get_named_type(field.type)
        directives = _directives(field.ast_node)
        leaf = graphql.is_leaf_type(named)
        weight = _weight(directives)
        if weight is None:
            weight = _weight(_directives(named.ast_node))
        if weight is None:
            weight = 0 if leaf else 1
        arguments = {arg: _input(each) for arg, each in field.args.items()}
        costs = any(each.weight or each.type in inputs for each in arguments.values())
        many = _many(field.type)
        size = _size(directives)
        return SchemaField(
            named.name, many, weight, leaf, size, arguments, costs, tuple(sorted(self._all_needs(on, name, field)))
        )

    def _all_needs(self, on: Any, name: str, field: graphql.GraphQLField) -> set[int]:
        """Of a field of an interface also what it needs on any of the types behind it: who asks by the interface gets those."""
        found = self._own_needs(on, name, field)
        if isinstance(on, graphql.GraphQLInterfaceType):
            implementations = self._built.get_implementations(on)
            behind: tuple[Any, ...] = (*implementations.objects, *implementations.interfaces)
            for kind in behind:
                if name in kind.fields:
                    found |= self._own_needs(kind, name, kind.fields[name])
        for above in getattr(on, "interfaces", ()):
            if name in above.fields:
                found |= self._own_needs(above, name, above.fields[name])
        return found

    def _own_needs(self, on: Any, name: str, field: graphql.GraphQLField) -> set[int]:
        found: set[int] = set()
        for rule in (f"{on.name}.{name}", f"*.{name}"):
            if rule in self._rules:
                found.add(self._place(self._rules[rule]))
        named = graphql.get_named_type(field.type)
        for node in (field.ast_node, on.ast_node, named.ast_node):
            for directive, arguments in _directives(node):
                if directive == "authenticated":
                    found.add(self._place(_AUTHENTICATED))
                elif directive == "requiresScopes":
                    found.add(self._place(_scopes(arguments.get("scopes"))))
        return found

    def _place(self, needs: Needs) -> int:
        if needs not in self._places:
            self._places[needs] = len(self._needs)
            self._needs.append(needs)
        return self._places[needs]


_WITH_FIELDS: Final = (graphql.GraphQLObjectType, graphql.GraphQLInterfaceType)


def _directives(node: Any) -> list[tuple[str, dict[str, Any]]]:
    if node is None or not getattr(node, "directives", None):
        return []
    return [
        (each.name.value, {a.name.value: graphql.value_from_ast_untyped(a.value) for a in each.arguments or ()})
        for each in node.directives
    ]


def _weight(directives: list[tuple[str, dict[str, Any]]]) -> int | None:
    """`@cost(weight)`: a whole number, or a text with one, rounded up from a fraction."""
    for name, arguments in directives:
        if name == "cost" and "weight" in arguments:
            try:
                weight = float(arguments["weight"])
            except (TypeError, ValueError) as error:
                raise NotASchema("@cost takes a number as weight") from error
            return max(0, -int(-weight // 1))
    return None


def _size(directives: list[tuple[str, dict[str, Any]]]) -> ListSize | None:
    for name, arguments in directives:
        if name == "listSize":
            assumed = arguments.get("assumedSize")
            slicing = tuple(tuple(str(each).split(".")) for each in arguments.get("slicingArguments") or ())
            sized = tuple(str(each) for each in arguments.get("sizedFields") or ())
            return ListSize(assumed if isinstance(assumed, int) else None, slicing, sized)
    return None


def _scopes(value: Any) -> Needs:
    """`@requiresScopes(scopes: [["a", "b"], ["c"]])`: all of any one list."""
    if not isinstance(value, list):
        raise NotASchema("@requiresScopes takes lists of scopes")
    sets = tuple(frozenset(map(str, each if isinstance(each, list) else [each])) for each in value)
    return Needs(scope_sets=sets)


def _many(kind: Any) -> bool:
    while isinstance(kind, graphql.GraphQLNonNull):
        kind = kind.of_type
    return isinstance(kind, graphql.GraphQLList)


def _input(field: Any) -> InputField:
    named = graphql.get_named_type(field.type)
    node = field.ast_node
    default = None
    if node is not None and node.default_value is not None:
        value = graphql.value_from_ast_untyped(node.default_value)
        default = value if type(value) is int else None
    return InputField(_weight(_directives(node)) or 0, named.name, default)
