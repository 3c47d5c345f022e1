"""What a plain configuration does not use is not imported for it: start-up is mostly imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers import python_env

#: Packages that only some configurations need.
ON_DEMAND = {"alembic", "argon2", "asyncpg", "cryptography", "dns", "httpx", "jsonschema_rs", "jwt", "nats", "redis"}
PLAIN = """
upstreams: {users: {targets: [http://127.0.0.1:7001], breaker: {open_for: 5s}}}
routes:
  - {name: users, match: /users/*, upstream: users, auth: {any_of: [api_key]}, limits: [{quota: 5, per: 1m, by: ip}]}
"""
CHECK = """
import sys
from pathlib import Path
from spork.composition.material import material_problems
from spork.adapters.yaml.load import load
loaded = load(Path("spork.yaml"), {}, material_problems)
"""
EXPLAIN = """
from spork.composition.gateway import GatewayContainer
container = GatewayContainer(configuration=loaded.configuration, config_path=Path("spork.yaml"))
container.configurator().apply(loaded.configuration)
container.explainer()
"""
SERVE = """
import spork.composition.process
container.upstreams.transports(), container.data_app(), container.admin_app()
"""


def imported(program: str, directory: Path, configuration: str = PLAIN) -> set[str]:
    """Top-level packages that a Python process has after `program`."""
    (directory / "spork.yaml").write_text(f"state_dir: {directory}/state\n{configuration}")
    show = "\nprint(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", program + show], cwd=directory, env=python_env(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_check_loads_no_framework_and_no_store(tmp_path: Path) -> None:
    assert imported(CHECK, tmp_path) & (ON_DEMAND | {"litestar", "sqlalchemy", "uvicorn", "structlog"}) == set()


def test_explain_loads_no_framework(tmp_path: Path) -> None:
    assert imported(CHECK + EXPLAIN, tmp_path) & (ON_DEMAND | {"litestar", "uvicorn"}) == set()


def test_a_plain_gateway_loads_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    found = imported(CHECK + EXPLAIN + SERVE, tmp_path)
    assert found & ON_DEMAND == set()
    assert {"litestar", "uvicorn", "sqlalchemy"} <= found


@pytest.mark.parametrize(
    ("configuration", "package"),
    [
        ("shared: redis://127.0.0.1:1/0\n" + PLAIN, "redis"),
        (
            "issuers: {idp: {issuer: https://idp.example.com, discovery: true, audiences: [api], algorithms: [RS256]}}",
            "jwt",
        ),
    ],
)
def test_what_is_configured_is_loaded(configuration: str, package: str, tmp_path: Path) -> None:
    assert package in imported(CHECK + EXPLAIN + SERVE, tmp_path, configuration)
