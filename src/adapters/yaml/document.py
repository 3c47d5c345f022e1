"""A YAML text as a tree of nodes that know their place, with `${VAR}` filled in.

Built from the parser's events, so nothing is ever constructed from a tag, nesting is bounded, and aliases are copied
under a bound (a "billion laughs" document costs no more than its refusal). Nodes keep text as written; what a text
means is decided by the shape it is read for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml

from spork.application.configuration.problems import Diagnostic, child

MAX_DEPTH = 64
MAX_ALIASED_NODES = 50_000
MAX_BYTES = 16 * 1024 * 1024

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_VARIABLE = re.compile(r"\$\$|\$\{([^{}]*)\}|\$\{")
#: What the values of .env.example and its like begin with.
PLACEHOLDER = "replace-me"
_FROM_FILE = "file:"
_VARIABLE_BODY = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-(?P<value>.*))?\Z", re.DOTALL)


class Place(NamedTuple):
    """Where something stands. Lines and columns count from 1, 0 when there is none."""

    file: str
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(slots=True)
class ScalarNode:
    """`null` was written as nothing, `~` or null. `broken` was complained about already."""

    text: str
    place: Place
    plain: bool = True
    null: bool = False
    broken: bool = False


@dataclass(slots=True)
class ListNode:
    place: Place
    items: list[Node] = field(default_factory=list)
    broken: bool = False


@dataclass(slots=True)
class MappingNode:
    """`keys` are the places of the keys, in the order of `entries`."""

    place: Place
    entries: dict[str, Node] = field(default_factory=dict)
    keys: dict[str, Place] = field(default_factory=dict)
    broken: bool = False

    def put(self, key: str, place: Place, value: Node) -> None:
        self.entries[key] = value
        self.keys[key] = place


Node = ScalarNode | ListNode | MappingNode


class _Stop(Exception):
    """The rest of the document cannot be read."""


def parse(
    content: bytes | str,
    file: str,
    environ: Mapping[str, str],
    problems: list[Diagnostic],
    asked: set[str] | None = None,
) -> Node | None:
    """The tree of one document, None when there is none or it cannot be read at all (then `problems` says why).

    The names of variables that the document asks for are added to `asked`.
    """
    text = _text(content, file, problems)
    if text is None:
        return None
    builder = _Builder(file, environ, problems, set() if asked is None else asked)
    try:
        return builder.build(yaml.parse(text, Loader=_LOADER))
    except _Stop:
        return None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message, suggestion = _explain(error, text)
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        problems.append(Diagnostic("", message, suggestion, "error", file, line, column))
    except (yaml.YAMLError, ValueError) as error:
        line, column = _first_odd_character(text)
        problems.append(Diagnostic("", f"not YAML: {str(error).splitlines()[0]}", "", "error", file, line, column))
    return None


def _text(content: bytes | str, file: str, problems: list[Diagnostic]) -> str | None:
    if len(content) > MAX_BYTES:
        problems.append(
            Diagnostic("", f"larger than {MAX_BYTES // 1024 // 1024} MiB", "split it by include", "error", file, 1, 1)
        )
        return None
    try:
        raw = content.encode("utf-8") if isinstance(content, str) else content
        return raw.decode("utf-8-sig")
    except UnicodeError as error:
        before = raw[: error.start] if isinstance(error, UnicodeDecodeError) else b""
        line = before.count(b"\n") + 1
        column = len(before) - before.rfind(b"\n")
        problems.append(Diagnostic("", "is not UTF-8 text", "save the file as UTF-8", "error", file, line, column))
        return None


def _first_odd_character(text: str) -> tuple[int, int]:
    for number, line in enumerate(text.split("\n"), 1):
        for column, character in enumerate(line, 1):
            if not (character.isprintable() or character in "\t\r"):
                return number, column
    return 1, 1


def _explain(error: yaml.MarkedYAMLError, text: str) -> tuple[str, str]:
    """The parser's words in the operator's: message and suggestion."""
    problem = (error.problem or str(error)).strip()
    mark = error.problem_mark
    lines = text.split("\n")
    line = lines[mark.line] if mark is not None and mark.line < len(lines) else ""
    if "cannot start any token" in problem and mark is not None and line[mark.column : mark.column + 1] == "\t":
        return "a tab indents this line", "YAML indents by spaces"
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab indents this line", "YAML indents by spaces"
    if "cannot start any token" in problem and mark is not None:
        return f"{line[mark.column : mark.column + 1]!r} cannot begin a value", "put the value in quotes"
    if "mapping values are not allowed" in problem:
        return "a second ': ' on this line", "put the value in quotes, or begin a new line"
    if "could not find expected ':'" in problem:
        return "a key without ':'", ""
    context = (error.context or "").strip()
    return f"not YAML: {problem}" + (f" ({context})" if context else ""), ""


@dataclass(slots=True)
class _Frame:
    node: ListNode | MappingNode
    anchor: str | None
    key: str | None = None
    key_place: Place | None = None
    merges: list[Node] = field(default_factory=list)
    ignore: bool = False  # the value of a key that was refused


class _Builder:
    def __init__(self, file: str, environ: Mapping[str, str], problems: list[Diagnostic], asked: set[str]) -> None:
        self._file = file
        self._asked = asked
        self._environ = environ
        self._problems = problems
        self._anchors: dict[str, Node | None] = {}
        self._aliased = 0
        self._stack: list[_Frame] = []
        self._root: Node | None = None
        self._documents = 0

    def build(self, events: Iterable[yaml.Event]) -> Node | None:
        for event in events:
            self._take(event)
        return self._root

    def _take(self, event: yaml.Event) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._complain(
                    self._place(event), "a second document begins here", "put it in a file of its own and include it"
                )
                raise _Stop

    def _place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        assert mark is not None
        return Place(self._file, mark.line + 1, mark.column + 1)

    def _path(self) -> str:
        path = ""
        for frame in self._stack:
            if isinstance(frame.node, ListNode):
                path = child(path, len(frame.node.items))
            elif frame.key is not None:
                path = child(path, frame.key)
        return path

    def _complain(self, place: Place, message: str, suggestion: str = "") -> None:
        self._problems.append(
            Diagnostic(self._path(), message, suggestion, "error", place.file, place.line, place.column)
        )

    # ---------------------------------------------------------------------------------------------- events to nodes

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        place = self._place(event)
        node = ScalarNode(event.value, place, plain=not event.style)
        if self._tagged(event, place):
            node.broken = True
        elif self._awaits_key():
            pass
        else:
            node.null = node.plain and event.value in _NULLS
            self._expand(node)
        if event.anchor:
            self._anchors[event.anchor] = node
        self._add(node, place)

    def _tagged(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent, place: Place) -> bool:
        if event.tag is None or event.tag == "!":
            return False
        self._complain(place, f"tag {event.tag} is not allowed", "write the value without a tag")
        return True

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        place = self._place(event)
        broken = self._tagged(event, place)
        if len(self._stack) >= MAX_DEPTH:
            self._complain(place, f"nested deeper than {MAX_DEPTH} levels")
            raise _Stop
        node: ListNode | MappingNode = (
            MappingNode(place, broken=broken)
            if isinstance(event, yaml.MappingStartEvent)
            else ListNode(place, broken=broken)
        )
        if event.anchor:
            self._anchors[event.anchor] = None  # open: an alias to it from inside would be endless
        self._stack.append(_Frame(node, event.anchor))

    def _close(self) -> None:
        frame = self._stack.pop()
        if isinstance(frame.node, MappingNode):
            for merged in frame.merges:
                self._merge(frame.node, merged)
        if frame.anchor:
            self._anchors[frame.anchor] = frame.node
        self._add(frame.node, frame.node.place)

    def _alias(self, event: yaml.AliasEvent) -> None:
        place = self._place(event)
        if event.anchor not in self._anchors:
            self._complain(place, f"*{event.anchor} refers to no anchor above", f"mark one with &{event.anchor}")
            raise _Stop
        target = self._anchors[event.anchor]
        if target is None:
            self._complain(place, f"*{event.anchor} refers to itself")
            raise _Stop
        self._add(self._copy(target, place, len(self._stack)), place)

    def _copy(self, node: Node, place: Place, depth: int) -> Node:
        self._aliased += 1
        if self._aliased > MAX_ALIASED_NODES or depth > MAX_DEPTH:
            self._complain(place, "aliases (*name) expand to too much", "repeat less, or split the file")
            raise _Stop
        if isinstance(node, ScalarNode):
            return ScalarNode(node.text, node.place, node.plain, node.null, node.broken)
        if isinstance(node, ListNode):
            return ListNode(node.place, [self._copy(item, place, depth + 1) for item in node.items], node.broken)
        entries = {key: self._copy(value, place, depth + 1) for key, value in node.entries.items()}
        return MappingNode(node.place, entries, dict(node.keys), node.broken)

    # ------------------------------------------------------------------------------------------- nodes into the tree

    def _awaits_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].node, MappingNode) and self._stack[-1].key_place is None

    def _add(self, node: Node, place: Place) -> None:
        if not self._stack:
            self._root = node
            return
        frame = self._stack[-1]
        if isinstance(frame.node, ListNode):
            frame.node.items.append(node)
        elif frame.key_place is None:
            self._key(frame, node, place)
        else:
            self._value(frame, frame.node, node)

    def _key(self, frame: _Frame, node: Node, place: Place) -> None:
        assert isinstance(frame.node, MappingNode)
        frame.key_place = place
        if not isinstance(node, ScalarNode):
            hint = 'put values that begin with "{" in quotes' if isinstance(node, MappingNode) else ""
            self._complain(place, "a key is a plain name, not a list or mapping", hint)
            frame.ignore = frame.node.broken = True
            return
        frame.key = node.text
        if node.text in frame.node.entries:
            self._complain(place, f'key "{node.text}" stands twice, first on line {frame.node.keys[node.text].line}')
            frame.ignore = True

    def _value(self, frame: _Frame, mapping: MappingNode, node: Node) -> None:
        key, place = frame.key, frame.key_place
        assert place is not None
        if frame.ignore:
            pass
        elif key == "<<":
            frame.merges.extend(node.items if isinstance(node, ListNode) else [node])
        elif key is not None:
            mapping.put(key, place, node)
        frame.key, frame.key_place, frame.ignore = None, None, False

    def _merge(self, mapping: MappingNode, merged: Node) -> None:
        if not isinstance(merged, MappingNode):
            self._complain(merged.place, "<< takes a mapping, or a list of them")
            return
        for key, value in merged.entries.items():
            if key not in mapping.entries:
                mapping.put(key, merged.keys[key], self._copy(value, merged.place, len(self._stack)))

    # ------------------------------------------------------------------------------------------------- ${VARIABLES}

    def _expand(self, node: ScalarNode) -> None:
        if "$" not in node.text:
            return

        def fill(found: re.Match[str]) -> str:
            if found[0] == "$$":
                return "$"
            return self._variable(found, node)

        node.text = _VARIABLE.sub(fill, node.text)

    def _variable(self, found: re.Match[str], node: ScalarNode) -> str:
        if found[1] is not None and found[1].startswith(_FROM_FILE):
            return self._secret(found[1].removeprefix(_FROM_FILE), node, f"${{{found[1]}}}")
        body = _VARIABLE_BODY.match(found[1]) if found[1] is not None else None
        if body is None:
            self._complain(
                node.place,
                f"{found[0]!r} is not a variable",
                "write ${NAME}, ${NAME:-default} or ${file:/path}, and $$ for a dollar sign",
            )
            node.broken = True
            return ""
        name = body["name"]
        self._asked.add(name)
        value = self._environ.get(name)
        file = self._environ.get(f"{name}_FILE")
        if value is None and file:
            self._asked.add(f"{name}_FILE")
            return self._secret(file, node, f"{name}_FILE")
        if value is None or (value == "" and body["default"]):
            value = body["value"]
        if value is None:
            self._complain(node.place, f"variable {name} is not set", f"set it, or write ${{{name}:-default}}")
            node.broken = True
            return ""
        if value.startswith(PLACEHOLDER):
            self._complain(
                node.place, f"variable {name} still holds the placeholder of an example", f"give {name} a value"
            )
            node.broken = True
            return ""
        return value

    def _secret(self, path: str, node: ScalarNode, named: str) -> str:
        """The text of a file that a value comes from, without its last line break (secrets mounted as files)."""
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) and error.strerror else "not UTF-8 text"
            self._complain(
                node.place, f"{named}: {path!r} cannot be read: {why}", "name a readable file that holds the value"
            )
            node.broken = True
            return ""
