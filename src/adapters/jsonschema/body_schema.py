"""Request body schemas (JSON Schema 2020-12 and earlier drafts), compiled once."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from jsonschema.exceptions import SchemaError, best_match
from jsonschema.validators import validator_for


class SchemaRefused(ValueError):
    """The schema cannot be used; the text says why."""


class JsonBodySchema:
    """Implements `BodySchema`. References may only point into the schema itself: nothing is ever fetched."""

    def __init__(self, text: str) -> None:
        try:
            schema = json.loads(text)
            kind = validator_for(schema)
            kind.check_schema(schema)
        except (ValueError, SchemaError, RecursionError) as error:
            raise SchemaRefused(f"not a JSON Schema: {str(error).splitlines()[0]}") from error
        _refuse_remote(schema)
        self._validator: Any = kind(schema, format_checker=kind.FORMAT_CHECKER)

    def problem(self, body: bytes) -> str | None:
        try:
            document = json.loads(body.decode("utf-8"), object_pairs_hook=_no_name_twice, parse_constant=_no_constant)
            found = best_match(self._validator.iter_errors(document))
        except UnicodeDecodeError:
            return "not UTF-8"
        except RecursionError:
            return "nested too deeply"
        except ValueError as error:
            return f"not JSON: {error}"
        if found is None:
            return None
        where = "/" + "/".join(str(step) for step in found.absolute_path)
        return f"{where[:200]}: {_said(found)}"


def _said(error: Any) -> str:
    """What is wrong, naming the rule and never echoing the body beyond the rule's own words."""
    rule, value = error.validator, error.validator_value
    if rule == "required":
        missing = [name for name in value if isinstance(error.instance, dict) and name not in error.instance]
        return f"{', '.join(map(str, missing))} is required"
    if rule == "type":
        return f"must be {value if isinstance(value, str) else ' or '.join(value)}"
    if rule == "additionalProperties":
        return "has a property that is not allowed"
    if isinstance(value, int | float | str):
        return f"does not satisfy {rule} {value}"
    return f"does not satisfy {rule}"


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


def _no_name_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")
