"""The `spork` command as people type it: demo, serve, check, and what it says when something is wrong."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import httpx
import pytest

from tests.servers import ROOT, free_port, gateway_process, listening, python_env, wait_until
from tests.system.raw import OK, Client, Visit, ask, raw_target

GET = b"GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n"


def spork(*args: str, cwd: Path = ROOT, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "spork.cli", *args],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=python_env(**env),
        timeout=60,
    )


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def children_of(pid: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == pid:
                found += [int(entry.name), *children_of(int(entry.name))]
    return found


# ---------------------------------------------------------------------------------------------------------------- demo


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP], ids=lambda end: end.name)
def test_demo_answers_through_the_gateway_and_leaves_nothing_behind(end: signal.Signals) -> None:
    port, admin = free_port(), free_port()
    command = [sys.executable, "-m", "spork.cli", "demo", "--port", str(port), "--admin-port", str(admin)]
    demo = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=python_env(), start_new_session=True
    )
    try:
        wait_until(lambda: demo.poll() is not None or listening(port), 40, "spork demo")
        status, body = get(f"http://127.0.0.1:{port}/api/v1/users")
        assert (status, json.loads(body)[0]["name"]) == (200, "Ada")
        assert get(f"http://127.0.0.1:{port}/api/v1/products/1")[0] == 200
        head = httpx.head(f"http://127.0.0.1:{port}/api/v1/users", trust_env=False)  # what `curl -I` asks
        assert (head.status_code, head.content, int(head.headers["content-length"])) == (200, b"", len(body))
        echoed = json.loads(get(f"http://127.0.0.1:{port}/echo/hello?x=1")[1])
        assert echoed["path"] == "/hello?x=1"
        assert get(f"http://127.0.0.1:{admin}/ready")[0] == 200
        family = children_of(demo.pid)
        assert len(family) >= 2
        # Ctrl-C and a closing terminal reach the whole foreground group; who stops a process, only that one.
        os.kill(demo.pid, end) if end is signal.SIGTERM else os.killpg(demo.pid, end)
        output = demo.communicate(timeout=30)[0]
        assert demo.returncode == 0, output
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in family), 10, "children being gone")
        assert "Traceback" not in output
        assert f"curl http://127.0.0.1:{port}/api/v1/users" in output
        state = next(word.rstrip(")") for word in output.split() if word.endswith("/admin-token)"))
        assert not Path(state).parent.exists()
    finally:
        if demo.poll() is None:
            os.killpg(demo.pid, signal.SIGKILL)
            demo.wait()


def test_demo_says_which_port_is_taken_and_what_to_type() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = spork("demo", "--port", str(port))
    assert result.returncode == 1
    assert f"127.0.0.1:{port} is in use" in result.stderr
    assert "spork demo --port" in result.stderr


# --------------------------------------------------------------------------------------------------------------- serve


def test_serve_says_which_port_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "spork.yaml").write_text(f"listen: 127.0.0.1:{port}\nadmin: {{listen: 127.0.0.1:{free_port()}}}\n")
        result = spork("serve", cwd=tmp_path)
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.stderr
    assert "Traceback" not in result.stderr


def test_several_workers_are_refused_when_memory_cannot_be_shared(tmp_path: Path) -> None:
    (tmp_path / "spork.yaml").write_text(
        "upstreams: {u: {targets: [http://127.0.0.1:1]}}\n"
        "routes: [{name: r, match: {path: /*}, upstream: u, limits: [{quota: 5, per: 1m}]}]\n"
    )
    result = spork("serve", "--workers", "2", cwd=tmp_path)
    assert result.returncode == 1
    assert "limits are counted across processes (routes: r)" in result.stderr
    assert "shared: redis://" in result.stderr


def test_check_shows_errors_at_their_place_and_exits_1(tmp_path: Path) -> None:
    (tmp_path / "spork.yaml").write_text(
        "upstreams: {users: {targets: [http://127.0.0.1:1]}}\nroutes:\n  - match: {path: /*}\n    upstream: usres\n"
    )
    result = spork("check", cwd=tmp_path)
    assert result.returncode == 1
    assert "spork.yaml:4:15" in result.stderr
    assert 'did you mean "users"?' in result.stderr


@pytest.mark.parametrize("word", ["chekc", "srve"])
def test_a_mistyped_command_gets_a_suggestion(word: str) -> None:
    result = spork(word)
    assert result.returncode == 2
    assert f'no command "{word}"' in result.stderr
    assert "Did you mean" in result.stderr


def test_environment_alone_makes_a_gateway(tmp_path: Path) -> None:
    with raw_target() as target:
        environ = {"USERS_SERVICE_URL": target.url, "UPSTREAM_PRODUCTS_V1": target.url + "/api/v1/products"}
        with gateway_process("", tmp_path, **environ) as gateway:
            assert ask(gateway.port, b"GET /api/v1/users/7 HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
            assert ask(gateway.port, b"GET /api/products/8 HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
            assert ask(gateway.port, b"GET /api/v1/products/9 HTTP/1.1\r\nHost: a\r\n\r\n")[0] == 200
        lines = [request.split(b"\r\n")[0] for request in target.requests]
    assert lines == [
        b"GET /api/v1/users/7 HTTP/1.1",
        b"GET /api/v1/products/8 HTTP/1.1",
        b"GET /api/v1/products/9 HTTP/1.1",
    ]


CONFIG = """
access_log: "off"
upstreams: {{u: {{targets: ["{url}"]}}}}
routes: [{{name: r, match: {{path: /*}}, upstream: u}}]
"""


def test_sigterm_drains_finishes_what_is_in_flight_and_exits_0(tmp_path: Path) -> None:
    def slow(visit: Visit) -> None:
        visit.read_request()
        wait_until(lambda: asked_to_end, 10, "the signal")
        visit.sock.settimeout(0.4)
        visit.closed_by_peer(0.4)
        visit.send(OK)

    asked_to_end: list[bool] = []
    with raw_target(slow) as target:
        with gateway_process(CONFIG.format(url=target.url), tmp_path, SPORK_EDGE__DRAIN_DELAY="1s") as gateway:
            with Client(gateway.port) as client:
                client.send(GET)
                wait_until(lambda: target.requests, 5, "the request at the target")
                gateway.process.terminate()
                wait_until(lambda: get(f"{gateway.url}/ready")[0] == 503, 5, "readiness to fail")
                assert get(f"{gateway.url}/health")[0] == 200  # still accepting
                asked_to_end.append(True)
                head, body = client.read_answer()
                assert head.startswith(b"HTTP/1.1 200")
                assert b"connection: close" in head.lower()
                assert body == b"ok"
            assert gateway.process.wait(10) == 0
            assert "Traceback" not in gateway.log()


def test_sighup_reloads_and_a_broken_file_keeps_the_last_good_one(tmp_path: Path) -> None:
    with raw_target() as target:
        with gateway_process(CONFIG.format(url=target.url), tmp_path) as gateway:
            assert ask(gateway.port, GET)[0] == 200
            path = tmp_path / "spork.yaml"
            good = path.read_text()
            path.write_text(good.replace("path: /*", "path: /new/*"))
            gateway.process.send_signal(signal.SIGHUP)
            wait_until(lambda: ask(gateway.port, GET)[0] == 404, 10, "the new configuration")
            path.write_text("routes: [{nonsense: 1}]\n")
            gateway.process.send_signal(signal.SIGHUP)
            wait_until(lambda: "nonsense" in gateway.log(), 10, "the error in the log")
            assert ask(gateway.port, GET.replace(b"/x", b"/new/x"))[0] == 200


def test_two_workers_serve_one_port_and_a_dead_one_comes_back(tmp_path: Path) -> None:
    with raw_target() as target:
        with gateway_process(CONFIG.format(url=target.url), tmp_path, "--workers", "2") as gateway:
            wait_until(lambda: len(children_of(gateway.process.pid)) == 2, 10, "two workers")
            first = children_of(gateway.process.pid)[0]
            os.kill(first, signal.SIGKILL)
            wait_until(
                lambda: len(children_of(gateway.process.pid)) == 2 and first not in children_of(gateway.process.pid),
                10,
                "a new worker",
            )
            for _ in range(20):
                assert ask(gateway.port, GET)[0] == 200
            assert gateway.terminate() == 0


def test_records_that_cannot_be_reached_are_one_sentence(tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "spork.yaml").write_text(
        f"listen: 127.0.0.1:{free_port()}\nadmin: {{listen: 127.0.0.1:{free_port()}}}\n"
        f"records: postgresql://nobody:secret@127.0.0.1:{port}/spork\n"
    )
    result = spork("serve", cwd=tmp_path)
    assert result.returncode == 1
    assert f"127.0.0.1:{port}/spork cannot be opened" in result.stderr
    assert "secret" not in result.stderr
    assert "Traceback" not in result.stderr
