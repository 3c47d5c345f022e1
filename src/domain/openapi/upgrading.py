"""Words of OpenAPI 3.0 and 3.2 in those of 3.1: what a schema or object says, said in JSON Schema 2020-12.

Sources: OpenAPI 3.1.1 4.8.24, "Migrating from OpenAPI 3.0 to 3.1.0" (OpenAPI Initiative, 2021), OpenAPI 3.2.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_BOUNDS: Final = (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum"))
#: Members of objects that only 3.2 knows.
_NEW: Final = (
    "itemSchema",
    "itemEncoding",
    "prefixEncoding",
    "dataValue",
    "serializedValue",
    "deviceAuthorizationUrl",
    "nodeType",
)


def schema_31(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """A schema of 3.0 in the words of 3.1. Only its own level: subschemas stay."""
    if "$ref" in schema:  # siblings are ignored in 3.0
        return {"$ref": schema["$ref"]} if len(schema) > 1 else schema
    made = dict(schema)
    nullable = made.pop("nullable", None) is True
    for exclusive, bound in _BOUNDS:
        strict = made.get(exclusive)
        if isinstance(strict, bool):
            del made[exclusive]
            if strict and bound in made:
                made[exclusive] = made.pop(bound)
    if "example" in made:
        made["examples"] = [made.pop("example")]
    form = made.get("format")
    if form == "binary" and made.get("type") == "string":
        del made["format"]
        made["contentMediaType"] = "application/octet-stream"
    elif form == "byte" and made.get("type") == "string":
        del made["format"]
        made["contentEncoding"] = "base64"
    return _with_null(made) if nullable else made


def _with_null(schema: dict[str, Any]) -> Mapping[str, Any]:
    kind = schema.get("type")
    if isinstance(kind, str):
        schema["type"] = [kind, "null"]
        if isinstance(schema.get("enum"), list) and None not in schema["enum"]:
            schema["enum"] = [*schema["enum"], None]
        return schema
    if any(word in schema for word in ("allOf", "anyOf", "oneOf", "enum", "not")):
        return {"anyOf": [schema, {"type": "null"}]}
    return schema


def object_31(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """An object of 3.2 (parameter, media type, example, tag) without what 3.1 has no word for."""
    if not any(name in node for name in _NEW):
        return node
    made = {name: value for name, value in node.items() if name not in _NEW}
    if "itemSchema" in node and "schema" not in node:
        made["schema"] = {}  # a sequence: each item is described there, the whole cannot be
    if node.get("nodeType") == "attribute":
        made["attribute"] = True
    if "dataValue" in node and "value" not in node:
        made["value"] = node["dataValue"]
    elif "serializedValue" in node and "value" not in node:
        made["value"] = node["serializedValue"]
    return made


def new_words(node: Mapping[str, Any]) -> list[str]:
    """Members of an object that are lost below 3.2."""
    return [name for name in _NEW if name in node]
