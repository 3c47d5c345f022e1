"""What is wrong with a configuration, as values: where, which path, what, and what the operator may have meant.

Every reader of configuration (files, environment, the admin API) and every check of it speaks in `Problem`s, so that
all errors are collected and shown at once, in the terminal, in the admin API and in the console, in the same words.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

from spork.application.configuration.model import Configuration

Severity = Literal["error", "warning"]

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing wrong. `line` and `column` count from 1; 0 when there is none (a variable, a whole file).

    `path` is the configuration path (`routes[2].limits[0].per`), empty for a document as a whole. `suggestion` is a
    phrase that follows the message: `did you mean "quota"?`.
    """

    path: str
    message: str
    suggestion: str = ""
    severity: Severity = "error"
    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        """`spork.yaml:12:7: error: routes[1].upstream: no upstream "usrs"; did you mean "users"?`

        One line whatever was written: control characters are shown escaped.
        """
        where = self.file or "configuration"
        if self.line:
            where += f":{self.line}:{self.column}"
        subject = f"{self.path}: " if self.path else ""
        hint = f"; {self.suggestion}" if self.suggestion else ""
        line = f"{where}: {self.severity}: {subject}{self.message}{hint}"
        return line if line.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in line)


def child(path: str, key: str | int) -> str:
    """The configuration path of `key` below `path`: `a.b`, `a[0]`, `a["x.y"]`."""
    if isinstance(key, int):
        return f"{path}[{key}]"
    if not _PLAIN_KEY.match(key):
        return f'{path}["{key}"]'
    return f"{path}.{key}" if path else key


def parent(path: str) -> str:
    """The path above `path`, empty above the first key."""
    return path[: max(path.rfind("."), path.rfind("["), 0)]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that `word` most likely stands for, case aside; None when none is near."""
    lowered = {k.lower(): k for k in known}
    near = get_close_matches(word.lower(), lowered, n=1, cutoff=0.6)
    return lowered[near[0]] if near else None


def did_you_mean(word: str, known: Iterable[str], otherwise: str = "") -> str:
    """`did you mean "users"?` for the nearest of `known`, else `otherwise`."""
    near = nearest(word, known)
    return otherwise if near is None else f'did you mean "{near}"?'


def errors(problems: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Those that keep a configuration from being used."""
    return [p for p in problems if p.severity == "error"]


def in_order(problems: Iterable[Diagnostic]) -> list[Diagnostic]:
    """By file, line and column, each once: the order in which an operator works through them."""
    return sorted(dict.fromkeys(problems), key=lambda p: (p.file, p.line, p.column, p.severity, p.path, p.message))


def check_report(problems: Sequence[Diagnostic]) -> str:
    """One line per problem, in order, and a last line that counts them. Empty for none."""
    if not problems:
        return ""
    failed = len(errors(problems))
    warned = len(problems) - failed
    counts = [f"{n} {word}{'' if n == 1 else 's'}" for n, word in ((failed, "error"), (warned, "warning")) if n]
    return "\n".join([*(str(p) for p in in_order(problems)), ", ".join(counts)])


def summary(configuration: Configuration) -> str:
    """`ok: 3 upstreams, 7 routes, revision ab12cd34ef56`"""

    def count(number: int, word: str) -> str:
        return f"{number} {word}" if number == 1 else f"{number} {word}s"

    return (
        f"ok: {count(len(configuration.upstreams), 'upstream')}, {count(len(configuration.routes), 'route')},"
        f" revision {configuration.revision}"
    )
