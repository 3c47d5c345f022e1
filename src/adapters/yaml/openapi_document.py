"""OpenAPI documents from files: JSON or YAML, bounded, with the types of JSON and no surprises of YAML.

Dates stay text, `on`, `yes` and `no` too; keys are text (a status is `"200"`). Aliases are refused: a document of a few hundred
bytes could otherwise stand for gigabytes. Raises NotOpenApi with half a sentence that says what is wrong.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml

from spork.domain.openapi.document import Document, NotOpenApi

MOST_BYTES: Final = 10 * 1024 * 1024
DEEPEST: Final = 200
_BASE: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_KEPT: Final = ("tag:yaml.org,2002:null", "tag:yaml.org,2002:int", "tag:yaml.org,2002:float")


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    """How plain text becomes a value: null and numbers as YAML says, true and false, nothing else."""
    found: dict[str, list[tuple[str, re.Pattern[str]]]] = {}
    for first, resolvers in _BASE.yaml_implicit_resolvers.items():
        found[first] = [(tag, pattern) for tag, pattern in resolvers if tag in _KEPT]
    for first in "tf":
        found.setdefault(first, []).append(("tag:yaml.org,2002:bool", re.compile(r"^(?:true|false)$")))
    return found


class _Loader(_BASE):  # type: ignore[misc]
    yaml_implicit_resolvers: ClassVar[Any] = _resolvers()


def read_openapi(path: Path) -> Document:
    """The document in `path`. Raises NotOpenApi, OSError."""
    with path.open("rb") as file:
        raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise NotOpenApi(f"is larger than {MOST_BYTES // 1024 // 1024} MiB")
    return parse_openapi(raw)


def parse_openapi(raw: bytes) -> Document:
    """As `read_openapi`, from bytes."""
    return Document(parse_any(raw))


def parse_any(raw: bytes) -> Any:
    """JSON or YAML of any kind, read as an OpenAPI document is. Raises NotOpenApi."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotOpenApi(f"is not UTF-8 (byte {error.start})") from None
    try:
        return _texts(json.loads(text), 0)
    except RecursionError:
        raise NotOpenApi("is nested too deeply") from None
    except ValueError as error:
        if isinstance(error, NotOpenApi):
            raise
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, _BASE)):
            raise NotOpenApi("uses YAML aliases; write a $ref instead")
        return _texts(yaml.load(text, _Loader), 0)  # noqa: S506 - a safe loader's subclass
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" (line {mark.line + 1})" if mark is not None else ""
        raise NotOpenApi(f"is neither JSON nor YAML{where}") from None
    except RecursionError:
        raise NotOpenApi("is nested too deeply") from None


def _texts(value: Any, depth: int) -> Any:
    """The same with every key as text."""
    if depth > DEEPEST:
        raise NotOpenApi("is nested too deeply")
    if isinstance(value, dict):
        return {str(key): _texts(item, depth + 1) for key, item in value.items()}
    return [_texts(item, depth + 1) for item in value] if isinstance(value, list) else value
