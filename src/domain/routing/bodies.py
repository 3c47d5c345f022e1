"""Telling requests apart by fields of their JSON body: which of several routes one is for. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final, Generic, TypeVar

from spork.domain.http.strict_json import members_once, no_constant

T = TypeVar("T")
#: Bytes of a body that are looked into; one that is larger matches no field.
MOST_BYTES: Final = 64 * 1024
#: Characters of a value that are told on.
_MOST_VALUE: Final = 256


class BodyChoice(Generic[T]):
    """Routes that only fields of the body tell apart. The one with the most fields that hold comes first, then whole values before
    prefixes, then the order of declaration; `otherwise` takes the rest."""

    def __init__(self, options: Sequence[tuple[tuple[tuple[str, str], ...], T]], otherwise: T | None) -> None:
        self.options = sorted(options, key=lambda option: rank(option[0]))
        self.otherwise = otherwise
        self.names = tuple(sorted({name for conditions, _ in options for name, _ in conditions}))

    def __repr__(self) -> str:
        return f"BodyChoice({', '.join(self.names)})"

    def choose(self, values: Mapping[str, str]) -> T | None:
        for conditions, route in self.options:
            if holds(conditions, values):
                return route
        return self.otherwise


def rank(conditions: Sequence[tuple[str, str]]) -> tuple[int, int, int]:
    """Sorts what is more specific first."""
    prefixes = [text for _, text in conditions if text.endswith("*")]
    return (-len(conditions), len(prefixes), -sum(map(len, prefixes)))


def holds(conditions: Sequence[tuple[str, str]], values: Mapping[str, str]) -> bool:
    for name, wanted in conditions:
        value = values.get(name)
        if value is None or (value != wanted if not wanted.endswith("*") else not value.startswith(wanted[:-1])):
            return False
    return True


def is_json(content_type: bytes) -> bool:
    """Whether a media type is JSON (RFC 8259, RFC 6839 3.1)."""
    kind = content_type.partition(b";")[0].strip().lower()
    return kind == b"application/json" or kind.endswith(b"+json")


def values_of(body: bytes, names: Sequence[str]) -> dict[str, str]:
    """The values of these fields, as text; none of a body that is no JSON object or names a member twice."""
    if len(body) > MOST_BYTES:
        return {}
    try:
        document = json.loads(body, object_pairs_hook=members_once, parse_constant=no_constant)
    except (ValueError, RecursionError):
        return {}
    found: dict[str, str] = {}
    for name in names:
        value = _at(document, name)
        if isinstance(value, bool):
            found[name] = "true" if value else "false"
        elif isinstance(value, str | int | float) and len(str(value)) <= _MOST_VALUE:
            found[name] = str(value)
    return found


def _at(document: object, name: str) -> object:
    if isinstance(document, dict) and name in document:
        return document[name]
    for step in name.split("."):
        if not isinstance(document, dict) or step not in document:
            return None
        document = document[step]
    return document
