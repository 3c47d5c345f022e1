"""Reads a node tree as Structs, going on after every error, so that one pass finds them all."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from spork.adapters.yaml.document import ListNode, MappingNode, Node, Place, ScalarNode
from spork.adapters.yaml.scalars import Kind
from spork.adapters.yaml.shapes import (
    Anything,
    Choice,
    Either,
    Entries,
    Field,
    ItemShape,
    Record,
    Scalar,
    Shape,
    fields_of,
)
from spork.application.configuration.problems import Diagnostic, Severity, child, did_you_mean, nearest, parent

#: Keys that begin so are the operator's own in every mapping with fixed keys, and say nothing to the gateway.
FREE = "x-"


class _Failed:
    """Was complained about; nothing can be made of it."""


FAILED: Any = _Failed()


@dataclass(slots=True)
class Findings:
    """Problems collected while one configuration is read, and the place of every path in it.

    `meant` are paths that a misspelt key stood for: they are not missing.
    """

    problems: list[Diagnostic] = field(default_factory=list)
    places: dict[str, Place] = field(default_factory=dict)
    meant: set[str] = field(default_factory=set)

    def place(self, path: str) -> Place:
        """Where `path` stands, or the nearest part above it that was written."""
        while path not in self.places and path:
            path = parent(path)
        return self.places.get(path, Place(""))

    def complained(self, path: str) -> bool:
        """Whether what stands at `path` was found wrong already."""
        return path in self.meant or any(p.path == path for p in self.problems)

    def add(
        self, path: str, message: str, suggestion: str = "", severity: Severity = "error", place: Place | None = None
    ) -> None:
        at = place or self.place(path)
        self.problems.append(Diagnostic(path, message, suggestion, severity, at.file, at.line, at.column))


def decode(node: Node, shape: Shape, path: str, findings: Findings) -> Any:
    """The value that `node` says for `shape`, or FAILED. Complaints go to `findings`."""
    if node.broken:
        findings.places[path] = node.place
        return FAILED
    findings.places.setdefault(path, node.place)
    return _READERS[type(shape)](node, shape, path, findings)


def _either(node: Node, shape: Either, path: str, findings: Findings) -> Any:
    if isinstance(node, ScalarNode):
        if node.null and shape.null:
            return None
        if shape.scalar is not None:
            return decode(node, shape.scalar, path, findings)
        if node.null:
            return decode(node, shape.mapping or shape.items or Anything(), path, findings)
    option = shape.mapping if isinstance(node, MappingNode) else shape.items if isinstance(node, ListNode) else None
    if option is None:
        return _mismatch(node, shape, path, findings)
    return decode(node, option, path, findings)


def _scalar(node: Node, shape: Scalar, path: str, findings: Findings) -> Any:
    if not isinstance(node, ScalarNode):
        return _mismatch(node, shape, path, findings)
    if node.null:
        findings.add(path, f"is empty; {_expectation(shape)} goes here", place=node.place)
        return FAILED
    return _parse(shape.kind, node.text, path, node.place, findings)


def _parse(kind: Kind, text: str, path: str, place: Place, findings: Findings) -> Any:
    try:
        return kind.parse(text)
    except ValueError as error:
        said = str(error).replace(repr(text), "what stands here") if kind.secret else str(error)
        message, _, suggestion = said.partition("|")
        findings.add(path, message, suggestion, place=place)
        return FAILED


def _choice(node: Node, shape: Choice, path: str, findings: Findings) -> Any:
    if not isinstance(node, ScalarNode):
        return _mismatch(node, shape, path, findings)
    for option in shape.options:
        if node.text == str(option) and not node.null:
            return option
    words = [str(option) for option in shape.options]
    listed = ", ".join(words)
    message = f'"{node.text}" is not one of {listed}' if node.text else f"is empty; one of {listed} goes here"
    findings.add(path, message, did_you_mean(node.text, words), place=node.place)
    return FAILED


def _items(node: Node, shape: ItemShape, path: str, findings: Findings) -> Any:
    if isinstance(node, ScalarNode):
        if node.null:
            return ()
        if node.place.file.startswith("environment ") and isinstance(shape.item, Scalar | Choice | Either):
            texts = [part.strip() for part in node.text.split(",") if part.strip()]
            node = ListNode(node.place, [ScalarNode(text, node.place) for text in texts])
    if not isinstance(node, ListNode):
        return _mismatch(node, shape, path, findings)
    values = [decode(item, shape.item, f"{path}[{index}]", findings) for index, item in enumerate(node.items)]
    keeps_places = isinstance(shape.item, Record | Either)
    return tuple(values) if keeps_places else tuple(v for v in values if v is not FAILED)


def _entries(node: Node, shape: Entries, path: str, findings: Findings) -> Any:
    if isinstance(node, ScalarNode) and node.null:
        return {}
    if not isinstance(node, MappingNode):
        return _mismatch(node, shape, path, findings)
    values: dict[str, Any] = {}
    for key, value in node.entries.items():
        below = child(path, key)
        findings.places[below] = node.keys[key] if isinstance(value, MappingNode | ListNode) else value.place
        if _parse(shape.key, key, below, node.keys[key], findings) is FAILED:
            continue
        read = decode(value, shape.value, below, findings)
        if read is not FAILED:
            values[key] = read
    return values


def _record(node: Node, shape: Record, path: str, findings: Findings) -> Any:
    if isinstance(node, ScalarNode) and node.null:
        node = MappingNode(node.place)
    if not isinstance(node, MappingNode):
        return _mismatch(node, shape, path, findings)
    known = fields_of(shape.struct)
    values: dict[str, Any] = {}
    complete = True
    for key, value in node.entries.items():
        below = child(path, key)
        if key.startswith(FREE) and key not in known:
            continue  # the operator's own: a place for YAML anchors
        if key not in known:
            _unknown_key(key, path, node.keys[key], known, findings)
            continue
        findings.places[below] = node.keys[key] if isinstance(value, MappingNode | ListNode) else value.place
        read = _field(value, known[key], below, findings)
        if read is not FAILED:
            values[known[key].attribute] = read
        elif known[key].required:
            complete = False
    for key, field_ in known.items():
        if field_.required and key not in node.entries:
            complete = False
            if child(path, key) not in findings.meant:
                findings.add(path, f'"{key}" is missing', _example(field_), place=node.place)
    return shape.struct(**values) if complete else FAILED


def _unknown_key(key: str, path: str, place: Place, known: Collection[str], findings: Findings) -> None:
    near = nearest(key, known)
    if near is not None:
        findings.meant.add(child(path, near))
    hint = did_you_mean(key, known, f"known here: {', '.join(known)}")
    findings.add(child(path, key), f'no such key "{key}"', hint, place=place)


def _field(node: Node, field_: Field, path: str, findings: Findings) -> Any:
    """An empty text means the default where the default is empty too (`auth_service: ${AUTH_URL:-}`)."""
    if isinstance(node, ScalarNode) and field_.default == "" and (node.null or not (node.text or node.broken)):
        return field_.default
    return decode(node, field_.shape, path, findings)


def _example(field_: Field) -> str:
    examples = field_.shape.kind.schema.get("examples") if isinstance(field_.shape, Scalar) else None
    return f"for example {field_.key}: {examples[0]}" if examples else ""


def _anything(node: Node, _: Anything, path: str, findings: Findings) -> Any:
    """Plain YAML 1.1 values, for what is passed on as JSON."""
    if isinstance(node, ListNode):
        return [decode(item, Anything(), f"{path}[{index}]", findings) for index, item in enumerate(node.items)]
    if isinstance(node, MappingNode):
        return {key: decode(value, Anything(), child(path, key), findings) for key, value in node.entries.items()}
    return _resolve(node)


def _resolve(node: ScalarNode) -> object:
    if node.null:
        return None
    if not node.plain:
        return node.text
    if node.text.lower() in ("true", "false"):
        return node.text.lower() == "true"
    try:
        number = json.loads(node.text)
    except (ValueError, RecursionError):
        return node.text
    return number if isinstance(number, int | float) and number == number and abs(number) != float("inf") else node.text


def _mismatch(node: Node, shape: Shape, path: str, findings: Findings) -> Any:
    given = {ScalarNode: "text", ListNode: "a list", MappingNode: "a mapping"}[type(node)]
    suggestion = ""
    if isinstance(node, ScalarNode):
        given = f'"{node.text}"' if len(node.text) < 40 else "text"
        if isinstance(shape, ItemShape) and node.text:
            suggestion = f"write [{node.text}]"
        elif isinstance(shape, Record):
            suggestion = f"its keys are {', '.join(fields_of(shape.struct))}"
    findings.add(path, f"is {given}; {_expectation(shape)} goes here", suggestion, place=node.place)
    return FAILED


def _expectation(shape: Shape) -> str:
    if isinstance(shape, Scalar):
        return shape.kind.name
    if isinstance(shape, Choice):
        return f"one of {', '.join(str(o) for o in shape.options)}"
    if isinstance(shape, ItemShape):
        return "a list"
    if isinstance(shape, Either):
        return " or ".join(_expectation(s) for s in (shape.scalar, shape.items, shape.mapping) if s is not None)
    return "a mapping"


_READERS: dict[type, Any] = {
    Scalar: _scalar,
    Choice: _choice,
    ItemShape: _items,
    Entries: _entries,
    Record: _record,
    Anything: _anything,
    Either: _either,
}
