"""Reads a configuration: files, environment, and every check, in one call that never raises for what was written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from adapters.yaml.decode import FAILED, Findings, decode
from adapters.yaml.document import ScalarNode
from adapters.yaml.environment import add_services, override
from adapters.yaml.include import Gathered, Gatherer
from adapters.yaml.render import render, revision_of
from adapters.yaml.shapes import Record
from adapters.yaml.translate import Translated, translate
from adapters.yaml.written import Document
from application.check import check
from application.configuration import Configuration
from application.diagnostics import Problem, errors, in_order

_ITEM = re.compile(
    r"(routes\[[0-9]+\]|limits\[[0-9]+\]|(?:upstreams|plans|issuers|consumers)(?:\.[A-Za-z0-9_-]+|\[\"[^\"]*\"\])|[^.\[]*)"
)
_ROUTE_INDEX = re.compile(r"routes\[([0-9]+)\]")

Gather = Callable[[Collection[str]], Gathered]


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of reading. `configuration` is None when `problems` has errors; warnings do not prevent it.

    `sources` are the files that were read. `document` is what was written, None when nothing could be read.
    """

    configuration: Configuration | None
    problems: tuple[Problem, ...]
    sources: tuple[str, ...]
    document: Document | None = None

    @property
    def text(self) -> str:
        """What was written, as canonical YAML with secrets replaced; empty when nothing could be read."""
        return "" if self.document is None else render(self.document)


def load(path: Path | str | None, environ: Mapping[str, str]) -> Loaded:
    """Read the file at `path` and what it includes; None: only what the environment says."""

    def gather(left_out: Collection[str]) -> Gathered:
        gatherer = Gatherer(environ, left_out)
        return gatherer.gather(str(path)) if path is not None else gatherer.gather_text("", "environment", ".")

    return _quarantined(gather, environ, os.path.realpath(path) if path is not None else "environment")


def loads(
    text: bytes | str, name: str = "spork.yaml", environ: Mapping[str, str] | None = None, folder: str = "."
) -> Loaded:
    """Read a text as if it stood in a file called `name` in `folder`."""
    given = {} if environ is None else environ

    def gather(left_out: Collection[str]) -> Gathered:
        return Gatherer(given, left_out).gather_text(text, name, folder)

    return _quarantined(gather, given, os.path.realpath(name))


def _quarantined(gather: Gather, environ: Mapping[str, str], root: str) -> Loaded:
    """With `quarantine: true`, includes that have errors are left out until what remains has none."""
    left_out: set[str] = set()
    warnings: list[Problem] = []
    while True:
        gathered = gather(left_out)
        lenient = _wants_quarantine(gathered)
        if lenient:
            gathered.problems = [_warning(p) if p.path == "include" else p for p in gathered.problems]
        loaded = _read(gathered, environ)
        failed = errors(loaded.problems)
        guilty = {os.path.realpath(p.file) for p in failed}
        includes = {os.path.realpath(file) for file in loaded.sources} - {root}
        if not failed or not lenient or not guilty <= includes:
            return replace(loaded, problems=tuple(in_order([*loaded.problems, *warnings])))
        warnings += [_warning(p) for p in failed]
        left_out |= guilty


def _wants_quarantine(gathered: Gathered) -> bool:
    node = gathered.root.entries.get("quarantine")
    return isinstance(node, ScalarNode) and node.text.lower() in ("true", "yes", "on")


def _warning(problem: Problem) -> Problem:
    return replace(
        problem, severity="warning", suggestion="; ".join(filter(None, [problem.suggestion, "this file is left out"]))
    )


def _read(gathered: Gathered, environ: Mapping[str, str]) -> Loaded:
    findings = Findings(gathered.problems)
    sources = tuple(gathered.files)
    findings.problems += override(gathered.root, environ, gathered.variables)
    findings.problems += add_services(gathered.root, environ)
    document = decode(gathered.root, Record(Document), "", findings)
    if document is FAILED:
        return Loaded(None, tuple(in_order(findings.problems)), sources)
    translated = translate(document, findings, revision_of(document), sources)
    unread = frozenset(_item_of(p.path) for p in errors(findings.problems))
    for problem in check(translated.configuration, unread=unread, is_file=os.path.isfile):
        path = _as_written(problem.path, translated)
        if _item_of(path) not in unread:
            findings.add(path, problem.message, problem.suggestion, problem.severity)
    problems = tuple(in_order(findings.problems))
    usable = None if errors(problems) else translated.configuration
    return Loaded(usable, problems, sources, document)


def _item_of(path: str) -> str:
    """The thing a path is about: a route, an upstream, ...; one that could not be read whole is not checked further."""
    found = _ITEM.match(path)
    return found[0] if found else path


def _as_written(path: str, translated: Translated) -> str:
    """A path with the index that the route has in the document."""
    return _ROUTE_INDEX.sub(lambda found: f"routes[{translated.route_indexes[int(found[1])]}]", path, count=1)
