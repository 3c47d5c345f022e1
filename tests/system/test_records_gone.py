"""PostgreSQL stuck or gone: who is known goes on, who is not gets 503 with the reason, operators are told, and it heals."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tests.relay import Relay, relay
from tests.servers import GatewayProcess, gateway_process, missing, postgres_url, python_env, wait_until
from tests.system.test_admin import echo_service

CONFIG = """
edge: {{drain_delay: 0s, grace: 1s}}
records: postgresql://postgres:@/postgres?host={directory}
plans: {{basic: {{}}}}
consumers: {{acme: {{}}}}
upstreams:
  echo: {{targets: ['http://127.0.0.1:{echo}']}}
routes:
  - {{name: echo, match: /echo/*, upstream: echo, auth: api_key}}
"""


def ask(gateway: GatewayProcess, key: str) -> httpx.Response:
    return httpx.get(f"{gateway.url}/echo/x", headers={"x-api-key": key}, timeout=20)


def refused(gateway: GatewayProcess, key: str) -> None:
    began = time.monotonic()
    answer = ask(gateway, key)
    assert (answer.status_code, answer.json()["type"]) == (503, "urn:spork:problem:authentication_unavailable")
    assert int(answer.headers["retry-after"]) >= 1
    assert time.monotonic() - began < 8.0


def harm_and_mend(gateway: GatewayProcess, records: Relay, known: str, unseen: str, how: str) -> None:
    auth = {"authorization": f"Bearer {gateway.admin_token}"}
    assert ask(gateway, known).status_code == 200
    getattr(records, how)()
    refused(gateway, unseen)
    assert ask(gateway, known).status_code == 200
    path = gateway.directory / "spork.yaml"
    path.write_text(path.read_text() + f"# {how}\n")
    answer = httpx.post(f"{gateway.admin_url}/admin/v1/config/reload", json={}, headers=auth, timeout=30)
    assert answer.status_code in (200, 503), answer.text
    for _ in range(5):
        assert ask(gateway, known).status_code == 200, "a reload does not forget whom the records cannot vouch for now"
    refused(gateway, unseen)
    listed = httpx.get(f"{gateway.admin_url}/admin/v1/keys", headers=auth, timeout=30)
    assert listed.status_code == 503, listed.text
    assert "records do not answer" in listed.text
    assert "Traceback" not in gateway.log()
    records.mend()
    wait_until(lambda: ask(gateway, unseen).status_code == 200, 30, "the key that was not known")


@pytest.mark.parametrize("how", ["cut", pytest.param("pause", marks=pytest.mark.chaos)])
def test_records_that_are_gone_or_stuck_are_a_503_with_its_reason_and_known_keys_go_on(
    tmp_path: Path, how: str
) -> None:
    with echo_service() as echo, postgres_url() as url:
        parts = urlsplit(url)
        host = parse_qs(parts.query).get("host", [""])[0]
        if not host:
            missing("a PostgreSQL server with a unix socket")
        front = tmp_path / "pg"
        front.mkdir()
        text = CONFIG.format(echo=echo, directory=front)
        with relay(front / ".s.PGSQL.5432", Path(host) / ".s.PGSQL.5432") as records:
            (tmp_path / "spork.yaml").write_text(f"state_dir: {tmp_path}/.spork\n{text}")

            def spork(*args: str) -> str:
                done = subprocess.run(
                    [sys.executable, "-m", "spork.cli", *args, "-c", str(tmp_path / "spork.yaml")],
                    cwd=tmp_path, env=python_env(), capture_output=True, text=True, timeout=60,
                )  # fmt: skip
                assert done.returncode == 0, done.stderr
                return done.stdout.strip()

            spork("records", "upgrade")
            known, unseen = spork("keys", "issue", "acme"), spork("keys", "issue", "acme")
            with gateway_process(text, tmp_path) as gateway:
                harm_and_mend(gateway, records, known, unseen, how)
