"""Request body schemas (JSON Schema 2020-12 and earlier drafts), compiled once, with work that grows with the body only.

`jsonschema-rs` validates, with a regular expression engine that has no backtracking. What could still cost more than a
body's size is refused: schemas whose subschemas multiply (`bounds.py`) and patterns of another kind when the schema is
compiled; whole numbers beyond 64 bits when a body must have unique items, for the engine compares these one by one.
"""

from __future__ import annotations

import json
import re
from itertools import islice
from typing import Any, Final

import jsonschema_rs

from spork.adapters.jsonschema_rs.bounds import Bounds, Unbounded
from spork.domain.http.strict_json import members_once, no_constant

#: Largest body, bytes, and visits of a subschema that a body may cost: weight times bytes.
MAX_BYTES: Final = 1024 * 1024
MAX_VISITS: Final = 8 * 1024 * 1024
#: A run of digits that may be a whole number of more than 64 bits.
_LONG_NUMBER: Final = re.compile(rb"[0-9]{19}")
_LARGEST: Final = 2**63 - 1
#: Of a body that does not fit, as many places are told.
_MOST_TOLD: Final = 10


class SchemaRefused(ValueError):
    """The schema cannot be used; the text says why."""


class JsonBodySchema:
    """Implements `BodySchema`. References may only point into the schema itself: nothing is ever fetched."""

    def __init__(self, text: str) -> None:
        try:
            schema = json.loads(text)
            _refuse_remote(schema)
            self._validator: Any = jsonschema_rs.validator_for(
                schema, validate_formats=True, offline=True, pattern_options=jsonschema_rs.RegexOptions()
            )
            #: How many subschemas may apply to one value.
            self.weight = Bounds(schema).weight()
        except SchemaRefused:
            raise
        except Unbounded as error:
            raise SchemaRefused(f"its cost cannot be bounded: {error}") from error
        except (ValueError, RecursionError, jsonschema_rs.ReferencingError) as error:
            raise SchemaRefused(_why(error)) from error
        #: Largest body this schema judges, bytes.
        self.max_bytes = max(4096, min(MAX_BYTES, MAX_VISITS // self.weight))
        self._unique = _mentions(schema, "uniqueItems")

    def of_text(self, text: bytes) -> list[tuple[str, str, str]]:
        """(pointer, keyword, sentence) of what does not fit of JSON text, ten at most. For `contract.Schema`."""
        try:
            return self.of_value(self._decoded(text))
        except UnicodeDecodeError:
            return [("", "json", "not UTF-8")]
        except RecursionError:
            return [("", "json", "nested too deeply")]
        except ValueError as error:
            return [("", "json", f"not JSON: {error}")]

    def of_value(self, value: object) -> list[tuple[str, str, str]]:
        """The same of a value."""
        if self._validator.is_valid(value):
            return []
        found = islice(self._validator.iter_errors(value), _MOST_TOLD)
        return [(_pointer(error.instance_path), str(error.kind.name), _said(error)) for error in found]

    def _decoded(self, body: bytes) -> Any:
        """The value of JSON text in which no name stands twice. Raises ValueError, RecursionError."""
        bounded = self._unique and _LONG_NUMBER.search(body) is not None
        return (_DECODE_BOUNDED if bounded else _DECODE)(body.decode("utf-8"))

    def problem(self, body: bytes) -> str | None:
        try:
            document = self._decoded(body)
            if self._validator.is_valid(document):
                return None
            found = next(self._validator.iter_errors(document))
        except UnicodeDecodeError:
            return "not UTF-8"
        except RecursionError:
            return "nested too deeply"
        except ValueError as error:
            return f"not JSON: {error}"
        where = "/" + "/".join(str(step) for step in found.instance_path)
        return f"{where[:200]}: {_said(found)}"


def _pointer(path: Any) -> str:
    """RFC 6901, bounded: names in it are the client's."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)[:200]


def _why(error: Exception) -> str:
    said = str(error).splitlines()[0]
    pattern, separator, _ = said.partition(' is not a "regex"')
    if separator:
        return f"{pattern} is no pattern of linear time: no look-around, no back references, no huge repetitions"
    return f"not a JSON Schema: {said}"


def _said(error: Any) -> str:
    """What is wrong, naming the rule and never echoing the body."""
    rule = error.kind.name
    value = getattr(error.kind, "value", None)
    if rule == "required":
        return f"{error.kind.property} is required"
    if rule == "type":
        types = error.kind.types
        return f"must be {types if isinstance(types, str) else ' or '.join(types)}"
    if rule in ("additionalProperties", "unevaluatedProperties"):
        return "has a property that is not allowed"
    limit = getattr(error.kind, "limit", getattr(error.kind, "pattern", getattr(error.kind, "format", value)))
    return f"does not satisfy {rule} {limit}" if isinstance(limit, int | float | str) else f"does not satisfy {rule}"


def _mentions(schema: object, keyword: str) -> bool:
    waiting = [schema]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            if found.get(keyword):
                return True
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)
    return False


def _refuse_remote(schema: object) -> None:
    waiting: list[object] = [schema]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            for name in ("$ref", "$dynamicRef", "$recursiveRef"):
                reference = found.get(name)
                if isinstance(reference, str) and not reference.startswith("#"):
                    raise SchemaRefused(f"{name} {reference!r} points outside the schema")
            waiting.extend(found.values())
        elif isinstance(found, list):
            waiting.extend(found)


def _bounded(digits: str) -> int:
    value = int(digits)
    if not -_LARGEST <= value <= _LARGEST:
        raise ValueError("a whole number has more than 64 bits")
    return value


_DECODE: Final = json.JSONDecoder(object_pairs_hook=members_once, parse_constant=no_constant).decode
_DECODE_BOUNDED: Final = json.JSONDecoder(
    object_pairs_hook=members_once, parse_constant=no_constant, parse_int=_bounded
).decode
