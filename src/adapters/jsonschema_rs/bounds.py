"""How much work a JSON Schema can ask for per value of a body, found before any body comes.

Validation visits each value once for every subschema that applies to it. Subschemas multiply where several apply to the
same value (allOf, anyOf, oneOf, not, if, $ref), and without end where a recursive schema applies itself to the same
child in more than one way. The `weight` is an upper bound of visits per value; unbounded schemas are refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, Final
from urllib.parse import unquote

from spork.domain.transforms.pointers import MISSING, find, unescaped

#: Subschemas that may apply to one value.
MOST: Final = 1000

_SAME_ONE: Final = ("not", "if", "then", "else")
_SAME_LIST: Final = ("allOf", "anyOf", "oneOf")
_SAME_MAP: Final = ("dependentSchemas", "dependencies")


class Unbounded(ValueError):
    """The schema's work cannot be bounded; the text says where."""


class Bounds:
    """The bounds of one schema document. `weight` raises Unbounded."""

    def __init__(self, schema: object) -> None:
        self._root = schema
        self._by_anchor = dict(_anchors(schema))
        self._closures: dict[int, Counter[int]] = {}
        self._nodes: dict[int, dict[str, Any]] = {}
        self._weights: dict[int, int] = {}

    def weight(self) -> int:
        """The most subschemas that apply to one value anywhere in a body."""
        root = self._node(self._root)
        return self._deep(root, ()) if root is not None else 1

    def _node(self, schema: object) -> int | None:
        if not isinstance(schema, dict):
            return None
        self._nodes[id(schema)] = schema
        return id(schema)

    def _same(self, schema: dict[str, Any]) -> Iterator[object]:
        """Subschemas that apply to the very value this one applies to."""
        for name in _SAME_ONE:
            if name in schema:
                yield schema[name]
        for name in _SAME_LIST:
            yield from _list(schema.get(name))
        for name in _SAME_MAP:
            yield from _map(schema.get(name)).values()
        for name in ("$ref", "$dynamicRef", "$recursiveRef"):
            if isinstance(schema.get(name), str):
                yield self._target(schema[name])

    def _target(self, reference: str) -> object:
        fragment = unquote(reference.partition("#")[2])
        if fragment and not fragment.startswith("/"):
            return self._by_anchor.get(fragment)
        found: object = find(self._root, tuple(unescaped(token) for token in fragment.split("/")[1:]))
        return None if found is MISSING else found

    def _closure(self, node: int, above: tuple[int, ...] = ()) -> Counter[int]:
        """Every schema that applies to a value with this one, and in how many ways."""
        known = self._closures.get(node)
        if known is not None:
            return known
        if node in above:
            raise Unbounded("a schema applies itself to the same value")
        found: Counter[int] = Counter((node,))
        for other in self._same(self._nodes[node]):
            inner = self._node(other)
            if inner is not None:
                found.update(self._closure(inner, (*above, node)))
            if found.total() > MOST:
                raise Unbounded(f"more than {MOST} subschemas apply to one value")
        self._closures[node] = found
        return found

    def _deep(self, node: int, above: tuple[int, ...]) -> int:
        """The weight of a schema and everything below it."""
        known = self._weights.get(node)
        if known is not None:
            return known
        closure = self._closure(node)
        worst = closure.total()
        for group in self._groups(closure):
            total = 0
            recursive = 0
            for child, ways in group.items():
                if child in above or child == node or self._reaches(child, node):
                    recursive += ways
                    total += ways
                else:
                    total += ways * self._deep(child, (*above, node))
            if recursive > 1:
                raise Unbounded("a recursive schema applies itself to one value in several ways (oneOf, anyOf, allOf)")
            if total > MOST:
                raise Unbounded(f"more than {MOST} subschemas apply to one value")
            worst = max(worst, total)
        self._weights[node] = worst
        return worst

    def _groups(self, closure: Counter[int]) -> Iterator[Counter[int]]:
        """Schemas of children, grouped by the child they can meet at: a property, an index, any other of them."""
        schemas = [(self._nodes[node], ways) for node, ways in closure.items()]
        names = {name for schema, _ in schemas for name in _map(schema.get("properties"))}
        for name in (*names, None):
            yield self._met((_of_property(schema, name), ways) for schema, ways in schemas)
        most = max((len(_tuple(schema)) for schema, _ in schemas), default=0)
        for index in range(most + 1):
            yield self._met((_of_index(schema, index), ways) for schema, ways in schemas)
        yield self._met(([schema.get("propertyNames")], ways) for schema, ways in schemas)

    def _met(self, given: Iterable[tuple[list[Any], int]]) -> Counter[int]:
        found: Counter[int] = Counter()
        for children, ways in given:
            for child in children:
                node = self._node(child)
                if node is not None:
                    found[node] += ways
        return found

    def _reaches(self, start: int, wanted: int) -> bool:
        """Whether `wanted` is below `start`, over children and references."""
        seen: set[int] = set()
        waiting = [start]
        while waiting:
            node = waiting.pop()
            if node in seen:
                continue
            seen.add(node)
            closure = self._closure(node)
            if wanted in closure:
                return True
            waiting.extend(child for group in self._groups(closure) for child in group)
        return False


def _of_property(schema: dict[str, Any], name: str | None) -> list[Any]:
    properties = _map(schema.get("properties"))
    found = [properties[name]] if name is not None and name in properties else [schema.get("additionalProperties")]
    return [*found, *_map(schema.get("patternProperties")).values(), schema.get("unevaluatedProperties")]


def _tuple(schema: dict[str, Any]) -> list[Any]:
    """The schemas of the first items, in the word of either draft."""
    return _list(schema.get("prefixItems")) or _list(schema.get("items"))


def _of_index(schema: dict[str, Any], index: int) -> list[Any]:
    first = _tuple(schema)
    rest = schema.get("items") if not isinstance(schema.get("items"), list) else schema.get("additionalItems")
    found = first[index] if index < len(first) else rest
    return [found, schema.get("contains"), schema.get("unevaluatedItems")]


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _map(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _anchors(schema: object) -> Iterator[tuple[str, object]]:
    waiting = [schema]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            for name in ("$anchor", "$dynamicAnchor"):
                if isinstance(found.get(name), str):
                    yield found[name], found
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
