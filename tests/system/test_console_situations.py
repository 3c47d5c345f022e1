"""Situations an operator is woken for, on a real gateway process: what the first screen says, and what a drain says."""

from __future__ import annotations

import http.server
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from spork.console.gateway.contexts import Context
from spork.console.session.session import ConsoleSession
from spork.console.ui.app import ConsoleApp
from tests.servers import free_port, gateway_process, redis_process
from tests.system.test_console import ask, on
from tests.unit.console.driving import Console
from tests.unit.console.test_dialogs import dialog


class Service(http.server.ThreadingHTTPServer):
    """A target that can be told to fail, or to be slow."""

    failing = False
    delay = 0.0


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Service)
        time.sleep(server.delay)  # a service that is slow
        self.send_response(503 if server.failing else 200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args: object) -> None:
        pass


@contextmanager
def services(count: int) -> Iterator[list[Service]]:
    found = [Service(("127.0.0.1", 0), Handler) for _ in range(count)]
    for server in found:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        for server in found:
            server.shutdown()


def at(server: Service) -> str:
    return f"http://127.0.0.1:{server.server_port}"


BREAKER = "{window: 10s, min_requests: 5, failure_ratio: 0.5, open_for: 60s}"


async def test_the_worst_rows_stay_in_view_at_80x24(tmp_path: Path) -> None:
    with services(6) as servers:
        written = "\n".join(
            f"  s{n}: {{targets: [{at(server)}], breaker: {BREAKER}}}" for n, server in enumerate(servers)
        )
        routes = "\n".join(f"  - {{name: s{n}, match: {{path: /s{n}/*}}, upstream: s{n}}}" for n in range(6))
        with gateway_process(f"upstreams:\n{written}\nroutes:\n{routes}\n", tmp_path) as gateway:
            for n in range(6):
                await ask(gateway, f"/s{n}/x")
            async with on(gateway, size=(80, 24)) as running:
                await running.shows("LIVE", seconds=30)
                for n in (2, 5, 3):
                    servers[n].failing = True
                    await ask(gateway, f"/s{n}/x", 8)
                    await running.shows(f"s{n}", seconds=30)
                attention = running.app.main.pane.attention  # type: ignore[union-attr]
                await running.until(lambda: sum(row.kind == "breaker" for row in attention.rows) == 3, seconds=30)
                assert int(attention.scroll_offset.y) == 0
                assert attention.cursor == 0
                assert attention.rows[0].severity == "error"
                top = running.app.main.pane.services  # type: ignore[union-attr]
                assert int(top.scroll_offset.y) == 0
                assert top.rows[0].name in ("s2", "s3", "s5")


async def test_per_target_breakers_are_told_apart_and_a_last_target_is_not_drained_lightly(tmp_path: Path) -> None:
    with services(2) as (good, bad):
        dead = free_port()
        bad.failing = True
        config = f"""
upstreams:
  geo:
    targets: [{at(good)}, {at(bad)}, "http://127.0.0.1:{dead}"]
    breaker: {{per_target: true, consecutive: 3, open_for: 60s}}
routes:
  - {{name: geo, match: {{path: /geo/*}}, upstream: geo}}
"""
        with gateway_process(config, tmp_path) as gateway:
            async with on(gateway, write=True) as running:
                await running.shows("LIVE", seconds=30)
                ends = [f":{server.server_port}" for server in (good, bad)] + [f":{dead}"]

                async def both_open() -> None:
                    for _ in range(40):
                        await ask(gateway, "/geo/x", 5)
                        rows = {row.name: row.state for row in running.store.rows("breakers")}
                        if sum(state == "open" for state in rows.values()) == 2:
                            return
                        await running.pilot.pause(0.1)
                    raise AssertionError(rows)

                await both_open()
                await running.press("3")
                await running.shows(*ends, "failures in a row", seconds=30)
                row = next(row for row in running.store.rows("targets") if row.name.endswith(ends[0]))
                await running.command(f"targets {row.name}")
                await running.shows(ends[0])
                await running.press("D")
                plan = (await dialog(running)).plan
                assert plan.gate.tier == 3
                assert "no target of geo takes requests" in plan.note
                assert "to 0 other target(s)" in plan.preview[0].blast


async def test_a_gateway_that_goes_is_told_with_cause_and_address(tmp_path: Path) -> None:
    with services(1) as (server,):
        config = f"upstreams:\n  users: {{targets: [{at(server)}]}}\nroutes:\n  - {{name: u, match: {{path: /*}}, upstream: users}}\n"
        with gateway_process(config, tmp_path) as gateway:
            await ask(gateway, "/x")
            async with on(gateway) as running:
                await running.shows("LIVE", "users", seconds=30)
                gateway.process.kill()
                await running.shows("LOST", f":{gateway.admin_port}", "retry in", seconds=30)
                await running.hides("all well: nothing needs attention")


@contextmanager
def unconnected(url: str, token: str = "") -> Iterator[Any]:
    session = ConsoleSession(Context("test", url, False, token), {})
    yield ConsoleApp(session, {})


@pytest.mark.parametrize("screen", ["1", "2", "3", "5"])
async def test_nothing_listens_and_nothing_is_called_well(screen: str) -> None:
    port = free_port()
    with unconnected(f"http://127.0.0.1:{port}") as app:
        async with app.run_test(size=(120, 36)) as pilot:
            running = Console(app, pilot)
            await running.press(screen)
            await running.shows("not known", "DOWN", seconds=20)
            for lie in (
                "all well",
                "no breakers",
                "no services are configured",
                "no routes are configured",
                "no targets",
            ):
                assert lie not in running.text


async def test_a_wrong_token_is_not_an_empty_gateway(tmp_path: Path) -> None:
    with services(1) as (server,):
        config = f"upstreams:\n  users: {{targets: [{at(server)}]}}\nroutes:\n  - {{name: u, match: {{path: /*}}, upstream: users}}\n"
        with gateway_process(config, tmp_path) as gateway:
            with unconnected(gateway.admin_url, "wrong") as app:
                async with app.run_test(size=(120, 36)) as pilot:
                    running = Console(app, pilot)
                    await running.shows("UNAUTHENTICATED", ":login", "not known", seconds=30)
                    assert "all well" not in running.text
                    await running.command("keys")
                    await running.shows("not known")
                    assert "no API keys have been issued" not in running.text


async def test_a_stopped_redis_is_on_the_first_screen_and_gone_from_it_afterwards(tmp_path: Path) -> None:
    with services(1) as (server,), redis_process() as redis:
        config = f"""
shared: "{redis.url}"
upstreams:
  users: {{targets: [{at(server)}]}}
routes:
  - {{name: u, match: {{path: /*}}, upstream: users, limits: [{{name: per-ip, quota: 1000, per: 1m, by: ip}}]}}
"""
        with gateway_process(config, tmp_path) as gateway:
            await ask(gateway, "/x", 3)
            async with on(gateway) as running:
                await running.shows("LIVE", seconds=30)
                redis.process.send_signal(signal.SIGSTOP)
                try:
                    await running.shows("gateway", "redis", "FAILING", seconds=40)
                finally:
                    redis.process.send_signal(signal.SIGCONT)
                await running.until(
                    lambda: all(
                        row.state == "cleared" for row in running.store.rows("concerns") if row.kind == "gateway"
                    ),
                    "the gateway's concerns cleared",
                    60,
                )


async def test_slowness_is_the_reason_and_a_ramp_is_not_called_closed(tmp_path: Path) -> None:
    with services(1) as (server,):
        config = f"""
upstreams:
  search:
    targets: [{at(server)}]
    breaker: {{window: 10s, min_requests: 5, slow_call: 50ms, slow_ratio: 0.5, open_for: 1s, ramp: 60s}}
routes:
  - {{name: search, match: {{path: /*}}, upstream: search}}
"""
        with gateway_process(config, tmp_path) as gateway:
            server.delay = 0.1
            async with on(gateway) as running:
                await running.shows("LIVE", seconds=30)
                await ask(gateway, "/x", 6)
                await running.shows("OPEN", "took 0.05 s or more", seconds=20)
                server.delay = 0.0
                for _ in range(100):
                    await ask(gateway, "/x")
                    row = running.store.row("breakers", "search")
                    if row is not None and row.state == "closed" and row.ramp is not None:
                        break
                    await running.pilot.pause(0.1)
                await running.shows("RAMP", "admits", seconds=20)
                await running.press("3")
                await running.shows("~ RAMP")
                await running.press("enter")
                await running.shows("slower than 50 ms", "over 60 s", "took 0.05 s or more")


async def test_one_target_down_in_a_calm_system_is_one_row(tmp_path: Path) -> None:
    with services(1) as (server,):
        dead = free_port()
        config = f"""
upstreams:
  users:
    targets: [{at(server)}, "http://127.0.0.1:{dead}"]
    probe: {{path: /, every: 5s, timeout: 4s, fall: 1}}
routes:
  - {{name: u, match: {{path: /*}}, upstream: users}}
"""
        with gateway_process(config, tmp_path) as gateway:
            async with on(gateway) as running:
                await running.shows("LIVE", f":{dead}", "DOWN", seconds=40)
                await running.until(lambda: len(running.store.rows("concerns")) > 0, seconds=20)
                await running.pilot.pause(3.0)  # three beats more: a flood would show by then
                rows = running.store.rows("concerns")
                assert [(row.kind, row.object) for row in rows if row.kind != "gateway"] == [
                    ("target", f"users/127.0.0.1:{dead}")
                ]
                assert all(row.next_step for row in rows)


async def test_a_refused_reload_says_what_was_meant(tmp_path: Path) -> None:
    with services(1) as (server,):
        config = f"upstreams:\n  users: {{targets: [{at(server)}]}}\nroutes:\n  - {{name: u, match: {{path: /*}}, upstream: users}}\n"
        with gateway_process(config, tmp_path) as gateway:
            async with on(gateway, size=(160, 40)) as running:
                await running.shows("LIVE", seconds=30)
                path = tmp_path / "spork.yaml"
                path.write_text(path.read_text().replace("upstream: users", "upstream: usrs"))
                os.utime(path, None)
                await running.shows("REFUSED", "did you mean", seconds=40)
