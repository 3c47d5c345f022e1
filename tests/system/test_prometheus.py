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


#: What operators were promised to be measured, whether or not anything has gone wrong yet.
PROMISED = (
    "gateway_requests_total", "gateway_response_time_seconds_bucket", "upstream_requests_total",
    "upstream_response_time_seconds_bucket", "upstream_health_status", "gateway_rate_limit_exceeded_total",
    "gateway_current_rate_limit_usage", "circuit_breaker_state", "circuit_breaker_transitions_total",
    "upstream_retries_total", "upstream_retry_budget_remaining", "gateway_authentications_total",
    "upstream_pool_connections", "gateway_event_loop_lag_seconds", "gateway_prehandler_wait_seconds_bucket",
    "gateway_config_info", "gateway_config_reloads_total", "gateway_store_failures_total", "process_cpu_seconds_total",
    "process_resident_memory_bytes", "gateway_slo_burn_rate", "gateway_slo_budget_remaining",
)  # fmt: skip


def test_what_is_promised_to_be_measured_has_samples(tmp_path: Path) -> None:
    """One gateway that has answered, refused, throttled, opened a circuit and retried."""
    with echo_service() as echo:
        text = (
            f"upstreams:\n  echo: {{targets: ['http://127.0.0.1:{echo}'], breaker: {{}}, retries: {{attempts: 1}}}}\n"
            "  gone: {targets: ['http://127.0.0.1:9'], breaker: {min_requests: 2}, retries: {attempts: 1}}\n"
            "routes:\n  - {name: echo, match: /echo/*, upstream: echo, limits: [{name: few, quota: 2, per: 1h}]}\n"
            "  - {name: gone, match: /gone, upstream: gone}\n"
            "  - {name: private, match: /private, upstream: echo, auth: {any_of: [api_key]}}\n"
            "objectives: {all: {availability: 99%}}\n"
        )
        with gateway_process(text, tmp_path) as gateway, httpx.Client(base_url=gateway.url) as caller:
            assert [caller.get("/echo/x").status_code for _ in range(3)] == [200, 200, 429]
            assert {caller.get("/gone").status_code for _ in range(4)} <= {502, 503}
            for _ in range(33):
                caller.get("/private", headers={"x-api-key": "spk_guess"})

            def samples() -> dict[str, list[str]]:
                found: dict[str, list[str]] = {}
                for line in httpx.get(f"{gateway.admin_url}/metrics").text.splitlines():
                    if not line.startswith("#"):
                        found.setdefault(line.split("{")[0].split(" ")[0], []).append(line)
                return found

            wait_until(lambda: set(PROMISED) <= samples().keys(), 15, "a sample of every metric that is promised")
            refused = samples()["gateway_rate_limit_exceeded_total"]
            assert 'gateway_rate_limit_exceeded_total{limit="few",route="echo"} 1.0' in refused
            assert any('limit="failed-authentication",route="private"' in line for line in refused)
            assert not any("unknown" in line for line in refused)
            assert 'circuit_breaker_state{name="gone",state="open"} 1.0' in samples()["circuit_breaker_state"]
            assert 'circuit_breaker_state{name="echo",state="closed"} 1.0' in samples()["circuit_breaker_state"]
