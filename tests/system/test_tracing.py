"""A real gateway with a real receiver: what leaves it as spans, metrics and logs, and what a bad collector costs (nothing)."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tarfile
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.collector import collector, silent
from tests.servers import GatewayProcess, free_port, gateway_process, python_env, wait_until
from tests.targets import Target

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
GIVEN = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "rojo=1"}


def config(target: str, url: str, traces: str = "{ratio: 100%, per_second: 0}", more: str = "", signals: str = "traces") -> str:  # fmt: skip
    return f"""
telemetry:
  otlp: {{url: "{url}", signals: [{signals}], timeout: 2s, interval: 1s}}
  traces: {traces}
upstreams:
  u: {{targets: ["{target}"], retries: {{attempts: 1}}}}
routes:
  - {{name: users, match: "/users/{{id}}", upstream: u, server_timing: true, limits: [{{name: per-ip, quota: 100000, per: 1s}}]}}
  - {{name: few, match: /few, upstream: u, limits: [{{name: few, quota: 1, per: 1h}}]}}
{more}
"""


async def asked(gateway: GatewayProcess, path: str, **fields: Any) -> httpx.Response:
    async with httpx.AsyncClient(trust_env=False, timeout=20) as client:
        return await client.get(gateway.url + path, **fields)


async def until(check: Any, seconds: float = 15.0) -> None:
    """As `wait_until`, in a thread: the target lives in this loop."""
    await asyncio.to_thread(wait_until, check, seconds)


def bearer(gateway: GatewayProcess) -> dict[str, str]:
    return {"authorization": f"Bearer {gateway.admin_token}"}


def attributes(item: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in item.attributes}


def metric(gateway: GatewayProcess, line: str) -> float:
    text = httpx.get(gateway.admin_url + "/metrics", trust_env=False).text
    found = [row.rpartition(" ")[2] for row in text.splitlines() if row.startswith(line + " ")]
    return float(found[0]) if found else 0.0


async def test_one_trace_with_right_parents_phases_and_server_timing_that_agrees(tmp_path: Path) -> None:
    more = "trusted_proxies: [127.0.0.1]\n"
    with collector() as taken:
        async with Target(lambda _: (200, 0.02)).up() as target:
            with gateway_process(config(target.url, taken.url, more=more), tmp_path) as gateway:
                answer = await asked(gateway, "/users/42?token=hush&a=1", headers=GIVEN)
                await until(lambda: len(taken.spans) >= 2)
    server, client = taken.spans
    assert (server.kind, client.kind) == (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CLIENT)
    assert {s.trace_id.hex() for s in taken.spans} == {TRACE}
    assert server.parent_span_id.hex() == SPAN
    assert client.parent_span_id == server.span_id
    assert server.trace_state == "rojo=1"
    assert server.name == "GET /users/{id}"
    said = attributes(server)
    assert said["http.route"] == "/users/{id}"
    assert said["url.query"] == "token=[redacted]&a=1"
    assert said["spork.route"] == "users"
    assert attributes(client)["url.full"] == f"{target.url}/users/42?token=[redacted]&a=1"
    assert taken.resources[0]["service.name"] == "spork"
    phases = {attributes(e)["spork.phase"]: attributes(e).get("spork.phase.duration") for e in server.events}
    assert {"limits", "send", "relay"} <= set(phases)
    timing = dict(entry.split(";dur=") for entry in answer.headers["server-timing"].split(", "))
    assert float(timing["limits"]) == pytest.approx(phases["limits"] * 1000, abs=0.001)
    relay = next(e for e in server.events if attributes(e)["spork.phase"] == "relay")
    total = (relay.time_unix_nano - server.start_time_unix_nano) / 1e6
    assert float(timing["total"]) == pytest.approx(total, abs=1.0)
    assert client.end_time_unix_nano - client.start_time_unix_nano >= 19_000_000
    assert server.start_time_unix_nano <= client.start_time_unix_nano <= client.end_time_unix_nano
    assert abs(server.start_time_unix_nano / 1e9 - time.time()) < 60


async def test_refusals_404_and_streams_are_spans_and_the_tail_links_them(tmp_path: Path) -> None:
    traces = '{ratio: 100%, link: "https://traces.example.com/trace/{trace_id}"}'
    with collector() as taken:
        async with Target().up() as target:
            with gateway_process(config(target.url, taken.url, traces), tmp_path) as gateway:
                for path in ("/few", "/few", "/nowhere"):
                    answer = await asked(gateway, path, headers=GIVEN)
                await until(lambda: len(taken.of_kind(Span.SPAN_KIND_SERVER)) >= 3)
                rows = httpx.get(
                    gateway.admin_url + "/admin/v1/traffic", trust_env=False, headers=bearer(gateway)
                ).json()["items"]
                log = [json.loads(line) for line in gateway.log().splitlines() if '"event":"request"' in line]
    served, refused, lost = taken.of_kind(Span.SPAN_KIND_SERVER)
    assert [attributes(s).get("spork.reason") for s in (served, refused, lost)] == [None, "quota_exceeded", "no_route"]
    assert attributes(refused)["spork.limit"] == "few"
    assert lost.name == "GET"
    assert len(taken.of_kind(Span.SPAN_KIND_CLIENT)) == 1
    for span in (served, refused, lost):
        assert span.trace_id.hex() != TRACE, "a stranger's trace is not joined"
        assert [link.trace_id.hex() for link in span.links] == [TRACE]
    assert answer.json()["trace_id"] == lost.trace_id.hex()
    ids = {s.trace_id.hex() for s in (served, refused, lost)}
    assert {row["trace_url"] for row in rows} == {f"https://traces.example.com/trace/{i}" for i in ids}
    assert {line["trace_id"] for line in log} == ids


async def test_metrics_and_logs_carry_the_ids_and_exemplars_name_kept_traces(tmp_path: Path) -> None:
    with collector() as taken:
        async with Target().up() as target:
            text = config(target.url, taken.url, signals="traces, metrics, logs")
            with gateway_process(text, tmp_path) as gateway:
                await asked(gateway, "/users/1?token=hush")
                await until(lambda: any(r.event_name == "request" for r in taken.logs) and taken.spans)
                await until(lambda: any(_served(m) for m in taken.metrics))
                exposed = httpx.get(
                    gateway.admin_url + "/metrics", trust_env=False, headers={"accept": "application/openmetrics-text"}
                ).text
    record = next(r for r in taken.logs if r.event_name == "request")
    server = taken.of_kind(Span.SPAN_KIND_SERVER)[0]
    assert (record.trace_id, record.span_id) == (server.trace_id, server.span_id)
    assert attributes(record)["route"] == "users"
    assert "hush" not in str(record)
    point = next(p for p in map(_served, taken.metrics) if p is not None)
    assert point.exemplars[0].trace_id == server.trace_id
    assert server.trace_id.hex() in exposed
    names = {m.name for m in taken.metrics}
    assert {"gateway_requests_total", "http.client.request.duration", "gateway_spans_total"} <= names


def _served(metric: Any) -> Any:
    """The point of served requests in the server's durations."""
    if metric.name != "http.server.request.duration":
        return None
    return next((p for p in metric.histogram.data_points if attributes(p).get("http.route") == "/users/{id}"), None)


async def test_a_long_stream_and_a_client_that_leaves_are_spans_at_their_end(tmp_path: Path) -> None:
    with collector() as taken:
        async with Target(lambda path: (200, 5.0)).up() as target:
            with gateway_process(config(target.url, taken.url), tmp_path) as gateway:
                with socket.create_connection(("127.0.0.1", gateway.port)) as client:
                    client.sendall(b"GET /users/1 HTTP/1.1\r\nHost: x\r\n\r\n")
                    await until(lambda: target.paths)
                await until(lambda: len(taken.spans) >= 2)
    server, attempt = taken.spans
    assert attributes(server)["spork.reason"] == "client_gone"
    assert server.status.code == attempt.status.code == 0
    assert "error.type" not in attributes(attempt)


async def test_every_span_that_waits_is_sent_at_the_end(tmp_path: Path) -> None:
    requests = 2500
    with collector() as taken:
        held = time.monotonic() + 3600
        taken.reply = lambda number, spans: (503, {"retry-after": "1"}, b"") if time.monotonic() < held else (200, {}, b"")  # fmt: skip
        async with Target().up() as target:
            with gateway_process(config(target.url, taken.url), tmp_path) as gateway:
                limits = httpx.Limits(max_connections=16)
                async with httpx.AsyncClient(trust_env=False, timeout=60, limits=limits) as client:

                    async def some() -> None:
                        for _ in range(requests // 16 + 1):
                            (await client.get(gateway.url + "/users/1")).raise_for_status()

                    await asyncio.gather(*(some() for _ in range(16)))
                assert taken.spans == []
                held = 0.0
                os.kill(gateway.process.pid, signal.SIGTERM)
                assert await asyncio.to_thread(gateway.process.wait, 30) == 0
    assert len(taken.of_kind(Span.SPAN_KIND_SERVER)) == 16 * (requests // 16 + 1)
    assert len(taken.spans) >= 5000
    assert len({s.span_id for s in taken.spans}) == len(taken.spans)


@pytest.mark.parametrize("kind", ["gone", "hangs", "refuses"])
async def test_a_bad_collector_costs_clients_nothing_and_the_end_is_bounded(kind: str, tmp_path: Path) -> None:
    with collector() as taken, silent() as mute:
        taken.reply = lambda *_: (400, {}, b"\x00junk")
        url = {"gone": f"http://127.0.0.1:{free_port()}", "hangs": mute, "refuses": taken.url}[kind]
        async with Target().up() as target:
            with gateway_process(config(target.url, url), tmp_path) as gateway:
                for _ in range(30):
                    assert (await asked(gateway, "/users/1")).status_code == 200
                recorded = 'gateway_spans_total{result="recorded"}'
                assert metric(gateway, recorded) == 60
                if kind == "refuses":
                    await until(lambda: metric(gateway, 'gateway_spans_total{result="failed"}') == 60)
                began = time.monotonic()
                os.kill(gateway.process.pid, signal.SIGTERM)
                assert await asyncio.to_thread(gateway.process.wait, 30) == 0
                assert time.monotonic() - began < 12


async def test_the_ring_is_bounded_while_nothing_is_taken(tmp_path: Path) -> None:
    """Memory stays where it was while 20 000 spans find no collector: measured between two plateaus of the ring."""
    with silent() as mute:
        async with Target().up() as target:
            with gateway_process(config(target.url, mute), tmp_path) as gateway:
                async with httpx.AsyncClient(trust_env=False, timeout=60) as client:

                    async def many(count: int) -> None:
                        for _ in range(count):
                            await client.get(gateway.url + "/users/1", headers={"user-agent": "a" * 1000})

                    await asyncio.gather(*(many(500) for _ in range(8)))
                    before = _resident_kib(gateway.process.pid)
                    await asyncio.gather(*(many(750) for _ in range(8)))
                    after = _resident_kib(gateway.process.pid)
                dropped = metric(gateway, 'gateway_spans_total{result="dropped"}')
    assert dropped > 0
    assert after - before < 8 * 1024


def _resident_kib(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0])


async def test_a_reload_switches_tracing_on_and_off(tmp_path: Path) -> None:
    with collector() as taken:
        async with Target().up() as target:
            plain = f'upstreams: {{u: {{targets: ["{target.url}"]}}}}\nroutes: [{{name: users, match: /users/*, upstream: u}}]\n'
            with gateway_process(plain, tmp_path) as gateway:
                path = tmp_path / "spork.yaml"
                head = "\n".join(path.read_text().splitlines()[:3]) + "\n"
                assert (await asked(gateway, "/users/1")).status_code == 200
                path.write_text(head + config(target.url, taken.url))
                await until(lambda: httpx.get(gateway.url + "/few", trust_env=False).status_code != 404)
                await asked(gateway, "/users/2")
                await until(lambda: any(attributes(s).get("url.path") == "/users/2" for s in taken.spans))
                path.write_text(head + plain)
                await until(lambda: httpx.get(gateway.url + "/few", trust_env=False).status_code == 404)
                seen = len(taken.spans)
                assert "trace_id" not in (await asked(gateway, "/few")).json()
                assert len(taken.spans) == seen


async def test_standard_variables_go_before_the_file(tmp_path: Path) -> None:
    with collector() as taken:
        async with Target().up() as target:
            env = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": taken.url,
                "OTEL_SERVICE_NAME": "edge-gateway",
                "OTEL_RESOURCE_ATTRIBUTES": "deployment.environment.name=test%20lab",
                "OTEL_TRACES_SAMPLER": "always_on",
                "OTEL_EXPORTER_OTLP_HEADERS": "x-scope=tenant%201",
            }
            text = config(target.url, "http://127.0.0.1:1", "{ratio: 0}")
            with gateway_process(text, tmp_path, **env) as gateway:
                await asked(gateway, "/users/1")
                await until(lambda: taken.spans)
    assert taken.resources[0]["service.name"] == "edge-gateway"
    assert taken.resources[0]["deployment.environment.name"] == "test lab"
    assert taken.headers[0]["x-scope"] == "tenant 1"


async def test_variables_alone_switch_nothing_on(tmp_path: Path) -> None:
    with collector() as taken:
        async with Target().up() as target:
            plain = f'upstreams: {{u: {{targets: ["{target.url}"]}}}}\nroutes: [{{name: users, match: /users/*, upstream: u}}]\n'
            with gateway_process(plain, tmp_path, OTEL_EXPORTER_OTLP_ENDPOINT=taken.url) as gateway:
                await asked(gateway, "/users/1", headers=GIVEN)
                assert metric(gateway, 'gateway_spans_total{result="recorded"}') == 0
        assert taken.batches == []


async def test_a_profile_is_taken_while_requests_go_on_by_admins_only_and_audited(tmp_path: Path) -> None:
    async with Target().up() as target:
        text = f'upstreams: {{u: {{targets: ["{target.url}"]}}}}\nroutes: [{{name: users, match: /users/*, upstream: u}}]\n'
        with gateway_process(text, tmp_path) as gateway:
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                profile = asyncio.ensure_future(
                    client.post(
                        gateway.admin_url + "/admin/v1/profile",
                        json={"seconds": 1, "format": "collapsed", "reason": "INC-1"},
                        headers=bearer(gateway),
                    )
                )
                while not profile.done():
                    assert (await client.get(gateway.url + "/users/1")).status_code == 200
                answer = await profile
                refused = await client.post(gateway.admin_url + "/admin/v1/profile", json={"seconds": 1})
                wrong = await client.post(
                    gateway.admin_url + "/admin/v1/profile", json={"seconds": 3600}, headers=bearer(gateway)
                )
                audit = (await client.get(gateway.admin_url + "/admin/v1/audit", headers=bearer(gateway))).json()
    assert answer.status_code == 200
    assert answer.headers["content-disposition"].endswith('.txt"')
    assert "MainThread;" in answer.text
    assert refused.status_code == 401
    assert wrong.status_code in (400, 422)
    assert "profile.take" in json.dumps(audit)


async def test_a_support_bundle_has_everything_and_no_secret(tmp_path: Path) -> None:
    env = {"OTLP_TOKEN": "Bearer hush-hush-token", "COLLECTOR": f"http://127.0.0.1:{free_port()}"}
    text = """
telemetry: {otlp: {url: "${COLLECTOR}", headers: {authorization: "${OTLP_TOKEN}"}}, traces: {force: {header: x-trace, secret: keep-this-trace-secret}}}
upstreams: {u: {targets: ["http://127.0.0.1:1"]}}
routes: [{name: users, match: /users/*, upstream: u}]
"""
    out = tmp_path / "bundle.tar.gz"
    with gateway_process(text, tmp_path, **env) as gateway:
        await asked(gateway, "/users/1")
        command = [sys.executable, "-m", "spork.cli", "support", "--out", str(out)]
        command += ["--url", gateway.admin_url, "--token", gateway.admin_token]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, env=python_env())
        refused = await asyncio.to_thread(
            subprocess.run, [*command[:-1], "wrong"], capture_output=True, text=True, env=python_env()
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    with tarfile.open(out) as bundle:
        files = {m.name.rpartition("/")[2]: bundle.extractfile(m).read().decode() for m in bundle.getmembers()}  # type: ignore[union-attr]
    assert {"config.json", "versions.json", "health.json", "events.json", "metrics.txt", "upstreams.json"} <= set(files)
    assert "users" in files["config.json"]
    assert "litestar" in files["versions.json"]
    for name, content in files.items():
        for secret in ("hush-hush-token", "keep-this-trace-secret", gateway.admin_token):
            assert secret not in content, name
    assert refused.returncode == 1
    assert "Traceback" not in refused.stderr
