"""Configuration while the gateway runs: whole or not at all, remembered, followed, acknowledged."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from spork.application.admin.commands import OperationRefused
from spork.application.admin.configuration import ConfigurationActions, blast
from spork.application.admin.controls import Act
from spork.application.configuration.live import LiveConfiguration, NotApplied, Revision, Shared
from spork.application.configuration.model import Configuration
from spork.application.configuration.problems import Diagnostic
from spork.application.telemetry.event_log import EventLog
from spork.domain.identity.consumers import Plan
from tests.admin_rig import two_services


@dataclass
class Read:
    configuration: Configuration | None
    problems: tuple[Diagnostic, ...] = ()
    sources: tuple[str, ...] = ("spork.yaml",)
    text: str = ""
    full: str = ""
    contents: dict[str, bytes] = field(default_factory=dict)
    says_routes: bool = True

    @property
    def watched(self) -> tuple[str, ...]:
        return self.sources


def read(text: str) -> Read:
    """`bad` has an error; any other text is a configuration of that revision."""
    if text == "bad":
        return Read(None, (Diagnostic("routes[0]", "is wrong", file="spork.yaml", line=3, column=5),))
    port = int(text[4:]) if text.startswith("port") else 8000
    return Read(Configuration(revision=text, port=port), text=f"revision: {text}\nsecret: ***", full=text)


class Kept:
    def __init__(self) -> None:
        self.revisions: list[Revision] = []

    def keep(self, revision: Revision) -> None:
        self.revisions.append(revision)

    def all(self) -> Sequence[Revision]:
        return list(self.revisions)


class Exchange:
    """What operators applied, shared by the replicas of a test."""

    def __init__(self) -> None:
        self.shared: Shared | None = None
        self.gone = False

    async def offer(self, shared: Shared) -> None:
        if self.gone:
            raise OSError("gone")
        self.shared = shared

    async def latest(self) -> Shared | None:
        if self.gone:
            raise OSError("gone")
        return self.shared


@dataclass
class Gateway:
    """One replica."""

    exchange: Exchange | None = None
    store: Kept = field(default_factory=Kept)
    file: str = "one"
    at: float = 1000.0

    def __post_init__(self) -> None:
        self.applied: list[str] = []
        self.events = EventLog("n", lambda: self.at)
        self.live = LiveConfiguration(
            lambda: read(self.file), read, lambda c: self.applied.append(c.revision), self.store, lambda: self.at,
            self.events, self.exchange,
        )  # fmt: skip

    async def start(self) -> Gateway:
        await self.live.adopt(read(self.file))
        return self


async def test_a_good_file_is_put_into_force_and_remembered() -> None:
    gateway = await Gateway().start()
    gateway.file = "two"
    await gateway.live.reload("SIGHUP", "why")
    assert gateway.applied == ["two"]
    assert [(r.revision, r.author, r.current) for r in gateway.live.history()] == [
        ("two", "SIGHUP", True),
        ("one", "start", False),
    ]
    assert [e.kind for e in gateway.events.latest()] == ["config.applied"]


async def test_a_bad_file_changes_nothing_and_says_where() -> None:
    gateway = await Gateway().start()
    gateway.file = "bad"
    with pytest.raises(NotApplied, match="is wrong"):
        await gateway.live.reload("SIGHUP")
    assert (gateway.applied, gateway.live.revision) == ([], "one")
    view = await gateway.live.view()
    assert (view.revision, view.problems[0]["line"]) == ("one", 3)
    assert gateway.live.reloads == {("applied",): 0, ("refused",): 1}
    assert gateway.events.latest()[0].kind == "config.refused"


async def test_rollback_reads_the_secrets_and_shows_none() -> None:
    gateway = await Gateway().start()
    actions = ConfigurationActions(gateway.live)
    await (await actions.apply("two", Act("alice", "why"))).perform()
    await (await actions.rollback("one", Act("bob", ""))).perform()
    assert gateway.applied == ["two", "one"]
    history = gateway.live.history()
    assert (history[0].source, history[0].note, history[0].author) == ("rollback", "rollback to one", "bob")
    assert "***" in actions.text_of("two")["text"]
    with pytest.raises(OperationRefused):
        await actions.rollback("never", Act("bob", ""))


async def test_a_dry_run_has_a_blast_and_applies_nothing() -> None:
    gateway = await Gateway().start()
    prepared = await ConfigurationActions(gateway.live).apply("two", Act("alice", ""))
    assert prepared.blast.startswith("Routes: 0 added")
    assert gateway.applied == []
    with pytest.raises(OperationRefused) as refused:
        await ConfigurationActions(gateway.live).apply("bad", Act("alice", ""))
    assert refused.value.members["errors"][0]["path"] == "routes[0]"  # type: ignore[index]


def test_the_blast_names_what_changes_wherever_it_is_written() -> None:
    before = two_services()
    moved = replace(before, routes=tuple(replace(route, origin="other.yaml:1") for route in before.routes))
    assert blast(before, moved) == (
        "Routes: 0 added, 0 removed, 0 changed. Upstreams: 0 added, 0 removed, 0 changed. "
        "Requests in flight finish as they began."
    )
    wanted = replace(
        before,
        routes=(before.routes[0], replace(before.routes[1], server_timing=True), replace(before.routes[0], name="new")),
        upstreams=before.upstreams[:1],
        plans=(Plan("basic"),),
        hosts=("api.example.com",),
        sources=("elsewhere.yaml",),
    )
    assert blast(before, wanted) == (
        "Routes: 1 added (new), 0 removed, 1 changed (echo). Upstreams: 0 added, 1 removed (echo), 0 changed. "
        "Plans: 1 added (basic), 0 removed, 0 changed. Settings: hosts. Requests in flight finish as they began."
    )


async def test_history_survives_a_restart() -> None:
    store = Kept()
    first = await Gateway(store=store).start()
    first.file = "two"
    await first.live.reload("x")
    second = await Gateway(store=store, file="two").start()
    assert [r.revision for r in second.live.history()] == ["two", "one"]


async def test_what_is_applied_on_one_replica_is_followed_by_the_other() -> None:
    exchange = Exchange()
    one, two = await Gateway(exchange).start(), await Gateway(exchange).start()
    one.at += 5
    await one.live.put(read("two"), "alice", "why")
    assert await two.live.follow() is True
    assert (two.applied, two.live.history()[0].source, two.live.history()[0].author) == (["two"], "fleet", "alice")
    assert await two.live.follow() is False
    assert await one.live.follow() is False


async def test_a_replica_that_starts_later_takes_over_what_was_applied_since_its_file() -> None:
    exchange = Exchange()
    one = await Gateway(exchange).start()
    await one.live.put(read("two"), "alice")
    late = Gateway(exchange)
    await late.start()
    assert await late.live.follow(newer_than=one.at - 1) is True
    newer = await Gateway(exchange).start()
    assert await newer.live.follow(newer_than=one.at + 1) is False, "its file was written after that"


async def test_without_the_exchange_an_apply_says_so_and_a_follower_goes_on() -> None:
    exchange = Exchange()
    gateway = await Gateway(exchange).start()
    exchange.gone = True
    assert await gateway.live.follow() is False
    prepared = await ConfigurationActions(gateway.live).apply("two", Act("alice", ""))
    with pytest.raises(OperationRefused) as refused:
        await prepared.perform()
    assert refused.value.word == "unavailable"


async def test_an_apply_waits_until_every_speaking_node_serves_it() -> None:
    serving = {"a": "one", "b": "one"}
    gateway = await Gateway().start()
    gateway.live._serving = lambda: dict(serving)
    waiting = asyncio.create_task(gateway.live.acknowledged("two", 5))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    serving.update(a="two", b="two")
    assert await waiting == ()
    serving["b"] = "one"
    assert await gateway.live.acknowledged("two", 0.0) == ("b",)


async def test_a_reload_waits_for_fellow_workers_and_not_for_gateways_that_read_their_own_files() -> None:
    gateway = await Gateway().start()
    gateway.live._serving = lambda: {"a:8000/0": "two", "a:8000/1": "two", "b:8000": "one", "c:8000": "one"}
    same = ConfigurationActions(gateway.live, lambda node: node.startswith("a:8000"))
    gateway.file = "two"
    prepared = await same.reload(Act("alice", ""))
    async with asyncio.timeout(2.0):
        assert await prepared.perform() == "revision two"


async def test_settings_that_wait_for_a_restart_are_named() -> None:
    gateway = await Gateway().start()
    await gateway.live.put(read("port9999"), "alice")
    assert gateway.live.restart_needed() == ("listen",)


async def test_the_watch_does_not_bring_back_a_file_that_an_operator_loaded_and_left() -> None:
    gateway = await Gateway().start()
    signature, looks = [1], [0]

    def look(sources: Sequence[str]) -> int:
        looks[0] += 1
        return signature[0]

    watching = asyncio.create_task(gateway.live.watch(look, every=0.01))
    while not looks[0]:
        await asyncio.sleep(0.01)
    gateway.file, signature[0] = "two", 2
    await gateway.live.take_file(await gateway.live.read_file(), "ana")
    await gateway.live.put(await gateway.live.read("one"), "ana", source="rollback")
    before = looks[0]
    while looks[0] < before + 5:
        await asyncio.sleep(0.01)
    watching.cancel()
    assert gateway.applied == ["two", "one"]


async def test_the_file_is_watched_until_it_is_still() -> None:
    gateway = await Gateway().start()
    signature = [1]
    watching = asyncio.create_task(gateway.live.watch(lambda sources: signature[0], every=0.01))
    await asyncio.sleep(0.05)
    gateway.file = "two"
    signature[0] = 2
    for _ in range(200):
        await asyncio.sleep(0.01)
        if gateway.applied:
            break
    watching.cancel()
    assert gateway.applied == ["two"]
    assert replace(gateway.live.running or Configuration()).revision == "two"
