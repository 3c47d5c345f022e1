"""Every screen at three sizes, keys, filters, drill-down; on a scripted gateway over real HTTP."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spork.console.text.colours import THEMES
from spork.console.ui.palette import palette
from spork.console.ui.screens.listing import MAX_MARKS, Listing
from spork.console.ui.widgets.live_table import LiveTable
from tests.unit.console import seeds
from tests.unit.console.driving import SIZES, Clock, Console, console
from tests.unit.console.fake_gateway import FakeGateway

SCREENS = [
    ("1", ("Attention", "billing", "x OPEN")),
    ("2", ("SERVICE", "billing", "~ DEGRADED", "1/4")),
    ("3", ("BREAKER", "! FORCED", "legacy", "~ HALF")),
    ("4", ("SUBJECT", "spk_9f…31", "600/600", "1 204")),
    ("5", ("PATTERN", "/api/v1/users/*")),
    ("6", ("PATH", "/api/v1/billing/", "503")),
    ("7", ("KIND", "breaker.opened", "config.applied")),
    ("8", ("running → file", "quota: 900", "by ci")),
]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize(("key", "words"), SCREENS, ids=[key for key, _ in SCREENS])
async def test_screens(gateway: FakeGateway, key: str, words: tuple[str, ...], size: tuple[int, int]) -> None:
    async with console(gateway, size) as running:
        await running.press(key)
        if size == (60, 20):
            await running.shows("needs 80x24, has 60x20", "x OPEN breaker billing", "traffic", "LIVE")
        else:
            await running.shows(*words, "LIVE")
        lines = running.text.split("\n")
        assert len(lines) == size[1]
        assert all(len(line) <= size[0] for line in lines)


@pytest.mark.parametrize("size", SIZES[:2], ids=str)
@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (("2", "enter"), ("Services › billing", "Targets 4", "v DOWN", "least_request")),
        (("2", "enter", "enter"), ("Services › billing › 10.0.7.", "address", "weight", "Last 50 requests")),
        (("3", "enter"), ("Breakers › billing", "50.0% failed of 20", "last seconds")),
        (("4", "enter"), ("Quotas › spk_9f…31", "600 of", "gcra")),
        (("5", "enter"), ("Routes › users-v1", "leads to", "Which route would take this request?")),
        (("6", "enter"), ("Traffic › 01J9A", "request id", "never sent")),
        (("7", "enter"), ("Events › breaker.opened", "failure ratio 0.61")),
        (("1", "enter"), ("Pulse › breaker billing",)),
    ],
    ids=lambda value: "-".join(value) if len(value[0]) == 1 else "",
)
async def test_drill_down_and_back(
    gateway: FakeGateway, keys: tuple[str, ...], words: tuple[str, ...], size: tuple[int, int]
) -> None:
    async with console(gateway, size) as running:
        await running.open(keys[0], "Pulse")
        for key in keys[1:]:
            await running.press(key)
            await running.pilot.pause(0.1)
        await running.shows(*words)
        for _ in range(6):
            await running.press("escape")
        await running.shows("Attention")
        await running.press("q", "q")
        assert running.app.is_running


@pytest.mark.parametrize("line", ["targets", "limits", "consumers", "keys", "sessions"])
async def test_lists_without_a_number(gateway: FakeGateway, line: str) -> None:
    expected = {
        "targets": "10.0.7.1:8080",
        "limits": "per-ip",
        "consumers": "acme-batch",
        "keys": "k9f31",
        "sessions": "user:8841",
    }
    async with console(gateway) as running:
        await running.command(line)
        await running.shows(expected[line])


async def test_filter_narrows_shows_itself_and_escape_clears_it(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("3", "legacy", "users")
        await running.press("slash")
        await running.type("open|half")
        await running.hides("checkout")
        await running.press("enter")
        await running.shows("4 of 10", "/open|half")
        await running.press("escape")
        await running.shows("checkout")


async def test_a_bad_filter_says_why_and_harms_nothing(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("3", "legacy")
        await running.press("slash")
        await running.type("re:(")
        await running.press("enter")
        await running.shows("not a regular expression", "legacy")


async def test_sorting_by_picker_command_and_header(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("3", "legacy")
        await running.command("sort rps")
        await running.shows("RPS▾")
        assert first(running) == "users"
        await running.press("S")
        await running.shows("RPS▴")
        await running.press("s")
        await running.shows("Sort by")
        await running.press("escape")
        await running.command("sort nonsense")
        await running.shows("no column 'nonsense'")
        grid = running.app.main.query_one(Listing).grid
        await running.pilot.click(grid, offset=(16, 0))
        await running.shows("BREAKER▴")
        assert first(running) == "billing"


def first(running: Console) -> str:
    return str(running.app.main.pane.tables()[0].keys[0])  # type: ignore[union-attr]


async def test_the_cursor_stays_on_its_key_while_rows_move(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("3", "legacy")
        await running.press("j", "j", "j")
        grid = running.app.main.query_one(Listing).grid
        assert grid.cursor_key == "search"
        gateway.publish(
            "breakers",
            [replace(row, state="open") for row in gateway.topics["breakers"] if row.name in ("users", "media")],
        )
        await running.until(lambda: grid.keys.index("search") == 5, "the rows moved")
        assert grid.cursor_key == "search"
        assert grid.current.name == "search"
        gateway.publish("breakers", [], ["search"])
        await running.until(lambda: "search" not in grid.keys, "the row left")
        assert grid.current is not None


async def test_faults_only(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("3", "checkout")
        await running.press("z")
        await running.shows("faults only")
        assert set(running.app.main.query_one(Listing).grid.keys) == {"billing", "geo", "legacy", "search"}
        await running.press("escape")
        await running.hides("faults only")


async def test_wide_shows_every_column(gateway: FakeGateway) -> None:
    async with console(gateway, (80, 24)) as running:
        await running.open("3", "legacy")
        assert "FORCED BY" not in running.text
        await running.press("w", "l", "l", "l", "l")
        await running.shows("FORCED BY")


async def test_quotas_by_group(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("4", "user:8841")
        await running.press("b")
        await running.shows("key only")
        await running.hides("user:8841")
        await running.command("group ip")
        await running.shows("ip only", "203.0.113.9")


async def test_quotas_beyond_the_stream_are_asked_of_the_server(gateway: FakeGateway) -> None:
    gateway.topics["quotas"] = seeds.quotas(200)
    async with console(gateway) as running:
        await running.open("4", "spk_9f…31")
        gateway.topics["quotas"] = [*gateway.topics["quotas"], replace(seeds.quotas()[0], subject="zebra", id="q9999")]
        await running.press("slash")
        await running.type("zebra")
        await running.press("enter")
        await running.shows("zebra", "600/600")
        await running.press("escape")
        await running.command("quotas all")
        await running.shows("201 quota windows read")


async def test_pause_counts_what_is_new(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("6", "/api/v1/billing/")
        await running.press("p")
        await running.shows("PAUSED 0 new")
        gateway.sample([replace(row, path="/after/pause") for row in seeds.traffic(gateway.now(), 7, 5000)])
        await running.shows("PAUSED 7 new")
        assert "/after/pause" not in running.text
        await running.press("f")
        await running.shows("/after/pause", "sampled 1:20")


async def test_a_tail_follows_at_its_top_and_holds_below(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("6", "/api/v1/billing/")
        grid = running.app.main.query_one(Listing).grid
        newest = seeds.traffic(gateway.now() + 5, 1, 7000)
        gateway.sample(newest)
        await running.until(lambda: grid.cursor_key == newest[0].request_id, "the top follows")
        await running.press("j", "j")
        held = grid.cursor_key
        later = seeds.traffic(gateway.now() + 9, 3, 8000)
        gateway.sample(later)
        await running.until(lambda: grid.keys[0] == later[0].request_id, "new rows above")
        assert grid.cursor_key == held


async def test_marks_are_counted_and_capped(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("4", "spk_9f…31")
        await running.press(*["space"] * (MAX_MARKS + 3))
        await running.shows(f"{MAX_MARKS} marked", "at most 20")
        await running.press("escape")
        await running.hides("marked")


async def test_history_and_last_view(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("3", "legacy")
        await running.open("5", "PATTERN")
        await running.press("minus")
        await running.shows("legacy")
        await running.press("left_square_bracket")
        await running.shows("PATTERN")
        await running.press("right_square_bracket")
        await running.shows("legacy")


async def test_a_screen_word_takes_a_filter(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.command("brk geo")
        await running.shows("1 of 10", "/geo")


async def test_unknown_words_say_so(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.command("frobnicate")
        await running.shows("no command 'frobnicate'")
        await running.press("T")
        await running.shows("trip works in breakers")


async def test_the_command_line_completes_and_recalls(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.press("colon")
        await running.type("brea")
        await running.press("tab", "enter")
        await running.shows("legacy")
        await running.press("colon", "up")
        await running.shows(":breakers")
        await running.press("escape")
        assert running.app.is_running


@pytest.mark.parametrize("size", SIZES[:2], ids=str)
async def test_help_lists_the_registry(gateway: FakeGateway, size: tuple[int, int]) -> None:
    async with console(gateway, size) as running:
        await running.press("question_mark")
        await running.shows("Keys and commands", "Screens")
        await running.press(*["pagedown"] * 6)
        await running.shows("ctrl+q")
        await running.press("x")
        await running.hides("Keys and commands")


async def test_the_palette_finds_commands(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.press("ctrl+p")
        await running.pilot.pause(0.3)
        await running.type("brea")
        await running.pilot.pause(0.5)
        await running.press("enter")
        await running.shows("legacy")


async def test_explain(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.command("explain GET /api/v1/users/8841")
        await running.shows("MATCHES users-v1", "path differs at segment 3", "x refuse", "no token was given", "/8841")
        await running.press("enter")
        await running.press(*["backspace"] * 30)
        await running.type("POST /x")
        await running.press("enter")
        await running.until(
            lambda: b'"POST"' in gateway.requests[-1][3] or any(b'"POST"' in r[3] for r in gateway.requests),
            "the question",
        )


async def test_configuration_tabs(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("8", "quota: 900")
        await running.press("l")
        await running.shows("quota: 450")
        await running.press("l")
        await running.shows("token: <secret>")
        await running.press("l")
        await running.shows("raise free plan")
        await running.press("l")
        await running.shows("spork.yaml:31:9", "did you mean 'billing'?")


async def test_the_mouse_opens_tabs_rows_and_parts(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.shows("billing")
        await running.pilot.click("#tabs", offset=(28, 0))
        await running.shows("RETRY IN")
        grid = running.app.main.query_one(Listing).grid
        await running.pilot.click(grid, offset=(10, 3))
        assert grid.cursor_key == "legacy"
        await running.pilot.click(grid, offset=(10, 3))
        await running.shows("Breakers › legacy")


async def test_copy_goes_through_the_terminal_and_saving_to_a_file(gateway: FakeGateway, tmp_path: Path) -> None:
    async with console(gateway) as running:
        await running.open("3", "legacy")
        await running.press("y")
        await running.shows("copied billing")
        await running.press("Y")
        await running.shows("$SPORK_TOKEN")
        await running.command(f"save {tmp_path}/view.txt")
        await running.shows("saved")
        saved = (tmp_path / "view.txt").read_text()
        assert "legacy" in saved
        assert "admin-token" not in saved


@pytest.mark.parametrize("name", sorted(THEMES))
async def test_themes_say_the_same(gateway: FakeGateway, name: str) -> None:
    async with console(gateway, theme=name) as running:
        await running.shows("x OPEN", "~ HALF", "! FORCED", "v DOWN", "> DRAIN", "LIVE")


async def test_a_theme_can_be_changed_while_it_runs(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.command("theme light")
        assert running.app.colours.name == "light"
        await running.command("theme")
        await running.shows("safe for colour-blind eyes")


def luminance(colour: str) -> float:
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("name", ["dark", "light", "cvd"])
def test_themes_are_legible(name: str) -> None:
    c = THEMES[name]
    assert contrast(c.text, c.bg) >= 7
    assert contrast(c.dim, c.bg) >= 4.5
    for tone in (c.accent, c.ok, c.warn, c.bad, c.forced, c.unknown):
        assert contrast(tone, c.bg) >= 4.5
        assert contrast(tone, c.cursor) >= 3
    assert contrast(c.prod_text, c.prod_bg) >= 4.5


def test_every_tone_has_a_style() -> None:
    for name in THEMES:
        for tone in (
            "",
            "dim",
            "bold",
            "title",
            "accent",
            "ok",
            "warn",
            "bad",
            "forced",
            "unknown",
            "prod",
            "key",
            "tab",
            "line",
        ):
            assert palette(name).style(tone) is not None


async def test_ascii_only_draws_nothing_else(gateway: FakeGateway) -> None:
    gateway.topics["quotas"] = [row for row in gateway.topics["quotas"] if "…" not in row.subject]
    gateway.topics["events"], gateway.topics["traffic"] = [], []
    async with console(gateway, ascii_only=True) as running:
        await running.shows("Attention", "x OPEN")
        odd = {char for char in running.text if not char.isascii()}
        assert not odd


async def test_resizing_changes_the_layout_live(gateway: FakeGateway) -> None:
    async with console(gateway, size=(120, 44)) as running:
        await running.shows("Latest requests", "Most refused")
        await running.pilot.resize_terminal(80, 24)
        await running.hides("Latest requests")
        await running.shows("breakers  6 CLOSED")
        await running.pilot.resize_terminal(60, 20)
        await running.shows("needs 80x24")
        await running.pilot.resize_terminal(120, 44)
        await running.shows("Latest requests")


async def test_ten_thousand_rows_move_and_sort(gateway: FakeGateway) -> None:
    base = seeds.quotas()[5]
    gateway.topics["quotas"] = [
        replace(base, id=f"q{index}", subject=f"s{index:05d}", used=index % 600) for index in range(10_000)
    ]
    async with console(gateway) as running:
        await running.open("4", "10.0k")
        grid: LiveTable = running.app.main.query_one(Listing).grid
        assert len(grid.rows) == 10_000
        await running.press("G")
        assert grid.cursor == 9_999
        assert grid.cursor_key is not None
        await running.shows(f"s{grid.cursor_key[1:]:0>5}")
        await running.command("sort subject")
        await running.press("g")
        await running.shows("s00000")


def only(rows: list[Any]) -> Any:
    assert len(rows) == 1
    return rows[0]


async def test_only_lines_that_look_different_are_painted(gateway: FakeGateway) -> None:
    async with console(gateway) as running:
        await running.open("3", "RETRY IN")
        grid = running.app.main.query_one(Listing).grid
        await running.pilot.pause(0.3)
        painted: list[int] = []
        plain = grid.render_line

        def counted(y: int) -> object:
            painted.append(y)
            return plain(y)

        grid.render_line = counted  # type: ignore[method-assign, assignment]
        shut = next(row for row in gateway.topics["breakers"] if row.name == "checkout")
        gateway.publish("breakers", [replace(shut, rps=7777.0)])
        await running.shows("7 777")
        assert painted
        assert max(painted) <= 6  # the open ones' times, and this one; not the closed ones, nor the empty lines


async def test_a_row_whose_state_changed_is_marked_for_a_while(gateway: FakeGateway) -> None:
    clock = Clock()
    async with console(gateway, clock=clock) as running:
        await running.open("3", "RETRY IN")
        assert "Δ" not in running.text
        shut = next(row for row in gateway.topics["breakers"] if row.name == "checkout")
        gateway.publish("breakers", [replace(shut, rps=4321.0)])
        await running.shows("4 321")
        assert "Δ" not in running.text  # counts move all the time
        gateway.publish("breakers", [replace(shut, state="open")])
        await running.shows("Δ")
        assert [line for line in running.text.splitlines() if "Δ" in line and "checkout" in line]
        gateway.ticking = False
        clock.mono += 6
        await running.hides("Δ")


@pytest.mark.parametrize("theme", ["dark", "light", "cvd"])
async def test_textuals_own_widgets_take_the_themes_colours(gateway: FakeGateway, theme: str) -> None:
    async with console(gateway, theme=theme) as running:
        typing = running.app.main.query_one("#typing")
        await running.until(lambda: typing.styles.background.hex.lower() == THEMES[theme].bar, "the colour")
