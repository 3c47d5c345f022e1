"""The console's safeties, each broken once: the test named beside it has to fail. `python -m tests.unit.console.must_fail [word]`.

A copy of the project is changed, never the project. Prints a line per safety: what was broken, and which test told.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.servers import ROOT


@dataclass(frozen=True)
class Broken:
    """`old` becomes `new` in src/console/`file`; then `test` (of tests/unit/console, or a whole path) must fail."""

    safety: str
    file: str
    old: str
    new: str
    test: str


BROKEN = (
    Broken("clean() escapes", "text/sanitize.py", "        text = _escaped(text)\n", "        text = text\n", "test_sanitize.py"),
    Broken("what arrives is cleaned", "gateway/client.py", "return scrub(msgspec.json.decode(raw), TEXTS)", "return msgspec.json.decode(raw)",
           "test_degraded.py::test_hostile_text_everywhere_is_shown_and_obeyed_nowhere"),
    Broken("read-only until unlocked", "session/session.py", "if write.tier > 0 and not self.lock.open(self.mono()):", "if False:",
           "test_dialogs.py::test_read_only_until_unlocked_and_again_after_ten_minutes"),
    Broken("writes lock again", "session/tiers.py", "return self.until is not None and now < self.until", "return self.until is not None",
           "test_dialogs.py::test_read_only_until_unlocked_and_again_after_ten_minutes"),
    Broken("the lock is asked again at the end", "ui/write_desk.py", "            refusal = self.host.session.refusal(write, row)\n", "            refusal = ''\n",
           "test_dialogs.py::test_a_lock_that_closes_while_the_dialog_is_open_stops_the_write"),
    Broken("Cancel has the focus", "ui/action_dialog.py", 'AUTO_FOCUS = "#cancel"', 'AUTO_FOCUS = "#dialog-buttons Button:last-child"',
           "test_dialogs.py::test_actions"),
    Broken("the name is typed", "ui/action_dialog.py", "if gate.typed is not None and self.query_one", "if False and self.query_one",
           "test_dialogs.py::test_production_wants_the_name_typed"),
    Broken("a reason is given", "ui/action_dialog.py", "if gate.reason and not typed", "if False and not typed",
           "test_dialogs.py::test_a_reason_and_a_sensible_duration_are_needed"),
    Broken("three seconds to think", "ui/action_dialog.py", "self.armed = plan.gate.arm_seconds <= 0", "self.armed = True",
           "test_dialogs.py::test_tier_three_takes_three_seconds_to_arm"),
    Broken("the dry run is of what is sent", "ui/action_dialog.py", "if self._values() != self._asked:", "if False:",
           "test_dialogs.py::test_the_dialog_asks_again_for_what_is_typed"),
    Broken("If-Match goes along", "gateway/client.py", "if rev is not None and not dry_run:", "if False:", "test_dialogs.py::test_actions"),
    Broken("an unknown outcome is verified", "session/session.py", "if write.done(self.store.row(topic, key)):", "if True:",
           "test_dialogs.py::test_an_answer_that_never_comes_is_verified_and_never_repeated"),
    Broken("PENDING until confirmed", "session/session.py", "self.store.wait_for(topic, key,", "(lambda *a: None)(topic, key,",
           "test_dialogs.py::test_pending_is_shown_until_the_stream_confirms"),
    Broken("a copied secret stays out of the console", "ui/secret.py", "._to_clipboard(self._secret)", "._remember(self._secret)",
           "test_secret.py::test_once_the_window_is_closed_nothing_knows_the_secret"),
    Broken("a secret is not lost by one key", "ui/secret.py", "        if not self._may_leave:\n", "        if False:\n",
           "test_secret.py::test_an_uncopied_secret_is_not_closed_by_one_key"),
    Broken("a write's key is a capital letter", "keys/keymap.py", "    if command.tier is not None and not fit_to_change(key):", "    if False and not fit_to_change(key):",
           "test_keymap.py::test_what_would_surprise_is_refused"),
    Broken("a row read anew is judged anew", "ui/write_desk.py", "        if refused:  # the row as read now", "        if False:  # the row as read now",
           "test_dialogs.py::test_what_can_no_longer_be_done_is_refused_before_the_dialog"),
    Broken("an open dialog grows old", "ui/action_dialog.py", "        self.set_interval(1.0, self._show_facts)\n", "",
           "test_dialogs.py::test_an_open_dialog_grows_old_and_the_status_line_above_it_too"),
    Broken("a write knows its place", "ui/main.py", "        if command.places and place not in command.places:\n", "        if False:\n",
           "test_dialogs.py::test_an_action_typed_on_another_screen_says_where_it_works"),
    Broken("the configuration is read again", "session/feed.py", "if topic is not None and topic.named_only:", "if False:",
           "test_feed.py::test_the_configuration_is_read_again_when_the_stream_names_another_revision"),
    Broken("drops are counted", "text/ring_buffer.py", "return self.total - len(self._items)", "return 0",
           "test_store.py::test_rings_are_bounded_and_count_what_they_drop"),
    Broken("gaps are counted", "session/store.py", "        self.gaps.add(Gap(wall, lost, since))\n", "", "test_feed.py::test_a_gap_costs_one_snapshot_and_is_counted"),
    Broken("a frozen as_of grows old", "session/store.py", "if as_of is None or as_of != shelf.as_of:", "if True:",
           "test_store.py::test_time_passes_by_our_clock_and_a_frozen_as_of_grows_old"),
    Broken("ages grow", "session/store.py", "else max(0.0, now - shelf.renewed)", "else 0.0", "test_degraded.py::test_silence_goes_from_live_to_lag_to_stale"),
    Broken("a lost gateway ends nothing", "session/feed.py", "            except LinkFault as fault:\n                await self._lost(fault)\n", "            except LinkFault as fault:\n                return\n",
           "test_feed.py::test_a_stopped_gateway_is_retried_and_found_again"),
    Broken("a wrong token is not hammered", "session/feed.py", "            pause = None\n", "            pause = 0.05\n",
           "test_feed.py::test_a_wrong_token_is_asked_once_and_never_hammered"),
    Broken("403 is said", "gateway/client.py", '        return AccessDenied(text, str(fields.get("needs") or ""))', "        return Absent(text)",
           "test_feed.py::test_refusals_are_told_apart"),
    Broken("older rows never win", "session/store.py", "            if rev < written.get(key, -1):\n                continue\n", "",
           "test_store.py::test_reordered_and_repeated_deltas_end_as_the_ordered_history"),
    Broken("q goes back, it does not quit", "keys/actions.py", 'Command("quit", ("ctrl+q",)', 'Command("quit", ("ctrl+q", "q")', "test_actions.py"),
    Broken("only changed lines are painted", "ui/widgets/live_table.py", "if self._signs.get(y) != self._sign(y - first)", "if True",
           "test_screens.py::test_only_lines_that_look_different_are_painted"),
    Broken("the terminal is given back", "plain/splash.py", "            termios.tcsetattr(0, termios.TCSANOW, self._before)\n", "            pass\n",
           "tests/system/test_console_tmux.py::test_an_interrupt_while_it_starts_leaves_the_terminal_as_it_was"),
    Broken("a stray byte is survived", "ui/guard.py", "            module.getincrementaldecoder = _forgiving\n", "",
           "tests/system/test_console_tmux.py"),
)  # fmt: skip


def told(broken: Broken, project: Path) -> str:
    """The first test that fails with `broken`; '' if none does."""
    path = project / "src" / "console" / broken.file
    sound = path.read_text()
    assert sound.count(broken.old) == 1, f"{broken.safety}: {broken.file} has changed"
    path.write_text(sound.replace(broken.old, broken.new))
    test = broken.test if broken.test.startswith("tests/") else f"tests/unit/console/{broken.test}"
    try:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", test],
            cwd=project,
            capture_output=True,
            text=True,
        )
    finally:
        path.write_text(sound)
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED tests", "ERROR tests"))]
    return failed[0].split(" ")[1].rpartition("/")[2] if done.returncode == 1 and failed else ""


def main() -> int:
    wanted = [broken for broken in BROKEN if all(word in broken.safety for word in sys.argv[1:])]
    silent = 0
    with tempfile.TemporaryDirectory() as place:
        project = Path(place) / "project"
        shutil.copytree(
            ROOT, project, ignore=shutil.ignore_patterns(".git", ".venv", "__pycache__", ".*_cache", "docs")
        )
        for broken in wanted:
            test = told(broken, project)
            silent += not test
            sys.stdout.write(f"{'told' if test else 'SILENT':<7}{broken.safety:<38}{test or broken.test}\n")
            sys.stdout.flush()
    return 1 if silent else 0


if __name__ == "__main__":
    sys.exit(main())
