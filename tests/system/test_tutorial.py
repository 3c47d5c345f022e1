"""The tutorial of docs/plugins.md, run as it is written, outside the repository, against the installed wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from tests.servers import ROOT

PAGE = ROOT / "docs" / "plugins.md"


class Outside:
    """A Python beside the repository in which the wheel is installed, and a folder of an author's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        home = folder / "home"
        wheels = folder / "wheels"
        run(
            [
                sys.executable,
                "-m",
                "pip",
                "wheel",
                "-q",
                "--no-deps",
                "--no-build-isolation",
                "-w",
                str(wheels),
                str(ROOT),
            ]
        )
        run([sys.executable, "-m", "venv", "--without-pip", str(home)])
        self.python = home / "bin" / "python"
        packages = home / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
        # What the wheel needs is taken from this Python; what an editable install left there is not followed.
        (packages / "needs.pth").write_text(sysconfig.get_path("purelib") + "\n")
        wheel = next(wheels.glob("*.whl"))
        run([sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(packages), str(wheel)])
        self.work = folder / "work"
        self.work.mkdir()

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith(("SPORK_", "PYTHON"))}
        return subprocess.run(
            [str(self.python), *arguments],
            cwd=self.work, capture_output=True, text=True, timeout=300, env=environment,
        )  # fmt: skip


def run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Outside:
    made = Outside(tmp_path_factory.mktemp("outside"))
    for block in re.finditer(
        r"^```(?:python|yaml file)\n# (\S+)\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL
    ):
        (made.work / block[1]).write_text(block[2])
    (made.work / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    return made


def test_the_tutorial_runs_as_it_is_written(outside: Outside) -> None:
    assert {path.name for path in outside.work.glob("*.py")} == {
        "opening.py",
        "test_opening.py",
        "dictionary.py",
        "test_dictionary.py",
    }
    where = outside.run("-c", "import spork; print(spork.__file__)")
    assert str(outside.folder) in where.stdout, where.stdout + where.stderr
    tests = outside.run("-m", "pytest", "-q", "-p", "no:cacheprovider", ".")
    assert tests.returncode == 0, tests.stdout[-3000:]
    assert "11 passed" in tests.stdout


def test_check_schema_and_explain_speak_of_the_plugin(outside: Outside) -> None:
    checked = outside.run("-m", "spork.cli", "check", "-c", "spork.yaml")
    assert checked.returncode == 0, checked.stderr
    assert "plugin opening_hours: Serves a route during opening hours only" in checked.stdout
    assert "opening_hours_closed 503" in checked.stdout
    bad = outside.work / "bad.yaml"
    bad.write_text((outside.work / "spork.yaml").read_text().replace("opens: 8", "openz: 8"))
    refused = outside.run("-m", "spork.cli", "check", "-c", "bad.yaml")
    assert refused.returncode == 1
    assert re.search(r'bad\.yaml:\d+:\d+: error: .*no such key "openz"; did you mean "opens"\?', refused.stderr)
    schema = outside.run("-m", "spork.cli", "schema", "--plugin", "opening:OpeningHours")
    assert '"First hour of the day, 0 to 23."' in schema.stdout
    explained = outside.run("-m", "spork.cli", "explain", "-c", "spork.yaml", "GET", "/shop/x")
    assert "opening_hours: Serves a route during opening hours only" in explained.stdout, explained.stdout


def test_a_plugin_outside_is_typed_strictly_against_the_wheel(outside: Outside) -> None:
    checked = outside.run("-m", "mypy", "--strict", "--no-incremental", "opening.py", "dictionary.py")
    assert checked.returncode == 0, checked.stdout
    (outside.work / "wrong.py").write_text(
        "from spork.plugins import Plugin\n\nclass Wrong(Plugin):\n    def guard(self, options: int) -> int:\n        return 1\n"
    )
    wrong = outside.run("-m", "mypy", "--strict", "--no-incremental", "wrong.py")
    assert 'incompatible with supertype "spork.plugins.plugin.Plugin"' in wrong.stdout
