"""An OpenAPI 3.x document as plain values, and what is asked of it: operations, references, types.

Versions 3.0, 3.1 and 3.2 are read alike where they say the same in different words (`nullable`, boolean `exclusiveMinimum`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from spork.domain.transforms.pointers import MISSING, find, unescaped

Node = Mapping[str, Any]

METHODS: Final = ("get", "put", "post", "delete", "options", "head", "patch", "trace", "query")
_PARAMETER: Final = re.compile(r"\{([^{}/]*)\}")
#: Longest chain of references that is followed.
_CHAIN: Final = 20


class NotOpenApi(ValueError):
    """The document is none that is understood; the text says why."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation: its method in upper case, the path as written, the path item's and its own members."""

    method: str
    path: str
    item: Node
    node: Node

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"

    @property
    def key(self) -> tuple[str, str]:
        """Equal for operations that answer the same requests: names of path parameters do not matter."""
        return self.method, _PARAMETER.sub("{}", self.path)


class Document:
    """A document whose `openapi` is 3.x. Raises NotOpenApi for anything else."""

    def __init__(self, root: object) -> None:
        if not isinstance(root, Mapping):
            raise NotOpenApi("is not an OpenAPI document: it is no mapping")
        version = root.get("openapi")
        if "swagger" in root:
            raise NotOpenApi("is Swagger 2.0; convert it to OpenAPI 3 first")
        if not isinstance(version, str) or not version.startswith("3."):
            raise NotOpenApi("is not an OpenAPI 3 document: `openapi: 3.x` is missing")
        self.root: Node = root

    def resolve(self, node: object) -> Node:
        """What `node` means: its `$ref` followed inside this document; an empty mapping for what leads nowhere."""
        for _ in range(_CHAIN):
            if not isinstance(node, Mapping):
                return {}
            reference = node.get("$ref")
            if not isinstance(reference, str):
                return node
            node = self.at(reference)
        return {}

    def at(self, reference: str) -> object:
        """What stands where a reference into this document points; an empty mapping or None for nothing."""
        if not reference.startswith("#/"):
            return {}
        found: object = find(self.root, tuple(unescaped(token) for token in reference[2:].split("/")))
        return None if found is MISSING else found

    def operations(self) -> Iterator[Operation]:
        paths = self.root.get("paths")
        for path, item in paths.items() if isinstance(paths, Mapping) else ():
            resolved = self.resolve(item)
            for method in METHODS:
                if isinstance(resolved.get(method), Mapping):
                    yield Operation(method.upper(), str(path), resolved, resolved[method])

    def parameters(self, operation: Operation) -> dict[tuple[str, str], Node]:
        """Parameters by (where, name), the operation's before its path's. Path parameters are named by their position."""
        positions = {name: str(at) for at, name in enumerate(_PARAMETER.findall(operation.path))}
        found: dict[tuple[str, str], Node] = {}
        for level in (operation.item, operation.node):
            listed = level.get("parameters")
            for given in listed if isinstance(listed, list) else ():
                parameter = self.resolve(given)
                where, name = str(parameter.get("in", "")), str(parameter.get("name", ""))
                if where == "path":
                    name = positions.get(name, name)
                elif where == "header":
                    name = name.lower()
                found[where, name] = parameter
        return found

    def security(self, operation: Operation) -> list[dict[str, frozenset[str]]]:
        """The alternatives an operation accepts, scheme -> scopes; one empty mapping means none is needed."""
        listed = operation.node.get("security", self.root.get("security"))
        if not isinstance(listed, list) or not listed:
            return [{}]
        return [
            {str(scheme): frozenset(map(str, scopes or ())) for scheme, scopes in alternative.items()}
            for alternative in listed
            if isinstance(alternative, Mapping)
        ]


def types_of(schema: Node) -> frozenset[str]:
    """The JSON types a schema allows; empty for any."""
    given = schema.get("type")
    names = {given} if isinstance(given, str) else set(given) if isinstance(given, list) else set()
    if names and schema.get("nullable") is True:
        names.add("null")
    return frozenset(names)


def upper_bound(schema: Node, keyword: str, exclusive: str) -> tuple[float, bool] | None:
    """(bound, whether it is exclusive) of `maximum` or `minimum` in the words of 3.0 or 3.1."""
    inclusive, strict = _number(schema.get(keyword)), schema.get(exclusive)
    if strict is True and inclusive is not None:
        return inclusive, True
    number = None if isinstance(strict, bool) else _number(strict)
    if number is not None:
        return number, True
    return None if inclusive is None else (inclusive, False)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
