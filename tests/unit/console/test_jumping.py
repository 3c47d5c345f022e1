"""From anything to anything: what belongs to a row, names after `:`, the palette, a trace's link."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spork.application.views import EventView
from spork.console.gateway.topics import LIVE
from spork.console.pictures.links import Link, links, search
from spork.console.session.store import Store
from spork.console.ui.history import History
from tests.unit.console import seeds
from tests.unit.console.driving import console
from tests.unit.console.fake_gateway import FakeGateway


@pytest.fixture(scope="module")
def store() -> Store:
    found = Store()
    for topic, rows in seeds.all_topics(1000.0).items():
        if topic in LIVE and topic not in ("pulse", "config", "traffic", "events"):
            found.replace(topic, rows, 1)  # type: ignore[arg-type]
    found.sample(seeds.traffic(1000.0), 1)
    return found


def labels(found: list[Link]) -> list[str]:
    return [link.label for link in found]


def test_a_request_leads_to_all_that_had_to_do_with_it(store: Store) -> None:
    row = next(row for row in store.rows("traffic") if row.upstream == "billing" and row.target and row.subject)
    row = replace(row, route="billing", trace_url="https://traces/x")
    found = links(store, "traffic", row)
    places = [link.place for link in found]
    assert {"service", "target", "breaker", "consumer", "quotas", ""} <= set(places)
    assert Link("service billing", "service", "billing") in found
    assert found[-1].url == "https://traces/x"


def test_every_kind_of_row_leads_somewhere_and_nowhere_that_is_not_there(store: Store) -> None:
    for topic, rows in seeds.all_topics(1000.0).items():
        if topic in ("pulse", "config", "components", "history", "concerns") or not rows:
            continue
        row = rows[0]  # type: ignore[index]
        if topic == "objectives":
            row = replace(row, route=seeds.routes()[0].name)
        found = links(store, topic, row)
        assert found, topic
        for link in found:
            if link.place in ("service", "breaker", "target", "route"):
                assert store.row(
                    {"service": "services", "breaker": "breakers", "target": "targets", "route": "routes"}[link.place],
                    link.key,
                )


def test_a_breaker_of_one_target_leads_to_it(store: Store) -> None:
    target = seeds.targets(1000.0)[0]
    row = replace(seeds.breakers(1000.0)[0], name=f"{target.upstream}/{target.name}")
    assert f"target {row.name}" in labels(links(store, "breakers", row))
    assert f"service {target.upstream}" in labels(links(store, "breakers", row))


def test_an_event_leads_to_what_it_is_about(store: Store) -> None:
    row = EventView("e", 1.0, "breaker.opened", "gateway", "billing", "open", "", "error", audit_id="a1")
    assert labels(links(store, "events", row))[:2] == ["service billing", "breaker billing"]
    assert "its audit record" in labels(links(store, "events", row))


def test_names_and_request_ids_are_found(store: Store) -> None:
    assert labels(search(store, "billing"))[0].endswith("billing")
    request = store.rows("traffic")[0]
    assert search(store, request.request_id)[0].key == request.request_id
    assert search(store, "") == []
    assert search(store, "no-such-thing") == []


def test_a_list_that_was_jumped_to_keeps_the_way(store: Store) -> None:
    history = History()
    history.visit(("services", ""))
    history.visit(("service", "geo"))
    history.visit(("traffic", ""), within=True)
    assert history.trail == (("services", ""), ("service", "geo"), ("traffic", ""))
    assert history.up() and history.here == ("service", "geo")


async def test_jumping_from_a_service_to_its_requests_and_back(gateway: FakeGateway) -> None:
    async with console(gateway, size=(160, 40)) as running:
        await running.open("2", "billing")
        await running.press("enter")
        await running.shows("Services › billing")
        await running.press("o")
        await running.shows("Jump to", "10.0.7.1")
        await running.press("escape")
        await running.command("jump billing")
        await running.shows("Jump to", "breaker billing")


async def test_a_request_is_jumped_from_by_key(gateway: FakeGateway) -> None:
    async with console(gateway, size=(160, 40)) as running:
        await running.open("6", "PATH")
        await running.press("enter")
        await running.shows("request id")
        await running.press("o")
        await running.shows("Jump to")
        await running.press("enter")
        await running.until(lambda: len(running.app.main.history.trail) == 3)


async def test_a_name_after_the_colon_is_a_place(gateway: FakeGateway) -> None:
    async with console(gateway, size=(160, 40)) as running:
        await running.command("billing")
        await running.shows("Jump to", "service billing", "breaker billing")
        await running.press("escape")
        request = running.store.rows("traffic")[0]
        await running.command(request.request_id)
        await running.shows("request id", request.request_id)
        await running.command("nothing-of-the-sort")
        await running.shows("no command", "nothing here is called so")


async def test_the_palette_finds_objects_and_parses_no_name(gateway: FakeGateway) -> None:
    gateway.topics["breakers"] = [
        replace(gateway.topics["breakers"][0], name="[@click=app.evil]zzz[/]"),
        *gateway.topics["breakers"],
    ]
    async with console(gateway, size=(160, 40)) as running:
        await running.until(lambda: running.store.row("breakers", "[@click=app.evil]zzz[/]") is not None)
        await running.press("ctrl+p")
        await running.type("zzz")
        await running.shows("breaker [@click=app.evil]zzz[/]")
        await running.press("down", "enter")
        await running.until(lambda: running.app.screen is running.app.main)
        assert running.app.is_running


async def test_the_link_of_a_trace_is_copied(gateway: FakeGateway) -> None:
    gateway.topics["traffic"] = [
        replace(row, trace_url=f"https://traces.example/{row.request_id}") for row in gateway.topics["traffic"]
    ]
    async with console(gateway, size=(160, 40)) as running:
        await running.open("6", "PATH")
        await running.command("trace")
        await running.shows("copied https://traces.example/01J9A")
        await running.press("enter")
        await running.shows("https://traces.example/", ":trace copies the link")
