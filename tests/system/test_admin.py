"""The operators' side of a real gateway process: configuration while it serves, access, streams, the fleet."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.servers import GatewayProcess, free_port, gateway_process, listening, python_env, redis_process, wait_until


@contextlib.contextmanager
def echo_service() -> Iterator[int]:
    """The demo's echo service on a port of its own."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "spork.cli.demo.services", f"echo:{port}"], stdin=subprocess.PIPE, env=python_env()
    )
    try:
        wait_until(lambda: listening(port), 20, "echo service")
        yield port
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def echo() -> Iterator[int]:
    with echo_service() as port:
        yield port


def ready(gateway: GatewayProcess) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{gateway.admin_url}/ready").status_code == 200
    return False


def config(port: int, routes: str = "echo", more: str = "") -> str:
    text = f"upstreams:\n  echo: {{targets: ['http://127.0.0.1:{port}'], breaker: {{}}}}\nroutes:\n"
    for name in routes.split():
        text += f"  - {{name: {name}, match: {{path: /{name}/*}}, upstream: echo}}\n"
    return text + more


@pytest.fixture
def gateway(echo: int, tmp_path: Path) -> Iterator[GatewayProcess]:
    with gateway_process(config(echo), tmp_path) as process:
        wait_until(lambda: ready(process), 20, "readiness")
        yield process


def admin(gateway: GatewayProcess) -> httpx.Client:
    """A client with the admin token, once the gateway is ready."""
    wait_until(lambda: ready(gateway), 20, "readiness")
    headers = {"authorization": f"Bearer {gateway.admin_token}"}
    return httpx.Client(base_url=gateway.admin_url, headers=headers, timeout=10)


def whole(gateway: GatewayProcess, port: int, routes: str = "echo", more: str = "") -> str:
    """A whole configuration for this gateway, to be applied."""
    head = (gateway.directory / "spork.yaml").read_text().split("upstreams:")[0]
    return head + config(port, routes, more)


class Load:
    """Requests at a rate from a thread; counts what came back. A path is taken from `paths` in turn."""

    def __init__(self, gateway: GatewayProcess, rate: float, paths: tuple[str, ...] = ("/echo/x",)) -> None:
        self.answers: dict[object, int] = {}
        self._gateway = gateway
        self._every = 1 / rate
        self._paths = paths
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    async def _run(self) -> None:
        """Eight keep-alive connections that take turns."""
        turns = asyncio.Queue[str]()
        workers = [asyncio.create_task(self._worker(turns)) for _ in range(8)]
        due = time.monotonic()
        number = 0
        while not self._stop.is_set():
            turns.put_nowait(self._paths[number % len(self._paths)])
            number += 1
            due += self._every
            await asyncio.sleep(max(0.0, due - time.monotonic()))
        for _ in workers:
            turns.put_nowait("")
        await asyncio.gather(*workers)

    async def _worker(self, turns: asyncio.Queue[str]) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._gateway.port)
        while path := await turns.get():
            answer: object
            try:
                writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
                head = await reader.readuntil(b"\r\n\r\n")
                fields = dict(line.split(b": ", 1) for line in head.lower().split(b"\r\n")[1:] if b": " in line)
                await reader.readexactly(int(fields.get(b"content-length", b"0")))
                answer = int(head.split(b" ", 2)[1])
            except (OSError, EOFError) as error:
                answer = type(error).__name__
                reader, writer = await asyncio.open_connection("127.0.0.1", self._gateway.port)
            self.answers[answer] = self.answers.get(answer, 0) + 1
        writer.close()


def test_a_thousand_swaps_under_load_fail_no_request_and_leak_no_memory(gateway: GatewayProcess, echo: int) -> None:
    process = psutil.Process(gateway.process.pid)
    texts = [whole(gateway, echo, "echo one"), whole(gateway, echo, "echo two three")]
    sizes: list[int] = []
    with admin(gateway) as client, Load(gateway, 200) as load:
        for number in range(1000):
            done = client.put("/admin/v1/config", content=texts[number % 2])
            assert done.status_code == 200, done.text
            if number in (300, 999):
                sizes.append(process.memory_info().rss)
        seen = client.get("/metrics/json").json()["metrics"]["gateway_config_reloads_total"]["samples"]
    assert list(load.answers) == [200]
    assert load.answers[200] > 500
    assert {"labels": {"result": "applied"}, "value": 1000.0} in seen
    assert sizes[1] - sizes[0] < 12 * 1024 * 1024, sizes


def test_a_route_serves_the_moment_its_apply_is_answered(gateway: GatewayProcess, echo: int) -> None:
    with admin(gateway) as client, httpx.Client(base_url=gateway.url) as caller:
        for number in range(20):
            assert caller.get(f"/new{number}/x").status_code == 404
            done = client.put("/admin/v1/config?note=n", content=whole(gateway, echo, f"echo new{number}")).json()
            assert done["applied"] is True
            assert done["blast"].startswith("Routes: 1 added")
            assert caller.get(f"/new{number}/x").status_code == 200


def test_a_broken_file_loses_nothing_and_is_shown_at_its_line(gateway: GatewayProcess, echo: int) -> None:
    path = gateway.directory / "spork.yaml"
    good = path.read_text()
    with admin(gateway) as client, Load(gateway, 100) as load:
        before = client.get("/admin/v1/config").json()["revision"]
        path.write_text(good + "  - {name: bad, match: {path: /bad/*}, upstream: nowhere}\n")
        wait_until(lambda: client.get("/admin/v1/config").json()["problems"], 10, "the problem")
        view = client.get("/admin/v1/config").json()
        refused = client.post("/admin/v1/config/reload", json={})
        wait_until(lambda: client.get("/admin/v1/events?kind=config").json()["items"], 10, "the event")
        events = client.get("/admin/v1/events?kind=config").json()["items"]
    assert list(load.answers) == [200]
    assert view["revision"] == before
    line = good.count("\n") + 1
    assert (view["problems"][0]["line"], view["problems"][0]["path"]) == (line, "routes[1].upstream")
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["line"] == line
    assert events[0]["kind"] == "config.refused"


def test_the_file_is_watched_and_sighup_reads_it_at_once(gateway: GatewayProcess, echo: int) -> None:
    path = gateway.directory / "spork.yaml"
    with httpx.Client(base_url=gateway.url) as caller, admin(gateway) as client:
        path.write_text(whole(gateway, echo, "echo watched"))
        wait_until(lambda: caller.get("/watched/x").status_code == 200, 10, "the watched file")
        path.write_text(whole(gateway, echo, "echo hup"))
        os.kill(gateway.process.pid, signal.SIGHUP)
        wait_until(lambda: caller.get("/hup/x").status_code == 200, 10, "SIGHUP")
        authors = [r["author"] for r in client.get("/admin/v1/config/history").json()["items"]]
    assert authors[0] in ("SIGHUP", "file watch")
    assert authors[-1] == "start"


def test_history_and_rollback(gateway: GatewayProcess, echo: int) -> None:
    with admin(gateway) as client, httpx.Client(base_url=gateway.url) as caller:
        first = client.get("/admin/v1/config").json()["revision"]
        client.put("/admin/v1/config?note=bigger", content=whole(gateway, echo, "echo more"))
        assert caller.get("/more/x").status_code == 200
        view = client.get("/admin/v1/config").json()
        assert "+    match" not in view["diff_previous"].split("\n")[0]
        assert "name: more" in view["diff_previous"]
        assert [r["note"] for r in view["history"]] == ["bigger", ""]
        dry = client.post("/admin/v1/config/rollback?dry_run=true", json={"revision": first}).json()
        assert (dry["applied"], dry["after"]) == (False, f"revision {first}")
        done = client.post("/admin/v1/config/rollback", json={"revision": first, "reason": "INC-9"})
        assert done.status_code == 200, done.text
        assert caller.get("/more/x").status_code == 404
        assert client.get("/admin/v1/config").json()["history"][0]["source"] == "rollback"
        assert client.post("/admin/v1/config/rollback", json={"revision": "nope"}).status_code == 404


def test_the_generated_token_is_private_and_needed(gateway: GatewayProcess) -> None:
    path = gateway.directory / ".spork" / "admin-token"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(gateway.admin_token) > 40
    assert httpx.get(f"{gateway.admin_url}/admin/v1/snapshot").status_code == 401
    assert gateway.admin_token not in gateway.log()


def test_every_access_log_line_is_json_whatever_came(gateway: GatewayProcess) -> None:
    import socket

    hostile = [
        b"GET /echo/%22%7B%E2%80%A8%1b?x=1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b'GET /echo/"{} HTTP/1.1\r\nHost: a\r\n\r\n',
        b'GET /echo/ok HTTP/1.1\r\nHost: a\r\nUser-Agent: \xff\xfe"\\\r\n\r\n',
        b"GET /echo/spk_abc_SECRETSECRETSECRET/eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln HTTP/1.1\r\nHost: a\r\n\r\n",
    ]
    for request in hostile:
        with socket.create_connection(("127.0.0.1", gateway.port)) as connection:
            connection.sendall(request)
            connection.settimeout(2)
            with contextlib.suppress(TimeoutError):
                connection.recv(65536)
    wait_until(lambda: "/echo/ok" in gateway.log() and "spk_abc_" in gateway.log(), 5, "the access log")
    lines = [json.loads(line) for line in gateway.log().splitlines() if line.startswith("{")]
    assert any(line.get("path") == "/echo/spk_abc_[redacted]/[redacted]" for line in lines)
    assert "SECRETSECRET" not in gateway.log()


def test_two_gateways_and_one_redis_add_up_and_a_stopped_one_is_silent(echo: int, tmp_path: Path) -> None:
    with redis_process() as redis:
        text = config(echo, more=f"shared: {redis.url}\n")
        with gateway_process(text, tmp_path / "a") as one, gateway_process(text, tmp_path / "b") as two:
            with admin(one) as client, admin(two) as other:
                wait_until(lambda: client.get("/admin/v1/services").json()["nodes"]["seen"] == 2, 10, "both nodes")
                for gateway, count in ((one, 10), (two, 20)):
                    with httpx.Client(base_url=gateway.url) as caller:
                        for _ in range(count):
                            assert caller.get("/echo/x").status_code == 200

                def hits(of: httpx.Client) -> int:
                    return int(of.get("/admin/v1/routes").json()["items"][0]["hits"])

                wait_until(lambda: hits(client) == 30 and hits(other) == 30, 10, "sums over both nodes")

                new = whole(one, echo, "echo fresh", f"shared: {redis.url}\n")
                done = client.put("/admin/v1/config", content=new)
                assert done.status_code == 200, done.text
                assert "not yet" not in done.json()["after"]
                assert httpx.get(f"{two.url}/fresh/x").status_code == 200

                two.process.send_signal(signal.SIGSTOP)
                try:
                    wait_until(lambda: client.get("/admin/v1/services").json()["nodes"]["silent"], 20, "silence")
                    nodes: dict[str, Any] = client.get("/admin/v1/services").json()["nodes"]
                    assert (nodes["seen"], nodes["total"]) == (1, 2)
                    assert nodes["silent"][0].endswith(f":{two.port}")
                    assert hits(client) == 10
                finally:
                    two.process.send_signal(signal.SIGCONT)
                wait_until(lambda: client.get("/admin/v1/services").json()["nodes"]["seen"] == 2, 10, "its return")
            two.terminate()
            with admin(one) as client:
                wait_until(lambda: client.get("/admin/v1/services").json()["nodes"]["total"] == 1, 10, "its leave")


def test_writes_are_audited_exported_and_verified(gateway: GatewayProcess) -> None:
    with admin(gateway) as client:
        done = client.post("/admin/v1/breakers/echo/trip", json={"reason": "INC-3", "ttl": 60}).json()
        client.post("/admin/v1/breakers/echo/reset", json={"reason": "over"})
        refused = httpx.get(f"{gateway.admin_url}/admin/v1/audit", headers={"authorization": "Bearer guess"})
        assert refused.status_code == 401
        wait_until(lambda: len(client.get("/admin/v1/audit").json()["items"]) == 3, 5, "three records")
        records = client.get("/admin/v1/audit").json()["items"]
        assert records[0]["id"] == done["audit_id"]
        assert [r["action"] for r in records] == ["breaker.trip", "breaker.reset", "admin.refused"]
        assert (records[0]["before"], records[0]["after"], records[0]["reason"]) == ("closed", "forced_open", "INC-3")
        verdict = client.get("/admin/v1/audit/verify").json()["item"]
        assert (verdict["whole"], verdict["number"]) == (True, 3)
        exported = client.get("/admin/v1/audit/export?format=jsonl").text.splitlines()
        assert [json.loads(line)["number"] for line in exported] == [1, 2, 3]
        as_csv = client.get("/admin/v1/audit/export?format=csv")
        assert as_csv.text.count("\r\n") == 4 and as_csv.headers["content-type"] == "text/csv; charset=utf-8"
        assert client.post("/admin/v1/subjects/alice/erase", json={"reason": "asked"}).status_code == 200
        assert client.get("/admin/v1/audit/verify").json()["item"]["whole"] is True


def test_usage_is_kept_per_consumer_route_and_hour(gateway: GatewayProcess) -> None:
    with admin(gateway) as client, httpx.Client(base_url=gateway.url) as caller:
        for _ in range(7):
            caller.get("/echo/x")
        rows = client.get("/admin/v1/usage").json()["items"]
        assert [(r["route"], r["requests"], r["units"]) for r in rows] == [("echo", 7, 7)]
        lines = client.get("/admin/v1/usage/export?format=csv").text.splitlines()
    assert lines[0].startswith("hour,consumer,route,requests")
    assert lines[1].split(",")[2:4] == ["echo", "7"]


def test_health_in_detail_has_a_verdict_and_a_latency_for_each_component(gateway: GatewayProcess) -> None:
    body = httpx.get(f"{gateway.admin_url}/health/detailed").json()
    named = {component["name"]: component for component in body["components"]}
    assert {"event_loop", "configuration", "disk", "access_log", "upstreams", "records"} <= named.keys()
    assert named["records"]["status"] == "ok"
    assert named["records"]["latency_ms"] > 0
    assert body["status"] in ("ok", "degraded")


def test_two_workers_answer_as_one(echo: int, tmp_path: Path) -> None:
    """Whichever worker is asked: metrics of both, the routes of an apply on both, and a drain on both."""
    with redis_process() as redis:
        text = config(echo, more=f"shared: {redis.url}\n")
        with gateway_process(text, tmp_path, "--workers", "2") as gateway, admin(gateway) as client:
            wait_until(lambda: client.get("/admin/v1/services").json()["nodes"]["seen"] == 2, 20, "both workers")
            for _ in range(40):
                assert httpx.get(f"{gateway.url}/echo/x").status_code == 200

            def counted() -> bool:
                text = httpx.get(f"{gateway.admin_url}/metrics").text
                return (
                    'gateway_requests_total{method="GET",route="echo",status="200"} 40.0' in text
                    and "gateway_workers 2.0" in text
                )

            for _ in range(4):
                wait_until(counted, 10, "metrics of both workers")
            new = whole(gateway, echo, "echo both", f"shared: {redis.url}\n")
            assert client.put("/admin/v1/config", content=new).status_code == 200
            assert [httpx.get(f"{gateway.url}/both/x").status_code for _ in range(10)] == [200] * 10
            path = f"/admin/v1/targets/echo/127.0.0.1:{echo}/drain"
            assert client.post(path, json={"reason": "x", "ttl": 60}).status_code == 200
            wait_until(
                lambda: [httpx.get(f"{gateway.url}/echo/x").status_code for _ in range(8)] == [503] * 8, 10, "drain"
            )


def test_an_open_stream_does_not_hold_up_shutdown(echo: int, tmp_path: Path) -> None:
    text = config(echo, more="edge: {drain_delay: 100ms, grace: 20s}\n")
    with gateway_process(text, tmp_path) as gateway, admin(gateway) as client:
        with client.stream("GET", "/admin/v1/stream?topics=pulse") as stream:
            lines = stream.iter_lines()
            assert next(lines) == "retry: 1000"
            wait_until(lambda: "tick" in next(lines), 10, "a tick")
            began = time.monotonic()
            gateway.process.terminate()
            for _ in lines:
                pass
        assert gateway.process.wait(15) == 0
        assert time.monotonic() - began < 15, "not the whole grace"
