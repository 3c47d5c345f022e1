"""Services that register themselves with `spork register` and with the example, against a real gateway."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.servers import ROOT, GatewayProcess, free_port, gateway_process, python_env, wait_until

CONFIG = """
edge: {drain_delay: 0s, grace: 1s}
registration: {mode: token, allow: [127.0.0.0/8]}
routes:
  - {name: services, match: {path: "/services/{service}/*"}, strip_prefix: "/services/{service}", upstream: "{service}"}
"""


def answers(gateway: GatewayProcess, service: str) -> int:
    return httpx.get(f"{gateway.url}/services/{service}/hello", trust_env=False).status_code


def spork_register(gateway: GatewayProcess, *args: str) -> list[str]:
    assert gateway.admin_token
    token = str(gateway.directory / ".spork" / "admin-token")
    options = ["--admin", gateway.admin_url, "--token-file", token, "--ttl", "2"]
    return [sys.executable, "-m", "spork.cli", "register", *options, *args]


@pytest.fixture
def gateway(tmp_path: Path) -> object:
    with gateway_process(CONFIG, tmp_path) as running:
        yield running


def test_a_command_is_registered_while_it_runs(gateway: GatewayProcess) -> None:
    port = free_port()
    serve = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1"]
    (gateway.directory / "hello").write_text("hello")
    command = spork_register(gateway, "files", f"http://127.0.0.1:{port}", "--", *serve)
    process = subprocess.Popen(command, env=python_env(), cwd=gateway.directory)
    try:
        wait_until(lambda: answers(gateway, "files") == 200, 15, "the first answer")
        process.terminate()
        assert process.wait(15) in (0, 143)
        assert answers(gateway, "files") == 404, "deregistered at its end"
    finally:
        process.kill()
        process.wait()


def test_a_refusal_ends_the_command_with_its_reason(gateway: GatewayProcess) -> None:
    command = spork_register(gateway, "evil", "http://169.254.169.254/")
    ended = subprocess.run(command, env=python_env(), capture_output=True, text=True, timeout=30)
    assert ended.returncode == 1
    assert "refused with 422: url: Metadata service addresses are never taken." in ended.stderr


def test_the_example_registers_itself_and_a_kill_ends_with_its_lease(gateway: GatewayProcess) -> None:
    example = [
        sys.executable,
        str(ROOT / "examples" / "register_service.py"),
        "--gateway",
        gateway.admin_url,
        "--ttl",
        "1",
    ]
    process = subprocess.Popen(
        example, env=python_env(SPORK_TOKEN=gateway.admin_token), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert "is registered at" in process.stdout.readline()
        assert answers(gateway, "greetings") == 200
        process.kill()
        process.wait()
        wait_until(lambda: answers(gateway, "greetings") == 404, 5, "the end of the lease")
    finally:
        process.kill()
        process.wait()
