"""The gateway's own tile, the cache and versions of APIs."""

from __future__ import annotations

from dataclasses import replace

from spork.application.views import ComponentHealth
from spork.console.gateway.own_rows import cache_rows, channel_rows
from spork.console.pictures.gateway_tile import gateway_line, gateway_tile
from spork.console.session.store import Store
from spork.console.text.spans import plain
from tests.unit.console.driving import console
from tests.unit.console.fake_gateway import FakeGateway


def store_with(*parts: ComponentHealth) -> Store:
    store = Store()
    store.replace("components", list(parts), 1)
    store.renew(("components",), 1.0)
    return store


def test_a_gateway_that_is_not_known_is_not_called_well() -> None:
    assert "not known" in plain(gateway_tile(Store(), 40)[0])
    assert "not known" in plain(gateway_line(Store()))


def test_bad_parts_come_first_and_good_figures_after_them() -> None:
    redis = ComponentHealth("redis", "failing", "does not answer")
    loop = ComponentHealth("event_loop", "ok", "0.4 ms of lag in 10 s", 0.4)
    lines = [plain(line) for line in gateway_tile(store_with(loop, redis), 60)]
    assert "FAILING" in lines[0]
    assert "does not answer" in lines[0]
    assert "loop lag 0.4" in lines[1]
    well = [plain(line) for line in gateway_tile(store_with(loop), 60)]
    assert "OK" in well[0]
    assert "FAILING redis" in plain(gateway_line(store_with(loop, redis)))


async def test_the_pulse_says_how_the_gateway_is_and_leads_to_its_parts(gateway: FakeGateway) -> None:
    gateway.topics["components"] = [
        *gateway.topics["components"],
        ComponentHealth("records", "failing", "did not answer within a second"),
    ]
    async with console(gateway, size=(160, 44)) as running:
        await running.shows("Gateway", "FAILING", "records", "did not answer")
        await running.pilot.click("#tile-gateway")
        await running.shows("Parts of this gateway")
    async with console(gateway, size=(80, 24)) as running:
        await running.shows("gateway   FAILING records")


async def test_the_cache_says_what_it_does_for_each_route(gateway: FakeGateway) -> None:
    async with console(gateway, size=(160, 40)) as running:
        await running.command("cache")
        await running.shows("catalogue", "90.0", "images", "42 answers, 80.0 KiB of 64.0 MiB")


def test_the_one_answer_about_the_cache_becomes_rows() -> None:
    document = {
        "node": "a",
        "entries": 1,
        "bytes": 2,
        "memory": 3,
        "routes": [{"route": "x", "requests": {}, "hit_ratio": None}],
    }
    assert cache_rows(document) == [
        {"route": "x", "requests": {}, "hit_ratio": None, "node": "a", "entries": 1, "bytes": 2, "memory": 3}
    ]
    assert cache_rows({"routes": None}) == []


async def test_versions_say_who_still_calls_the_old_one(gateway: FakeGateway) -> None:
    async with console(gateway, size=(160, 40)) as running:
        await running.command("versions")
        await running.shows("DEPRECATED", "v1", "acme (700), zeta (150)", "SUNSET")
        await running.press("z")
        await running.hides("CURRENT")
    assert replace(gateway.topics["versions"][0], version="v9").version == "v9"


async def test_documents_of_apis_say_what_would_break(gateway: FakeGateway) -> None:
    async with console(gateway, size=(160, 40)) as running:
        await running.command("documents")
        await running.shows("PENDING", "billing", "1 breaking: GET /invoices is gone")


async def test_channels_say_who_listens(gateway: FakeGateway) -> None:
    async with console(gateway, size=(160, 40)) as running:
        await running.command("channels")
        await running.shows("/orders/{id}", "120", "redis")
    rows = channel_rows({"node": "a", "published": {"http": 2, "sse": 3}, "topics": [{"match": "x"}]})
    assert rows == [{"match": "x", "node": "a", "published": 5}]


def test_what_is_behind_the_gateway_is_not_its_own_health() -> None:
    line = plain(gateway_line(store_with(ComponentHealth("upstreams", "degraded", "not healthy: s2"))))
    assert "OK" in line
