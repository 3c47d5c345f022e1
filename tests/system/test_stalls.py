"""A gateway process that stands still for moments, as on a busy machine: shared limits stay shared, and health says so."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers import GatewayProcess, gateway_process, redis_process, wait_until
from tests.system.test_admin import admin, echo_service

pytestmark = pytest.mark.chaos

CONNECTIONS = 16
#: Seconds the process is stopped, and let run, in turn, and for how long in all.
STOPPED, RUNNING, LASTS = 0.12, 0.2, 8.0


def limits_health(gateway: GatewayProcess) -> dict[str, Any]:
    with admin(gateway) as client:
        parts = client.get("/health/detailed").json()["components"]
    found: dict[str, Any] = next(part for part in parts if part["name"] == "limits")
    return found


def test_shared_limits_are_shared_again_after_the_process_stood_still(tmp_path: Path) -> None:
    with echo_service() as echo, redis_process() as redis:
        text = f"""shared: {redis.url}
upstreams: {{echo: {{targets: ['http://127.0.0.1:{echo}']}}}}
routes:
  - {{name: echo, match: /echo/*, upstream: echo, limits: [{{name: many, quota: 1000000, per: 1h, by: ip}}]}}
"""
        with gateway_process(text, tmp_path) as gateway:
            over = threading.Event()

            def ask() -> None:
                with httpx.Client(base_url=gateway.url, timeout=10) as client:
                    while not over.is_set():
                        client.get("/echo/x")

            threads = [threading.Thread(target=ask) for _ in range(CONNECTIONS)]
            for thread in threads:
                thread.start()
            try:
                until = time.monotonic() + LASTS
                while time.monotonic() < until:
                    os.kill(gateway.process.pid, signal.SIGSTOP)
                    time.sleep(STOPPED)  # the fault itself
                    os.kill(gateway.process.pid, signal.SIGCONT)
                    time.sleep(RUNNING)  # between two of them
            finally:
                os.kill(gateway.process.pid, signal.SIGCONT)
                over.set()
                for thread in threads:
                    thread.join()

            wait_until(lambda: limits_health(gateway)["status"] == "ok", 5, "limits that are counted in the store")
            before = limits_health(gateway)["facts"]
            for _ in range(10):
                assert httpx.get(f"{gateway.url}/echo/x").status_code == 200
            after = limits_health(gateway)["facts"]
            assert after["calls"] >= before["calls"] + 10, (before, after)
