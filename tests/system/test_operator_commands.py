"""`spork apply`, `diff`, `explain`, `audit` and `usage` against a real gateway and its records."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import GatewayProcess, gateway_process, python_env, wait_until
from tests.system.test_admin import admin, config, echo_service, whole


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    with echo_service() as port:
        yield port


@pytest.fixture
def gateway(echo: int, tmp_path: Path) -> Iterator[GatewayProcess]:
    with gateway_process(config(echo), tmp_path) as process:
        admin(process).close()
        yield process


def spork(gateway: GatewayProcess, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a `spork` command beside the gateway."""
    return subprocess.run(
        [sys.executable, "-m", "spork.cli", *args],
        cwd=gateway.directory, env=python_env(**({"SPORK_ADMIN_URL": gateway.admin_url} | env)), text=True, capture_output=True,
        timeout=60,
    )  # fmt: skip


def test_diff_and_apply(gateway: GatewayProcess, echo: int) -> None:
    same = spork(gateway, "diff")
    assert (same.returncode, same.stdout[:5]) == (0, "same:"), same.stderr
    wanted = gateway.directory / "wanted.yaml"
    wanted.write_text(whole(gateway, echo, "echo applied"))
    different = spork(gateway, "diff", "-c", "wanted.yaml")
    assert different.returncode == 2
    assert "+  - name: applied" in different.stdout
    assert spork(gateway, "apply", "-c", "wanted.yaml", "--dry-run").returncode == 0
    assert httpx.get(f"{gateway.url}/applied/x").status_code == 404
    done = spork(gateway, "apply", "-c", "wanted.yaml", "--note", "INC-5")
    assert done.returncode == 0, done.stderr
    assert "Routes: 1 added (applied), 0 removed, 0 changed." in done.stdout
    assert httpx.get(f"{gateway.url}/applied/x").status_code == 200
    assert spork(gateway, "diff", "-c", "wanted.yaml").returncode == 0


def test_a_broken_file_is_not_applied_and_its_errors_have_places(gateway: GatewayProcess, echo: int) -> None:
    broken = gateway.directory / "broken.yaml"
    broken.write_text(whole(gateway, echo) + "  - {name: bad, match: {path: nope}, upstream: nowhere}\n")
    for command in ("apply", "diff"):
        done = spork(gateway, command, "-c", "broken.yaml")
        assert done.returncode == 1
        assert "broken.yaml:" in done.stderr
        assert "routes[1]" in done.stderr


def test_a_wrong_token_and_a_gateway_that_is_not_there_are_said_plainly(gateway: GatewayProcess) -> None:
    wrong = spork(gateway, "diff", SPORK_ADMIN_TOKEN="wrong-wrong-wrong")
    assert wrong.returncode == 1
    assert "401" in wrong.stderr
    gone = spork(gateway, "diff", "--url", "http://127.0.0.1:9")
    assert gone.returncode == 1
    assert "no admin API answers" in gone.stderr


def test_explain_offline_and_live(gateway: GatewayProcess) -> None:
    offline = spork(gateway, "explain", "GET", "http://a/echo/x?q=1", "-H", "X-A: b", SPORK_ADMIN_URL="")
    assert offline.returncode == 0, offline.stderr
    assert "* echo  /echo/*" in offline.stdout
    assert "wire target: /echo/x?q=1" in offline.stdout
    refused = spork(gateway, "explain", "GET", "http://a/nowhere", SPORK_ADMIN_URL="")
    assert refused.returncode == 1
    assert "refused: no_route" in refused.stdout
    with admin(gateway) as client:
        client.post("/admin/v1/breakers/echo/trip", json={"ttl": 60})
    live = spork(gateway, "explain", "GET", "http://a/echo/x")
    assert live.returncode == 1
    assert "refused: breaker_open: the circuit of echo is forced_open" in live.stdout


def test_audit_verify_finds_what_was_changed(gateway: GatewayProcess) -> None:
    with admin(gateway) as client:
        for reason in ("a", "b", "c"):
            client.post("/admin/v1/breakers/echo/reset", json={"reason": reason})
    whole_trail = spork(gateway, "audit", "verify")
    assert whole_trail.returncode == 0, whole_trail.stderr
    head = whole_trail.stdout.split("head ")[1].strip()
    assert spork(gateway, "audit", "verify", "--head", head).returncode == 0
    assert spork(gateway, "audit", "export", "--format", "csv").stdout.count("breaker.reset") == 3
    with sqlite3.connect(gateway.directory / ".spork" / "records.db") as records:
        records.execute("UPDATE audit_records SET reason = 'x' WHERE number = 2")
    changed = spork(gateway, "audit", "verify")
    assert changed.returncode == 1
    assert "record 2: changed" in changed.stderr


def test_usage_reads_what_was_recorded(gateway: GatewayProcess) -> None:
    for _ in range(3):
        httpx.get(f"{gateway.url}/echo/x")
    with admin(gateway) as client:
        wait_until(lambda: client.get("/admin/v1/usage").json()["items"], 10, "usage")
    table = spork(gateway, "usage")
    assert table.returncode == 0, table.stderr
    assert table.stdout.splitlines()[-1].split()[:6] == ["total", "-", "3", "0", "0", "3"]
    assert spork(gateway, "usage", "--format", "csv").stdout.splitlines()[1].split(",")[2:4] == ["echo", "3"]
