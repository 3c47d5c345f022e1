"""Command lines in README, docs and on the demo's screen are ones that the programs take; what needs no server is run."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from spork.cli.demo.screen import welcome
from spork.cli.main import spork
from spork.console.__main__ import parser as console_parser
from tests.servers import python_env

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_LINE = re.compile(r"^(?:\$ )?(?:[A-Z_]+=(?:\$\(.*?\)|\S+) )*(?P<command>spork(?:-console)? .*|spork-console)$")
#: Offline, and the same each time.
RUNNABLE = ("check", "explain", "schema", "token keygen", "token issue")


@dataclass(frozen=True)
class Shown:
    """A command line, where it stands, and whether it is only named in a sentence."""

    where: str
    words: tuple[str, ...]
    named: bool

    def __str__(self) -> str:
        return f"{self.where} {' '.join(self.words)}"


def read(where: str, text: str, named: bool = False) -> list[Shown]:
    """The command in one line of shell, if it is one of ours. Comments and redirections are left out."""
    match = _LINE.match(text.strip())
    if match is None:
        return []
    words = shlex.split(match["command"].partition(" # ")[0].partition("  #")[0])
    ends = [index for index, word in enumerate(words) if word in ("<", ">", "|", "&&")]
    return [Shown(where, tuple(words[: min(ends, default=None)]), named)]


def shown() -> list[Shown]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in re.finditer(r"^```(?:sh|bash|console|text|)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
            for line in block[1].splitlines():
                found += read(page.name, line)
        for inline in re.finditer(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)):
            found += read(page.name, inline[1], named=True)
    screen = welcome(8000, 9000, {"users": 7001}, {"SPORK_STATE_DIR": "/state"}, ROOT / "config/demo.yaml", {}, "t")
    for line in screen.splitlines():
        found += read("the demo's screen", line)
    return list(dict.fromkeys(found))


SHOWN = shown()


def refusal(command: click.Command, context: click.Context, words: list[str], named: bool) -> str:
    """Why the command does not take these words; empty when it does. Files and addresses need not exist."""
    try:
        values, rest, _ = command.make_parser(context).parse_args(list(words))
    except click.UsageError as error:
        return error.format_message()
    if isinstance(command, click.Group):
        if not rest:
            return "" if named else "no subcommand"
        below = command.get_command(context, rest[0])
        if below is None:
            return f"no command {rest[0]}"
        return refusal(below, click.Context(below, parent=context, info_name=rest[0]), rest[1:], named)
    if rest:
        return f"surplus words {rest}"
    missing = [p.name for p in command.params if p.required and not values.get(p.name or "")]
    return f"missing {missing}" if missing and not named else ""


@pytest.mark.parametrize("line", SHOWN, ids=str)
def test_the_programs_take_what_the_pages_show(line: Shown, capsys: pytest.CaptureFixture[str]) -> None:
    program, *words = line.words
    if program == "spork":
        assert refusal(spork, click.Context(spork, info_name="spork"), words, line.named) == ""
        return
    try:
        console_parser().parse_args(words)
    except SystemExit:
        pytest.fail(capsys.readouterr().err)


def test_there_are_lines_on_every_page_that_teaches_commands() -> None:
    assert {line.where for line in SHOWN} >= {
        "README.md", "identity.md", "deployment.md", "operations.md", "console.md", "audit.md", "the demo's screen",
    }  # fmt: skip
    assert len(SHOWN) > 30


def offline() -> list[Shown]:
    return [
        line
        for line in SHOWN
        if not line.named and line.words[0] == "spork" and " ".join(line.words[1:]).startswith(RUNNABLE)
    ]


@pytest.mark.parametrize("line", offline(), ids=str)
def test_what_needs_no_server_runs(line: Shown, tmp_path: Path) -> None:
    """In a checkout's stead: its configurations, one of them under the names that the pages use."""
    shutil.copytree(ROOT / "config", tmp_path / "config")
    for name in ("spork.yaml", "mine.yaml"):
        shutil.copy(ROOT / "config" / "demo.yaml", tmp_path / name)
    words = [sys.executable, "-m", "spork.cli"]
    if line.words[1:3] == ("token", "issue"):
        subprocess.run([*words, "token", "keygen", "--out", ".spork/signing-key.pem"], cwd=tmp_path, env=python_env())
    done = subprocess.run(
        [*words, *line.words[1:]], cwd=tmp_path, env=python_env(), capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_the_mistake_of_the_tour_is_shown_at_its_line(tmp_path: Path) -> None:
    blocks = re.findall(r"^```\n(.*?)^```", PAGES[0].read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    tour = next(block for block in blocks if "usres" in block)
    shutil.copytree(ROOT / "config", tmp_path / "config")
    program = f'spork() {{ "{sys.executable}" -m spork.cli "$@"; }}\n'
    done = subprocess.run(["sh", "-c", program + tour], cwd=tmp_path, env=python_env(), capture_output=True, text=True)
    assert done.returncode == 1
    assert re.search(r'^mine\.yaml:\d+:\d+: error: .*no upstream "usres"; did you mean "users"\?', done.stderr, re.M)
