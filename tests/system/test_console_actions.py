"""What an operator does in the console, and what clients of a real gateway process notice of it."""

from __future__ import annotations

import asyncio
import contextlib
import http.server
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator

import pytest

from spork.console.session import tiers
from spork.console.ui.secret import DEAF_SECONDS, SecretWindow
from tests.servers import GatewayProcess, free_port, gateway_process, python_env, wait_until
from tests.system.test_console import Admin
from tests.unit.console.driving import Console, console
from tests.unit.console.test_dialogs import at_row, confirm, dialog, fill

SECRET = re.compile(r"spk_\w+")


class Named(http.server.BaseHTTPRequestHandler):
    """Answers with the port it listens on, so that a caller sees which target it reached."""

    def do_GET(self) -> None:
        text = str(self.server.server_port).encode()  # type: ignore[attr-defined]
        self.send_response(200)
        self.send_header("content-length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def services() -> Iterator[tuple[int, int]]:
    servers = [http.server.ThreadingHTTPServer(("127.0.0.1", 0), Named) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield servers[0].server_port, servers[1].server_port
    for server in servers:
        server.shutdown()


CONFIG = """
expose: [jwks]
issuers:
  own: {{issuer: https://own.example, audiences: [api], algorithms: [EdDSA],
         jwks_url: http://127.0.0.1:{port}/.well-known/jwks.json}}
plans:
  small: {{limits: [{{quota: 2, per: 1h}}]}}
  large: {{limits: [{{quota: 1000, per: 1h}}]}}
consumers:
  zeta: {{}}
  acme: {{plan: small, subjects: [acme]}}
  mallory: {{plan: large, subjects: [mallory]}}
upstreams:
  geo:
    targets: [http://127.0.0.1:{one}, http://127.0.0.1:{two}]
    probe: {{path: /health, every: 60s, timeout: 1s, rise: 1, fall: 1}}
routes:
  - {{name: geo, match: {{path: /geo/*}}, upstream: geo}}
  - {{name: few, match: {{path: /few/*}}, upstream: geo, limits: [{{name: per-ip, quota: 3, per: 1h, by: ip}}]}}
  - {{name: private, match: {{path: /private/*}}, upstream: geo, auth: {{any_of: [jwt, api_key]}},
      limits: [{{name: plan, by: consumer, from: plan}}]}}
  - {{name: closed, match: {{path: /closed/*}}, upstream: geo, auth: {{any_of: [jwt, api_key]}}}}
"""


@pytest.fixture(scope="module")
def gateway(services: tuple[int, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    port = free_port()
    text = CONFIG.format(port=port, one=services[0], two=services[1])
    with gateway_process(text, tmp_path_factory.mktemp("gateway"), port=port) as process:
        yield process


@pytest.fixture(autouse=True)
def quick_arming(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiers, "ARM_SECONDS", 0.1)


@contextlib.asynccontextmanager
async def operating(gateway: GatewayProcess) -> AsyncIterator[Console]:
    async with console(Admin(gateway), token=gateway.admin_token, write=True) as running:  # type: ignore[arg-type]
        yield running


def curl(gateway: GatewayProcess, path: str, **headers: str) -> tuple[int, str]:
    request = urllib.request.Request(gateway.url + path, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, ""


async def status(gateway: GatewayProcess, path: str, **headers: str) -> int:
    return (await asyncio.to_thread(curl, gateway, path, **headers))[0]


async def reached(gateway: GatewayProcess, times: int = 8) -> set[str]:
    """Which targets answer."""
    return {(await asyncio.to_thread(curl, gateway, "/geo/x"))[1] for _ in range(times)}


async def done(running: Console, key: str, **typed: str) -> None:
    """Press an action's key, fill its dialog in, confirm, and wait for the gateway's word."""
    before = running.store.notices.total
    await running.press(key)
    await dialog(running)
    await fill(running, **typed)
    await confirm(running)
    await running.until(lambda: running.store.notices.total > before, "an outcome")
    said = [notice.text for notice in running.store.notices.newest(running.store.notices.total - before)]
    assert any(text.startswith("APPLIED") and "audit" in text for text in said), said


async def settled(running: Console) -> None:
    await running.until(lambda: not running.store.pending, "the stream's confirmation")


async def test_a_drained_target_gets_nothing_until_it_is_taken_back(
    gateway: GatewayProcess, services: tuple[int, int]
) -> None:
    one, two = (str(port) for port in services)
    async with operating(gateway) as running:
        assert await reached(gateway) == {one, two}
        await at_row(running, (":targets",), f"geo/127.0.0.1:{one}")
        await done(running, "D", ttl="10m", reason="kernel")
        await settled(running)
        await running.shows("> DRAIN")
        assert await reached(gateway) == {two}
        await at_row(running, (), f"geo/127.0.0.1:{two}")
        await running.press("D")
        await dialog(running)
        await running.shows("tier 3")  # the last one that serves
        await running.press("escape")
        await at_row(running, (), f"geo/127.0.0.1:{one}")
        await done(running, "U")
        await settled(running)
        await running.hides("> DRAIN")
        assert await reached(gateway) == {one, two}


async def test_a_probe_is_sent_now(gateway: GatewayProcess, services: tuple[int, int]) -> None:
    name = f"geo/127.0.0.1:{services[0]}"
    async with operating(gateway) as running:
        await at_row(running, (":targets",), name)
        before = running.store.row("targets", name).last_probe_at
        await running.press("P")
        await running.shows("APPLIED probe")
        await running.until(lambda: running.store.row("targets", name).last_probe_at != before, "a newer probe")


async def test_a_raised_limit_and_a_new_window_let_callers_through(gateway: GatewayProcess) -> None:
    assert [await status(gateway, "/few/x") for _ in range(4)] == [200, 200, 200, 429]
    async with operating(gateway) as running:
        await running.press("4")
        await running.until(lambda: any(row.limit == "per-ip" for row in running.store.rows("quotas")), "the window")
        window = next(row.id for row in running.store.rows("quotas") if row.limit == "per-ip")
        await at_row(running, (), window)
        await done(running, "N", reason="asked for it")
        await settled(running)
        assert [await status(gateway, "/few/x") for _ in range(4)] == [200, 200, 200, 429]
        await done(running, "E", quota="100", ttl="10m", reason="launch")
        await settled(running)
        assert [await status(gateway, "/few/x") for _ in range(4)] == [200] * 4
        await running.until(lambda: running.store.row("quotas", window).override is not None, "the override")


async def secret(running: Console) -> str:
    """The secret the window shows; closes it."""
    await running.until(lambda: isinstance(running.app.screen, SecretWindow), "the secret's window")
    await running.until(lambda: SECRET.search(running.text), "the secret")
    found = SECRET.search(running.text)
    assert found is not None
    # The window is deaf in its first second, so that keys typed ahead do not close it unseen.
    window = running.app.screen
    assert isinstance(window, SecretWindow)
    await running.until(lambda: time.monotonic() - window._shown_at > DEAF_SECONDS, "the window hears keys")
    await running.press("y", "escape")
    await running.until(lambda: running.app.screen is running.app.main, "the list")
    return found.group()


async def test_a_key_is_issued_rotated_and_revoked(gateway: GatewayProcess) -> None:
    async with operating(gateway) as running:
        await running.command("keys")
        await running.shows("API keys")
        await done(running, "I", consumer="zeta", owner="ops", expires_in="1d", reason="new team")
        first = await secret(running)
        await running.until(lambda: any(row.consumer == "zeta" for row in running.store.rows("keys")), "the key")
        key = next(row for row in running.store.rows("keys") if row.consumer == "zeta")
        assert (key.owner, key.state, round(key.expires_at - key.created_at)) == ("ops", "active", 86_400)
        assert await status(gateway, "/closed/x", **{"X-API-Key": first}) == 200

        await at_row(running, (), key.id)
        await done(running, "R", overlap="10m", reason="yearly")
        second = await secret(running)
        assert second != first
        assert [await status(gateway, "/closed/x", **{"X-API-Key": text}) for text in (first, second)] == [200, 200]
        await running.shows("~ ROTATING")
        await done(running, "R", overlap="0", reason="leaked")
        third = await secret(running)
        wanted = [401, 401, 200]
        got = [await status(gateway, "/closed/x", **{"X-API-Key": text}) for text in (first, second, third)]
        assert got == wanted

        await done(running, "X", reason="gone", typed=key.id)
        await running.until(lambda: running.store.row("keys", key.id).state == "revoked", "the revocation")
        assert await status(gateway, "/closed/x", **{"X-API-Key": third}) == 401
        await running.press("R")
        await running.shows("is revoked")
        await running.press("7")
        await running.shows("operator.key.issue", "operator.key.rotate", "operator.key.revoke")
    for text in (first, second, third):
        assert text not in gateway.log()


async def test_a_plan_decides_from_the_next_request_on(gateway: GatewayProcess) -> None:
    token = await asyncio.to_thread(spork, gateway, "token", "issue", "acme", "--issuer", "own")
    bearer = {"Authorization": f"Bearer {token}"}
    assert [await status(gateway, "/private/x", **bearer) for _ in range(3)] == [200, 200, 429]
    async with operating(gateway) as running:
        await at_row(running, (":consumers",), "acme")
        await done(running, "M", plan="large", reason="paid")
        assert await status(gateway, "/private/x", **bearer) == 200
        await running.until(lambda: running.store.row("consumers", "acme").plan == "large", "the plan", 15)
        await running.press("M")
        await dialog(running)
        await fill(running, plan="golden")
        await running.shows("There is no plan golden")
        await running.press("escape")


async def test_a_revoked_subjects_tokens_are_refused(gateway: GatewayProcess) -> None:
    token = await asyncio.to_thread(spork, gateway, "token", "issue", "mallory", "--issuer", "own")
    bearer = {"Authorization": f"Bearer {token}"}
    assert await status(gateway, "/private/x", **bearer) == 200
    async with operating(gateway) as running:
        await running.press("4")
        await running.until(lambda: any(row.subject == "mallory" for row in running.store.rows("quotas")), "mallory")
        window = next(row for row in running.store.rows("quotas") if row.subject == "mallory")
        await at_row(running, (), window.id)
        await done(running, "X", reason="stolen", typed="mallory")
        assert await status(gateway, "/private/x", **bearer) == 401


def spork(gateway: GatewayProcess, *words: str) -> str:
    command = [sys.executable, "-m", "spork.cli", *words, "-c", str(gateway.directory / "spork.yaml")]
    return subprocess.run(
        command, check=True, capture_output=True, text=True, env=python_env(), cwd=gateway.directory, timeout=60
    ).stdout.strip()


async def test_a_reload_brings_the_file_into_force_and_a_rollback_what_ran_before(gateway: GatewayProcess) -> None:
    file = gateway.directory / "spork.yaml"
    before = file.read_text()
    assert await status(gateway, "/added/x") == 404
    async with operating(gateway) as running:
        await running.open("8", "running")
        first = running.store.one("config").revision
        file.write_text(before + "  - {name: added, match: {path: /added/*}, upstream: geo}\n")
        await done(running, "L", reason="rollout")
        await asyncio.to_thread(wait_until, lambda: curl(gateway, "/added/x")[0] == 200, 20, "the new route")
        await running.until(lambda: running.store.one("config").revision != first, "the new revision")
        await done(running, "B", revision=first, reason="5xx", typed="configuration")
        await settled(running)
        assert await status(gateway, "/added/x") == 404
        await running.until(lambda: running.store.one("config").revision == first, "the former revision")
    file.write_text(before)
