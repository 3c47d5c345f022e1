"""The compiled request path: it builds from the sources as they are, and behaves like them on the wire."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import ROOT, missing


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    if shutil.which(os.environ.get("CC", "cc")) is None:
        missing("a C compiler")
    out = tmp_path_factory.mktemp("native") / "compiled"
    # Unoptimized: the same C, in a quarter of the time.
    command = [sys.executable, "-m", "native.build", "--out", str(out), "--optimize", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    yield out
    shutil.rmtree(out)


def passes(compiled: Path, *tests: str) -> str:
    """Run tests with the compiled modules in place of the sources, in the tests and in the gateways they start."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-m", "not alone"]
    command += ["-o", f"pythonpath={compiled} .", *tests]
    env = os.environ | {"SPORK_TEST_SOURCES": str(compiled)}
    for name in [name for name in env if name.startswith("PYTEST_")]:
        del env[name]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def test_it_behaves_like_its_sources(compiled: Path) -> None:
    """One test, so that it is compiled once however the tests are spread."""
    wanted = "import spork.application.pipeline.forwarder as f, spork.adapters.edge.cycle as c; print(f.__file__, c.__file__)"
    env = os.environ | {"PYTHONPATH": str(compiled), "PYTHONSAFEPATH": "1"}  # not the link in the current folder
    shown = subprocess.run([sys.executable, "-c", wanted], env=env, capture_output=True, text=True, check=True).stdout
    assert [Path(path).suffix for path in shown.split()] == [".so", ".so"]

    edge = ["tests/contract/edge/test_edge_wire.py", "tests/unit/adapters/edge"]
    transport = ["test_exchange.py", "test_distrust.py", "test_flow.py", "test_leaving.py"]
    core = ["tests/unit/domain", "tests/unit/application", "tests/unit/adapters/memory/test_rate_limiter.py",
            "tests/unit/adapters/structlog/test_access_log.py"]  # fmt: skip
    # It counts calls by replacing a module's functions, which compiled code has bound.
    replaces = (
        "tests/unit/application/callers/test_credentials.py::test_an_unknown_key_and_a_wrong_secret_take_the_same_work"
    )
    under = [f"tests/contract/upstream_transport/{name}" for name in transport]
    passes(compiled, f"--deselect={replaces}", *edge, *under, *core, "tests/system/test_proxy.py")
