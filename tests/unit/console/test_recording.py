"""A recording of a gateway, and the console looking at it as at the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from spork.console.gateway.client import ConsoleClient
from spork.console.gateway.contexts import Context
from spork.console.gateway.topics import LIVE
from spork.console.session.feed import Feed
from spork.console.session.recording import BadRecording, Recorder, RecordingTransport, load
from spork.console.session.replaying import Player
from spork.console.session.session import ConsoleSession
from spork.console.session.store import Store
from spork.console.ui.app import ConsoleApp
from tests.servers import python_env
from tests.unit.console import seeds
from tests.unit.console.driving import Clock, Console
from tests.unit.console.fake_gateway import FakeGateway


async def recorded(gateway: FakeGateway, path: Path) -> None:
    """Ten minutes by the recorder's clock: a new breaker state at half of it."""
    clock = Clock()
    recorder = Recorder(path, clock.wall)
    client = ConsoleClient(
        gateway.url, "admin-token", transport=RecordingTransport(httpx.AsyncHTTPTransport(), recorder)
    )
    store = Store()
    feed = Feed(store, client)
    task = asyncio.create_task(feed.run())
    try:
        await until(lambda: store.link.state == "UP")
        await client.page("components")
        clock.mono += 300
        row = next(row for row in seeds.breakers(gateway.now()) if row.name == "users")
        await asyncio.to_thread(gateway.publish, "breakers", [replace_state(row)])
        await until(lambda: store.row("breakers", "users").state == "open")
        clock.mono += 300
        await client.snapshot(LIVE)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.aclose()
        recorder.close()


def replace_state(row: object) -> object:
    from dataclasses import replace

    return replace(row, state="open", cause="recorded cause")  # type: ignore[type-var]


async def until(check: object, seconds: float = 10.0) -> None:
    async with asyncio.timeout(seconds):
        while not check():  # type: ignore[operator]
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def replayed(player: Player) -> AsyncIterator[Console]:
    session = ConsoleSession(Context("REPLAY", "http://recording"), {}, player=player)
    app = ConsoleApp(session, {}, write=True)
    async with app.run_test(size=(140, 40), notifications=True) as pilot:
        yield Console(app, pilot)


@pytest.mark.parametrize("name", ["night.jsonl", "night.jsonl.gz"])
async def test_what_was_recorded_is_seen_again_from_any_moment(gateway: FakeGateway, tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    await recorded(gateway, path)
    player = Player(load(path), speed=1.0)
    async with replayed(player) as running:
        await running.shows("LIVE", "billing", seconds=20)
        await running.press("3")
        await running.until(lambda: running.store.row("breakers", "users") is not None)
        assert running.store.row("breakers", "users").state == "closed"
        await running.command("replay pause")
        await running.shows("held")
        await running.command("replay +6m")
        await running.until(lambda: getattr(running.store.row("breakers", "users"), "state", "") == "open")
        await running.command("replay -6m")
        await running.shows("12:04:3")
        await running.until(lambda: getattr(running.store.row("breakers", "users"), "state", "") == "closed")
        await running.command("replay x99")
        await running.shows("x60")
        await running.command("replay tomorrow")
        await running.shows("no moment 'tomorrow'")
        await running.command("components")
        await running.shows("event loop")


async def test_a_recording_cannot_be_changed_and_says_what_it_does_not_hold(
    gateway: FakeGateway, tmp_path: Path
) -> None:
    path = tmp_path / "x.jsonl"
    await recorded(gateway, path)
    async with replayed(Player(load(path))) as running:
        await running.shows("LIVE", seconds=20)
        await running.press("3", "T")
        await running.shows("a recording cannot be changed")
        await running.command("keys")
        await running.shows("not in the recording")


async def test_a_recording_holds_no_token_and_no_answer_to_a_write(gateway: FakeGateway, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    recorder = Recorder(path)
    client = ConsoleClient(
        gateway.url, "admin-token", transport=RecordingTransport(httpx.AsyncHTTPTransport(), recorder)
    )
    await client.whoami()
    issued = await client.act("/keys", {"consumer": "a", "reason": "r"}, dry_run=False)
    await client.aclose()
    recorder.close()
    assert issued.secret
    text = path.read_text()
    assert "whoami" in text
    assert "admin-token" not in text
    assert issued.secret not in text


def test_a_file_that_is_no_recording_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(BadRecording, match="x: "):
        load(path)
    path.write_text("not json\n")
    with pytest.raises(BadRecording, match="line 1"):
        load(path)
    path.write_text(json.dumps({"at": 1, "path": "whoami", "query": "", "text": "{}"}) + "\n")
    with pytest.raises(BadRecording, match="no snapshot"):
        load(path)
    entry = json.dumps({"at": 1, "path": "snapshot", "query": "", "text": "{}"})
    path.write_text(entry + "\n" + entry[:20])  # cut off: read as far as it goes
    assert len(load(path)) == 1


def test_record_is_a_command(gateway: FakeGateway, tmp_path: Path) -> None:
    path = tmp_path / "night.jsonl"
    env = python_env(
        SPORK_ADMIN_TOKEN="admin-token", SPORK_CONSOLE_URL=gateway.url, SPORK_CONSOLE_CONFIG="/nonexistent"
    )
    command = [sys.executable, "-m", "spork.console", "record", str(path), "--for", "2s"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "entries" in done.stderr
    paths = {entry["path"] for entry in load(path)}
    assert {"whoami", "snapshot", "stream", "components", "objectives"} <= paths
    again = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
    assert again.returncode == 2
    assert "--force" in again.stderr
