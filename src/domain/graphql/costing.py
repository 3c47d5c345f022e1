"""What an operation costs before it runs (IBM's cost directives of 2021, with the Int weights of Apollo and Hive).

An object is 1 unit, scalars and enums 0, a root field of a mutation 10 more; a list is its size times what one of it costs. The size
is what slicing arguments say, or `@listSize(assumedSize)`, or `assumed_list`. Without a schema: one unit for each field with fields
of its own, times the whole number of `first`, `last` or `limit`. Sums stop at `MOST`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from spork.domain.graphql.measuring import INTROSPECTION, MOST, MOST_FOLLOWED
from spork.domain.graphql.policy import CostRules
from spork.domain.graphql.reading import FIELD, SPREAD, Document, Operation, Selection, TooDeep, Variable
from spork.domain.graphql.schema import InputField, ListSize, Schema, SchemaField

MUTATION: Final = 10
_SLICES: Final = ("first", "last", "limit")
_ROOT_TYPES: Final = {"query": "Query", "mutation": "Mutation", "subscription": "Subscription"}
#: Selections looked at for one operation; fragments that are spread in ever other ways could take long else.
_MOST_STEPS: Final = 20_000
_NO_SIZES: Final[tuple[tuple[str, int], ...]] = ()


class NoSuchField(ValueError):
    """The schema has no such field, type, or no such kind of operation. Names nothing: the message may go to a client."""


class Weights:
    """The weights of a policy, ready to be looked up: by type and field, and by field alone."""

    def __init__(self, rules: CostRules) -> None:
        self.assumed = rules.assumed_list
        self.exact = {name: weight for name, weight in rules.weights if not name.startswith("*.")}
        self.anywhere = {name[2:]: weight for name, weight in rules.weights if name.startswith("*.")}

    def of(self, type_name: str, field: str) -> int | None:
        """What the operator wrote for a field; None when nothing."""
        if self.exact:
            weight = self.exact.get(f"{type_name}.{field}")
            if weight is not None:
                return weight
        return self.anywhere.get(field) if self.anywhere else None


class Pricing:
    """Prices one operation. Afterwards `by_variables` are the variables of which other values could mean another cost, and `needs` which of
    the schema's needs its fields have."""

    def __init__(
        self,
        document: Document,
        operation: Operation,
        variables: Mapping[str, Any],
        weights: Weights,
        schema: Schema | None,
    ) -> None:
        self._fragments = document.fragments
        self._operation = operation
        self._variables = variables
        self._weights = weights
        self._schema = schema
        self._known: dict[tuple[str, tuple[tuple[str, int], ...]], int] = {}
        self._steps = 0
        self.by_variables: set[str] = set()
        self.needs: set[int] = set()

    def cost(self) -> int:
        """Units. Raises NoSuchField where there is a schema, TooDeep."""
        operation = self._operation
        mutation = MUTATION if operation.kind == "mutation" else 0
        if self._schema is None:
            return min(self._untyped(operation.selections, _ROOT_TYPES[operation.kind], 0, mutation), MOST)
        root = self._schema.roots.get(operation.kind)
        if root is None:
            raise NoSuchField("an operation of this kind is not there")
        return min(self._typed(operation.selections, root, _NO_SIZES, 0, mutation), MOST)

    def _step(self, followed: int) -> None:
        self._steps += 1
        if followed > MOST_FOLLOWED or self._steps > _MOST_STEPS:
            raise TooDeep("it nests too deep")

    # ---------------------------------------------------------------------------------------------- with a schema

    def _typed(
        self, selections: tuple[Selection, ...], on: str, sizes: tuple[tuple[str, int], ...], followed: int, extra: int
    ) -> int:
        self._step(followed)
        schema = self._schema
        assert schema is not None
        fields = schema.types.get(on)
        if fields is None:
            raise NoSuchField("a type is not there")
        total = 0
        for kind, name, _, arguments, _, below in selections:
            if kind != FIELD:
                if kind == SPREAD:
                    total += self._spread(name, sizes, followed, extra)
                else:
                    total += self._typed(below, name or on, sizes, followed + 1, extra)
                continue
            field = fields.get(name)
            if field is None:
                if name == "__typename" or (name in INTROSPECTION and on == schema.roots.get("query")):
                    continue
                raise NoSuchField("a field is not there")
            if field.needs:
                self.needs.update(field.needs)
            weight = self._weights.of(on, name)
            each = (field.weight if weight is None else weight) + extra
            passed = _NO_SIZES
            size = 1
            if field.size is not None:
                size, passed = self._sized(field, field.size, arguments)
            elif field.many:
                size = self._weights.assumed
            if field.many and sizes:
                size = next((known for of, known in sizes if of == name), size)
            if below:
                if field.leaf:
                    raise NoSuchField("a field has no fields")
                each += self._typed(below, field.type, passed, followed + 1, 0)
            if field.argument_costs and arguments:
                total += self._inputs(arguments, field.arguments, 0)
            total += min(size * each, MOST)
        return min(total, MOST)

    def _spread(self, name: str, sizes: tuple[tuple[str, int], ...], followed: int, extra: int) -> int:
        key = (name, sizes) if not extra else (f"{name} at the root", sizes)
        known = self._known.get(key)
        if known is None:
            fragment = self._fragments[name]
            known = self._known[key] = self._typed(fragment.selections, fragment.on, sizes, followed + 1, extra)
        return known

    def _sized(
        self, field: SchemaField, size: ListSize, arguments: Mapping[str, Any]
    ) -> tuple[int, tuple[tuple[str, int], ...]]:
        """How long the list is, or how long those in the fields that the size is meant for."""
        assumed = self._weights.assumed if size.assumed is None else size.assumed
        given = -1
        for path in size.slicing:
            found = self._argument(path, arguments, field.arguments)
            if found is not None:
                # What no list can be long is as long as is assumed.
                known = found if type(found) is int and found >= 0 else assumed
                given = max(given, known)
        length = min(given if given >= 0 else assumed, MOST)
        if size.sized_fields:
            return (self._weights.assumed if field.many else 1), tuple((of, length) for of in size.sized_fields)
        return (length if field.many else 1), _NO_SIZES

    def _argument(self, path: tuple[str, ...], arguments: Mapping[str, Any], known: Mapping[str, InputField]) -> Any:
        """What stands at a dotted argument: its value, "" for one that is no whole number, None for nothing at all."""
        name = path[0]
        declared = known.get(name)
        if name not in arguments:
            return declared.default if declared is not None and len(path) == 1 else None
        value = self._value(arguments[name], None if declared is None or len(path) > 1 else declared.default)
        for step in path[1:]:
            if not isinstance(value, dict) or step not in value:
                return None
            value = self._value(value[step], None)
        return "" if value is None else value

    def _value(self, value: Any, default: Any) -> Any:
        """A value with its variable looked up; `default` for a variable that is not given."""
        if not isinstance(value, Variable):
            return value
        name = value.name
        self.by_variables.add(name)
        if name in self._variables:
            return self._variables[name]
        declared = self._operation.variables.get(name)
        return default if declared is None or declared[1] is None else declared[1]

    def _inputs(self, given: Mapping[str, Any], known: Mapping[str, InputField], followed: int) -> int:
        """The weights of arguments and input fields that are given."""
        total = 0
        for name, value in given.items():
            declared = known.get(name)
            if declared is None:
                continue
            total += declared.weight
            value = self._value(value, None)
            schema = self._schema
            below = None if schema is None else schema.inputs.get(declared.type)
            if below is not None and followed < 20:
                for each in value if isinstance(value, list) else (value,):
                    if isinstance(each, dict):
                        total = min(total + self._inputs(each, below, followed + 1), MOST)
        return total

    # ------------------------------------------------------------------------------------------- without a schema

    def _untyped(self, selections: tuple[Selection, ...], on: str, followed: int, extra: int) -> int:
        self._step(followed)
        weights = self._weights
        total = 0
        for kind, name, _, arguments, _, below in selections:
            if kind != FIELD:
                if kind == SPREAD:
                    key = (f"{on} {name}", _NO_SIZES)
                    known = self._known.get(key)
                    if known is None:
                        selected = self._fragments[name].selections
                        known = self._known[key] = self._untyped(selected, on, followed + 1, extra)
                    total += known
                else:
                    total += self._untyped(below, on, followed + 1, extra)
                continue
            weight = weights.of(on, name)
            each = (1 if below else 0) if weight is None else weight
            each += extra
            if below and name not in INTROSPECTION:
                each += self._untyped(below, "", followed + 1, 0)
            size = 1
            if arguments:
                slices = [self._value(arguments[n], None) for n in _SLICES if n in arguments]
                size = max([each for each in slices if type(each) is int and each >= 0] or [1])
            total += min(size * each, MOST)
        return min(total, MOST)
