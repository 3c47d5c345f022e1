"""Every write, from its key to its confirmation; and everything that keeps a write from happening by mistake."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from textual.widgets import Button, Input

from spork.console.session import session as sessions
from spork.console.session import tiers
from spork.console.session.store import Notice
from spork.console.ui.action_dialog import ActionDialog
from tests.unit.console import seeds
from tests.unit.console.driving import Clock, Console, console
from tests.unit.console.fake_gateway import FakeGateway


def writes(gateway: FakeGateway, dry: bool = False) -> list[tuple[str, dict[str, str], dict[str, Any]]]:
    """The POSTs that were no questions, as (path, headers, body)."""
    return [
        (path, headers, json.loads(body))
        for method, path, headers, body in gateway.requests
        if method == "POST" and path != "/explain" and ("idempotency-key" in headers) != dry
    ]


async def dialog(running: Console) -> ActionDialog:
    await running.until(lambda: isinstance(running.app.screen, ActionDialog), "the dialog")
    await running.pilot.pause(0.05)
    screen = running.app.screen
    assert isinstance(screen, ActionDialog)
    return screen


async def fill(running: Console, **values: str) -> None:
    for name, value in values.items():
        running.app.screen.query_one(f"#input-{name}", Input).value = value
    await running.pilot.pause(0.02)


async def confirm(running: Console) -> None:
    button = running.app.screen.query_one("#confirm", Button)
    await running.until(lambda: not button.disabled, "an unlocked button")
    button.focus()
    await running.press("enter")


def said(running: Console) -> list[str]:
    return [notice.text for notice in running.store.notices]


# What every action does, on which screen, with what typed; and the row's change that the stream must bring.
ACTIONS: list[tuple[str, tuple[str, ...], str, dict[str, str], str, str]] = [
    ("T", ("3",), "search", {"reason": "incident 4411"}, "/breakers/search/trip", "breakers"),
    ("R", ("3",), "billing", {}, "/breakers/billing/reset", "breakers"),
    (
        "D",
        (":targets",),
        "users/10.0.5.1:8080",
        {"reason": "kernel"},
        "/targets/users/10.0.5.1%3A8080/drain",
        "targets",
    ),
    ("U", (":targets",), "users/10.0.5.8:8080", {}, "/targets/users/10.0.5.8%3A8080/undrain", "targets"),
    ("P", (":targets",), "users/10.0.5.1:8080", {}, "/targets/users/10.0.5.1%3A8080/probe", "targets"),
    ("E", ("4",), "q1", {"quota": "900", "ttl": "2h", "reason": "launch"}, "/quotas/q1/raise", "quotas"),
    ("N", ("4",), "q2", {"reason": "asked"}, "/quotas/q2/reset", "quotas"),
    ("X", (":keys",), "k9f31", {"reason": "leaked", "typed": "k9f31"}, "/keys/k9f31/revoke", "keys"),
    ("X", (":sessions",), "s1", {"reason": "stolen", "typed": "user:8841"}, "/sessions/s1/revoke", "sessions"),
    ("X", ("4",), "q3", {"reason": "stolen", "typed": "user:8841"}, "/subjects/user%3A8841/revoke", "quotas"),
    (
        "I",
        (":consumers",),
        "visitor",
        {"consumer": "acme", "scopes": "a:read, b:read", "expires_in": "1d", "reason": "new team"},
        "/keys",
        "keys",
    ),
    ("R", (":keys",), "k9f31", {"overlap": "2h", "reason": "yearly"}, "/keys/k9f31/rotate", "keys"),
    ("X", (":connections",), "c1", {"reason": "abuse"}, "/connections/c1/close", "connections"),
    ("X", (":cache",), "images", {"tags": "new, logo", "reason": "new logo"}, "/cache/purge", "cache"),
    ("L", (":components",), "redis", {"level": "debug", "reason": "looking"}, "/logging", "components"),
    ("L", ("8",), "", {"reason": "rollout"}, "/config/reload", "config"),
    ("B", ("8",), "", {"revision": "r39", "reason": "5xx", "typed": "configuration"}, "/config/rollback", "config"),
    ("M", (":consumers",), "visitor", {"plan": "gold", "reason": "paid"}, "/consumers/visitor/plan", "consumers"),
]


@pytest.mark.parametrize(
    ("key", "screen", "row", "typed", "path", "topic"), ACTIONS, ids=[f"{a[0]}-{a[5]}" for a in ACTIONS]
)
async def test_actions(
    gateway: FakeGateway,
    monkeypatch: pytest.MonkeyPatch,
    key: str,
    screen: tuple[str, ...],
    row: str,
    typed: dict[str, str],
    path: str,
    topic: str,
) -> None:
    monkeypatch.setattr(tiers, "ARM_SECONDS", 0.1)
    async with console(gateway, write=True) as running:
        await at_row(running, screen, row)
        await running.press(key)
        if key != "P":
            shown = await dialog(running)
            assert shown.focused is shown.query_one("#cancel", Button)
            await running.shows("now", "after", "POST /admin/v1")
            assert not writes(gateway)
            await fill(running, **typed)
            await confirm(running)
        await running.until(lambda: writes(gateway), "the write")
        sent, headers, body = writes(gateway)[0]
        assert sent == path
        assert len(headers["idempotency-key"]) >= 16
        if key != "P":
            assert int(headers["if-match"].strip('"')) > 88_000
        assert body.get("reason", "") == typed.get("reason", "")
        await running.until(lambda: any(text.startswith("APPLIED") for text in said(running)), "APPLIED")
        await running.shows("audit 01J9-A")
        await running.until(lambda: not running.store.pending, "the stream's confirmation")
        assert len(writes(gateway)) == 1


async def at_row(running: Console, screen: tuple[str, ...], row: str) -> None:
    for step in screen:
        if step.startswith(":"):
            await running.command(step[1:])
        else:
            await running.press(step)
    if not row:
        await running.shows("by ci")
        return
    grid = None
    await running.until(lambda: running.app.main.pane is not None and running.app.main.pane.tables(), "a list")
    grid = running.app.main.pane.tables()[0]  # type: ignore[union-attr]
    await running.until(lambda: row in grid.keys, f"row {row}")
    grid.move_to(grid.keys.index(row))


async def test_a_trip_shows_forced_once_the_stream_says_so(gateway: FakeGateway) -> None:
    async with console(gateway, write=True) as running:
        await at_row(running, ("3",), "search")
        await running.press("T")
        await dialog(running)
        await running.shows("~ HALF", "! FORCED", "402 rps would be refused")
        await fill(running, reason="incident", ttl="5m")
        await confirm(running)
        await running.until(lambda: running.store.row("breakers", "search").state == "forced_open", "FORCED")
        assert writes(gateway)[0][2] == {"ttl": 300.0, "reason": "incident"}
        await running.shows("APPLIED trip search")


async def test_cancel_has_the_focus_and_enter_or_escape_sends_nothing(gateway: FakeGateway) -> None:
    async with console(gateway, write=True) as running:
        for leave in ("enter", "escape"):
            await at_row(running, ("3",), "billing")
            await running.press("R")
            await dialog(running)
            await running.press(leave)
            await running.shows("cancelled, nothing was sent")
            await running.press("1")
        assert not writes(gateway)


async def test_y_confirms_tier_one_only(gateway: FakeGateway) -> None:
    async with console(gateway, write=True) as running:
        await at_row(running, ("3",), "billing")
        await running.press("R")
        await dialog(running)
        await running.press("y")
        await running.until(lambda: writes(gateway), "the write")
        await at_row(running, (), "search")
        await running.press("T")
        shown = await dialog(running)
        await running.press("y")
        assert running.app.screen is shown
        assert len(writes(gateway)) == 1


async def test_read_only_until_unlocked_and_again_after_ten_minutes(gateway: FakeGateway) -> None:
    clock = Clock()
    async with console(gateway, clock=clock) as running:
        await at_row(running, ("3",), "billing")
        await running.press("R")
        await running.shows("read-only: W unlocks")
        await running.press("W")
        await running.shows("WRITE 10m00s")
        clock.mono += tiers.UNLOCK_SECONDS - 1
        running.app.main.pump(True)
        await running.shows("WRITE")
        clock.mono += 2
        running.app.main.pump(True)
        await running.shows("READ-ONLY")
        await running.press("R")
        await running.shows("read-only: W unlocks")
        assert not [path for _, path, _, _ in gateway.requests if path.endswith("/reset")]


async def test_a_lock_that_closes_while_the_dialog_is_open_stops_the_write(gateway: FakeGateway) -> None:
    clock = Clock()
    async with console(gateway, clock=clock, write=True) as running:
        await at_row(running, ("3",), "billing")
        await running.press("R")
        await dialog(running)
        clock.mono += tiers.UNLOCK_SECONDS + 1
        await confirm(running)
        await running.shows("read-only: W unlocks")
        assert not writes(gateway)


async def test_a_viewer_sees_no_write_keys_and_can_unlock_nothing(gateway: FakeGateway) -> None:
    async with console(gateway, token="viewer-token") as running:
        await running.open("3", "legacy")
        assert "T trip" not in running.text
        assert "W unlock" not in running.text
        await running.press("W")
        await running.shows("writes need role operator; you are viewer")
        await running.press("T")
        await running.shows("needs role operator")


async def test_an_operator_cannot_revoke(gateway: FakeGateway) -> None:
    async with console(gateway, token="operator-token", write=True) as running:
        await at_row(running, (":keys",), "k9f31")
        assert "X revoke" not in running.text
        await running.press("X")
        await running.shows("needs role admin; you are operator")


async def test_production_wants_the_name_typed(gateway: FakeGateway) -> None:
    async with console(gateway, write=True, production=True) as running:
        await at_row(running, ("3",), "search")
        await running.press("T")
        shown = await dialog(running)
        await fill(running, reason="incident")
        await running.shows("type search to confirm")
        await fill(running, typed="Search")
        assert shown.query_one("#confirm", Button).disabled
        await fill(running, typed="search")
        assert not shown.query_one("#confirm", Button).disabled


async def test_a_reason_and_a_sensible_duration_are_needed(gateway: FakeGateway) -> None:
    async with console(gateway, write=True) as running:
        await at_row(running, ("3",), "search")
        await running.press("T")
        shown = await dialog(running)
        button = shown.query_one("#confirm", Button)
        await running.shows("a reason is needed")
        await fill(running, reason="x", ttl="forever")
        await running.shows("for: a duration such as")
        assert button.disabled
        await fill(running, ttl="15m")
        assert not button.disabled


async def test_tier_three_takes_three_seconds_to_arm(gateway: FakeGateway) -> None:
    async with console(gateway, write=True) as running:
        await at_row(running, (":keys",), "k9f31")
        await running.press("X")
        shown = await dialog(running)
        await fill(running, reason="leaked", typed="k9f31")
        assert shown.query_one("#confirm", Button).disabled
        await running.shows("arming")
        await running.until(lambda: not shown.query_one("#confirm", Button).disabled, "armed", 6)


async def test_the_last_healthy_target_is_tier_three(gateway: FakeGateway) -> None:
    async with console(gateway, write=True) as running:
        await at_row(running, (":targets",), "billing/10.0.7.1:8080")
        await running.press("D")
        await dialog(running)
        await running.shows("tier 3", "type name")


async def test_marked_rows_are_written_together_after_their_count_is_typed(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiers, "ARM_SECONDS", 0.05)
    async with console(gateway, write=True) as running:
        await at_row(running, ("3",), "billing")
        await running.press("space", "space")
        await running.shows("2 marked")
        await running.press("R")
        await dialog(running)
        await running.shows("Reset breaker × 2", "type count", "billing", "geo")
        await fill(running, reason="both", typed="2")
        await confirm(running)
        await running.until(lambda: len(writes(gateway)) == 2, "two writes")
        assert {path for path, _, _ in writes(gateway)} == {"/breakers/billing/reset", "/breakers/geo/reset"}
        await running.hides("marked")


async def test_a_row_that_changed_meanwhile_is_asked_again(gateway: FakeGateway) -> None:
    async with console(gateway, write=True) as running:
        await at_row(running, ("3",), "search")
        await running.press("T")
        await dialog(running)
        gateway.change_under = True
        await fill(running, reason="incident")
        await confirm(running)
        await running.shows("it changed while you looked")
        assert any(text.startswith("CHANGED") for text in said(running))
        shown = await dialog(running)
        assert shown.focused is shown.query_one("#cancel", Button)
        assert running.store.row("breakers", "search").state == "half_open"


@pytest.mark.parametrize("applied", [True, False])
async def test_an_answer_that_never_comes_is_verified_and_never_repeated(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch, applied: bool
) -> None:
    monkeypatch.setattr("spork.console.gateway.client.ANSWER_SECONDS", 0.4)
    monkeypatch.setattr(sessions, "VERIFY_AFTER", (0.1, 0.1, 0.2))
    async with console(gateway, write=True) as running:
        await at_row(running, ("3",), "billing")
        await running.press("R")
        await dialog(running)
        gateway.lose_answers, gateway.apply_lost = True, applied
        await running.press("y")
        await running.until(lambda: any("UNKNOWN, verifying" in text for text in said(running)), "UNKNOWN")
        wanted = "verified, it was applied" if applied else "look before you repeat it"
        await running.until(lambda: any(wanted in text for text in said(running)), wanted)
        assert len(writes(gateway)) == 1


async def test_a_refused_write_says_why_and_changes_nothing(gateway: FakeGateway) -> None:
    async with console(gateway, write=True) as running:
        await at_row(running, ("3",), "billing")
        await running.press("R")
        await dialog(running)
        gateway.fail_status = 422
        await running.press("y")
        await running.until(lambda: any("REFUSED" in text for text in said(running)), "REFUSED")
        assert running.store.row("breakers", "billing").state == "open"


async def test_stale_rows_are_read_again_before_the_dialog_and_a_failed_read_refuses(gateway: FakeGateway) -> None:
    clock = Clock()
    async with console(gateway, write=True, clock=clock) as running:
        await at_row(running, ("3",), "billing")
        gateway.ticking = False
        clock.mono += 30
        gateway.topics["breakers"] = [
            replace(row, state="closed") if row.name == "billing" else row for row in seeds.breakers(gateway.now())
        ]
        asked = len([1 for _, path, _, _ in gateway.requests if path == "/snapshot"])
        await running.press("T")
        await dialog(running)
        assert len([1 for _, path, _, _ in gateway.requests if path == "/snapshot"]) > asked
        await running.shows("CLOSED")
        await running.press("escape")
        clock.mono += 30
        gateway.fail_status = 500
        await running.press("T")
        await running.shows("Trip breaker refused")
        assert not writes(gateway)


async def test_pending_is_shown_until_the_stream_confirms(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeGateway, "publish_now", quietly)
    async with console(gateway, write=True) as running:
        await at_row(running, ("3",), "billing")
        await running.press("R")
        await dialog(running)
        await running.press("y")
        await running.shows("PENDING reset", "x OPEN")
        gateway.rev += 10
        gateway.publish("breakers", [row for row in gateway.topics["breakers"] if row.name == "billing"])
        await running.hides("PENDING reset")


def quietly(self: FakeGateway, topic: str, rows: list[Any]) -> int:
    """Change rows without telling the stream."""
    held = {row.name: row for row in self.topics[topic]} | {row.name: row for row in rows}
    self.topics[topic] = list(held.values())
    self.rev += 5
    return self.rev


async def test_dialogs_fit_eighty_by_twenty_four(gateway: FakeGateway) -> None:
    async with console(gateway, (80, 24), write=True, production=True) as running:
        await at_row(running, ("3",), "search")
        await running.press("T")
        await dialog(running)
        await running.shows("PROD", "Trip breaker", "blast", "reason", "type name", "Cancel", "Trip")


async def test_hostile_names_are_shown_in_dialogs_as_text(gateway: FakeGateway) -> None:
    gateway.topics["breakers"] = [replace(seeds.breakers(gateway.now())[0], name=seeds.HOSTILE)]
    async with console(gateway, write=True) as running:
        await running.press("3")
        await running.shows("\\x1b]2;")
        await running.press("R")
        await running.until(
            lambda: "no such object" in running.text or isinstance(running.app.screen, ActionDialog), "an answer"
        )
        assert running.app.is_running
        assert "\x1b" not in running.text


async def test_the_audit_id_of_the_last_write_can_be_copied(gateway: FakeGateway) -> None:
    async with console(gateway, write=True) as running:
        await at_row(running, ("8",), "")
        await running.press("L")
        await dialog(running)
        await fill(running, reason="x")
        await confirm(running)
        await running.until(lambda: running.app.main.writing.last_audit, "an audit id")
        notice = running.store.notices.newest(1)[0]
        assert isinstance(notice, Notice)
        assert notice.copy == running.app.main.writing.last_audit


async def test_the_dialog_asks_again_for_what_is_typed(gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after are those of the values that will be sent, never of the ones that stood there first."""
    monkeypatch.setattr(tiers, "ARM_SECONDS", 0.1)
    async with console(gateway, write=True) as running:
        await at_row(running, ("8",), "")
        await running.press("B")
        shown = await dialog(running)
        await running.shows("r40", "2 routes change")
        await fill(running, revision="r39", reason="5xx", typed="configuration")
        assert shown.query_one("#confirm", Button).disabled
        await running.shows("after    r39")
        await fill(running, revision="nonesuch")
        await running.shows("no such object")
        assert shown.query_one("#confirm", Button).disabled
        await fill(running, revision="r39")
        await confirm(running)
        await running.until(lambda: writes(gateway), "the write")
        assert writes(gateway)[0][2] == {"revision": "r39", "reason": "5xx"}
        await running.until(lambda: running.store.one("config").revision == "r39", "the rollback")
        assert {json.loads(body)["revision"] for _, path, _, body in gateway.requests if path.endswith("rollback")} == {
            "r40",
            "r39",
            "nonesuch",
        }


async def test_an_open_dialog_grows_old_and_the_status_line_above_it_too(gateway: FakeGateway) -> None:
    clock = Clock()
    async with console(gateway, write=True, clock=clock) as running:
        await at_row(running, ("3",), "search")
        await running.press("T")
        await dialog(running)
        await running.shows("WRITE 10m00s")
        clock.mono += 40
        await running.shows("read 40s ago", "WRITE 9m20s")


async def test_what_can_no_longer_be_done_is_refused_before_the_dialog(
    gateway: FakeGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list still shows the key as good; the row read for the dialog says otherwise."""
    async with console(gateway, write=True) as running:
        await at_row(running, (":keys",), "k9f31")
        revoked = [replace(row, state="revoked") for row in running.store.rows("keys") if row.id == "k9f31"]
        running.store.delta("keys", revoked, (), running.store.rev + 10)
        await running.press("R")
        await running.shows("k9f31 is revoked")
        assert not isinstance(running.app.screen, ActionDialog)


async def test_an_action_typed_on_another_screen_says_where_it_works(gateway: FakeGateway) -> None:
    async with console(gateway, write=True) as running:
        await running.open("4", "SUBJECT")
        await running.command("trip")
        await running.shows("trip works in breakers, breaker")
        assert not isinstance(running.app.screen, ActionDialog)
        assert not writes(gateway, dry=True)
