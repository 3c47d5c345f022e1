"""What kind of thing stands where in an OpenAPI document, and a copy of it with rules applied on the way.

The same word means different things in different places: `example` in a schema is data in which a `$ref` is no
reference, a property may be called `default`. So a walk knows in which of four kinds of place it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

#: Kinds of places: an object of OpenAPI, a schema, data that means nothing to us; and maps whose keys are names.
OBJECT, SCHEMA, DATA = 0, 1, 2
OBJECTS, SCHEMAS, CALLBACKS = 3, 4, 5

#: Member of an object -> what stands in it; any other holds objects.
OBJECT_MEMBERS: Final[Mapping[str, int]] = {
    "schema": SCHEMA, "itemSchema": SCHEMA, "schemas": SCHEMAS,
    "example": DATA, "value": DATA, "dataValue": DATA, "default": DATA, "enum": DATA, "security": DATA, "tags": DATA,
    "scopes": DATA, "required": DATA,
    "examples": OBJECTS, "responses": OBJECTS, "headers": OBJECTS, "content": OBJECTS, "links": OBJECTS,
    "encoding": OBJECTS, "variables": OBJECTS, "requestBodies": OBJECTS, "securitySchemes": OBJECTS,
    "pathItems": OBJECTS, "paths": OBJECTS, "webhooks": OBJECTS, "mediaTypes": OBJECTS, "additionalOperations": OBJECTS,
    "callbacks": CALLBACKS,
}  # fmt: skip
#: Member of a schema -> what stands in it; any other holds schemas.
SCHEMA_MEMBERS: Final[Mapping[str, int]] = {
    "properties": SCHEMAS, "patternProperties": SCHEMAS, "$defs": SCHEMAS, "definitions": SCHEMAS,
    "dependentSchemas": SCHEMAS,
    "default": DATA, "const": DATA, "enum": DATA, "example": DATA, "examples": DATA, "required": DATA,
    "dependentRequired": DATA, "type": DATA, "discriminator": OBJECT, "xml": OBJECT, "externalDocs": OBJECT,
}  # fmt: skip
#: What the values of a map are.
_VALUES: Final = {OBJECTS: OBJECT, SCHEMAS: SCHEMA, CALLBACKS: OBJECTS}

#: Changes a mapping of a kind before it is gone into; None: leave it out.
Change = Callable[[Mapping[str, Any], int], Mapping[str, Any] | None]


class Finished(dict[str, Any]):
    """A mapping that has been copied and changed already: it is taken as it is."""


def _same_text(text: str) -> str:
    return text


def member_kind(kind: int, name: str, value: object) -> int:
    """What stands in the member `name` of a mapping of `kind`."""
    if kind == OBJECT:
        if name == "parameters" and isinstance(value, Mapping):
            return OBJECTS  # components.parameters; those of a link are expressions, in which nothing is found
        return OBJECT_MEMBERS.get(name, OBJECT)
    if kind == SCHEMA:
        return SCHEMA_MEMBERS.get(name, SCHEMA)
    return _VALUES.get(kind, DATA)


def copied(node: Any, kind: int, change: Change, text: Callable[[str], str] = _same_text) -> Any:
    """A deep copy of `node`, which is of `kind`, each mapping changed by `change` first and each text by `text`."""
    if isinstance(node, str):
        return text(node)
    if isinstance(node, Mapping):
        found: Mapping[str, Any] | None = node
        if kind <= SCHEMA:
            found = change(node, kind)
            if found is None:
                return None
            if isinstance(found, Finished):
                return found
        made: dict[str, Any] = {}
        for name, value in found.items():  # type: ignore[union-attr]
            if isinstance(value, str):
                made[name] = text(value) if name != "$ref" else value
            elif isinstance(value, Mapping | list):
                copy = copied(value, member_kind(kind, name, value), change, text)
                if copy is not None:
                    made[name] = copy
            else:
                made[name] = value
        return made
    if isinstance(node, list):
        items = []
        for item in node:
            copy = copied(item, kind, change, text)
            if copy is not None or item is None:
                items.append(copy)
        return items
    return node


def references(node: Any, kind: int) -> list[str]:
    """Every `$ref` and `$dynamicRef` below `node`, in order, more than once if it stands there so."""
    found: list[str] = []

    def note(mapping: Mapping[str, Any], _kind: int) -> Mapping[str, Any]:
        for name in ("$ref", "$dynamicRef"):
            reference = mapping.get(name)
            if isinstance(reference, str):
                found.append(reference)
        return mapping

    copied(node, kind, note)
    return found
