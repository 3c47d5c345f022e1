"""What the operator sees while things are not well: words, ages, and a console that stays."""

from __future__ import annotations

from dataclasses import replace

import pytest

from spork.console.gateway.contexts import Context
from spork.console.session import feed as feeding
from tests.unit.console import seeds
from tests.unit.console.driving import Clock, console
from tests.unit.console.fake_gateway import FakeGateway, fake_gateway


async def test_down_with_age_and_live_again_without_a_key(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "BACKOFF_MOST", 0.3)
    async with console(gateway) as running:
        await running.shows("LIVE sse")
        gateway.stop()
        await running.shows("DOWN", "retry in", "try ")
        await running.shows("billing", "Attention")  # nothing was blanked
        await running.press("3")
        await running.shows("legacy", "DOWN")
        await running.press("T")
        await running.shows("read-only")
        gateway.start()
        await running.shows("LIVE sse")


async def test_silence_goes_from_live_to_lag_to_stale(gateway: FakeGateway) -> None:
    clock = Clock()
    async with console(gateway, clock=clock) as running:
        gateway.ticking = False
        await running.pilot.pause(0.2)
        for seconds, word in ((0.1, "LIVE"), (3.0, "LAG"), (20.0, "STALE")):
            clock.mono += seconds
            running.app.main.pump(True)
            await running.shows(word)
        assert "STALE 2" in running.text
        gateway.tick()
        await running.shows("LIVE")


async def test_unauthenticated_is_said_and_login_mends_it(gateway: FakeGateway) -> None:
    async with console(gateway, token="wrong", wait=False) as running:
        await running.shows("UNAUTHENTICATED :login")
        running.session.context = replace(running.session.context, token="viewer-token")
        await running.command("login")
        await running.shows("LIVE sse", "ana/viewer")


async def test_one_denied_topic_is_said_in_its_place(gateway: FakeGateway) -> None:
    gateway.deny = {"quotas"}
    async with console(gateway) as running:
        await running.shows("4 Quotas!", "DENIED needs role admin")
        await running.open("3", "legacy")
        await running.press("4")
        await running.shows("DENIED needs role admin")


async def test_bad_data_in_one_topic_leaves_the_others(gateway: FakeGateway) -> None:
    gateway.broken["targets"] = [{"name": 1}]
    async with console(gateway) as running:
        await running.shows("BAD DATA targets")
        await running.open("3", "legacy")


async def test_sums_of_a_fleet_with_a_silent_node_are_lower_bounds(gateway: FakeGateway) -> None:
    gateway.nodes = seeds.Nodes(3, 4, ("gw-4",))
    async with console(gateway) as running:
        await running.shows("PARTIAL 3/4", "≥1 842", "silent: gw-4", "? SILENT")
        await running.open("2", "≥310")


async def test_a_gap_is_counted_in_the_tail(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("6", "/api/v1/billing/")
        gateway.gap(214)
        await running.shows("GAP 214 lost")


async def test_throttled_says_when(gateway: FakeGateway) -> None:
    gateway.fail_status, gateway.retry_after = 429, "30"
    async with console(gateway, wait=False) as running:
        await running.shows("THROTTLED retry in")


async def test_a_skewed_clock_is_said(gateway: FakeGateway) -> None:
    gateway.skew = -60.0
    async with console(gateway) as running:
        await running.shows("CLOCK SKEW +6")


async def test_a_slow_answer_leaves_the_keys_alive(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("3", "legacy")
        gateway.delay = 2.0
        await running.press("r")
        await running.press("5")
        await running.shows("PATTERN", seconds=1.5)


async def test_switching_gateways_leaves_nothing_of_the_old_one(gateway: FakeGateway) -> None:
    with fake_gateway() as other:
        other.topics["breakers"] = [replace(row, name=f"other-{row.name}") for row in seeds.breakers(1.0)]
        contexts = {
            "one": Context("one", gateway.url, False, "admin-token"),
            "two": Context("two", other.url, True, "admin-token"),
        }
        async with console(gateway, contexts=contexts, write=True) as running:
            await running.open("3", "legacy")
            await running.command("ctx two")
            await running.shows("PROD", "two", "other-legacy", "READ-ONLY")
            assert "   legacy" not in running.text
            await running.command("ctx nowhere")
            await running.shows("no context 'nowhere'")


async def test_a_dead_gateway_leaves_the_switch_alive(gateway: FakeGateway) -> None:
    dead = Context("dead", "http://127.0.0.1:1", False, "x")
    live = Context("live", gateway.url, False, "admin-token")
    async with console(gateway, contexts={"dead": dead, "live": live}) as running:
        await running.command("ctx dead")
        await running.shows("dead", "retry in")
        await running.command("ctx live")
        await running.shows("LIVE sse")


HOSTILE_ROWS = [
    "services",
    "targets",
    "breakers",
    "quotas",
    "routes",
    "traffic",
    "events",
    "limits",
    "consumers",
    "keys",
    "sessions",
]


def poisoned(rows: list[object]) -> list[object]:
    """Every text of every row replaced by hostile bytes, except the keys that tell rows apart."""
    out: list[object] = []
    for index, row in enumerate(rows):
        texts = {
            name: f"{index}{seeds.HOSTILE}"
            for name in row.__dataclass_fields__  # type: ignore[attr-defined]
            if isinstance(getattr(row, name), str)
        }
        out.append(replace(row, **texts))  # type: ignore[type-var]
    return out


@pytest.mark.parametrize("size", [(120, 36), (80, 24)], ids=str)
async def test_hostile_text_everywhere_is_shown_and_obeyed_nowhere(gateway: FakeGateway, size: tuple[int, int]) -> None:
    """Escape sequences, markup with an action, unbalanced markup, bidirectional and zero-width characters."""
    for topic in HOSTILE_ROWS:
        gateway.topics[topic] = poisoned(gateway.topics[topic])
    async with console(gateway, size) as running:
        for screen in (
            "1",
            "2",
            "3",
            "4",
            "5",
            "6",
            "7",
            "8",
            ":targets",
            ":limits",
            ":consumers",
            ":keys",
            ":sessions",
        ):
            if screen.startswith(":"):
                await running.command(screen[1:])
            else:
                await running.press(screen)
            await running.pilot.pause(0.1)
            running.app.main.pump(True)
            check(running.text, size[0])
            if screen not in ("8", ":limits", ":keys", ":sessions"):
                await running.press("enter")
                await running.pilot.pause(0.1)
                check(running.text, size[0])
        await running.press("1")
        await running.shows("\\x1b]2;pwned")
        await running.press("7")
        await running.pilot.pause(0.2)
        await running.press("enter")
        await running.shows("[@click=app.exit]x[/]\\x9b31m\\u202eabc\\u200b[/i")  # as far as 80 columns go
        assert running.app.is_running


def check(text: str, width: int) -> None:
    odd = [char for char in text if char != "\n" and not char.isprintable()]
    assert not odd, odd
    assert all(len(line) <= width for line in text.split("\n"))
