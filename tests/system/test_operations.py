"""What docs/operations.md promises operators of a running gateway: its logs, Server-Timing, quarantine."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import httpx

from tests.servers import GatewayProcess, free_port, gateway_process, python_env, ready, wait_until
from tests.targets import Target, killable


def asked(url: str, **more: Any) -> httpx.Response:
    return httpx.get(url, timeout=10, trust_env=False, **more)


def durations(answer: httpx.Response) -> list[tuple[str, float]]:
    """The entries of Server-Timing: phase and milliseconds."""
    entries = [entry.split(";dur=") for entry in answer.headers["server-timing"].split(", ")]
    return [(phase, float(took)) for phase, took in entries]


# ------------------------------------------------------------------------------------------------------- Server-Timing


async def test_server_timing_is_opt_in_and_has_one_entry_per_phase(tmp_path: Path) -> None:
    config = (
        "upstreams: {{users: {{targets: ['{url}']}}}}\n"
        "routes:\n"
        "  - {{name: timed, match: /timed/*, upstream: users, server_timing: true, limits: [{{quota: 2, per: 1h}}]}}\n"
        "  - {{name: plain, match: /plain/*, upstream: users, limits: [{{quota: 9, per: 1h}}]}}\n"
    )
    async with (
        Target(lambda path: (200, 0.05)).up() as target,
        httpx.AsyncClient(timeout=10, trust_env=False) as caller,
    ):
        with gateway_process(config.format(url=target.url), tmp_path) as gateway:
            assert "server-timing" not in (await caller.get(f"{gateway.url}/plain/1")).headers
            for _ in range(2):
                entries = durations(await caller.get(f"{gateway.url}/timed/1"))
                took = dict(entries)
                assert [phase for phase, _ in entries] == ["limits", "send", "gateway", "total"]
                assert took["send"] >= 49.0, "the target took fifty milliseconds"
                assert max(took.values()) == took["total"]
            refused = await caller.get(f"{gateway.url}/timed/1")
            assert refused.status_code == 429
            assert [phase for phase, _ in durations(refused)] == ["limits", "gateway", "total"], "nothing was sent"


# ---------------------------------------------------------------------------------------------------------- quarantine


def spork_check(folder: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "spork.cli", "check"],
        cwd=folder,
        env=python_env(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.returncode, done.stdout + done.stderr


def test_a_broken_include_is_left_out_said_and_taken_back_when_mended(tmp_path: Path) -> None:
    with killable(1) as [(port, _)]:
        upstream = f"{{targets: ['http://127.0.0.1:{port}']}}"
        (tmp_path / "good.yaml").write_text(
            f"upstreams: {{good: {upstream}}}\nroutes: [{{name: good, match: /good, upstream: good}}]\n"
        )
        mended = f"upstreams: {{bad: {upstream}}}\nroutes: [{{name: bad, match: /bad, upstream: bad}}]\n"
        (tmp_path / "bad.yaml").write_text(mended.replace("upstream: bad", "upstream: bda"))
        with gateway_process("quarantine: true\ninclude: [good.yaml, bad.yaml]\n", tmp_path) as gateway:
            assert asked(f"{gateway.url}/good").status_code == 200
            assert asked(f"{gateway.url}/bad").status_code == 404
            ready = asked(f"{gateway.admin_url}/ready")
            assert ready.status_code == 200
            assert ready.json()["remarks"] == ["parts of the configuration have errors and are left out"]
            code, said = spork_check(tmp_path)
            assert code == 0
            assert "bad.yaml:2" in said
            assert "this file is left out" in said
            (tmp_path / "bad.yaml").write_text(mended)
            gateway.process.send_signal(signal.SIGHUP)
            wait_until(lambda: asked(f"{gateway.url}/bad").status_code == 200, 15, "the mended file's route")
            assert "remarks" not in asked(f"{gateway.admin_url}/ready").json()
            assert "left out" not in spork_check(tmp_path)[1]


# ------------------------------------------------------------------------------------------------------------- logging


def lines(gateway: GatewayProcess) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gateway.log().splitlines() if line.startswith("{")]


def levels(gateway: GatewayProcess) -> list[str]:
    """Of the application's log lines, in their order."""
    return [line["level"] for line in lines(gateway) if "logger" in line]


def test_level_and_fields_change_while_it_runs(tmp_path: Path) -> None:
    def change(gateway: GatewayProcess, **wanted: Any) -> int:
        answer = httpx.post(
            f"{gateway.admin_url}/admin/v1/logging",
            json=wanted,
            headers={"authorization": f"Bearer {gateway.admin_token}"},
            timeout=10,
            trust_env=False,
        )
        return answer.status_code

    with killable(1) as [(port, _)]:
        config = (
            f"upstreams: {{users: {{targets: ['http://127.0.0.1:{port}'], probe: {{every: 200ms, timeout: 200ms}}}}}}\n"
            "routes: [{name: users, match: /users/*, upstream: users}]\n"
        )
        with gateway_process(config, tmp_path) as gateway:

            def reload(text: str, status: int) -> None:
                path = tmp_path / "spork.yaml"
                path.write_text(path.read_text().replace("match: /users/*", "match: " + text))
                gateway.process.send_signal(signal.SIGHUP)
                wait_until(lambda: asked(f"{gateway.url}/users/1").status_code == status, 15, f"the route at {text}")

            def in_force() -> int:
                return sum("in force" in str(line.get("event")) for line in lines(gateway))

            assert "debug" not in levels(gateway)
            assert in_force() == 1
            assert change(gateway, level="debug") in (200, 201)
            wait_until(lambda: "debug" in levels(gateway), 15, "a line that is only for debugging")
            assert change(gateway, level="warning") in (200, 201)
            reload("/new/*", 404)
            assert change(gateway, level="info") in (200, 201)
            path = tmp_path / "spork.yaml"
            path.write_text(path.read_text().replace("/new/*", "/users/*"))
            gateway.process.send_signal(signal.SIGHUP)
            wait_until(lambda: asked(f"{gateway.url}/users/1").status_code == 200, 15, "the first route again")
            wait_until(lambda: in_force() == 2, 15, "the line about the second reload; the first came under warning")
            assert change(gateway, fields=["status", "path"]) in (200, 201)
            asked(f"{gateway.url}/users/42")
            wait_until(lambda: {"status": 200, "path": "/users/42"} in lines(gateway), 15, "a line of these two fields")
            assert change(gateway, fields=["nonsense"]) == 422
            assert change(gateway, level="loud") in (400, 422)


def test_the_log_tells_of_health_and_of_the_end_as_fields_of_its_lines(tmp_path: Path) -> None:
    with killable(1) as [(port, server)]:
        config = (
            f"upstreams: {{users: {{targets: ['http://127.0.0.1:{port}'], probe: {{every: 300ms, timeout: 300ms, fall: 1}}}}}}\n"
            "routes: [{name: users, match: /users/*, upstream: users}]\n"
        )
        with gateway_process(config, tmp_path) as gateway:

            def told(event: str) -> list[dict[str, Any]]:
                return [line for line in lines(gateway) if line.get("event") == event]

            wait_until(lambda: told("target.up"), 15, "the first verdict")
            server.kill()
            wait_until(lambda: told("upstream.down"), 15, "what became of it")
            down = told("target.down")[0]
            assert (down["level"], down["subject"]) == ("warning", f"users/127.0.0.1:{port}")
            assert down["source"].endswith(f":{gateway.port}")
            assert told("upstream.down")[0]["level"] == "error"
            assert gateway.terminate() == 0
            assert [line["event"] for line in lines(gateway)][-2:] == [
                "shutdown has begun: readiness fails, what is in flight goes on", "ended",
            ]  # fmt: skip


def test_a_reader_of_standard_error_that_is_stuck_costs_no_request(tmp_path: Path) -> None:
    """The application's log goes to a pipe that nobody reads and that is soon full; what waited is written afterwards."""
    port, admin_port = free_port(), free_port()
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    config = tmp_path / "spork.yaml"
    config.write_text(
        f"listen: 127.0.0.1:{port}\nadmin: {{listen: 127.0.0.1:{admin_port}}}\nstate_dir: {tmp_path}/.spork\n"
        "access_log: off\nedge: {drain_delay: 0s}\nexpose: [health]\n"
        "consumers: {acme: {}}\nupstreams: {users: {targets: ['http://127.0.0.1:9']}}\n"
        "routes: [{name: users, match: /users/*, upstream: users, auth: {any_of: [api_key]}}]\n"
    )
    command = [sys.executable, "-m", "spork.cli", "serve", "-c", str(config)]
    gateway = subprocess.Popen(command, stderr=write_end, env=python_env(), cwd=tmp_path)
    os.close(write_end)
    try:
        wait_until(lambda: gateway.poll() is not None or ready(admin_port), 60, "spork serve")

        def guess() -> int:
            key = {"x-api-key": "spk_guess_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
            return asked(f"http://127.0.0.1:{port}/users/1", headers=key).status_code

        def reload_until_full() -> bool:
            gateway.send_signal(signal.SIGHUP)
            assert guess() in (401, 429)
            return waiting(read_end) > 3600

        wait_until(reload_until_full, 30, "a full pipe")
        for _ in range(20):
            reload_until_full()
            assert asked(f"http://127.0.0.1:{port}/health").status_code == 200
        assert waiting(read_end) <= 4096
        said = b""
        while not said.count(b"auth.failed") >= 20:
            said += os.read(read_end, 65536)
        gateway.terminate()
        while more := os.read(read_end, 65536):
            said += more
        assert gateway.wait(15) == 0
    finally:
        os.close(read_end)
        if gateway.poll() is None:
            gateway.kill()
            gateway.wait()
    lines_said = [json.loads(line) for line in said.splitlines() if line.startswith(b"{")]
    assert {line["event"] for line in lines_said} >= {"auth.failed"}


def waiting(pipe: int) -> int:
    """Bytes that nobody has read yet."""
    return int.from_bytes(fcntl.ioctl(pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
