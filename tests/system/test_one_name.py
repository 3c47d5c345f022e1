"""The distribution owns one import name: it installs beside an application whose packages are called as its floors are."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.servers import ROOT


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the built wheel unpacked in it, as an installation leaves it."""
    out = tmp_path_factory.mktemp("wheel")
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(out / "site")
    return out / "site"


def test_the_wheel_has_one_package_with_its_types_and_files(installed: Path) -> None:
    assert {path.name for path in installed.iterdir() if not path.name.endswith(".dist-info")} == {"spork"}
    for name in ("py.typed", "console/ui/styles.tcss", "cli/demo/demo.yaml", "adapters/redis/limits/lua/acquire.lua"):
        assert (installed / "spork" / name).is_file(), name


def test_a_hexagonal_application_of_ones_own_runs_beside_it(installed: Path, tmp_path: Path) -> None:
    for name in ("domain", "application", "adapters", "console"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"HERE = 'my {name}'\n")
    (tmp_path / "spork.yaml").write_text("routes: [{match: /x, redirect: /y}]\n")
    (tmp_path / "program.py").write_text(
        "import adapters, application, console, domain, spork.domain.outcomes, spork.console\n"
        "from spork.adapters.yaml.load import load\n"
        "assert [m.HERE for m in (domain, application, adapters, console)] == ['my domain', 'my application', 'my adapters', 'my console']\n"
        "assert load('spork.yaml', {}).configuration.routes[0].redirect\n"
        "print(spork.__file__)\n"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    env["PYTHONPATH"] = f"{tmp_path}{os.pathsep}{installed}"
    done = subprocess.run([sys.executable, "program.py"], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(str(installed))
    check = [sys.executable, "-m", "spork.cli", "check", "-c", "spork.yaml"]
    assert subprocess.run(check, cwd=tmp_path, env=env, capture_output=True).returncode == 0
