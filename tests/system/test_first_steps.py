"""`spork init` writes what can be served; `spork doctor` says what is wrong with a machine, and what to do about it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.servers import free_port, gateway_process, python_env, redis_process
from tests.system.test_admin import echo_service


def spork(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spork.cli", *words],
        cwd=cwd, env=python_env() | environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_what_init_writes_is_served(tmp_path: Path) -> None:
    with echo_service() as port:
        echo = f"http://127.0.0.1:{port}"
        done = spork("init", echo, "--path", "/api/*", "--name", "api", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert "spork serve -c spork.yaml" in done.stdout
        checked = spork("check", cwd=tmp_path)
        assert (checked.returncode, checked.stderr) == (0, ""), checked.stderr
        text = (tmp_path / "spork.yaml").read_text()
        kept = "\n".join(line for line in text.splitlines() if not line.startswith(("listen:", "admin:", "expose:")))
        with gateway_process(kept, tmp_path / "run") as gateway:
            answer = httpx.get(f"{gateway.url}/api/x")
            assert (answer.status_code, "ratelimit" in answer.headers) == (200, True)
        again = spork("init", echo, cwd=tmp_path)
        assert (again.returncode, "is there already" in again.stderr) == (1, True)
        assert (tmp_path / "spork.yaml").read_text() == text, "nothing is lost"


@pytest.mark.parametrize("words", [("ftp://x",), ("localhost:3000",), ("http://x", "--path", "api")])
def test_init_refuses_what_is_no_service(words: tuple[str, ...], tmp_path: Path) -> None:
    done = spork("init", *words, cwd=tmp_path)
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "spork.yaml").exists()


def findings(cwd: Path, **environment: str) -> tuple[int, dict[str, tuple[str, str, str]]]:
    done = spork("doctor", "--json", cwd=cwd, **environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, {
        row["what"]: (row["verdict"], row["found"], row["remedy"]) for row in json.loads(done.stdout)
    }


def test_doctor_of_a_machine_that_is_well(tmp_path: Path) -> None:
    with redis_process() as store:
        (tmp_path / "spork.yaml").write_text(f"shared: {store.url}\nroutes: []\nupstreams: {{}}\n")
        code, found = findings(tmp_path)
        assert code == 0, found
        assert found["redis"][0] == "ok"
        assert "will be made" in found["records"][1]
        assert not (tmp_path / ".spork").exists(), "nothing is changed"


def test_doctor_names_what_is_wrong_and_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "spork.yaml").write_text(
        f"shared: redis://127.0.0.1:{free_port()}/0\nrecords: postgresql://u:secret@127.0.0.1:{free_port()}/x\n"
        "routes: []\nupstreams: {}\n"
    )
    (tmp_path / ".spork").mkdir(mode=0o755)
    code, found = findings(tmp_path)
    assert code == 1
    assert [found[what][0] for what in ("redis", "records", "state_dir")] == ["fail", "fail", "warn"], found
    assert all(found[what][2] for what in ("redis", "records", "state_dir")), "each has a remedy"
    assert "secret" not in str(found)
    (tmp_path / "spork.yaml").write_text("routs: []\n")
    code, found = findings(tmp_path)
    assert (code, found["configuration"][0]) == (1, "fail")
    assert "routs" in found["configuration"][1]
    people = spork("doctor", cwd=tmp_path)
    assert (people.returncode, "-> spork check" in people.stdout) == (1, True)
