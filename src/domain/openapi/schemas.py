"""Schemas of a document made whole in themselves, as JSON Schema 2020-12, for one direction."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final

from spork.domain.openapi.document import Document
from spork.domain.openapi.naming import component
from spork.domain.openapi.upgrading import schema_31
from spork.domain.openapi.walking import SCHEMA, copied
from spork.domain.transforms.pointers import unescaped

_DROPPED: Final = frozenset(("discriminator", "xml", "externalDocs", "example", "examples", "$schema"))


class Direction(Enum):
    """Which way a value goes. Its value is the keyword of properties that do not go this way."""

    REQUEST = "readOnly"
    ANSWER = "writeOnly"


def standalone(
    document: Document, schema: Mapping[str, Any], direction: Direction, patterns: bool = True
) -> Mapping[str, Any]:
    """`schema` with the components it needs. Raises ValueError for a reference to anything else."""
    work = _Standalone(document, direction, patterns)
    made = dict(work.copy(schema))
    while work.waiting:
        name = work.waiting.pop()
        given = component(document, ("schemas", name))
        if given is None:
            raise ValueError(f"there is no schema {name}")
        work.held[name] = work.copy(given) if isinstance(given, Mapping) else given
    if work.held:
        made["components"] = {"schemas": work.held}
    return made


class _Standalone:
    def __init__(self, document: Document, direction: Direction, patterns: bool) -> None:
        self.held: dict[str, Any] = {}
        self.waiting: list[str] = []
        self._document = document
        self._hidden = direction.value
        self._patterns = patterns
        self._old = str(document.root.get("openapi", "")).startswith("3.0")

    def copy(self, schema: Mapping[str, Any]) -> Mapping[str, Any]:
        made: Mapping[str, Any] = copied(schema, SCHEMA, self._change)
        return made

    def _change(self, node: Mapping[str, Any], kind: int) -> Mapping[str, Any]:
        if kind != SCHEMA:
            return node
        if self._old:
            node = schema_31(node)
        made = {name: value for name, value in node.items() if name not in _DROPPED and not name.startswith("x-")}
        if not self._patterns:
            made.pop("pattern", None)
            made.pop("patternProperties", None)
        reference = made.get("$ref")
        if isinstance(reference, str):
            self._need(reference)
        required, properties = made.get("required"), made.get("properties")
        if isinstance(required, list) and isinstance(properties, Mapping):
            hidden = {name for name, schema in properties.items() if self._is_hidden(schema)}
            if hidden:
                made["required"] = [name for name in required if name not in hidden]
        return made

    def _is_hidden(self, schema: object) -> bool:
        resolved = self._document.resolve(schema)
        own = schema.get(self._hidden) if isinstance(schema, Mapping) else None
        return own is True or resolved.get(self._hidden) is True

    def _need(self, reference: str) -> None:
        parts = reference.split("/")
        if len(parts) < 4 or parts[:3] != ["#", "components", "schemas"]:
            raise ValueError(f"{reference[:100]} leads to no schema of its components")
        name = unescaped(parts[3])
        if name not in self.held:
            self.held[name] = {}
            self.waiting.append(name)
