"""A real Prometheus scrapes a real gateway and promtool accepts what it gets."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import httpx

from tests.servers import free_port, gateway_process, listening, missing, wait_until
from tests.system.test_admin import admin, config, echo_service


def test_prometheus_scrapes_counts_and_exemplars(tmp_path: Path) -> None:
    if shutil.which("prometheus") is None or shutil.which("promtool") is None:
        missing("prometheus (Debian package prometheus)")
    with echo_service() as echo, gateway_process(config(echo), tmp_path / "gateway") as gateway:
        admin(gateway).close()
        with httpx.Client(base_url=gateway.url) as caller:
            for _ in range(25):
                assert caller.get("/echo/x").status_code == 200
        linted = subprocess.run(
            ["promtool", "check", "metrics"], input=httpx.get(f"{gateway.admin_url}/metrics").text, text=True,
            capture_output=True, timeout=30,
        )  # fmt: skip
        assert linted.returncode == 0, linted.stdout + linted.stderr
        port = free_port()
        settings = tmp_path / "prometheus.yml"
        settings.write_text(
            "global: {scrape_interval: 1s}\nscrape_configs:\n- job_name: spork\n  static_configs:\n"
            f"  - targets: ['127.0.0.1:{gateway.admin_port}']\n"
        )
        process = subprocess.Popen(
            ["prometheus", f"--config.file={settings}", f"--storage.tsdb.path={tmp_path}/tsdb",
             f"--web.listen-address=127.0.0.1:{port}", "--enable-feature=exemplar-storage"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until(lambda: listening(port), 30, "prometheus")
            with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=10) as client:

                def value(query: str) -> float | None:
                    result = client.get("/query", params={"query": query}).json()["data"]["result"]
                    return float(result[0]["value"][1]) if result else None

                wait_until(lambda: value('gateway_requests_total{route="echo",status="200"}') == 25, 30, "the count")
                assert value("up") == 1
                assert value('upstream_health_status{upstream="echo"}') == 1
                assert value('circuit_breaker_state{name="echo",state="closed"}') == 1
                target = client.get("/targets").json()["data"]["activeTargets"][0]
                assert target["lastError"] == ""
                found = client.get(
                    "/query_exemplars",
                    params={"query": "gateway_response_time_seconds_bucket", "start": "0", "end": "9999999999"},
                ).json()["data"]
                assert len(found[0]["exemplars"][0]["labels"]["trace_id"]) == 32
        finally:
            process.terminate()
            process.wait(15)
