"""JSON Schema of the configuration, for editors that complete and check while one types.

It says everything a single value may be; rules between values (a route's upstream exists) are `spork check`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from spork.adapters.yaml.decode import FREE
from spork.adapters.yaml.shapes import Choice, Either, Entries, Field, ItemShape, Record, Scalar, Shape, fields_of
from spork.adapters.yaml.written import Document
from spork.plugins.plugin import Plugin, documentation

#: The schema's stable name; editors find it by `# yaml-language-server: $schema=...`.
SCHEMA_ID = "https://spork.dev/schema/configuration.json"

#: A value may always be left to the environment.
_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-.*)?\}"}


def schema(plugins: Sequence[type[Plugin]] = ()) -> dict[str, Any]:
    """The whole schema, draft 2020-12, as a JSON value. With `plugins` it says what each of them takes on routes."""
    definitions: dict[str, Any] = {}
    root = _struct(Document, definitions)
    if plugins:
        taken = {kind.name: kind.route_options for kind in plugins if kind.route_options is not None}
        definitions["Route"]["properties"]["plugins"] |= {
            "properties": {
                name: _struct(struct, definitions) | {"description": documentation(kind)}
                for kind in plugins
                if (struct := taken.get(name := kind.name)) is not None
            }
        }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": SCHEMA_ID,
        "title": "Spork gateway configuration",
        **root,
        "$defs": {
            "Variable": _VARIABLE | {"description": "Filled in from the environment."},
            **dict(sorted(definitions.items())),
        },
    }


def _struct(struct: type[msgspec.Struct], definitions: dict[str, Any]) -> dict[str, Any]:
    fields = fields_of(struct)
    properties = {key: _property(field, definitions) for key, field in fields.items()}
    required = [key for key, field in fields.items() if field.required]
    described: dict[str, Any] = {
        "type": "object",
        "description": (struct.__doc__ or "").strip(),
        "additionalProperties": False,
    }
    described["patternProperties"] = {f"^{FREE}": True}
    return described | {"properties": properties} | ({"required": required} if required else {})


def _property(field: Field, definitions: dict[str, Any]) -> dict[str, Any]:
    described: dict[str, Any] = {"description": field.doc}
    if not field.required and (default := _default(field)) not in (None, ""):
        described["default"] = default
    shape = _schema(field.shape, definitions)
    if isinstance(field.shape, ItemShape | Entries | Record) or field.default == "":
        shape = _any_of([shape, {"type": "null"}])
    return shape | described


def _default(field: Field) -> Any:
    value = field.default
    if isinstance(field.shape, Scalar):
        return field.shape.kind.format(value)
    if isinstance(value, tuple):
        return list(value)
    if isinstance(value, msgspec.Struct):
        return {}
    return value


def _schema(shape: Shape, definitions: dict[str, Any]) -> dict[str, Any]:
    if isinstance(shape, Scalar):
        kind = shape.kind.schema
        return (
            dict(kind)
            if kind.get("type") == "string" and "pattern" not in kind
            else _any_of([kind, _reference("Variable")])
        )
    if isinstance(shape, Choice):
        return _any_of([{"enum": list(shape.options)}, _reference("Variable")])
    if isinstance(shape, ItemShape):
        return {"type": "array", "items": _schema(shape.item, definitions)}
    if isinstance(shape, Entries):
        names = {"propertyNames": {"pattern": shape.key.schema["pattern"]}} if "pattern" in shape.key.schema else {}
        return {"type": "object", "additionalProperties": _nullable(shape.value, definitions)} | names
    if isinstance(shape, Record):
        return _record(shape, definitions)
    if isinstance(shape, Either):
        options = [_schema(s, definitions) for s in (shape.scalar, shape.items, shape.mapping) if s is not None]
        return _any_of([*options, *([{"type": "null"}] if shape.null or shape.mapping else [])])
    return {}


def _nullable(shape: Shape, definitions: dict[str, Any]) -> dict[str, Any]:
    """`unlimited:` with nothing below it is an empty mapping."""
    described = _schema(shape, definitions)
    return _any_of([described, {"type": "null"}]) if isinstance(shape, Record) else described


def _record(shape: Record, definitions: dict[str, Any]) -> dict[str, Any]:
    name = shape.struct.__name__
    if name not in definitions:
        definitions[name] = {}
        definitions[name] = _struct(shape.struct, definitions)
    return _reference(name)


def _reference(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


def _any_of(options: list[dict[str, Any]]) -> dict[str, Any]:
    """The options, nested choices laid flat and each once."""
    flat: list[dict[str, Any]] = []
    for option in options:
        for one in option["anyOf"] if set(option) == {"anyOf"} else [option]:
            if one not in flat:
                flat.append(one)
    return flat[0] if len(flat) == 1 else {"anyOf": flat}
