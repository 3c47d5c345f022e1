"""The one screen: status, tabs and crumbs above, a pane, a line for messages, the keys below.

It dispatches keys and `:` lines to the pane's or its own `do_NAME`, keeps the history of places, and repaints, four
times a second, whatever changed in the visible pane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal
from textual.screen import Screen
from textual.widgets import Input

from console import actions, pulse, status
from console.actions import COMMANDS, Command
from console.columns import Table
from console.freshness import age
from console.spans import BLANK, Line, spread
from console.tables import TABLES
from console.tiers import allowed
from console.ui.screens.pane import Pane
from console.ui.screens.pulse import Pulse
from console.ui.widgets.command_line import CommandLine
from console.ui.widgets.lines import Bar, Box

if TYPE_CHECKING:
    from console.ui.app import ConsoleApp

MIN_WIDTH, MIN_HEIGHT = 80, 24
HISTORY = 50
Place = tuple[str, str]


def _bindings() -> list[BindingType]:
    keys = dict.fromkeys(key for command in COMMANDS for key in command.keys)
    return [Binding(key, f"press({key!r})", show=False) for key in keys]


class MainScreen(Screen[None], inherit_bindings=False):
    """See the module."""

    BINDINGS: ClassVar[list[BindingType]] = [*_bindings(), Binding("ctrl+c", "screen.copy_text", show=False)]
    AUTO_FOCUS = ""

    def __init__(self) -> None:
        super().__init__()
        self.places: list[Place] = []
        self.at = -1
        self.before: Place | None = None
        self.pane: Pane | None = None
        self._lists: dict[Place, Pane] = {}
        self._told: tuple[Line, float] | None = None
        self._copyable = ""
        self._small = False
        self._pump_waits = False
        self._told_above: tuple[object, ...] = ()
        self._header, self._tabs, self._footer = Bar("header"), Bar("tabs", on="body"), Bar("footer")
        self._crumbs, self._said, self._small_card = Box("crumbs"), Box("message"), Box("card")
        self._prompt, self._line = Box("prompt", on="bar"), CommandLine(self._complete)
        self._body = Container(id="body")

    @property
    def desk(self) -> ConsoleApp:
        return cast("ConsoleApp", self.app)

    def compose(self) -> ComposeResult:
        self._fit(*self.app.size)
        yield self._header
        yield self._tabs
        yield self._crumbs
        with self._body:
            yield self._make("pulse", "")  # arranged with the rest, not after it
        yield self._said
        with Horizontal(id="typing"):
            yield self._prompt
            yield self._line
        yield self._footer
        yield self._small_card

    def on_mount(self) -> None:
        self.go("pulse")

    def pump_soon(self) -> None:
        """Repaint everything once the arrangement is known; asked for often, done once."""
        if not self._pump_waits:
            self._pump_waits = True
            self.call_after_refresh(self._pump_now)

    def _pump_now(self) -> None:
        self._pump_waits = False
        self.pump(True)

    # -------------------------------------------------------------------------------------------- places

    def go(self, place: str, key: str = "") -> None:
        """Open a place and remember it."""
        if self.places and self.places[self.at] == (place, key):
            return
        if self.places:
            self.before = self.places[self.at]
        del self.places[self.at + 1 :]
        self.places.append((place, key))
        del self.places[:-HISTORY]
        self.at = len(self.places) - 1
        self._enter()

    def _enter(self) -> None:
        place, key = self.places[self.at]
        pane = self._lists.get((place, key))
        if pane is None:
            pane = self._make(place, key)
        if self.pane is not None and self.pane is not pane:
            self.pane.display = False
            if (self.pane.place, self.pane.subject) not in self._lists:
                self.pane.remove()
        self.pane = pane
        if pane.parent is None:
            self._body.mount(pane)
        pane.display = True
        self.set_focus(None)
        self.desk.session.look_at(tuple(topic for topic in pane.topics))
        self.pump_soon()

    def _make(self, place: str, key: str) -> Pane:
        session = self.desk.session
        if place == "pulse":
            return self._kept(place, Pulse(session))
        if place in TABLES:
            from console.ui.screens.listing import Listing

            return self._kept(place, Listing(session, TABLES[place]))
        if place == "config":
            from console.ui.screens.config import Config

            return self._kept(place, Config(session))
        if place == "route":
            from console.ui.screens.explain import Explain

            return Explain(session, key)
        from console.ui.screens.detail import Detail

        return Detail(session, place, key)

    def _kept(self, place: str, pane: Pane) -> Pane:
        self._lists[place, ""] = pane
        return pane

    async def forget(self) -> None:
        """Another gateway: no pane of the old one stays."""
        await self._body.remove_children()
        self._lists.clear()
        self.pane = None
        place = self.places[self.at] if self.places and self.places[self.at][1] == "" else ("pulse", "")
        self.places, self.at, self.before = [], -1, None
        self.go(place[0])

    # ----------------------------------------------------------------------------------------------- the pump

    def pump(self, force: bool = False) -> None:
        """Repaint what changed. Called four times a second; cheap when nothing did."""
        desk, pane = self.desk, self.pane
        session = desk.session
        now, wall = session.mono(), session.wall()
        fresh = session.store.freshness("pulse", now)
        store, link = session.store, session.store.link
        told = (int(wall), link.state, link.attempt, link.mode, fresh.word, session.lock.open(now), store.who, store.nodes,
                session.context, self.size.width)  # fmt: skip
        if told != self._told_above or force:  # tenths of a second of age are no reason to paint
            self._told_above = told
            width = self.size.width
            self._header.show([(status.header(store, session.context, session.lock, fresh, now, wall, width), "")])
        if self._small:
            self._card(fresh.tone)
            return
        if pane is None or not pane.is_mounted:
            return
        changed = pane.update(int(wall), force)
        if changed or force:
            self._frame(pane)
        self._message(now)

    def _frame(self, pane: Pane) -> None:
        store, width = self.desk.session.store, self.size.width
        denied = [
            name for name, shelf in store.shelves.items() if shelf.fault is not None and shelf.fault.word == "DENIED"
        ]
        top = {
            "service": "services",
            "target": "services",
            "breaker": "breakers",
            "quota": "quotas",
            "route": "routes",
            "request": "traffic",
            "event": "events",
            "consumer": "quotas",
            "targets": "services",
        }
        self._tabs.show(status.tabs(top.get(pane.place, pane.place), width, denied))
        self._crumbs.show([spread([(" ", ""), *status.crumbs(pane.trail())], [*pane.side(), (" ", "")], width)])
        self._footer.show(status.footer(self._hints(pane), width))

    def _hints(self, pane: Pane) -> list[Command]:
        """Commands worth a hint here; writes only if the operator's role and the row allow them."""
        session = self.desk.session
        who = session.store.who
        role = who.role if who is not None else ""
        found = []
        for command in actions.for_place(pane.place):
            if command.tier is not None and not (
                allowed(role, command.role) and self.desk.writing.possible(command.name, pane)
            ):
                continue
            if command.name == "unlock" and not allowed(role, "operator"):
                continue
            found.append(command)
        return found

    def _message(self, now: float) -> None:
        line: Line = []
        if self._told is not None:
            line, until = self._told
            if now > until:
                self._told = None
        notices = self.desk.session.store.notices.newest(1)
        if not line and notices:
            said = notices[0]
            line = [(f" {age(max(0.0, self.desk.session.wall() - said.wall))} ago  ", "dim"), (said.text, said.tone)]
        self._said.show([line])

    def tell(self, text: str, tone: str = "", seconds: float = 6.0) -> None:
        """A passing remark in the message line."""
        self._told = ([(" ", ""), (text, tone)], self.desk.session.mono() + seconds)
        self._message(self.desk.session.mono())

    def _card(self, tone: str) -> None:
        session = self.desk.session
        width, height = self.size
        lines: list[Line] = [
            [(f" spork-console needs {MIN_WIDTH}x{MIN_HEIGHT}, has {width}x{height}", "bold")],
            BLANK,
        ]
        lines += [[(" ", ""), *line] for line in pulse.one_line(session.store, session.moment())]
        from console.attention import concerns

        newest = concerns(session.store, session.moment().now)[: max(1, height - 8)]
        lines.append(BLANK)
        lines += [
            [(" ", ""), (str(c.state), c.state.tone), (f" {c.what} {c.object}  ", "bold"), (c.detail, "dim")]
            for c in newest
        ]
        self._small_card.show(lines)

    # ------------------------------------------------------------------------------------------------ keys

    def action_press(self, key: str) -> None:
        """A key of the registry: the command of that key which means something here."""
        place = self.pane.place if self.pane is not None else ""
        candidates = [command for command in COMMANDS if key in command.keys]
        here = [command for command in candidates if place in command.places]
        anywhere = [command for command in candidates if not command.places]
        for command in (here or anywhere)[:1]:
            self.run_command(command)
            return
        if candidates:
            self.tell(f"{candidates[0].name} works in {', '.join(candidates[0].places)}", "dim")

    def run_command(self, command: Command, argument: str = "") -> None:
        """Do it: a screen, a write, or the handler of the pane or of this screen."""
        if command.name.startswith("screen_"):
            self.go(command.name.removeprefix("screen_"))
            if command.name == "screen_quotas" and argument == "all":
                self.desk.load_all_quotas()
            elif argument and self.pane is not None:
                self.call_after_refresh(self._filter_now, argument)
            return
        if command.tier is not None:
            self.desk.writing.begin(command.name)
            return
        handler = self._handler(command.name)
        if handler is None:
            self.tell(f"{command.name} means nothing here", "dim")
        elif argument or command.argument:
            handler(argument)
        else:
            handler()
        if self.pane is not None and self.pane.is_mounted:
            self._frame(self.pane)

    def _handler(self, name: str) -> Callable[..., Any] | None:
        for owner in (self.pane, self, self.desk):
            handler = getattr(owner, f"do_{name}", None)
            if handler is not None:
                return cast("Callable[..., Any]", handler)
        return None

    def _filter_now(self, text: str) -> None:
        if self.pane is not None:
            problem = self.pane.set_filter(text)
            if problem:
                self.tell(problem, "bad")
            self._frame(self.pane)

    # -------------------------------------------------------------------------------------- the command line

    def do_command(self) -> None:
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
        self._line.placeholder = "command" if mode == ":" else "filter: words, a|b, !not, field:word, re:expression"

    def on_command_line_typed(self, message: CommandLine.Typed) -> None:
        if message.mode == "/" and self.has_class("typing"):
            self._filter_now(message.text)
            self.desk.search(message.text)

    def on_command_line_done(self, message: CommandLine.Done) -> None:
        self.remove_class("typing")
        self.set_focus(None)
        if message.mode == "/":
            self._filter_now(message.text if message.text is not None else "")
        elif message.text:
            self.run_line(message.text)

    def run_line(self, line: str) -> None:
        """A `:` line."""
        try:
            typed = actions.parse(line)
        except actions.UnknownCommand as error:
            self.tell(str(error), "bad")
            return
        self.run_command(typed.command, typed.argument)

    def _complete(self, line: str) -> list[str]:
        from console.colours import THEMES

        known = {"context": sorted(self.desk.contexts), "theme": list(THEMES)}
        if self.pane is not None and self.pane.place in TABLES:
            known["sort"] = [column.name for column in TABLES[self.pane.place].columns]
            known["group"] = list(TABLES[self.pane.place].groups)
        return actions.complete(line, known)

    # -------------------------------------------------------------------------------------------- commands

    def do_back(self) -> None:
        if isinstance(self.focused, Input):
            self.set_focus(None)
        elif self.pane is not None and getattr(self.pane, "clear", lambda: False)():
            return
        elif self.at > 0:
            self.at -= 1
            self._enter()
        elif self.pane is not None and self.pane.place != "pulse":
            self.go("pulse")
        else:
            self.tell("ctrl+q or :q quits", "dim")

    def do_last(self, argument: str = "") -> None:
        if self.before is not None:
            self.go(*self.before)

    def do_history_back(self) -> None:
        if self.at > 0:
            self.at -= 1
            self._enter()

    def do_history_forward(self) -> None:
        if self.at + 1 < len(self.places):
            self.at += 1
            self._enter()

    def do_help(self, argument: str = "") -> None:
        from console.ui.dialogs import Help

        self.app.push_screen(Help(self.pane.place if self.pane is not None else ""))

    def do_explain(self, argument: str = "") -> None:
        if argument:
            self.go("route", argument if " " in argument else f"GET {argument}")
        else:
            self.tell(":explain METHOD URL", "dim")

    def do_sort(self, argument: str = "") -> None:
        self.tell("sort works in lists", "dim")

    def pick_column(self, table: Table, current: tuple[str, bool], chosen: Callable[[str], None]) -> None:
        from console.ui.dialogs import Picker

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
            }
        )
