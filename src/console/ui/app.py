"""The console as a Textual application: one session, one main screen, and the commands that work everywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from textual import events
from textual.app import SystemCommand
from textual.command import Provider
from textual.screen import Screen
from textual.worker import Worker, WorkerState

from spork.console.gateway.contexts import Context
from spork.console.keys import actions
from spork.console.keys.actions import Command
from spork.console.keys.keymap import keys_of
from spork.console.session.session import ConsoleSession
from spork.console.text.colours import THEMES
from spork.console.text.sanitize import clean
from spork.console.text.spans import plain
from spork.console.ui.clipboard import Clipboard
from spork.console.ui.commands.gateways import Gateways
from spork.console.ui.commands.hearing import Hearing
from spork.console.ui.commands.reading import Reading
from spork.console.ui.commands.replaying import Replaying
from spork.console.ui.commands.taking import Taking
from spork.console.ui.commands.terminal import Terminal
from spork.console.ui.commands.unlocking import Unlocking
from spork.console.ui.host import Handler
from spork.console.ui.look import LookApp
from spork.console.ui.main import MainScreen
from spork.console.ui.palette import palette, textual_theme

PUMP_SECONDS = 0.25
BLURRED_SECONDS = 1.0


class ConsoleApp(LookApp):
    """See the module. `exit` is only ever the operator's wish."""

    CSS_PATH = "styles.tcss"
    TITLE = "spork-console"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    COMMANDS = LookApp.COMMANDS | {lambda: _objects()}

    def __init__(
        self,
        session: ConsoleSession,
        contexts: dict[str, Context],
        *,
        write: bool = False,
        theme: str = "",
        pump: bool = True,
        commands: tuple[Command, ...] = actions.COMMANDS,
    ) -> None:
        super().__init__()
        self.session = session
        self.ascii_only = session.ascii_only
        self._theme_wanted = theme or session.context.theme or "dark"
        self._pumping = pump
        self._blurred_ticks = 0
        self._blurred = False
        self._unlock_at_start = write
        self.animation_level = "none"
        for name in THEMES:
            self.register_theme(textual_theme(name))
        chosen = self._theme_wanted if self._theme_wanted in THEMES else "dark"
        self.colours = palette(chosen)
        self.theme = f"spork-{chosen}"
        clipboard = Clipboard(session.environ, self._to_terminal)
        self.main = MainScreen(session, commands, clipboard, contexts)
        self.terminal = Terminal(self.main, self)
        self.reading = Reading(self.main)
        self.hearing = Hearing(self.main)
        taking = Taking(self.main, clipboard, lambda: _lines(self.main), lambda: self.main.writing.last_audit)
        gateways = Gateways(self.main, contexts, self.main.forget, self.use_theme)
        own: dict[str, Handler] = {"quit": self.do_quit, "palette": self.do_palette, "theme": self.do_theme}
        replaying = Replaying(self.main)
        for part in (replaying, self.terminal, self.reading, self.hearing, taking, gateways, Unlocking(self.main)):
            own |= part.handlers()
        self.main.learn(own)

    # ----------------------------------------------------------------------------------------------- life cycle

    def get_default_screen(self) -> Screen[None]:
        return self.main

    def get_theme_variable_defaults(self) -> dict[str, str]:
        return {"line": "#2b3542", "dim": "#7c8896"}

    def on_mount(self) -> None:
        self.terminal.mind_signals()
        if self._unlock_at_start:
            self.session.lock.unlock(self.session.mono())
        self.call_after_refresh(self._open)
        if self._pumping:
            self.set_interval(PUMP_SECONDS, self.tick, name="pump")

    def _to_terminal(self, sequence: str) -> None:
        self.terminal.write(sequence)

    def on_key(self, event: events.Key) -> None:
        """Keys that came in one piece with `/` or `:` were on their way before the line had the focus: they are its."""
        if self.screen is self.main and self.main.late(event):
            event.stop()
            event.prevent_default()

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
        self.reading.poll_visible()
        self.hearing.listen()
        if self.is_running and self.main.is_mounted:
            with self.batch_update():
                self._paint()

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
            return
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

    # ---------------------------------------------------------------------------------------------- the console

    def do_quit(self, argument: str = "") -> None:
        self.exit()

    def do_palette(self, argument: str = "") -> None:
        self.action_command_palette()

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        for command in self.main.commands:
            if command.words or command.tier is not None:
                title = f"{command.words[0] if command.words else command.name}"
                keys = keys_of(command)
                yield SystemCommand(f"{title}  {keys}".rstrip(), command.help, self._palette_runner(command))

    def _palette_runner(self, command: Command) -> Callable[[], None]:
        return lambda: self.main.run_command(command)


def _objects() -> type[Provider]:
    """Imported when the palette is first opened."""
    from spork.console.ui.objects import Objects

    return Objects


def _lines(screen: Screen[Any]) -> list[str]:
    return ["".join(segment.text for segment in strip).rstrip() for strip in screen._compositor.render_strips()]


def screen_text(app: ConsoleApp) -> list[str]:
    """The visible screen as plain lines; for tests and for saving."""
    return [plain([(segment.text, "") for segment in strip]) for strip in app.screen._compositor.render_strips()]


__all__ = ["ConsoleApp", "screen_text"]
