"""Reads a configuration: files, environment, and every check, in one call that never raises for what was written."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from spork.adapters.yaml.decode import FAILED, Findings, decode
from spork.adapters.yaml.document import ScalarNode
from spork.adapters.yaml.environment import add_services, override
from spork.adapters.yaml.include import Gathered, Gatherer
from spork.adapters.yaml.otel_environment import with_environment
from spork.adapters.yaml.plugins import read_plugins
from spork.adapters.yaml.render import render, revision_of
from spork.adapters.yaml.shapes import Record
from spork.adapters.yaml.translate import Translated, translate
from spork.adapters.yaml.written import Document
from spork.application.configuration.checks import check
from spork.application.configuration.files import named_files
from spork.application.configuration.model import Configuration
from spork.application.configuration.problems import Diagnostic, errors, in_order, parent
from spork.application.guards.order import check_policies

_KEEPS_PLACES = re.compile(r"(^routes|limits|quotas|targets)\[[0-9]+\]\Z")
_ROUTE_INDEX = re.compile(r"routes\[([0-9]+)\]")

Gather = Callable[[Collection[str]], Gathered]
#: Checks of a configuration that other adapters make.
Further = Callable[[Configuration], Iterable[Diagnostic]]


def no_further_checks(configuration: Configuration) -> Iterable[Diagnostic]:
    return ()


@dataclass(frozen=True, slots=True)
class Loaded:
    """What came of reading. `configuration` is None when `problems` has errors; warnings do not prevent it.

    `sources` are the files that were read. `document` is what was written, None when nothing could be read.
    """

    configuration: Configuration | None
    problems: tuple[Diagnostic, ...]
    sources: tuple[str, ...]
    document: Document | None = None
    #: What to look at for changes: the files that were read, globs of includes, and the files that are named.
    watched: tuple[str, ...] = ()
    #: What each file held, and whether any of it says what routes there are.
    contents: Mapping[str, bytes] = field(default_factory=dict)
    says_routes: bool = True

    @property
    def text(self) -> str:
        """What was written, as canonical YAML with secrets replaced; empty when nothing could be read."""
        return "" if self.document is None else render(self.document)

    @property
    def full(self) -> str:
        """The same with its secrets: what a rollback reads again. Never shown."""
        return "" if self.document is None else render(self.document, redact=False)


def load(path: Path | str | None, environ: Mapping[str, str], further: Further = no_further_checks) -> Loaded:
    """Read the file at `path` and what it includes; None: only what the environment says. `further` checks what only
    other adapters can read."""

    def gather(left_out: Collection[str]) -> Gathered:
        gatherer = Gatherer(environ, left_out)
        return gatherer.gather(str(path)) if path is not None else gatherer.gather_text("", "environment", ".")

    return _quarantined(gather, environ, os.path.realpath(path) if path is not None else "environment", further)


def loads(
    text: bytes | str,
    name: str = "spork.yaml",
    environ: Mapping[str, str] | None = None,
    folder: str = ".",
    further: Further = no_further_checks,
) -> Loaded:
    """Read a text as if it stood in a file called `name` in `folder`."""
    given = {} if environ is None else environ

    def gather(left_out: Collection[str]) -> Gathered:
        return Gatherer(given, left_out).gather_text(text, name, folder)

    return _quarantined(gather, given, os.path.realpath(name), further)


def _quarantined(gather: Gather, environ: Mapping[str, str], root: str, further: Further) -> Loaded:
    """With `quarantine: true`, includes that have errors are left out until what remains has none."""
    left_out: set[str] = set()
    warnings: list[Diagnostic] = []
    while True:
        gathered = gather(left_out)
        lenient = _wants_quarantine(gathered)
        if lenient:
            gathered.problems = [_warning(p) if p.path == "include" else p for p in gathered.problems]
        loaded = _read(gathered, environ, further)
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


def _warning(problem: Diagnostic) -> Diagnostic:
    return replace(
        problem, severity="warning", suggestion="; ".join(filter(None, [problem.suggestion, "this file is left out"]))
    )


def _read(gathered: Gathered, environ: Mapping[str, str], further: Further) -> Loaded:
    findings = Findings(gathered.problems)
    sources = tuple(gathered.files)
    watched = (*sources, *gathered.patterns)
    says_routes = "routes" in gathered.root.entries
    findings.problems += override(gathered.root, environ, gathered.variables)
    findings.problems += add_services(gathered.root, environ)
    document = decode(gathered.root, Record(Document), "", findings)
    if document is FAILED:
        return Loaded(None, tuple(in_order(findings.problems)), sources, watched=watched)
    plugged = read_plugins(gathered.root, findings)
    translated = translate(document, findings, revision_of(document), sources, plugged)
    telemetry, complaints = with_environment(translated.configuration.telemetry, environ)
    findings.problems += complaints
    translated = replace(translated, configuration=replace(translated.configuration, telemetry=telemetry))
    faults = Faults(p.path for p in errors(findings.problems))
    unread = frozenset(_as_compiled(path, translated) for path in faults.around)
    found = check(translated.configuration, unread=unread, is_file=os.path.isfile)
    for problem in (*found, *check_policies(translated.configuration), *further(translated.configuration)):
        path = _as_written(problem.path, translated)
        if not faults.explain(path):
            findings.add(path, problem.message, problem.suggestion, problem.severity)
    problems = tuple(in_order(findings.problems))
    usable = None if errors(problems) else translated.configuration
    watched = tuple(dict.fromkeys((*watched, *named_files(translated.configuration))))
    return Loaded(usable, problems, sources, document, watched, gathered.contents, says_routes)


class Faults:
    """The paths that could not be read, to tell what would only follow from them.

    `around` are those paths and everything above them.
    """

    def __init__(self, paths: Iterable[str]) -> None:
        self._exactly = frozenset(paths)
        self.around: set[str] = set()
        for path in self._exactly:
            while path:
                self.around.add(path)
                path = parent(path)
        self._beside = {above for path in self._exactly if _is_policy(above := parent(path))}
        self._shifted = {parent(path) for path in self.around if path.endswith("]") and not _KEEPS_PLACES.search(path)}

    def explain(self, path: str) -> bool:
        """Whether a complaint about `path` may only follow: something at, below, above or right beside it is unread."""
        if path in self.around or parent(path) in self._beside:
            return True
        while path:
            if path in self._exactly or path in self._shifted:
                return True
            path = parent(path)
        return False


def _is_policy(path: str) -> bool:
    """A mapping of numbers that are judged together (a probe, a breaker), not a whole route or upstream."""
    return path.count(".") > 1 or (path.startswith(("routes[", "edge")) and "." in path)


def _as_written(path: str, translated: Translated) -> str:
    """A path with the index that the route has in the document."""
    indexes = translated.route_indexes

    def written(found: re.Match[str]) -> str:
        index = int(found[1])
        return f"routes[{indexes[index]}]" if index < len(indexes) else "channels"

    return _ROUTE_INDEX.sub(written, path, count=1)


def _as_compiled(path: str, translated: Translated) -> str:
    """A path with the index that the route has in the configuration; of a route left out, none."""
    at = {written: index for index, written in enumerate(translated.route_indexes)}
    return _ROUTE_INDEX.sub(lambda found: f"routes[{at.get(int(found[1]), '')}]", path, count=1)
