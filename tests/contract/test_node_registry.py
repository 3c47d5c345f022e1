"""Nodes that hear of each other, alone and through Redis, and what they share of the configuration."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace

import pytest
import redis.asyncio

from spork.adapters.redis.fleet.nodes import RedisHealth, RedisNodes
from spork.application.configuration.live import Shared
from spork.application.fleet.nodes import (
    FleetState,
    NodeRegistry,
    NodeReport,
    NodeState,
    RouteReport,
    SingleNodeRegistry,
)
from spork.application.fleet.overview import Overview
from spork.application.telemetry.rolling import Window
from spork.application.views import BreakerView, EventView, ServiceView, TargetView, TransitionView
from tests.admin_rig import two_services
from tests.servers import RedisProcess, redis_process


@pytest.fixture(scope="module")
def server() -> Iterator[RedisProcess]:
    with redis_process() as process:
        yield process


@pytest.fixture(params=["alone", "redis"])
async def registry(request: pytest.FixtureRequest) -> AsyncIterator[NodeRegistry]:
    if request.param == "alone":
        yield SingleNodeRegistry()
        return
    client = redis.asyncio.Redis.from_url(request.getfixturevalue("server").url)
    await client.flushall()
    yield RedisNodes(client)
    await client.aclose()


def breaker(
    name: str = "users", state: str = "closed", requests: int = 10, failures: int = 1, at: float = 1.0
) -> BreakerView:
    return BreakerView(
        name, state, at, "because", requests, failures, 0, failures / requests, 0.5, 20, 0, None, None, 0.0,
        transitions=(TransitionView(at, "closed", state, "because"),), window=((requests, failures),),
    )  # fmt: skip


def target(probe: str = "up", traffic: str = "ok", in_flight: int = 1, probed: float = 1.0) -> TargetView:
    return TargetView(
        "users", "t1", "http://t1", "active", probe, "closed", traffic, 1, 0, in_flight, 2, 0.0, 0.0, None, 0, None,
        None, probed, 1.5,
    )  # fmt: skip


def report(node: str, **more: object) -> NodeReport:
    window = Window()
    window.requests, window.errors = 30, 3
    facts: dict[str, object] = {"total": window.row()}
    return NodeReport(node, 100.0, 1.0, "rev", **(facts | more))  # type: ignore[arg-type]


def routes() -> RouteReport:
    window = Window()
    window.requests, window.errors = 30, 3
    return RouteReport({"users": 30}, {"users": window.row()})


async def test_a_node_hears_itself_as_it_announced_itself(registry: NodeRegistry) -> None:
    said = report(
        "a", breakers=[breaker()], target_views=[target()], events=[EventView("1", 1.0, "k", "a", "o", "", "", "info")]
    )
    assert await registry.nodes() == []
    await registry.announce(said, routes())
    heard = await registry.nodes()
    assert heard[0].report == said
    assert heard[0].routes == routes()
    assert 0 <= heard[0].age < 1


async def test_a_node_that_leaves_is_gone_and_not_silent(registry: NodeRegistry) -> None:
    await registry.announce(report("a"), routes())
    await registry.leave("a")
    assert await registry.nodes() == []


async def test_nodes_hear_each_other_and_age_by_the_servers_clock(server: RedisProcess) -> None:
    one, two = (RedisNodes(redis.asyncio.Redis.from_url(server.url)) for _ in range(2))
    await one.client.flushall()
    await one.announce(report("a", in_flight=2), routes())
    await asyncio.sleep(0.3)
    await two.announce(report("b", in_flight=3), routes())
    heard = {h.report.node: h.age for h in await one.nodes()}
    assert heard.keys() == {"a", "b"}
    assert 0.25 < heard["a"] - heard["b"] < 2
    picture = FleetState(await two.nodes(), silent_after=0.2)
    assert (picture.nodes.seen, picture.nodes.total, picture.nodes.silent, picture.in_flight) == (1, 2, ("a",), 3)
    await one.client.aclose()
    await two.client.aclose()


async def test_a_node_whose_report_cannot_be_read_is_named_and_not_left_out(server: RedisProcess) -> None:
    """As while replicas of two versions serve: what cannot be added up is said to be missing."""
    nodes = RedisNodes(redis.asyncio.Redis.from_url(server.url))
    await nodes.client.flushall()
    await nodes.announce(report("a"), routes())
    await nodes.announce(report("old"), routes())
    await nodes.client.set("{spork:fleet}:node:old", b"in another form", keepttl=True)
    picture = FleetState(await nodes.nodes())
    assert (picture.nodes.seen, picture.nodes.total, picture.nodes.silent) == (1, 2, ("old",))
    assert picture.hits("users") == 30
    await nodes.client.aclose()


async def test_without_redis_the_others_grow_silent_and_nothing_is_raised() -> None:
    with redis_process() as server:
        client = redis.asyncio.Redis.from_url(server.url, socket_timeout=0.2, socket_connect_timeout=0.2)
        nodes = RedisNodes(client)
        await nodes.announce(report("other"), routes())
        assert len(await nodes.nodes()) == 1
        server.kill()
        for _ in range(6):
            await nodes.announce(report("me"), routes())
            heard = await nodes.nodes()
        assert FleetState(heard).nodes.silent == ("other",)
        assert nodes.failures >= 12
        assert (await RedisHealth(client).health()).status == "degraded"
        with pytest.raises(OSError):
            await nodes.offer(Shared("r", 1.0, "a", "", "x"))
        server.start()
        await nodes.announce(report("me"), routes())
        assert [h.report.node for h in await nodes.nodes()] == ["me"]
        await client.aclose()


async def test_what_operators_apply_is_found_by_the_others(server: RedisProcess) -> None:
    client = redis.asyncio.Redis.from_url(server.url)
    await client.flushall()
    nodes = RedisNodes(client, "fleet-a")
    assert await nodes.latest() is None
    shared = Shared("rev2", 12.5, "alice", "why", "routes: []\n")
    await nodes.offer(shared)
    assert await nodes.latest() == shared
    assert await RedisNodes(client, "fleet-b").latest() is None
    await client.set("{fleet-a:fleet}:config", b"garbage")
    assert await nodes.latest() is None
    await client.aclose()


# ------------------------------------------------------------------------------------------------------------- merging


def pictured(*reports: NodeReport) -> FleetState:
    return FleetState([NodeState(r, 0.0, routes) for r in reports])


def test_numbers_of_nodes_add_up() -> None:
    picture = pictured(
        report("a", in_flight=1, series=[(10, 5, 1, 0)]),
        report("b", in_flight=2, series=[(10, 7, 0, 2), (11, 1, 0, 0)]),
    )
    assert (picture.windows.total.requests, picture.route("users").errors, picture.hits("users")) == (
        60,
        6,
        60,
    )
    assert picture.in_flight == 3
    assert picture.series() == [(10, 12, 1, 2), (11, 1, 0, 0)]


def test_a_circuit_is_as_bad_as_on_its_worst_node_and_its_counts_add_up() -> None:
    merged = pictured(
        report("a", breakers=[breaker(state="closed", requests=10, failures=1, at=1.0)]),
        report("b", breakers=[breaker(state="open", requests=30, failures=29, at=2.0)]),
    ).breakers()[0]
    assert (merged.state, merged.requests, merged.failures, merged.since) == ("open", 40, 30, 2.0)
    assert merged.error_ratio == 0.75
    assert [t.at for t in merged.transitions] == [1.0, 2.0]
    assert merged.window == ((40, 30),)
    assert [(own.node, own.state, own.requests, own.failures) for own in merged.by_node] == [
        ("a", "closed", 10, 1), ("b", "open", 30, 29),
    ]  # fmt: skip


def test_a_target_is_as_bad_as_any_node_finds_it() -> None:
    merged = pictured(
        report("a", target_views=[target("up", "ok", 1, 5.0)]),
        report("b", target_views=[target("down", "ejected", 2, 9.0)]),
    ).targets()[0]
    assert (merged.probe, merged.traffic, merged.in_flight, merged.connections, merged.last_probe_at) == (
        "down", "ejected", 3, 4, 9.0,
    )  # fmt: skip
    assert [(own.node, own.probe, own.traffic, own.in_flight, own.last_probe_at) for own in merged.by_node] == [
        ("a", "up", "ok", 1, 5.0), ("b", "down", "ejected", 2, 9.0),
    ]  # fmt: skip


def service(*reports: NodeReport) -> ServiceView:
    return Overview(pictured(*reports), two_services()).services()[0]


def two_targets(first: str, second: str) -> list[TargetView]:
    """Two targets with these verdicts of a node."""
    return [replace(target(first), name="t1"), replace(target(second), name="t2")]


def test_a_service_is_down_when_no_node_has_a_target_left_not_when_two_nodes_miss_different_ones() -> None:
    each_misses_one = service(
        report("a", target_views=two_targets("down", "up")), report("b", target_views=two_targets("up", "down"))
    )
    assert (each_misses_one.state, each_misses_one.targets_up, each_misses_one.targets_total) == ("degraded", 0, 2)
    one_has_none = service(
        report("a", target_views=two_targets("down", "down")), report("b", target_views=two_targets("up", "up"))
    )
    assert one_has_none.state == "degraded"
    none_has_any = service(
        report("a", target_views=two_targets("down", "down")), report("b", target_views=two_targets("down", "down"))
    )
    assert none_has_any.state == "down"


@pytest.mark.parametrize(("other", "state"), [("closed", "degraded"), ("open", "down")])
def test_a_circuit_that_is_open_on_one_node_only_degrades_the_service(other: str, state: str) -> None:
    targets = two_targets("up", "up")
    told = service(
        report("a", target_views=targets, breakers=[breaker(state="open")]),
        report("b", target_views=targets, breakers=[breaker(state=other)]),
    )
    assert (told.state, told.breaker) == (state, "open")


def test_one_target_with_an_open_circuit_of_its_own_does_not_take_the_service_down() -> None:
    views = [
        replace(view, breaker=state) for view, state in zip(two_targets("up", "up"), ("open", "closed"), strict=True)
    ]
    told = service(report("a", target_views=views, breakers=[breaker("users/t1", "open"), breaker("users/t2")]))
    assert (told.state, told.breaker, told.targets_up) == ("degraded", "open", 1)


def test_availability_is_the_share_of_the_last_hours_probes_of_all_nodes() -> None:
    reports = [report("a", probed={"users": (10, 9), "echo": (0, 0)}), report("b", probed={"users": (30, 27)})]
    assert service(*reports).availability == 0.9
    assert pictured(*reports).availability("echo") is None


def test_events_of_all_nodes_are_in_one_order_and_each_once() -> None:
    events = [EventView(f"{n}", float(n), "k", "a", "o", "", "", "info") for n in range(4)]
    picture = pictured(report("a", events=events[:3]), report("b", events=events[1:]))
    assert [e.id for e in picture.events()] == ["3", "2", "1", "0"]


def test_a_node_long_gone_is_forgotten() -> None:
    picture = FleetState([NodeState(report("a"), 0.0), NodeState(report("old"), 3600.0)])
    assert (picture.nodes.total, picture.nodes.silent) == (1, ())
