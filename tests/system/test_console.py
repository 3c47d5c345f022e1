"""The console on a real gateway process: what it shows is what curl would see, and what it does, the gateway does."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import os
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Button

from spork.console.gateway.faults import AccessDenied
from spork.console.session import feed as feeding
from tests.servers import GatewayProcess, free_port, gateway_process, python_env, redis_process, wait_until
from tests.unit.console.driving import console
from tests.unit.console.test_dialogs import confirm, dialog, fill


class Service(http.server.BaseHTTPRequestHandler):
    """Answers 200, or the status its path names after /fail/."""

    def do_GET(self) -> None:
        parts = self.path.split("/fail/")
        self.send_response(int(parts[1][:3]) if len(parts) > 1 else 200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def service() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Service)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


def config(port: int) -> str:
    return f"""
upstreams:
  users:
    targets: [http://127.0.0.1:{port}]
    breaker: {{window: 10s, min_requests: 5, failure_ratio: 0.5, open_for: 60s}}
  geo: {{targets: [http://127.0.0.1:{port}]}}
routes:
  - {{name: users, match: {{path: /users/*}}, upstream: users, limits: [{{name: per-ip, quota: 10000, per: 1m, by: ip}}]}}
  - {{name: geo, match: {{path: /geo/*}}, upstream: geo}}
"""


@pytest.fixture
def gateway(service: int, tmp_path: Path) -> Iterator[GatewayProcess]:
    with gateway_process(config(service), tmp_path) as process:
        ready(process)
        wait_until(lambda: (tmp_path / ".spork" / "admin-token").exists(), 30, "the admin token")
        yield process


def ready(gateway: GatewayProcess) -> None:
    """Its sockets listen before it answers: wait for the first answer, however slow the machine is."""
    wait_until(lambda: curl(gateway.url + "/geo/ready") == 200, 30, "the first answer")


class Admin:
    """What `console()` needs to know of a gateway: its admin URL."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self.url = gateway.admin_url


def curl(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=20) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


async def ask(gateway: GatewayProcess, path: str, times: int = 1) -> list[int]:
    return [await asyncio.to_thread(curl, gateway.url + path) for _ in range(times)]


def on(gateway: GatewayProcess, **more: object):  # type: ignore[no-untyped-def]
    token = more.pop("token", None) or gateway.admin_token
    return console(Admin(gateway), token=token, **more)  # type: ignore[arg-type]


async def test_every_screen_reads_the_real_api(gateway: GatewayProcess) -> None:
    await ask(gateway, "/users/1", 3)
    async with on(gateway) as running:
        for key, words in (
            ("2", ("users", "geo")),
            ("3", ("users", "CLOSED")),
            ("4", ("per-ip",)),
            ("5", ("/users/*", "/geo/*")),
            ("6", ("/users/1", "200")),
            ("7", ("KIND",)),
            ("8", ("running",)),
            ("1", ("Attention",)),
        ):
            await running.open(key, *words)
        for line in ("targets", "limits", "consumers", "keys", "sessions"):
            await running.command(line)
            await running.pilot.pause(0.3)
        faults = {name: str(shelf.fault) for name, shelf in running.store.shelves.items() if shelf.fault is not None}
        assert not faults
        await running.command("explain GET /users/1")
        await running.shows("MATCHES users")


async def test_a_breaker_tripped_in_the_console_refuses_curl_and_a_reset_lets_it_through(
    gateway: GatewayProcess,
) -> None:
    assert await ask(gateway, "/users/1") == [200]
    async with on(gateway, write=True) as running:
        await running.open("3", "users", "CLOSED")
        await running.press("T")
        shown = await dialog(running)
        assert shown.focused is shown.query_one("#cancel", Button)
        await fill(running, reason="incident 4411", ttl="5m")
        await confirm(running)
        await running.shows("APPLIED trip", "! FORCED", "audit")
        await running.until(lambda: not running.store.pending, "the stream's confirmation")
        assert await ask(gateway, "/users/1") == [503]
        assert await ask(gateway, "/geo/1") == [200]
        await running.open("7", "operator.breaker", "breaker users", "closed -> forced_o")
        await running.open("3", "FORCED")
        await running.press("R")
        await dialog(running)
        await running.press("y")
        await running.shows("APPLIED reset", "CLOSED")
        assert await ask(gateway, "/users/1") == [200]


async def test_a_breaker_that_opens_by_itself_is_seen(gateway: GatewayProcess) -> None:
    async with on(gateway) as running:
        await running.open("3", "users", "CLOSED")
        await ask(gateway, "/users/fail/503", 8)
        await running.shows("x OPEN")
        await running.press("1")
        await running.shows("x OPEN", "breaker")
        await running.open("6", "breaker_open")


async def test_stopped_is_down_with_ages_and_started_is_live_without_a_key(
    service: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "BACKOFF_MOST", 0.5)
    port, admin_port = free_port(), free_port()
    with gateway_process(config(service), tmp_path, port=port, admin_port=admin_port) as first:
        running_console = on(first)
        running = await running_console.__aenter__()
        try:
            await running.open("3", "users", "LIVE sse")
            await asyncio.to_thread(first.process.kill)
            await running.shows("DOWN", "retry in")
            await running.shows("users")
            second = await asyncio.to_thread(start_again, first)
            try:
                await running.shows("LIVE sse", seconds=20)
            finally:
                second.kill()
                second.wait()
        finally:
            await running_console.__aexit__(None, None, None)


def start_again(gateway: GatewayProcess, **env: str) -> subprocess.Popen[bytes]:
    args = [sys.executable, "-m", "spork.cli", "serve", "-c", str(gateway.directory / "spork.yaml")]
    return subprocess.Popen(
        args, env=python_env(**env), cwd=gateway.directory, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


async def test_a_frozen_gateway_grows_stale_and_the_keys_live_on(gateway: GatewayProcess) -> None:
    async with on(gateway) as running:
        await running.open("3", "users", "LIVE sse")
        os.kill(gateway.process.pid, signal.SIGSTOP)
        try:
            await running.shows("LAG")
            await running.shows("STALE")
            await running.open("5", "/users/*")
        finally:
            os.kill(gateway.process.pid, signal.SIGCONT)
        await running.shows("LIVE sse", seconds=30)


async def test_a_wrong_token_is_said(gateway: GatewayProcess) -> None:
    async with on(gateway, token="wrong", wait=False) as running:
        await running.shows("UNAUTHENTICATED")


async def test_a_token_without_the_role_may_look_and_nothing_else(service: int, tmp_path: Path) -> None:
    with gateway_process(config(service), tmp_path) as gateway:
        file = tmp_path / "spork.yaml"
        named = f"admin: {{listen: 127.0.0.1:{gateway.admin_port}, tokens: [{{name: eve, role: viewer, token: '${{EVE}}'}}]}}"
        lines = [named if line.startswith("admin:") else line for line in file.read_text().splitlines()]
        file.write_text("\n".join(lines) + "\n")
        await asyncio.to_thread(gateway.process.kill)
        again = await asyncio.to_thread(start_again, gateway, EVE="eve-token-0123456789-0123456789-abc")
        try:
            await asyncio.to_thread(ready, gateway)
            async with on(gateway, token="eve-token-0123456789-0123456789-abc") as running:
                await running.shows("eve/viewer")
                await running.open("3", "users", "CLOSED")
                assert "T trip" not in running.text
                await running.press("T")
                await running.shows("needs role operator; you are viewer")
                with pytest.raises(AccessDenied):
                    assert running.session.client is not None
                    await running.session.client.act("/breakers/users/trip", {"reason": "x", "ttl": 60}, dry_run=False)
        finally:
            again.kill()
            again.wait()


async def test_hostile_paths_and_names_are_text(gateway: GatewayProcess) -> None:
    def send() -> None:
        import socket

        with socket.create_connection(("127.0.0.1", gateway.port)) as raw:
            raw.sendall(
                b"GET /users/[@click=app.exit]x[/]/%1b]2;pwned%07/%e2%80%ae HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
            )
            with contextlib.suppress(OSError):
                while raw.recv(4096):
                    pass

    async with on(gateway) as running:
        await running.press("6")
        await asyncio.to_thread(send)
        await ask(gateway, "/geo/after")
        await running.shows("/geo/after")
        assert running.app.is_running
        assert not [char for char in running.text if char != "\n" and not char.isprintable()]


async def test_one_silent_node_of_two_makes_sums_partial(service: int, tmp_path: Path) -> None:
    with redis_process() as redis:
        text = f"shared: {redis.url}\n" + config(service)
        with gateway_process(text, tmp_path / "a") as one, gateway_process(text, tmp_path / "b") as two:
            async with on(one) as running:
                await running.shows("nodes 2/2", seconds=30)
                two.process.kill()
                await running.shows("PARTIAL 1/2", seconds=40)


async def test_get_on_a_real_gateway(gateway: GatewayProcess) -> None:
    env = python_env(SPORK_CONSOLE_CONFIG="/nonexistent")
    done = await asyncio.to_thread(
        lambda: subprocess.run([sys.executable, "-m", "spork.console", "--url", gateway.admin_url, "get", "breakers", "users", "--check"],
                               capture_output=True, text=True, env=env, cwd=gateway.directory, timeout=30)
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "CLOSED" in done.stdout
