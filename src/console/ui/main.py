"""The one screen: a pane, what stands around it, and the line to type in.

It dispatches keys and `:` lines to the tables of handlers of the pane, of itself and of the application, keeps the
history of places, and repaints, four times a second, whatever changed in the visible pane. To all below it is their Host.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.screen import ModalScreen, Screen
from textual.widgets import Input

from spork.console.gateway.contexts import Context
from spork.console.keys import actions, command_line
from spork.console.keys.actions import Command
from spork.console.pictures.columns import Table
from spork.console.pictures.links import Link, links, search
from spork.console.pictures.tables import TABLES
from spork.console.session.session import ConsoleSession
from spork.console.ui.chrome import MIN_HEIGHT, MIN_WIDTH, Chrome
from spork.console.ui.clipboard import Clipboard
from spork.console.ui.history import History, Place, Trail
from spork.console.ui.host import Handler, Selected, checked
from spork.console.ui.screens.pane import Pane
from spork.console.ui.screens.places import is_kept, pane_for
from spork.console.ui.widgets.command_line import CommandLine
from spork.console.ui.widgets.lines import Bar, Box
from spork.console.ui.write_desk import WriteDesk

T = TypeVar("T")


class MainScreen(Screen[None], inherit_bindings=False):
    """See the module."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+c", "screen.copy_text", show=False)]
    AUTO_FOCUS = ""

    def __init__(
        self,
        session: ConsoleSession,
        commands: tuple[Command, ...],
        clipboard: Clipboard,
        contexts: Mapping[str, Context],
    ) -> None:
        super().__init__()
        self.session = session
        self.commands = commands
        self.pane: Pane | None = None
        self.writing = WriteDesk(self, clipboard)
        self.chrome = Chrome(self, self.writing)
        self.contexts = contexts
        self._clipboard = clipboard
        self.history = History()
        self._kept: dict[Place, Pane] = {}
        self._small = False
        self._pump_waits = False
        self._prompt, self._line = Box("prompt", on="bar"), CommandLine(self._complete)
        self._body = Container(id="body")
        own = (key for command in commands for key in command.keys)
        for key in dict.fromkeys((*own, *session.settings.hotkeys)):
            self._bindings.bind(key, f"press({key!r})", show=False)
        self._handlers = checked("the main screen", self.handlers())

    # ------------------------------------------------------------------------------------- what panes may ask

    @property
    def shown(self) -> Pane | None:
        return self.pane

    @property
    def width(self) -> int:
        return self.size.width

    @property
    def trail(self) -> Trail:
        return self.history.trail

    def selected(self) -> list[Selected]:
        return self.pane.selected() if self.pane is not None else []

    def unfocus(self) -> None:
        self.set_focus(None)

    def work(self, task: Coroutine[Any, Any, Any], group: str) -> None:
        self.app.run_worker(task, exclusive=True, group=group, exit_on_error=False)

    async def ask(self, window: ModalScreen[T]) -> T | None:
        return await self.app.push_screen_wait(window)

    def choose(self, window: ModalScreen[T], then: Callable[[T | None], None]) -> None:
        self.app.push_screen(window, then)

    def to_terminal(self, sequence: str) -> None:
        if self.app._driver is not None:
            self.app._driver.write(sequence)

    def told_enough(self) -> None:
        self.chrome.told_enough()

    def compose(self) -> ComposeResult:
        chrome = self.chrome
        self._fit(*self.app.size)
        yield chrome.header
        yield chrome.tabs
        yield chrome.crumbs
        with self._body:
            yield self._pane_for(("pulse", ""))  # arranged with the rest, not after it
        yield chrome.message
        with Horizontal(id="typing"):
            yield self._prompt
            yield self._line
        yield chrome.footer
        yield chrome.card

    def on_mount(self) -> None:
        self.go("pulse")

    # -------------------------------------------------------------------------------------------- places

    def go(self, place: str, key: str = "") -> None:
        """Open a place and remember it."""
        if self.history.visit((place, key)):
            self._enter((place, key))

    def jump(self, link: Link) -> None:
        """Open what a link leads to; what lies outside of the console is copied, and opened where a browser is at hand."""
        if link.url:
            self.leave(link.url)
            return
        if self.history.visit((link.place, link.key), within=True):
            self._enter((link.place, link.key))
        if link.filter:
            self.call_after_refresh(self._arrive, link.filter)

    def leave(self, url: str) -> None:
        problem = self._clipboard.to_terminal(url)
        if self.app.is_web or self.session.environ.get("DISPLAY") or self.session.environ.get("WAYLAND_DISPLAY"):
            self.app.open_url(url)
        self.tell(problem or f"copied {url}", "bad" if problem else "ok", 15)

    def _enter(self, place: Place) -> None:
        pane, left = self._pane_for(place), self.pane
        if left is not None and left is not pane:
            left.display = False
            if not is_kept(left.place):
                left.remove()
        self.pane = pane
        if pane.parent is None:
            self._body.mount(pane)
        pane.display = True
        self.set_focus(None)
        self.session.look_at(pane.topics)
        self.pump_soon()

    def _pane_for(self, place: Place) -> Pane:
        pane = self._kept.get(place) or pane_for(self, *place)
        if is_kept(pane.place):
            self._kept[place] = pane
        return pane

    async def forget(self) -> None:
        """Another gateway: no pane of the old one stays."""
        await self._body.remove_children()
        self._kept.clear()
        self.pane = None
        place, key = self.history.here or ("pulse", "")
        self.history = History()
        self.go("pulse" if key else place)

    # ----------------------------------------------------------------------------------------------- the pump

    def pump_soon(self) -> None:
        """Repaint everything once the arrangement is known; asked for often, done once."""
        if not self._pump_waits:
            self._pump_waits = True
            self.call_after_refresh(self._pump_now)

    def _pump_now(self) -> None:
        self._pump_waits = False
        self.pump(True)

    def pump(self, force: bool = False) -> None:
        """Repaint what changed. Called four times a second; cheap when nothing did."""
        session, pane = self.session, self.pane
        now, wall = session.mono(), session.wall()
        self.pump_above(force)
        if self._small:
            self.chrome.paint_card(*self.size)
            return
        if pane is None or not pane.is_mounted:
            return
        if pane.update(int(wall), force) or force:
            self.chrome.paint_around(pane)
        self.chrome.paint_message(now)

    def pump_above(self, force: bool = False) -> None:
        """Only the status line."""
        session = self.session
        now = session.mono()
        self.chrome.paint_above(session.store.freshness("pulse", now), now, session.wall(), force)

    def tell(self, text: str, tone: str = "", seconds: float = 6.0) -> None:
        """A passing remark in the message line."""
        self.chrome.tell(text, tone, seconds)

    # ------------------------------------------------------------------------------------------------ keys

    def action_press(self, key: str) -> None:
        """A key of the registry: the command of that key which means something here."""
        line = self.session.settings.hotkeys.get(key)
        if line is not None:
            self.run_line(line)
            return
        place = self.pane.place if self.pane is not None else ""
        candidates = [command for command in self.commands if key in command.keys]
        here = [command for command in candidates if place in command.places]
        anywhere = [command for command in candidates if not command.places]
        for command in (here or anywhere or candidates)[:1]:
            self.run_command(command)

    def run_command(self, command: Command, argument: str = "") -> None:
        """Do it: a screen, a write, or the handler of the pane or of this screen. Says where if not here."""
        place = self.pane.place if self.pane is not None else ""
        if command.places and place not in command.places:
            self.tell(f"{command.name} works in {', '.join(command.places)}", "dim")
            return
        if command.name.startswith("screen_"):
            self.go(command.name.removeprefix("screen_"))
            if argument:
                self.call_after_refresh(self._arrive, argument)
            return
        if command.tier is not None:
            self.writing.begin(command.name, argument)
            return
        handler = self.handler(command.name)
        if handler is None:
            self.tell(f"{command.name} means nothing here", "dim")
        else:
            handler(argument)
        if self.pane is not None and self.pane.is_mounted:
            self.chrome.paint_around(self.pane)

    def handlers(self) -> dict[str, Handler]:
        """What this screen does itself, at which command."""
        return {
            "command": self.do_command,
            "filter": self.do_filter,
            "back": self.do_back,
            "last": self.do_last,
            "history_back": self.do_history_back,
            "history_forward": self.do_history_forward,
            "help": self.do_help,
            "explain": self.do_explain,
            "jump": self.do_jump,
            "trace": self.do_trace,
        }

    def learn(self, handlers: Mapping[str, Handler]) -> None:
        """Take what the application carries out itself. Raises UnknownHandlers."""
        self._handlers |= checked("the console", {**handlers})

    def handler(self, name: str) -> Handler | None:
        """Who carries the command out now: the pane in view, or screen and application."""
        found = self.pane.handler(name) if self.pane is not None else None
        return found or self._handlers.get(name)

    def _arrive(self, argument: str) -> None:
        if self.pane is not None:
            self.pane.arrive(argument)
            self.chrome.paint_around(self.pane)

    def _filter_now(self, text: str) -> None:
        if self.pane is not None:
            problem = self.pane.set_filter(text)
            hint = "" if problem else self.pane.filter_hint()
            if problem or hint:
                self.tell(problem or hint, "bad" if problem else "warn")
            self.chrome.paint_around(self.pane)

    # -------------------------------------------------------------------------------------- the command line

    def do_command(self, argument: str = "") -> None:
        self._type(":")

    def do_filter(self, argument: str = "") -> None:
        if argument:
            self._filter_now(argument)
        else:
            self._type("/", self.pane.filter_text if self.pane is not None else "")

    def _type(self, mode: str, text: str = "") -> None:
        self.add_class("typing")
        self._prompt.show([[(f" {mode}", "key")]])
        self._line.begin(mode, text)
        self._line.placeholder = (
            "command" if mode == ":" else "filter: words, a|b, !not, field:word, err>5, re:expression"
        )

    def on_command_line_typed(self, message: CommandLine.Typed) -> None:
        if message.mode == "/" and self.has_class("typing"):
            self._filter_now(message.text)

    def on_command_line_done(self, message: CommandLine.Done) -> None:
        self.remove_class("typing")
        self.set_focus(None)
        if message.mode == "/":
            self._filter_now(message.text if message.text is not None else "")
        elif message.text:
            self.run_line(message.text)

    def late(self, event: events.Key) -> bool:
        """A key that was sent to this screen before the line took the focus is handed on; True if it was."""
        if not self.has_class("typing") or self.focused is not self._line or self._line.last_key is event:
            return False
        again = events.Key(event.key, event.character)
        again._set_forwarded()
        self._line.post_message(again)
        return True

    def run_line(self, line: str) -> None:
        """A `:` line."""
        try:
            typed = command_line.parse(line)
        except command_line.UnknownCommand as error:
            found = [] if error.near else search(self.session.store, line)
            if error.near:
                self.tell(str(error), "bad")
            elif found:
                self._jump_to_one(found, "")
            else:
                self.tell(f"{error}; and nothing here is called so", "bad")
            return
        self.run_command(typed.command, typed.argument)

    def _complete(self, line: str) -> list[str]:
        from spork.console.text.colours import THEMES

        known = {"context": sorted(self.contexts), "theme": list(THEMES)}
        if self.pane is not None and self.pane.place in TABLES:
            known["sort"] = [column.name for column in TABLES[self.pane.place].columns]
            known["group"] = list(TABLES[self.pane.place].groups)
        return command_line.complete(line, known) or [
            link.key or link.filter for link in search(self.session.store, line)
        ]

    # -------------------------------------------------------------------------------------------- commands

    def do_back(self, argument: str = "") -> None:
        if isinstance(self.focused, Input):
            self.set_focus(None)
        elif self.pane is not None and self.pane.clear():
            return
        elif self.history.up():
            self._enter_here()
        elif self.pane is not None and self.pane.place != "pulse":
            self.go("pulse")
        else:
            self.tell("ctrl+q or :q quits", "dim")

    def do_last(self, argument: str = "") -> None:
        if self.history.before is not None:
            self.go(*self.history.before)

    def do_history_back(self, argument: str = "") -> None:
        if self.history.back():
            self._enter_here()

    def do_history_forward(self, argument: str = "") -> None:
        if self.history.forward():
            self._enter_here()

    def _enter_here(self) -> None:
        if self.history.here is not None:
            self._enter(self.history.here)

    def do_help(self, argument: str = "") -> None:
        from spork.console.ui.help import Help

        self.app.push_screen(Help(self.pane.place if self.pane is not None else "", self.commands))

    def do_jump(self, argument: str = "") -> None:
        """To what belongs to the row; or, by name, to whatever is called so."""
        store = self.session.store
        if argument:
            self._jump_to_one(search(store, argument), f"nothing here is called {argument!r}")
            return
        found = [link for one in self.selected()[:1] for link in links(store, one.topic, one.row)]
        found = [link for link in found if (link.place, link.key) != self.history.here or link.filter]
        self._jump_to_one(found, "nothing belongs to this row elsewhere", straight=False)

    def _jump_to_one(self, found: list[Link], none: str, straight: bool = True) -> None:
        if not found:
            self.tell(none, "dim")
        elif len(found) == 1 and straight:
            self.jump(found[0])
        else:
            from spork.console.ui.picker import Picker

            labels = {link.label: link for link in reversed(found)}
            choices = [(link.label, link.url or "") for link in found]
            self.choose(Picker("Jump to", choices, ""), lambda label: self.jump(labels[label]) if label else None)

    def do_trace(self, argument: str = "") -> None:
        """The trace of the request at the cursor, in the operator's viewer."""
        urls = [one.row.trace_url for one in self.selected()[:1] if getattr(one.row, "trace_url", None)]
        if urls:
            self.leave(urls[0])
        else:
            self.tell("no link to a trace: set telemetry.traces.link, and choose a request whose trace is kept", "warn")

    def do_explain(self, argument: str = "") -> None:
        if argument:
            self.go("route", argument if " " in argument else f"GET {argument}")
        else:
            self.tell(":explain METHOD URL", "dim")

    def pick_column(self, table: Table, current: tuple[str, bool], chosen: Callable[[str], None]) -> None:
        from spork.console.ui.picker import Picker

        choices = [(column.name, column.title) for column in table.columns]

        def take(name: str | None) -> None:
            if name is not None:
                chosen(name)
                self.pump(True)

        self.app.push_screen(Picker("Sort by", choices, current[0]), take)

    def on_bar_pressed(self, message: Bar.Pressed) -> None:
        if message.bar.id == "tabs":
            self.go(message.name)
        elif message.bar.id == "footer":
            self.run_command(actions.BY_NAME[message.name])

    def on_resize(self, event: events.Resize) -> None:
        self._fit(*event.size)
        self.pump_soon()

    def _fit(self, width: int, height: int) -> None:
        """The arrangement for this size."""
        self._small = width < MIN_WIDTH or height < MIN_HEIGHT
        self.update_classes(
            {
                "small": self._small,
                "one": width < 100,
                "two": 100 <= width < 120,
                "three": width >= 120,
                "short": height < 32,
                "middling": height < 42,
            }
        )
