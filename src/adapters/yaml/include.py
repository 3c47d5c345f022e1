"""One document out of several files: globs, cycles, and everything that two files say about one thing."""

from __future__ import annotations

import glob
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spork.adapters.yaml.document import ListNode, MappingNode, Node, Place, ScalarNode, parse
from spork.application.configuration.problems import Diagnostic, child, did_you_mean

#: Mappings whose keys are names of things: two files may each add some, not speak of the same one.
NAMED = frozenset(("upstreams", "plans", "issuers", "consumers", "objectives"))


@dataclass(slots=True)
class Gathered:
    """The merged tree, what went wrong on the way, every file that was read, in order, and every variable asked for."""

    root: MappingNode
    problems: list[Diagnostic] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    variables: set[str] = field(default_factory=set)
    #: Globs that were followed, and what each file held.
    patterns: list[str] = field(default_factory=list)
    contents: dict[str, bytes] = field(default_factory=dict)


class Gatherer:
    """Reads a file and everything it includes. `left_out` names files that are passed over (quarantine)."""

    def __init__(self, environ: Mapping[str, str], left_out: Collection[str] = ()) -> None:
        self._environ = environ
        self._left_out = left_out
        self._open: list[str] = []
        self._seen: dict[str, Place] = {}
        self._result = Gathered(MappingNode(Place("")))

    def gather(self, path: str) -> Gathered:
        """Read `path` (shown under that name in problems) and what it includes."""
        content = self._read(path, Place(path))
        if content is not None:
            self._document(content, path)
        return self._result

    def gather_text(self, content: bytes | str, name: str, folder: str) -> Gathered:
        """Read a text that came without a file; its includes are relative to `folder`."""
        self._document(content, name, folder)
        return self._result

    def _complain(self, place: Place, path: str, message: str, suggestion: str = "") -> None:
        self._result.problems.append(
            Diagnostic(path, message, suggestion, "error", place.file, place.line, place.column)
        )

    def _read(self, path: str, asked: Place) -> bytes | None:
        try:
            content = self._result.contents[path] = Path(path).read_bytes()
            return content
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            self._complain(
                asked,
                "include" if asked.line else "",
                f"cannot read {path!r}: {reason.lower()}",
                _nearby(path, [os.path.basename(file) for file in self._result.files]),
            )
            return None

    def _document(self, content: bytes | str, name: str, folder: str | None = None) -> None:
        self._result.files.append(name)
        node = parse(content, name, self._environ, self._result.problems, self._result.variables)
        if node is None or (isinstance(node, ScalarNode) and node.null):
            return
        if not isinstance(node, MappingNode):
            self._complain(node.place, "", "a configuration is a mapping of keys such as routes: and upstreams:")
            return
        included = node.entries.pop("include", None)
        node.keys.pop("include", None)
        if not self._open:
            self._result.root.place = node.place
        self._merge(self._result.root, node, "")
        if included is not None:
            self._open.append(_real(name))
            self._includes(included, os.path.dirname(name) if folder is None else folder)
            self._open.pop()

    def _includes(self, node: Node, folder: str) -> None:
        wanted = node.items if isinstance(node, ListNode) else [node]
        for item in wanted:
            if not isinstance(item, ScalarNode):
                self._complain(item.place, "include", "takes a file name or a list of them")
            elif not item.broken and not item.null:
                self._pattern(item, folder)

    def _pattern(self, item: ScalarNode, folder: str) -> None:
        if "\0" in item.text:
            self._complain(item.place, "include", "a file name has no NUL")
            return
        pattern = os.path.join(folder, item.text)
        if glob.has_magic(pattern):
            self._result.patterns.append(pattern)
        names = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
        for name in names:
            if glob.has_magic(pattern) and _real(name) in self._open:
                continue  # a glob that happens to cover the including file itself
            self._include(name, item.place)

    def _include(self, name: str, asked: Place) -> None:
        real = _real(name)
        if real in self._left_out:
            return
        if real in self._open:
            self._complain(asked, "include", f"{name} includes itself, by way of {asked.file}")
        elif real in self._seen:
            self._complain(asked, "include", f"{name} is included already, by {self._seen[real]}")
        else:
            self._seen[real] = asked
            content = self._read(name, asked)
            if content is not None:
                self._document(content, name)

    def _merge(self, into: MappingNode, more: MappingNode, path: str) -> None:
        into.broken = into.broken or more.broken
        for key, value in more.entries.items():
            below = child(path, key)
            present = into.entries.get(key)
            if present is None or (isinstance(present, ScalarNode) and present.null):
                into.put(key, more.keys[key], value)
            elif isinstance(value, ScalarNode) and value.null:
                continue
            elif path in NAMED:
                self._twice(below, more.keys[key], into.keys[key])
            elif isinstance(present, MappingNode) and isinstance(value, MappingNode):
                self._merge(present, value, below)
            elif isinstance(present, ListNode) and isinstance(value, ListNode):
                present.items.extend(value.items)
            else:
                self._twice(below, more.keys[key], into.keys[key])

    def _twice(self, path: str, second: Place, first: Place) -> None:
        self._complain(second, path, f"is set already, at {first}", "keep one of the two")


def _real(name: str) -> str:
    return os.path.realpath(name)


def _nearby(path: str, besides: Collection[str] = ()) -> str:
    try:
        names = os.listdir(os.path.dirname(path) or ".")
    except (OSError, ValueError):
        return ""
    return did_you_mean(
        os.path.basename(path), [n for n in names if n.endswith((".yaml", ".yml")) and n not in besides]
    )
