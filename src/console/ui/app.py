"""The console as a Textual application: one session, one main screen, windows over it, and the writes between them."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from textual import events
from textual.app import App, SystemCommand
from textual.screen import Screen
from textual.worker import Worker, WorkerState

from spork.console.gateway.contexts import BadContext, Context
from spork.console.gateway.faults import LinkFault
from spork.console.gateway.topics import TOPICS
from spork.console.keys.actions import COMMANDS, Command
from spork.console.keys.keymap import keys_of
from spork.console.session.session import ConsoleSession
from spork.console.text.colours import THEMES
from spork.console.text.formats import clock
from spork.console.text.sanitize import clean
from spork.console.text.spans import plain
from spork.console.ui.clipboard import osc52
from spork.console.ui.main import MainScreen
from spork.console.ui.palette import Palette, palette, textual_theme
from spork.console.ui.screens.pane import Selected
from spork.console.ui.write_desk import WriteDesk

PUMP_SECONDS = 0.25
BLURRED_SECONDS = 1.0
POLLED_SECONDS = 5.0
SEARCH_SECONDS = 0.4
WHOLE_PAGE = 500
STREAMED_QUOTAS = 200
"""The stream carries so many quota windows, the most used; more are found by searching, or by `:quotas all`."""
MOST_QUOTAS = 10_000


class ConsoleApp(App[None]):
    """See the module. `exit` is only ever the operator's wish."""

    CSS_PATH = "styles.tcss"
    TITLE = "spork-console"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"

    def __init__(
        self,
        session: ConsoleSession,
        contexts: dict[str, Context],
        *,
        write: bool = False,
        theme: str = "",
        pump: bool = True,
        commands: tuple[Command, ...] = COMMANDS,
    ) -> None:
        super().__init__()
        self.session = session
        self.contexts = contexts
        self.commands = commands
        self._theme_wanted = theme or session.context.theme or "dark"
        self._pumping = pump
        self._blurred_ticks = 0
        self._blurred = False
        self._unlock_at_start = write
        self._polled: dict[str, float] = {}
        self.writing = WriteDesk(self)
        self._searched = ""
        self._heard: frozenset[tuple[str, float]] = frozenset()
        self._heard_nothing = True
        self.animation_level = "none"
        for name in THEMES:
            self.register_theme(textual_theme(name))
        chosen = self._theme_wanted if self._theme_wanted in THEMES else "dark"
        self.colours: Palette = palette(chosen)
        self.theme = f"spork-{chosen}"
        self.main = MainScreen(self)

    # ----------------------------------------------------------------------------------------------- life cycle

    def get_default_screen(self) -> Screen[None]:
        return self.main

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {"line": "#2b3542", "dim": "#7c8896"}

    def on_mount(self) -> None:
        self._mind_signals()
        if self._unlock_at_start:
            self.session.lock.unlock(self.session.mono())
        self.call_after_refresh(self._open)
        if self._pumping:
            self.set_interval(PUMP_SECONDS, self.tick, name="pump")

    def _mind_signals(self) -> None:
        """However the console is ended, the terminal is given back as it was."""
        if self.is_headless:
            return
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._ended_by, number)
        self.app_resume_signal.subscribe(self, lambda app: self.do_redraw())

    def _ended_by(self, number: int) -> None:
        self.exit(return_code=128 + number)

    def on_key(self, event: events.Key) -> None:
        """Keys that came in one piece with `/` or `:` were on their way before the line had the focus: they are its."""
        if self.screen is self.main and self.main.late(event):
            event.stop()
            event.prevent_default()

    def do_redraw(self, argument: str = "") -> None:
        """Everything anew, whatever others wrote over it."""
        driver = self._driver
        if driver is not None and not self.is_headless:
            driver.write("\x1b[2J")
        for screen in self.screen_stack:
            for widget in screen.query("*"):
                widget.refresh()
            screen.refresh(layout=True)

    def _open(self) -> None:
        """After the first picture: the HTTP library takes as long to import as half the picture."""
        self.run_worker(self.session.open(), name="open", exit_on_error=False)

    async def on_unmount(self) -> None:
        await self.session.close()

    def on_app_blur(self) -> None:
        self._blurred = True

    def on_app_focus(self) -> None:
        self._blurred = False
        self.tick()

    def tick(self) -> None:
        """One beat of the pump: expire what waited too long, poll what no stream carries, repaint."""
        if self._blurred:
            self._blurred_ticks += 1
            if self._blurred_ticks % round(BLURRED_SECONDS / PUMP_SECONDS):
                return
        session = self.session
        for topic, key in session.store.give_up(session.mono()):
            session.store.notice(f"{topic} {key}: applied, but not confirmed by the stream", "warn", session.wall())
        self._poll_visible()
        self._ring()
        if self.is_running and self.main.is_mounted:
            with self.batch_update():
                self._paint()

    def _ring(self) -> None:
        """A new concern that hurts somebody is heard, if the operator wants to hear it."""
        store = self.session.store
        quiet = self.session.quiet_concerns()
        found = {
            (row.id, row.since): row
            for row in store.rows("concerns")
            if row.severity == "error" and row.state != "cleared"
        }
        fresh = [row for spot, row in found.items() if spot not in self._heard and row.id not in quiet]
        first, self._heard = self._heard_nothing, frozenset(found)
        self._heard_nothing = self._heard_nothing and not store.known("concerns")
        how = self.session.remembered.bell
        if first or not fresh or how == "off" or self._driver is None:
            return
        text = f"spork {self.session.context.name}: {fresh[0].kind} {fresh[0].object}: {fresh[0].cause}"[:120]
        self._driver.write("\a" if how == "bell" else f"\a\x1b]9;{clean(text, 140)}\a")

    def do_bell(self, argument: str = "") -> None:
        ways = ("off", "bell", "notice")
        remembered = self.session.remembered
        now = remembered.bell if remembered.bell in ways else "off"
        remembered.bell = argument if argument in ways else ways[(ways.index(now) + 1) % 3]
        self.main.tell(f"new errors: {remembered.bell}", "dim")

    def do_range(self, argument: str = "") -> None:
        """How far back the lines of services and routes go."""
        session, ranges = self.session, (5, 15, 60)
        wanted = int(argument.rstrip("m")) if argument.rstrip("m").isdigit() else 0
        session.minutes = wanted if wanted in ranges else ranges[(ranges.index(session.minutes) + 1) % 3]
        self._polled.pop("history", None)
        self.main.tell(f"lines of the last {session.minutes} minutes", "dim")
        self._poll_visible()

    def do_export(self, argument: str = "") -> None:
        """The rows shown, as CSV or JSON by the file's name."""
        from spork.console.plain.exporting import as_text

        table = self.main.pane.active_table() if self.main.pane is not None else None
        if table is None:
            self.main.tell("nothing to export here: a list is needed", "warn")
            return
        name = argument or f"spork-{table.table.name}-{clock(self.session.wall()).replace(':', '')}.csv"
        kind = "json" if name.endswith(".json") else "csv"
        try:
            Path(name).write_text(as_text(table.table, list(table.rows), self.session.moment(), kind))
        except OSError as error:
            self.main.tell(f"cannot write {name}: {error.strerror}", "bad")
            return
        self.main.tell(f"{len(table.rows)} rows written to {name}", "ok")

    def _paint(self) -> None:
        """A defect while painting costs that picture and is told; it must not cost the operator the console."""
        try:
            if self.screen is self.main:
                self.main.pump()
            else:
                self.main.pump_above()  # under a window only what says how it stands
        except Exception as error:
            self._defect(error)

    def _defect(self, error: BaseException) -> None:
        text = clean(f"console defect: {error!r}", 200)
        if all(notice.text != text for notice in self.session.store.notices.newest(1)):
            self.session.store.notice(text, "bad", self.session.wall())

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        if event.state is WorkerState.ERROR and event.worker.error is not None:
            self._defect(event.worker.error)

    def _poll_visible(self) -> None:
        """Lists without a stream are read each five seconds while they are what is shown."""
        pane, session = self.main.pane, self.session
        if pane is None or session.feed is None or session.store.link.state != "UP":
            return
        now = session.mono()
        for topic in pane.topics:
            if not TOPICS[topic].ticking and now - self._polled.get(topic, -1e9) >= POLLED_SECONDS:
                self._polled[topic] = now
                session.store.shelves[topic].interval = POLLED_SECONDS
                self.run_worker(self._refresh(topic), group=f"poll-{topic}", exclusive=True, exit_on_error=False)

    async def _refresh(self, topic: str) -> None:
        try:
            if self.session.feed is not None:
                more: dict[str, str | int] = (
                    {"minutes": self.session.minutes} if topic == "history" else {"top": WHOLE_PAGE}
                )
                if topic == "history" and self.main.pane is not None:
                    more["kind"] = "route" if self.main.pane.place in ("routes", "route") else "service"
                await self.session.feed.refresh(topic, **more)
        except LinkFault:
            pass  # the shelf holds the fault, and the box says it

    # ------------------------------------------------------------------------------------------------- looks

    def use_theme(self, name: str) -> None:
        self.colours = palette(name)
        self.theme = f"spork-{name}"
        self.refresh_css(animate=False)
        for widget in self.main.query("*"):
            widget.refresh()

    def do_theme(self, argument: str = "") -> None:
        if argument in THEMES:
            self.use_theme(argument)
        else:
            from spork.console.ui.picker import Picker

            choices = [
                ("dark", ""),
                ("light", ""),
                ("cvd", "safe for colour-blind eyes"),
                ("ansi", "the terminal's colours"),
            ]
            self.push_screen(Picker("Theme", choices, self.colours.name), self._theme_picked)

    def _theme_picked(self, name: str | None) -> None:
        if name is not None:
            self.use_theme(name)

    def _context_picked(self, name: str | None) -> None:
        if name is not None:
            self.do_context(name)

    def do_mouse(self, argument: str = "") -> None:
        driver: Any = self._driver
        if driver is None or not hasattr(driver, "_disable_mouse_support"):
            return
        on = not getattr(driver, "_mouse", True)
        driver._mouse = on
        if on:
            driver._enable_mouse_support()
            self.main.tell("mouse: console", "dim")
        else:
            driver._mouse = True
            driver._disable_mouse_support()
            driver._mouse = False
            self.main.tell("mouse: terminal (select text as usual; m takes it back)", "dim")

    # ---------------------------------------------------------------------------------------------- the console

    def do_quit(self, argument: str = "") -> None:
        self.exit()

    def do_palette(self, argument: str = "") -> None:
        self.action_command_palette()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        for command in self.commands:
            if command.words or command.tier is not None:
                title = f"{command.words[0] if command.words else command.name}"
                keys = keys_of(command)
                yield SystemCommand(f"{title}  {keys}".rstrip(), command.help, self._palette_runner(command))

    def _palette_runner(self, command: Command) -> Any:
        return lambda: self.main.run_command(command)

    def do_context(self, argument: str = "") -> None:
        if argument in self.contexts:
            self.run_worker(self._switch(self.contexts[argument]), exclusive=True, group="context", exit_on_error=False)
        elif argument:
            self.main.tell(f"no context {argument!r}; there are {', '.join(self.contexts) or 'none'}", "bad")
        elif self.contexts:
            from spork.console.ui.picker import Picker

            choices = [(name, context.url) for name, context in self.contexts.items()]
            self.push_screen(Picker("Gateways", choices, self.session.context.name), self._context_picked)
        else:
            self.main.tell("no contexts: see docs/console.md for ~/.config/spork/console.toml", "dim")

    async def _switch(self, context: Context) -> None:
        try:
            await self.session.switch(context)
        except BadContext as error:
            self.main.tell(str(error), "bad")
        if context.theme in THEMES:
            self.use_theme(context.theme)
        await self.main.forget()

    def do_login(self, argument: str = "") -> None:
        self.main.tell("fetching the token again", "dim")
        self.run_worker(self.session.login(), exclusive=True, group="context", exit_on_error=False)

    def do_reread(self, argument: str = "") -> None:
        self.session.retry()
        pane = self.main.pane
        if pane is not None and self.session.store.link.state == "UP":
            self.run_worker(self._reread(pane.topics), exclusive=True, group="reread", exit_on_error=False)

    async def _reread(self, topics: tuple[str, ...]) -> None:
        try:
            await self.session.reread(topics)
            self.main.tell("read again", "dim", 2.0)
        except LinkFault as fault:
            self.main.tell(f"{fault.word} {fault}", "bad")

    def search(self, text: str) -> None:
        """Filtering quotas asks the server too, once the list is longer than what the stream carries."""
        shelf = self.session.store.shelves["quotas"]
        pane = self.main.pane
        there = len(shelf.rows)
        longer = there >= STREAMED_QUOTAS if shelf.total is None else shelf.total > there
        if pane is not None and pane.place == "quotas" and longer:
            self._searched = text
            self.run_worker(self._search(text), exclusive=True, group="search", exit_on_error=False)

    def load_all_quotas(self) -> None:
        """`:quotas all`: page after page until all are here, or MOST_QUOTAS of them."""
        self.run_worker(self._load_all(), exclusive=True, group="search", exit_on_error=False)

    async def _load_all(self) -> None:
        cursor, read = "", 0
        while self.session.client is not None and read < MOST_QUOTAS:
            params = {"cursor": cursor} if cursor else {}
            try:
                page = await self.session.client.page("quotas", top=WHOLE_PAGE, **params)
            except LinkFault as fault:
                self.main.tell(f"quotas: {fault.word} {fault}", "bad")
                return
            self.session.store.delta("quotas", page.items, (), page.rev)
            read += len(page.items)
            self.main.tell(f"{read} quota windows read", "dim")
            if not page.next_cursor or not page.items:
                return
            cursor = page.next_cursor

    async def _search(self, text: str) -> None:
        await asyncio.sleep(SEARCH_SECONDS)
        words = text.strip()
        if self.session.client is None or not words or set(words) & set("!:|"):
            return
        try:
            page = await self.session.client.page("quotas", top=200, q=words)
        except LinkFault as fault:
            self.main.tell(f"search: {fault}", "bad")
            return
        self.session.store.delta("quotas", page.items, (), page.rev)

    # ---------------------------------------------------------------------------------------------- copy, save

    def do_copy(self, argument: str = "") -> None:
        chosen = self.selected()
        if chosen:
            self._copy("\n".join(self._id_of(one) for one in chosen))
        elif self.writing.last_audit:
            self._copy(self.writing.last_audit)

    def _id_of(self, one: Selected) -> str:
        return str(getattr(one.row, "audit_id", None) or one.key or getattr(one.row, "revision", ""))

    def do_copy_curl(self, argument: str = "") -> None:
        for one in self.selected()[:1]:
            path = TOPICS[one.topic].path
            url = self.session.context.url
            self._copy(f'curl -H "Authorization: Bearer $SPORK_TOKEN" {url}/admin/v1{path}')

    def _copy(self, text: str) -> None:
        problem = self.to_terminal_clipboard(text)
        if problem:
            self.main.tell(problem, "bad")
            return
        self._clipboard = text
        self.main.tell(f"copied {text if len(text) < 60 else text[:57] + '…'}", "ok")

    def to_terminal_clipboard(self, text: str) -> str:
        """Copy through the terminal; the console keeps nothing of it. Answers why it cannot be done, '' if it was."""
        sequence, why = osc52(text, self.session.environ)
        if sequence and self._driver is not None:
            self._driver.write(sequence)
        return why

    def do_save(self, argument: str = "") -> None:
        """The screen as text. Tokens are never on it."""
        name = (
            argument
            or f"spork-{self.main.pane.place if self.main.pane else 'view'}-{clock(self.session.wall()).replace(':', '')}.txt"
        )
        lines = ["".join(segment.text for segment in strip).rstrip() for strip in self.main._compositor.render_strips()]
        try:
            Path(name).write_text("\n".join(lines) + "\n")
        except OSError as error:
            self.main.tell(f"cannot save {name}: {error.strerror}", "bad")
            return
        self.main.tell(f"saved {name}", "ok")

    # -------------------------------------------------------------------------------------------------- writes

    def selected(self) -> list[Selected]:
        return self.main.pane.selected() if self.main.pane is not None else []

    def do_unlock(self, argument: str = "") -> None:
        lock, now = self.session.lock, self.session.mono()
        who = self.session.store.who
        if lock.open(now):
            lock.lock()
            self.main.tell("read-only", "dim")
        elif who is None or who.role == "viewer":
            self.main.tell("writes need role operator" + (f"; you are {who.role}" if who else ""), "bad")
        else:
            lock.unlock(now)
            self.main.tell("writes unlocked for ten minutes", "forced")
        self.main.pump(True)


def screen_text(app: ConsoleApp) -> list[str]:
    """The visible screen as plain lines; for tests and for saving."""
    return [plain([(segment.text, "") for segment in strip]) for strip in app.screen._compositor.render_strips()]


__all__ = ["ConsoleApp", "screen_text"]
