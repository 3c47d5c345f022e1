"""An operator takes a route or the whole gateway away: on every process, for as long as was said, over restarts and reloads."""

from __future__ import annotations

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.servers import GatewayProcess, gateway_process, python_env, redis_process, wait_until
from tests.system.test_admin import echo_service

CONFIG = """
shared: {redis}
edge: {{drain_delay: 0s, grace: 1s}}
upstreams:
  echo: {{targets: ['http://127.0.0.1:{echo}']}}
routes:
  - {{name: one, match: /one/*, upstream: echo}}
  - {{name: two, match: /two/*, upstream: echo}}
"""


def spork(gateway: GatewayProcess, *args: str, fails: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "spork.cli", "maintenance", *args, "--url", gateway.admin_url, "--token", gateway.admin_token],
        cwd=gateway.directory, env=python_env(), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode != 0) is fails, done.stderr + done.stdout
    return done.stderr + done.stdout


def statuses(gateway: GatewayProcess, path: str) -> set[int]:
    return {httpx.get(gateway.url + path, timeout=10).status_code for _ in range(8)}


def test_what_an_operator_takes_away_is_away_everywhere_until_it_is_brought_back(tmp_path: Path) -> None:
    with ExitStack() as stack:
        echo, redis = stack.enter_context(echo_service()), stack.enter_context(redis_process())
        text = CONFIG.format(redis=redis.url, echo=echo)
        one = stack.enter_context(gateway_process(text, tmp_path / "one", "--workers", "2", SPORK_NODE="one"))
        with gateway_process(text, tmp_path / "two", SPORK_NODE="two") as two:
            assert "there is no route nonsense" in spork(one, "on", "nonsense", fails=True)
            assert "All 2 routes" in spork(one, "on", "--dry-run")
            said = spork(one, "on", "one", "--for", "600", "--reason", "INC-1")
            assert "nothing is away -> away: one" in said
            for gateway in (one, two):
                wait_until(lambda gateway=gateway: statuses(gateway, "/one/x") == {503}, 15, "away everywhere")
                assert statuses(gateway, "/two/x") == {200}
            answer = httpx.get(f"{two.url}/one/x")
            assert answer.json()["type"] == "urn:spork:problem:maintenance"
            assert 500 < int(answer.headers["retry-after"]) <= 600
            assert httpx.get(f"{two.admin_url}/ready").status_code == 200
            assert "one, until 20" in spork(two, "show")
            auth = {"authorization": f"Bearer {two.admin_token}"}
            assert httpx.post(f"{two.admin_url}/admin/v1/config/reload", json={}, headers=auth).status_code == 200
            assert statuses(two, "/one/x") == {503}, "a reload does not undo it"
        with gateway_process(text, tmp_path / "two", SPORK_NODE="two") as two:
            assert statuses(two, "/one/x") == {503}, "nor does a restart, from the first request on"
            spork(two, "on", "--allow", "10.0.0.0/8")
            wait_until(lambda: statuses(one, "/two/x") == {503}, 15, "the whole gateway")
            assert "off" not in spork(one, "off", "one")
            assert statuses(two, "/one/x") == {503}, "everything is still away"
            spork(one, "off")
            for gateway in (one, two):
                wait_until(lambda gateway=gateway: statuses(gateway, "/one/x") == {200}, 15, "back")
                assert statuses(gateway, "/two/x") == {200}
            assert "nothing is away" in spork(two, "show")
            spork(two, "on", "--allow", "127.0.0.0/8", "--for", "1")
            assert statuses(two, "/one/x") == {200}, "who is allowed is served"
            wait_until(lambda: "nothing is away" in spork(two, "show"), 15, "its end")
