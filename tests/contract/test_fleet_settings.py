"""Settings and raised limits that operators make hold on every process, over restarts and stores that lose them."""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import redis.asyncio

from spork.adapters.files.raises import FileOverrides
from spork.adapters.files.settings import FileSettings
from spork.adapters.redis.fleet.settings import RedisSettings
from spork.adapters.redis.limits.overrides import RedisOverrides
from spork.adapters.redis.store.connection import RedisConnection
from spork.application.fleet.settings import FleetSettings, NoSettingsStore, Setting, SettingsStore
from spork.application.limits.overrides import LimitOverrides, Override, OverrideStore
from spork.domain.limits.limit import Charge, Limit
from tests.servers import free_port

LIMIT = Limit("l", 5, 60.0)


class Store:
    """One store of each kind, opened as often as there are processes; `empty` loses what it holds."""

    def __init__(self, settings: Callable[[], SettingsStore], overrides: Callable[[], OverrideStore]) -> None:
        self.settings = settings
        self.overrides = overrides
        self.client: Any = None

    async def empty(self) -> bool:
        """False where a store does not lose anything."""
        if self.client is None:
            return False
        await self.client.flushall()
        return True


@pytest.fixture(params=["files", "redis"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    if request.param == "files":
        yield Store(lambda: FileSettings(str(tmp_path)), lambda: FileOverrides(str(tmp_path)))
        return
    name = uuid.uuid4().hex
    async with redis.asyncio.Redis.from_url(request.getfixturevalue("redis_url")) as client:
        connection = RedisConnection(client, None, False, "test")
        made = Store(lambda: RedisSettings(client, name), lambda: RedisOverrides(connection, name.encode()))
        made.client = client
        yield made


async def test_what_one_process_sets_the_others_have_also_those_that_start_later(store: Store) -> None:
    one, two = FleetSettings(store.settings()), FleetSettings(store.settings())
    heard: list[tuple[str, Any]] = []
    two.listen("log", lambda name, setting: heard.append((name, setting and setting.value)))
    await two.follow()
    await one.put("logging", {"level": "debug"}, "ann", "INC-1")
    await one.put("maintenance", {"on": True}, "ann", ttl=3600)
    assert one.get("logging") is not None
    await two.follow()
    await two.follow()
    assert heard == [("logging", {"level": "debug"})]
    late = FleetSettings(store.settings())
    await late.follow()
    setting = late.get("logging")
    assert setting is not None
    assert (setting.by, setting.reason, setting.until) == ("ann", "INC-1", None)
    assert abs(setting.at - time.time()) < 60
    assert late.all("maint").keys() == {"maintenance"}
    await late.remove("logging")
    for each in (one, two):
        await each.follow()
        assert each.get("logging") is None
    assert heard[-1] == ("logging", None)


async def test_a_setting_ends_by_itself_everywhere(store: Store) -> None:
    one, two = FleetSettings(store.settings()), FleetSettings(store.settings())
    await one.put("logging", {"level": "debug"}, "ann", ttl=0.05)
    deadline = time.monotonic() + 10
    while one.get("logging") is not None:
        await one.follow()
        assert time.monotonic() < deadline
    await two.follow()
    assert two.get("logging") is None


async def test_a_store_that_came_back_empty_is_told_again(store: Store) -> None:
    one, two = FleetSettings(store.settings()), FleetSettings(store.settings())
    await one.put("logging", {"level": "debug"}, "ann")
    raised = LimitOverrides(store.overrides())
    await raised.put(Override(LIMIT.bucket, "bob", 50, time.time() + 600, "INC-1", "ann"))
    await store.empty()
    await one.follow()
    await two.follow()
    assert two.get("logging") is not None
    fresh = LimitOverrides(store.overrides())
    await raised.refresh(time.time())
    await fresh.refresh(time.time())
    assert fresh.apply([Charge(LIMIT, "bob")])[0].limit.quota == 50


async def test_a_raise_is_known_after_a_restart_and_ends(store: Store) -> None:
    now = time.time()
    one, two = LimitOverrides(store.overrides()), LimitOverrides(store.overrides())
    await one.put(Override(LIMIT.bucket, "bob", 50, now + 600, "INC-1", "ann"))
    await two.refresh(now)
    assert two.any
    assert two.apply([Charge(LIMIT, "bob"), Charge(LIMIT, "ann")])[0].limit.quota == 50
    await two.refresh(now + 601)
    assert not two.any


async def test_a_raise_by_handle_holds_where_the_caller_is_known(store: Store) -> None:
    now = time.time()
    one, two = LimitOverrides(store.overrides()), LimitOverrides(store.overrides(), lambda bucket, id: "s3cret")
    await one.put(Override(LIMIT.bucket, "", 50, now + 600, "INC-1", "ann", "abc"))
    assert one.of(LIMIT.bucket, "?", "abc") is not None
    assert not one.any, "nobody here is known by that name"
    await two.refresh(now)
    assert two.apply([Charge(LIMIT, "s3cret")])[0].limit.quota == 50


async def test_while_a_store_is_gone_everything_stays_and_nothing_is_promised(tmp_path: Path) -> None:
    async with redis.asyncio.Redis(port=free_port()) as client:
        settings = FleetSettings(RedisSettings(client))
        settings._known["logging"] = Setting({"level": "debug"})
        await settings.follow()
        assert settings.get("logging") is not None
        with pytest.raises(OSError, match="Redis"):
            await settings.put("logging", {}, "ann")
        assert settings.get("logging") == Setting({"level": "debug"})
    (tmp_path / "settings.json").write_text("{")
    with pytest.raises(OSError, match="cannot be read"):
        await FileSettings(str(tmp_path)).load()


async def test_a_listener_that_fails_hurts_no_other() -> None:
    settings = FleetSettings(NoSettingsStore(time.time))
    heard: list[str] = []

    def broken(name: str, setting: Setting | None) -> None:
        raise RuntimeError

    settings.listen("", broken)
    settings.listen("", lambda name, setting: heard.append(name))
    await settings.put("a", 1, "ann")
    assert heard == ["a"]
