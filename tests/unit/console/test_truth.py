"""The Pulse says well only when it knows, and the worst row never leaves the view by itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spork.console.gateway.faults import Unauthenticated, Unreachable
from spork.console.pictures.attention import ATTENTION, concerns
from spork.console.pictures.tables import TABLES
from spork.console.session.store import Store
from tests.unit.console import seeds
from tests.unit.console.driving import console
from tests.unit.console.fake_gateway import FakeGateway


@pytest.mark.parametrize("table", [*TABLES.values(), ATTENTION], ids=lambda table: table.name)
def test_not_known_filtered_and_none_are_three_sentences(table: object) -> None:
    store = Store()
    unknown = table.empty(store, False)  # type: ignore[attr-defined]
    assert unknown.startswith("not known: ")
    for name in store.shelves:
        store.replace(name, [], 1)
        store.renew((name,), 1.0)
    store.link.up("sse")
    filtered, nothing = table.empty(store, True), table.empty(store, False)  # type: ignore[attr-defined]
    assert nothing == table.nothing  # type: ignore[attr-defined]
    assert "filter" in filtered
    assert len({unknown, filtered, nothing}) == 3


def test_a_lost_link_is_the_first_concern_with_cause_and_url() -> None:
    store = Store()
    store.url = "http://127.0.0.1:24999"
    store.link.lost(Unreachable("connection refused"), 1.0, 2.0)
    (row,) = concerns(store, 100.0)
    assert (row.object, row.severity) == ("http://127.0.0.1:24999", "error")
    assert "connection refused" in row.cause
    assert "refused" in ATTENTION.empty(store, False)
    store.link.lost(Unauthenticated("no such token"), 1.0, None)
    assert ":login" in concerns(store, 100.0)[0].next_step


@pytest.mark.parametrize("size", [(80, 24), (120, 36)])
async def test_untouched_lists_keep_their_worst_row_in_view(gateway: FakeGateway, size: tuple[int, int]) -> None:
    healthy = [
        replace(seeds.services()[0], name=f"svc-{n:02}", state="healthy", error_ratio=0.0, breaker="closed")
        for n in range(30)
    ]
    gateway.publish("services", healthy, [row.name for row in seeds.services()])
    async with console(gateway, size=size) as running:
        await running.shows("LIVE")
        grid = running.app.main.pane.services  # type: ignore[union-attr]
        for turn in range(1, 12):
            gateway.publish("services", [replace(healthy[-turn], state="down", error_ratio=1.0)])
            await running.until(lambda turn=turn: sum(row.state == "down" for row in grid.rows) == turn)
            assert int(grid.scroll_offset.y) == 0
            assert grid.cursor == 0
            assert grid.rows[0].state == "down"


async def test_a_moved_cursor_stays_on_its_row(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.shows("LIVE")
        await running.press("3", "j")
        grid = running.app.main.pane.active_table()  # type: ignore[union-attr]
        assert grid is not None
        key = grid.cursor_key
        row = next(row for row in seeds.breakers(gateway.started) if row.name != key and row.state == "closed")
        gateway.publish("breakers", [replace(row, state="open", error_ratio=1.0, since=gateway.now())])
        await running.until(lambda: grid.keys and grid.keys[0] == row.name)
        assert grid.cursor_key == key
        await running.press("g")
        assert not grid.moved
