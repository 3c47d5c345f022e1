"""Parameters of requests, read as their style says and checked: simple and form, with and without explode, and deepObject.

Text has no types, so a value is read as what its schema allows: `7` is a number where numbers are allowed. Other styles
and places (cookies, content) are not checked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol
from urllib.parse import unquote_plus

from spork.domain.openapi.document import Document, Node, types_of

_STYLES: Final = {"path": "simple", "header": "simple", "query": "form"}
_WORDS: Final = {"true": True, "false": False}


class _Schema(Protocol):
    def of_value(self, value: object) -> Sequence[tuple[str, str, str]]: ...


class Parameter:
    """One compiled parameter."""

    def __init__(self, where: str, name: str, required: bool, style: str, explode: bool, shape: Shape) -> None:
        self.where = where
        self.name = name
        self.required = required
        self._style = style
        self._explode = explode
        self._shape = shape

    def given(self, pairs: Mapping[str, list[str]]) -> list[str]:
        """What a query says of it; for objects that are spread over names, a mark that any of them is there."""
        if self._style == "deepObject":
            return [""] if any(name.startswith(f"{self.name}[") for name in pairs) else []
        if self._shape.kind == "object" and self._explode:
            return [""] if any(name in pairs for name in self._shape.members) else []
        return pairs.get(self.name, [])

    def problem(self, given: Sequence[str], pairs: Mapping[str, list[str]]) -> tuple[str, str] | None:
        """(keyword, sentence) of what is wrong, None for nothing."""
        if not given:
            return ("required", f"{self.name} is required") if self.required else None
        if self._shape.schema is None:
            return None
        for value in self._values(given, pairs):
            found = self._shape.schema.of_value(value)
            if found:
                pointer, keyword, sentence = found[0]
                return keyword, f"{pointer}: {sentence}" if pointer not in ("", "/") else sentence
        return None

    def _values(self, given: Sequence[str], pairs: Mapping[str, list[str]]) -> list[object]:
        shape = self._shape
        if shape.kind == "array":
            if self._style == "form" and self._explode:
                return [[shape.item(text) for text in given]]
            return [[shape.item(text) for text in given[0].split(",")] if given[0] else []]
        if shape.kind == "object":
            return [self._object(given, pairs)]
        return [shape.read(text) for text in given]

    def _object(self, given: Sequence[str], pairs: Mapping[str, list[str]]) -> dict[str, object]:
        shape = self._shape
        if self._style == "deepObject":
            found = {n[len(self.name) + 1 : -1]: v[0] for n, v in pairs.items() if n.startswith(f"{self.name}[")}
        elif self._style == "form" and self._explode:
            found = {name: pairs[name][0] for name in shape.members if name in pairs}
        elif self._explode:
            found = dict(part.partition("=")[::2] for part in given[0].split(","))
        else:
            parts = given[0].split(",")
            found = dict(zip(parts[::2], parts[1::2], strict=False))
        return {name: shape.member(name, text) for name, text in found.items()}


class Shape:
    """What a parameter's schema says of its text: `kind` is array, object or the empty text for a single value."""

    def __init__(self, document: Document, node: object, schema: _Schema | None) -> None:
        resolved = document.resolve(node)
        types = types_of(resolved)
        self.schema = schema
        self.kind = "array" if "array" in types else "object" if "object" in types else ""
        properties = resolved.get("properties")
        self.members: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}
        self._types = _allowed(document, resolved)
        self._items = _allowed(document, document.resolve(resolved.get("items")))
        self._of_members = {name: _allowed(document, document.resolve(s)) for name, s in self.members.items()}

    def read(self, text: str) -> object:
        return _read(text, self._types)

    def item(self, text: str) -> object:
        return _read(text, self._items)

    def member(self, name: str, text: str) -> object:
        return _read(text, self._of_members.get(name, frozenset()))


def compiled_parameter(document: Document, given: Node, schema: _Schema | None) -> Parameter | None:
    """None for one that is not checked at all."""
    where, name = str(given.get("in", "")), str(given.get("name", ""))
    style = str(given.get("style") or _STYLES.get(where, ""))
    if where not in _STYLES or (where == "header" and name.lower() in ("accept", "content-type", "authorization")):
        return None
    explode = given.get("explode")
    spread = explode if isinstance(explode, bool) else style == "form"
    known = style == _STYLES[where] or (style == "deepObject" and where == "query")
    shape = Shape(document, given.get("schema"), schema if known and "schema" in given else None)
    return Parameter(where, name, given.get("required") is True or where == "path", style, spread, shape)


def query_values(query: bytes | None) -> dict[str, list[str]]:
    """The parameters of a query by name, decoded, in their order."""
    found: dict[str, list[str]] = {}
    for pair in (query or b"").split(b"&"):
        if pair:
            name, _, value = pair.decode("latin-1").partition("=")
            found.setdefault(unquote_plus(name), []).append(unquote_plus(value))
    return found


def _allowed(document: Document, schema: Node, depth: int = 0) -> frozenset[str]:
    """The types a value may have; empty for any."""
    types = set(types_of(schema))
    for word in ("oneOf", "anyOf", "allOf"):
        listed = schema.get(word)
        if isinstance(listed, list) and depth < 5:
            for part in listed:
                types |= _allowed(document, document.resolve(part), depth + 1)
    for value in (*(schema.get("enum") or ()), *((schema["const"],) if "const" in schema else ())):
        if not types_of(schema):
            types.add(
                "boolean" if isinstance(value, bool) else "number" if isinstance(value, int | float) else "string"
            )
    return frozenset(types)


def _read(text: str, types: frozenset[str]) -> object:
    """The value that `text` is among these types."""
    if not types or "string" in types:
        return text
    if "null" in types and text in ("", "null"):
        return None
    if "boolean" in types and text in _WORDS:
        return _WORDS[text]
    if types & {"integer", "number"}:
        try:
            value = json.loads(text)
        except ValueError:
            return text
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
    return text
