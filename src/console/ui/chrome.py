"""What stands around every pane: status, tabs and crumbs above, a line for messages and the keys below.

And the card that takes the place of everything in a window too small for it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from spork.console.keys import actions
from spork.console.keys.actions import Command
from spork.console.keys.keymap import key_name
from spork.console.pictures import pulse, status
from spork.console.pictures.crumbs import crumbs_of
from spork.console.session.tiers import allowed
from spork.console.text.freshness import Freshness, age
from spork.console.text.spans import BLANK, Line, crop, crop_line, line_cells, spread, wrap
from spork.console.ui.host import Host
from spork.console.ui.screens.pane import Pane
from spork.console.ui.widgets.lines import Bar, Box

MIN_WIDTH, MIN_HEIGHT = 80, 24

NOTICE_SECONDS = 600.0
"""A notice this old has been read; the Events and the audit keep what it said."""
MESSAGE_LINES = 3

TAB_OF = {
    "service": "services",
    "target": "services",
    "breaker": "breakers",
    "quota": "quotas",
    "consumer": "quotas",
    "route": "routes",
    "request": "traffic",
    "event": "events",
}
"""Which tab a place without one of its own belongs to."""


class Possible(Protocol):
    """Says whether a write makes sense for what a pane shows."""

    def possible(self, name: str, pane: Pane) -> bool: ...


class Chrome:
    """Paints its widgets from the session; the main screen arranges them."""

    def __init__(self, host: Host, writing: Possible) -> None:
        self.host = host
        self.writing = writing
        self.header, self.tabs, self.footer = Bar("header"), Bar("tabs", on="body"), Bar("footer")
        self.crumbs, self.message, self.card = Box("crumbs"), Box("message"), Box("card")
        self._tab_keys = {
            command.name.removeprefix("screen_"): key_name(command.keys[0])
            for command in self.host.commands
            if command.name.startswith("screen_") and command.keys
        }
        self._told: tuple[Line, float] | None = None
        self._above: tuple[object, ...] = ()
        self._message_lines = 1

    @property
    def width(self) -> int:
        return self.host.width

    def paint_above(self, fresh: Freshness, now: float, wall: float, force: bool) -> None:
        """The status line, once a second or when it says something new: tenths of an age are no reason to paint."""
        session = self.host.session
        store, link = session.store, session.store.link
        above = (int(wall), link.state, link.attempt, link.mode, fresh.word, session.lock.open(now), store.who, store.nodes,
                 session.context, self.width)  # fmt: skip
        if above != self._above or force:
            self._above = above
            line = status.header(store, session.context, session.lock, fresh, now, wall, self.width)
            self.header.show([(line, "")])

    def paint_around(self, pane: Pane) -> None:
        """Tabs, crumbs and keys of a pane."""
        store, width = self.host.session.store, self.width
        denied = [
            name for name, shelf in store.shelves.items() if shelf.fault is not None and shelf.fault.word == "DENIED"
        ]
        self.tabs.show(status.tabs(TAB_OF.get(pane.place, pane.place), width, denied, self._tab_keys, self._more(pane)))
        self.crumbs.show([spread(self._path(pane, width), [*pane.side(), (" ", "")], width)])
        self.footer.show(status.footer(self._hints(pane), width))

    def _more(self, pane: Pane) -> str:
        """The place's `:` word, if it has no tab: where one is, is always lit."""
        place = TAB_OF.get(pane.place, pane.place)
        return "" if place in self._tab_keys else place

    def _path(self, pane: Pane, width: int) -> Line:
        """The path from a list down to the pane; a long one loses its middle."""
        names = crumbs_of(self.host.session.store, self.host.trail)
        names += [pane.part()] if pane.part() else []
        room = width - line_cells(pane.side()) - 4
        short, cut = names, 1
        while line_cells(status.crumbs(short)) > room and cut < len(names) - 1:
            short = [names[0], "…", *names[cut + 1 :]]
            cut += 1
        return [(" ", ""), *status.crumbs(short)]

    def _hints(self, pane: Pane) -> list[Command]:
        """Commands worth a hint here; writes only if the operator's role and the row allow them."""
        who = self.host.session.store.who
        role = who.role if who is not None else ""
        unlocked = self.host.session.lock.open(self.host.session.mono())
        found = []
        for command in actions.for_place(pane.place, self.host.commands):
            if command.tier is not None and not (
                allowed(role, command.role) and self.writing.possible(command.name, pane)
            ):
                continue
            if not pane.offers(command.name) or (command.name == "unlock" and not allowed(role, "operator")):
                continue
            found.append(replace(command, footer="lock") if command.name == "unlock" and unlocked else command)
        return found

    # ------------------------------------------------------------------------------------------------ messages

    def tell(self, text: str, tone: str = "", seconds: float = 6.0) -> None:
        """A passing remark in the message line."""
        now = self.host.session.mono()
        self._told = ([(" ", ""), (text, tone)], now + seconds)
        self.paint_message(now)

    def told_enough(self) -> None:
        """Make room for the newest notice."""
        self._told = None

    def paint_message(self, now: float) -> None:
        """The remark while it lasts, else the newest notice with its age."""
        line: Line = []
        if self._told is not None:
            line, until = self._told
            if now > until:
                self._told = None
        notices = self.host.session.store.notices.newest(1)
        if not line and notices:
            said = notices[0]
            ago = max(0.0, self.host.session.wall() - said.wall)
            if ago < NOTICE_SECONDS:
                line = [(f" {age(ago)} ago  ", "dim"), (said.text, said.tone)]
        lines = _wrapped(line, max(20, self.width - 1), MESSAGE_LINES)
        if len(lines) != self._message_lines:
            self._message_lines = len(lines)
            self.message.styles.height = len(lines)
        self.message.show(lines)

    # ----------------------------------------------------------------------------------------------------- the card

    def paint_card(self, width: int, height: int) -> None:
        """What fits into a window too small for screens: the counters and the worst concerns."""
        from spork.console.pictures.attention import concerns, state_of

        session = self.host.session
        needs = f" spork-console needs {MIN_WIDTH}x{MIN_HEIGHT}, has {width}x{height}"
        lines: list[Line] = [[(needs, "bold")], BLANK]
        lines += [[(" ", ""), *line] for line in pulse.one_line(session.store, session.moment())]
        lines.append(BLANK)
        lines += [
            [
                (" ", ""),
                (str(state_of(each)), state_of(each).tone),
                (f" {each.kind} {each.object}  ", "bold"),
                (each.cause, "dim"),
            ]
            for each in concerns(session.store, session.moment().now)[: max(1, height - 8)]
        ]
        self.card.show([crop_line(line, width - 1) for line in lines])


def _wrapped(line: Line, width: int, most: int) -> list[Line]:
    """A message in at most `most` lines: its last span, the text, is what is long."""
    if line_cells(line) <= width or not line:
        return [line]
    *lead, (text, tone) = line
    indent = line_cells(lead)
    pieces = wrap(text, max(10, width - indent))
    lines: list[Line] = [[*lead, (pieces[0], tone)]]
    lines += [[(" " * indent, ""), (piece, tone)] for piece in pieces[1:most]]
    if len(pieces) > most:
        lines[-1] = [(" " * indent, ""), (crop(pieces[most - 1] + " …", width - indent), tone)]
    return lines
