"""The feed against a real HTTP server that misbehaves on request."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from spork.console.gateway.client import ConsoleClient
from spork.console.gateway.faults import AccessDenied, BadData, Invalid, TooManyRequests
from spork.console.session import feed as feeding
from spork.console.session.feed import Feed
from spork.console.session.store import Store
from tests.unit.console import seeds
from tests.unit.console.fake_gateway import FakeGateway


class Reader:
    """A running feed and its store."""

    def __init__(self, gateway: FakeGateway, token: str, poll: float | None) -> None:
        self.store = Store()
        self.client = ConsoleClient(gateway.url, token)
        self.feed = Feed(self.store, self.client, poll=poll, chance=random.Random(1))

    async def until(self, check: Callable[[], object], what: str, seconds: float = 10.0) -> None:
        for _ in range(round(seconds / 0.02)):
            if check():
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"{what} did not come true; link {self.store.link}")

    @property
    def state(self) -> str:
        return self.store.link.state


@asynccontextmanager
async def reading(
    gateway: FakeGateway, token: str = "viewer-token", poll: float | None = None, wait: bool = True
) -> AsyncIterator[Reader]:
    reader = Reader(gateway, token, poll)
    task = asyncio.create_task(reader.feed.run())
    try:
        if wait:
            await reader.until(lambda: reader.state == "UP", "a link")
        yield reader
        assert not task.done()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await reader.client.aclose()


def calls(gateway: FakeGateway, path: str) -> list[dict[str, str]]:
    return [headers for _, called, headers, _ in gateway.requests if called == path]


async def test_snapshot_then_stream(gateway: FakeGateway) -> None:
    async with reading(gateway) as reader:
        assert reader.store.link.mode == "sse"
        assert len(reader.store.rows("targets")) == len(gateway.topics["targets"])
        assert reader.store.who is not None
        changed = replace(gateway.topics["breakers"][0], rps=7.0)
        gateway.publish("breakers", [changed], ["geo"])
        await reader.until(lambda: reader.store.row("breakers", "billing") == changed, "the delta")
        assert reader.store.row("breakers", "geo") is None
        await reader.until(lambda: reader.store.rev >= gateway.rev, "the revision")
        assert len(calls(gateway, "/snapshot")) == 1


async def test_a_cut_stream_is_resumed_with_its_last_event(gateway: FakeGateway) -> None:
    async with reading(gateway) as reader:
        rev = gateway.publish("breakers", [gateway.topics["breakers"][0]])
        await reader.until(lambda: reader.store.rev >= rev, "the delta")
        gateway.cut_streams()
        await reader.until(lambda: len(calls(gateway, "/stream")) >= 2, "a second stream")
        assert int(calls(gateway, "/stream")[1]["last-event-id"]) >= rev
        await reader.until(lambda: reader.state == "UP", "a link again")


async def test_a_gap_costs_one_snapshot_and_is_counted(gateway: FakeGateway) -> None:
    async with reading(gateway) as reader:
        gateway.topics["breakers"] = [replace(row, rps=1.25) for row in gateway.topics["breakers"]]
        gateway.gap(214)
        await reader.until(lambda: {row.rps for row in reader.store.rows("breakers")} == {1.25}, "the snapshot")
        assert reader.store.gaps.newest(1)[0].lost == 214
        assert len(calls(gateway, "/snapshot")) == 2


async def test_a_stopped_gateway_is_retried_and_found_again(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "BACKOFF_MOST", 0.2)
    async with reading(gateway) as reader:
        gateway.stop()
        await reader.until(lambda: reader.store.link.attempt >= 3, "three attempts")
        assert len(reader.store.rows("targets")) > 40
        gateway.rev = 5  # it counts from the start again
        gateway.topics["breakers"] = gateway.topics["breakers"][:1]
        gateway.start()
        await reader.until(lambda: reader.state == "UP", "a link again")
        assert [row.name for row in reader.store.rows("breakers")] == ["billing"]


async def test_a_wrong_token_is_asked_once_and_never_hammered(gateway: FakeGateway) -> None:
    async with reading(gateway, "wrong", wait=False) as reader:
        await reader.until(lambda: reader.state == "UNAUTHENTICATED", "UNAUTHENTICATED")
        asked = len(gateway.requests)
        await asyncio.sleep(0.8)
        assert len(gateway.requests) == asked
        reader.client.use_token("viewer-token")
        reader.feed.nudge()
        await reader.until(lambda: reader.state == "UP", "a link after login")


async def test_a_denied_topic_fails_alone(gateway: FakeGateway) -> None:
    gateway.deny = {"quotas"}
    async with reading(gateway) as reader:
        assert isinstance(reader.store.shelves["quotas"].fault, AccessDenied)
        assert reader.store.shelves["breakers"].fault is None
        assert len(reader.store.rows("breakers")) == 10


async def test_malformed_topics_fail_alone_and_heal(gateway: FakeGateway) -> None:
    gateway.broken["breakers"] = [{"name": "x", "state": "open"}]
    async with reading(gateway) as reader:
        fault = reader.store.shelves["breakers"].fault
        assert isinstance(fault, BadData)
        assert "breakers" in str(fault)
        assert len(reader.store.rows("targets")) > 40
        gateway.broken.clear()
        gateway.publish("breakers", [gateway.topics["breakers"][0]])
        await reader.until(lambda: len(reader.store.rows("breakers")) == 10, "the healed topic")


@pytest.mark.parametrize(
    "chunk",
    [
        b"event: delta\nid: 99999999\ndata: {\n\n",
        b'event: delta\nid: 99999999\ndata: {"topic": "breakers", "rows": [{"name": 1}]}\n\n',
        b"event: tick\ndata: []\n\n",
        b'event: sample\ndata: {"rows": 7}\n\n',
        b"event: unheard-of\ndata: {}\n\n",
        b'event: delta\ndata: {"topic": "unheard-of", "rows": []}\n\n',
        b"\xff\xfe\x00\n\ndata: " + b"[" * 5000 + b"\n\n",
    ],
)
async def test_a_malformed_event_does_not_end_the_stream(gateway: FakeGateway, chunk: bytes) -> None:
    async with reading(gateway) as reader:
        gateway.raw(chunk)
        changed = replace(gateway.topics["targets"][0], rps=9.25)
        gateway.publish("targets", [changed])
        await reader.until(lambda: changed in reader.store.rows("targets"), "the next delta")
        assert len(calls(gateway, "/stream")) == 1


async def test_without_a_stream_it_polls_with_an_etag(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "POLL_DEFAULT", 0.05)
    gateway.no_stream = True
    async with reading(gateway) as reader:
        await reader.until(lambda: reader.store.link.mode == "poll", "polling")
        await reader.until(
            lambda: any("if-none-match" in headers for headers in calls(gateway, "/snapshot")), "an ETag"
        )
        gateway.topics["breakers"] = [replace(row, rps=3.5) for row in gateway.topics["breakers"]]
        gateway.rev += 1
        await reader.until(lambda: {row.rps for row in reader.store.rows("breakers")} == {3.5}, "the polled change")
        assert reader.store.freshness("breakers", reader.feed._mono()).word == "LIVE"


async def test_polling_asks_for_the_visible_screen_only(gateway: FakeGateway) -> None:
    async with reading(gateway, poll=0.05) as reader:
        reader.feed.topics = ("routes", "limits")
        before = len(gateway.requests)
        await reader.until(lambda: len(gateway.requests) > before + 3, "polls")
        assert not calls(gateway, "/stream")


async def test_too_many_streams_means_polling(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeding, "POLL_DEFAULT", 0.05)

    async def refuse(self: ConsoleClient, *args: object) -> Any:
        raise TooManyRequests("too many streams", 1.0)
        yield

    monkeypatch.setattr(ConsoleClient, "stream", refuse)
    async with reading(gateway) as reader:
        await reader.until(lambda: reader.store.link.mode == "poll", "polling")


async def test_retry_after_is_obeyed(gateway: FakeGateway) -> None:
    gateway.fail_status, gateway.retry_after = 429, "30"
    async with reading(gateway, wait=False) as reader:
        await reader.until(lambda: reader.state == "THROTTLED", "THROTTLED")
        assert reader.store.link.retry_at is not None
        assert reader.store.link.retry_at - reader.feed._mono() > 25
        asked = len(gateway.requests)
        await asyncio.sleep(0.5)
        assert len(gateway.requests) == asked


async def test_hostile_rows_arrive_clean(gateway: FakeGateway) -> None:
    gateway.topics["breakers"] = [replace(seeds.breakers(1.0)[0], name=seeds.HOSTILE, cause=seeds.HOSTILE)]
    async with reading(gateway) as reader:
        row = reader.store.rows("breakers")[0]
        assert "\x1b" not in row.name
        assert row.name.startswith("\\x1b]2;pwned\\x07")
        assert row.cause == row.name


async def test_a_silent_node_makes_sums_partial(gateway: FakeGateway) -> None:
    gateway.nodes = seeds.Nodes(3, 4, ("gw-4",))
    async with reading(gateway) as reader:
        assert reader.store.partial


async def test_an_as_of_that_stands_still_grows_old(gateway: FakeGateway) -> None:
    gateway.stuck_as_of = gateway.now()
    async with reading(gateway) as reader:
        await reader.until(lambda: reader.store.freshness("breakers", reader.feed._mono()).word == "STALE", "STALE", 12)


async def test_a_skewed_gateway_clock_is_reported_as_skew(gateway: FakeGateway) -> None:
    gateway.skew = -90.0
    async with reading(gateway) as reader:
        assert 85 < reader.store.skew < 95
        assert reader.store.freshness("breakers", reader.feed._mono()).word == "LIVE"
        now = reader.store.server_now(reader.feed._mono(), reader.feed._wall())
        assert abs(now - gateway.now()) < 3


async def test_refusals_are_told_apart(gateway: FakeGateway) -> None:
    async with reading(gateway) as reader:
        for status, kind in ((422, Invalid), (403, AccessDenied)):
            gateway.fail_status = status
            with pytest.raises(kind):
                await reader.client.page("breakers")
        gateway.fail_status = 0


async def test_the_configuration_is_read_again_when_the_stream_names_another_revision(gateway: FakeGateway) -> None:
    async with reading(gateway) as reader:
        gateway.topics["config"] = replace(gateway.topics["config"], revision="r42")
        gateway.tell_config()
        await reader.until(lambda: reader.store.one("config").revision == "r42", "the new revision")
        assert reader.store.shelves["config"].fault is None


async def test_a_refused_reload_is_read_though_the_revision_stays(gateway: FakeGateway) -> None:
    async with reading(gateway) as reader:
        gateway.topics["config"] = replace(gateway.topics["config"], problems=({"message": "no such plan"},))
        refused = replace(seeds.events(gateway.now())[0], id="e99", kind="config.refused")
        gateway.audit([refused])
        await reader.until(lambda: reader.store.one("config").problems[0]["message"] == "no such plan", "the problem")
