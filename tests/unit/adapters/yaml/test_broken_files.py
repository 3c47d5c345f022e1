"""Broken files: every error at its line, in words, none missing, none a traceback.

Each file in `broken/` begins with what is expected of it: `# expect LINE: part of the message`, or `# expect FILE:LINE:`
for an error in a file it includes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest
import yaml

from spork.adapters.yaml.load import load
from spork.adapters.yaml.schema import schema
from spork.application.configuration.problems import Diagnostic, errors
from tests.servers import python_env

BROKEN = Path(__file__).parent / "broken"
FILES = sorted(BROKEN.glob("*.yaml"))
_EXPECTATION = re.compile(r"# expect (?:(?P<file>\S+):)?(?P<line>[0-9]+): (?P<words>.+)")

#: Files whose mistake is in one value alone, so that an editor with the schema already shows it.
SEEN_BY_THE_SCHEMA = [
    "addresses", "destinations", "durations", "empty_values", "enums", "missing_keys", "ratios", "root_is_a_list", "sizes",
    "targets", "unknown_keys", "wrong_shapes",
]  # fmt: skip


def expectations(path: Path) -> list[tuple[Path, int, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    found = [m for line in lines if (m := _EXPECTATION.match(line))]
    return [((path.parent / m["file"]) if m["file"] else path, int(m["line"]), m["words"]) for m in found]


def is_it(problem: Diagnostic, file: Path, line: int, words: str) -> bool:
    text = f"{problem.path}: {problem.message}; {problem.suggestion}"
    return Path(problem.file).resolve() == file.resolve() and problem.line == line and words in text


def test_there_are_enough() -> None:
    assert len(FILES) >= 25


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_error_is_at_its_line_and_there_is_no_other(path: Path) -> None:
    loaded = load(path, {})
    assert loaded.configuration is None
    expected = expectations(path)
    assert expected, "a broken file says what is expected of it"
    found = errors(loaded.problems)
    for file, line, words in expected:
        assert any(is_it(p, file, line, words) for p in found), f"{line}: {words}\n" + "\n".join(map(str, found))
    surplus = [p for p in found if not any(is_it(p, *e) for e in expected)]
    assert not surplus, "\n".join(map(str, surplus))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_problem_has_a_place(path: Path) -> None:
    for problem in load(path, {}).problems:
        assert problem.file
        assert problem.line > 0
        assert problem.column > 0


@pytest.mark.parametrize("name", SEEN_BY_THE_SCHEMA)
def test_the_schema_sees_it_too(name: str) -> None:
    written = yaml.safe_load((BROKEN / f"{name}.yaml").read_text(encoding="utf-8"))
    assert not jsonschema.Draft202012Validator(schema()).is_valid(written)


def test_the_command_shows_them_and_exits_1() -> None:
    path = BROKEN / "unknown_upstream.yaml"
    command = [sys.executable, "-m", "spork.cli", "check", "-c", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, env=python_env(), timeout=60)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    shown = 'error: routes[0].upstream: no upstream "usrs"; did you mean "users"?'
    assert any(shown in line and line.startswith(f"{path}:10:15: ") for line in done.stderr.splitlines())
