"""`get`, `watch` and `--plain` as scripts use them: a process, its output, its exit code."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.servers import ROOT, free_port, python_env
from tests.unit.console import seeds
from tests.unit.console.fake_gateway import FakeGateway


def run(
    gateway: FakeGateway | None, *args: str, token: str = "viewer-token", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    url = gateway.url if gateway is not None else f"http://127.0.0.1:{free_port()}"
    env = python_env(SPORK_ADMIN_TOKEN=token, SPORK_CONSOLE_URL=url, SPORK_CONSOLE_CONFIG="/nonexistent")
    return subprocess.run(
        [sys.executable, "-m", "spork.console", *args], capture_output=True, text=True, env=env, timeout=30, cwd=cwd
    )


def test_get_as_a_table(gateway: FakeGateway) -> None:
    done = run(gateway, "get", "breakers")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split()[:4] == ["STATE", "BREAKER", "ERR%", "REQ"]
    assert lines[1].startswith("x OPEN")
    assert len(lines) == 11
    assert all(line == line.rstrip() for line in lines)


@pytest.mark.parametrize(
    "topic", ["services", "targets", "quotas", "routes", "events", "traffic", "limits", "consumers", "keys", "sessions"]
)
def test_get_as_json(gateway: FakeGateway, topic: str) -> None:
    done = run(gateway, "get", topic, "-o", "json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)) == len(gateway.topics[topic])


def test_single_topics(gateway: FakeGateway) -> None:
    assert json.loads(run(gateway, "get", "config", "-o", "json").stdout)["revision"] == "r41"
    assert json.loads(run(gateway, "get", "pulse", "-o", "json").stdout)["in_flight"] == 214
    assert "quota: 900" in run(gateway, "get", "config").stdout


def test_check_names_and_filters(gateway: FakeGateway) -> None:
    assert run(gateway, "get", "breakers", "--check").returncode == 1
    assert run(gateway, "get", "breakers", "users", "--check").returncode == 0
    absent = run(gateway, "get", "breakers", "nothing")
    assert absent.returncode == 1
    assert "no breaker 'nothing'" in absent.stderr
    assert len(run(gateway, "get", "breakers", "--filter", "open|half").stdout.splitlines()) == 5
    assert run(gateway, "get", "breakers", "--filter", "re:(").returncode == 2
    assert run(gateway, "get", "breakers", "--sort", "nonsense").returncode == 2
    assert run(gateway, "get", "nonsense").returncode == 2


def test_exit_codes_of_a_gateway_that_is_not_well(gateway: FakeGateway) -> None:
    assert run(None, "get", "breakers").returncode == 3
    denied = run(gateway, "get", "breakers", token="wrong")
    assert denied.returncode == 4
    assert "UNAUTHENTICATED" in denied.stderr
    assert "wrong" not in denied.stderr
    gateway.deny = {"breakers"}
    assert run(gateway, "get", "breakers").returncode == 4
    gateway.deny = set()
    gateway.broken["breakers"] = [{"name": 1}]
    assert run(gateway, "get", "breakers").returncode == 5
    gateway.fail_status = 500
    assert run(gateway, "get", "breakers").returncode == 3


def test_silent_nodes_are_told_on_stderr(gateway: FakeGateway) -> None:
    gateway.nodes = seeds.Nodes(3, 4, ("gw-4",))
    done = run(gateway, "get", "services")
    assert "PARTIAL 3/4" in done.stderr
    assert "gw-4" in done.stderr
    assert done.returncode == 0


def test_plain_is_the_pulse_in_lines(gateway: FakeGateway) -> None:
    done = run(gateway, "--plain")
    assert done.returncode == 0, done.stderr
    assert "2 x OPEN" in done.stdout
    assert "\x1b" not in done.stdout
    assert "billing" in done.stdout


def test_hostile_rows_are_printed_as_text(gateway: FakeGateway) -> None:
    from tests.unit.console.test_degraded import poisoned

    gateway.topics["events"] = poisoned(gateway.topics["events"])
    for output in ("table", "json"):
        done = run(gateway, "get", "events", "-o", output)
        assert done.returncode == 0
        assert not [char for char in done.stdout if char != "\n" and not char.isprintable()]


def test_watch_prints_changes_as_they_come(gateway: FakeGateway) -> None:
    env = python_env(
        SPORK_ADMIN_TOKEN="viewer-token", SPORK_CONSOLE_URL=gateway.url, SPORK_CONSOLE_CONFIG="/nonexistent"
    )
    args = [sys.executable, "-m", "spork.console", "watch", "events", "-o", "json", "--count", "8"]
    process = subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env)
    try:
        deadline = time.monotonic() + 15
        while not gateway.streams and time.monotonic() < deadline:
            time.sleep(0.02)
        gateway.audit(
            [seeds.EventView("new", gateway.now(), "breaker.closed", "gateway", "billing", "closed", "", "info")]
        )
        out, _ = process.communicate(timeout=15)
    finally:
        process.kill()
    assert process.returncode == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 8
    assert rows[-1]["id"] == "new"


def test_without_a_terminal_the_screen_says_what_to_do(gateway: FakeGateway) -> None:
    done = run(gateway)
    assert done.returncode == 2
    assert "get services" in done.stderr


def test_a_browser_is_a_terminal_too(gateway: FakeGateway) -> None:
    """As textual-serve starts it: Textual's web driver on pipes."""
    env = python_env(
        SPORK_CONSOLE_CONFIG="/nonexistent",
        TEXTUAL_DRIVER="textual.drivers.web_driver:WebDriver",
        COLUMNS="120",
        ROWS="36",
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "spork.console", "--url", gateway.url, "--token", "viewer-token"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=env,
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == b"__GANGLION__\n"
        assert process.stdout.read(1) in (b"D", b"M")
    finally:
        process.kill()
        process.wait()


def test_the_token_of_this_directory_is_found(gateway: FakeGateway, tmp_path: Path) -> None:
    (tmp_path / ".spork").mkdir()
    (tmp_path / ".spork" / "admin-token").write_text("viewer-token")
    env = python_env(SPORK_CONSOLE_CONFIG="/nonexistent")
    done = subprocess.run(
        [sys.executable, "-m", "spork.console", "--url", gateway.url, "get", "breakers"],
        capture_output=True,
        text=True,
        env=env,
        timeout=30,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


ROOMS = ("text", "gateway", "keys", "session", "pictures", "plain")
CORE = tuple(
    sorted(
        ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)
        for room in ROOMS
        for path in (ROOT / "src" / "console" / room).rglob("*.py")
        if path.stem != "__init__"
    )
)


def test_the_core_imports_no_screen_and_nothing_foreign() -> None:
    """Only textual's screens may import textual; the core makes do with httpx, msgspec and the views."""
    code = (
        f"import importlib, sys\nfor name in {CORE!r}: importlib.import_module('spork.' + name)\n"
        "roots = {name.partition('.')[0] for name in sys.modules}\n"
        "assert not roots & {'textual', 'litestar', 'redis', 'sqlalchemy'}, roots\n"
        "ours = {n for n in sys.modules if n.startswith('spork.') and not n.startswith('spork.console')}\n"
        "assert ours <= {'spork.application', 'spork.application.views'}, ours\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=python_env(), timeout=30)


def test_everything_but_the_screens_is_core() -> None:
    rooms = {path.name for path in (ROOT / "src" / "console").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert rooms == {*ROOMS, "ui"}
    assert len(CORE) > 30


def test_the_start_needs_no_http_library() -> None:
    """The first picture does not wait for it."""
    code = "import sys, spork.console.ui.app\nassert 'httpx' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, env=python_env(), timeout=30)
