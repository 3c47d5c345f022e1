"""What panes, windows and commands may ask of the screen that shows them. Nothing below it knows that screen's class."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from textual.screen import ModalScreen

from spork.console.gateway.contexts import Context
from spork.console.keys.actions import BY_NAME, Command
from spork.console.pictures.columns import Table
from spork.console.session.session import ConsoleSession
from spork.console.ui.widgets.live_table import LiveTable

T = TypeVar("T")
Handler = Callable[[str], None]
"""Carries a command out; its argument is what was typed after the command's word, '' if nothing was."""


@dataclass(frozen=True, slots=True)
class Selected:
    """A row an action would take: its topic, key and the row as last seen."""

    topic: str
    key: str
    row: Any


class Shown(Protocol):
    """The pane in view."""

    place: str
    topics: tuple[str, ...]

    def active_table(self) -> LiveTable | None:
        """The list with the cursor."""


class Host(Protocol):
    """See the module."""

    session: ConsoleSession
    commands: tuple[Command, ...]
    contexts: Mapping[str, Context]

    @property
    def shown(self) -> Shown | None:
        """The pane in view; None before the first."""

    @property
    def width(self) -> int:
        """Cells across."""

    @property
    def trail(self) -> tuple[tuple[str, str], ...]:
        """The places, each with the key of what it shows, from a list down to here."""

    def go(self, place: str, key: str = "") -> None:
        """Open a place and remember it."""

    def tell(self, text: str, tone: str = "", seconds: float = 6.0) -> None:
        """A passing remark in the message line."""

    def told_enough(self) -> None:
        """Make room for the newest notice."""

    def run_command(self, command: Command, argument: str = "") -> None:
        """Do what the command does here."""

    def pump(self, force: bool = False) -> None:
        """Repaint what changed, or everything."""

    def pump_soon(self) -> None:
        """Repaint everything once the arrangement is known."""

    def selected(self) -> list[Selected]:
        """The rows an action would take."""

    def unfocus(self) -> None:
        """Keys go to the screen again, not to a field."""

    def pick_column(self, table: Table, current: tuple[str, bool], chosen: Callable[[str], None]) -> None:
        """Let the operator choose a column to sort by."""

    def work(self, task: Coroutine[Any, Any, Any], group: str) -> None:
        """Run it beside the screen; what ran in the same group before is cancelled. Its errors are told, never raised."""

    async def ask(self, window: ModalScreen[T]) -> T | None:
        """Show a window, and wait for what it answers."""

    def choose(self, window: ModalScreen[T], then: Callable[[T | None], None]) -> None:
        """Show a window; `then` is called with what it answers."""

    def to_terminal(self, sequence: str) -> None:
        """Send a control sequence past the screen, if there is a terminal."""


class UnknownHandlers(LookupError):
    """Handlers of commands that are not in the registry."""


def checked(owner: str, table: Mapping[str, Handler]) -> dict[str, Handler]:
    """The table, once it is known that each name in it is a command's. Raises UnknownHandlers."""
    unknown = sorted(set(table) - set(BY_NAME))
    if unknown:
        raise UnknownHandlers(f"{owner} handles {', '.join(unknown)}: no such command")
    return dict(table)
