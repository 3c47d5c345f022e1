"""The first picture: drawn before the UI library is imported, which takes longer than everything else together.

It says which gateway this is and that the console is connecting, where the console will say it. Until the UI takes the
terminal over, keys are kept for it and not echoed; whatever ends the start puts the terminal back.
"""

from __future__ import annotations

import os
import sys
import termios
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from spork.console.gateway.contexts import Context
from spork.console.pictures import status
from spork.console.text.colours import THEMES, Colours
from spork.console.text.spans import Line, cells, crop_line, line_cells

ENTER, LEAVE = "\x1b[?1049h\x1b[?25l\x1b[H", "\x1b[?25h\x1b[?1049l"


def lines(context: Context, wall: float, width: int, height: int) -> list[tuple[Line, str]]:
    """The picture's lines from the top, each with the ground it stands on."""
    tabs = [span for part, _ in status.tabs("pulse", width) for span in part]
    reading: Line = [(" reading ", "dim"), (context.url, "dim")]
    found: list[tuple[Line, str]] = [
        (status.opening_header(context, wall, width), "bar"),
        (crop_line(tabs, width), "body"),
        ([(" ", ""), *status.crumbs(["Pulse"])], "body"),
        ([], "body"),
        (crop_line(reading, width), "body"),
    ]
    found += [([], "body")] * max(0, height - len(found) - 1)
    return [*found[: height - 1], ([], "bar")]


def drawn(picture: list[tuple[Line, str]], width: int, colours: Colours | None) -> str:
    """The picture as a terminal takes it; without `colours`, in the terminal's own."""
    rows = []
    for line, ground in picture:
        back = "" if colours is None else colours.bar if ground == "bar" else colours.bg
        text = "".join(_span(part, tone, back, colours) for part, tone in line)
        rows.append(text + _span(" " * max(0, width - line_cells(line)), "", back, colours))
    return "\r\n".join(rows)


def _span(text: str, tone: str, back: str, colours: Colours | None) -> str:
    if not cells(text):
        return ""
    strong = ";1" if tone in ("bold", "title", "key", "prod", "tab") else ""
    if colours is None:
        return f"\x1b[0{strong}{';7' if tone in ('prod', 'tab') else ''}m{text}\x1b[0m"
    front = {"": colours.text, "bold": colours.bright, "title": colours.bright, "tab": colours.bright,
             "key": colours.accent, "prod": colours.prod_text}.get(tone) or getattr(colours, tone)  # fmt: skip
    back = {"prod": colours.prod_bg, "tab": colours.cursor}.get(tone, back)
    return f"\x1b[0{strong};38;2;{_rgb(front)};48;2;{_rgb(back)}m{text}\x1b[0m"


def _rgb(value: str) -> str:
    return ";".join(str(int(value[at : at + 2], 16)) for at in (1, 3, 5))


def exact_colours(theme: str, environ: Mapping[str, str]) -> Colours | None:
    """The theme's colours if this terminal can show just these; None where a guess would make the picture jump."""
    able = environ.get("COLORTERM", "").lower() in ("truecolor", "24bit")
    return THEMES[theme] if able and not environ.get("NO_COLOR") and theme not in ("", "ansi") else None


class Splash:
    """Holds the terminal while the UI is imported: `with Splash(...) as opening: ...; opening.hand_over()`."""

    def __init__(self, context: Context, theme: str) -> None:
        self._context = context
        self._theme = theme if theme in THEMES else "dark"
        self._before: list[Any] | None = None
        self._shown = False

    def __enter__(self) -> Splash:
        out = sys.__stderr__  # where the UI will draw
        if out is None or not out.isatty():
            return self
        width, height = os.get_terminal_size(out.fileno())
        if width and height > 1:
            self._hush()
            picture = lines(self._context, time.time(), width, height)
            out.write(ENTER + drawn(picture, width, exact_colours(self._theme, os.environ)))
            out.flush()
            self._shown = True
        return self

    def _hush(self) -> None:
        """No echo, and keys one by one, until the UI asks for the same."""
        try:
            self._before = termios.tcgetattr(0)
            quiet = termios.tcgetattr(0)
            quiet[3] &= ~(termios.ECHO | termios.ICANON)
            termios.tcsetattr(0, termios.TCSANOW, quiet)
        except termios.error:
            self._before = None

    def hand_over(self) -> None:
        """The UI starts now: it finds the terminal's own settings, and puts them back when it ends."""
        if self._before is not None:
            termios.tcsetattr(0, termios.TCSANOW, self._before)
        self._before, self._shown = None, False

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        shown = self._shown
        self.hand_over()
        if shown and sys.__stderr__ is not None:
            sys.__stderr__.write(LEAVE)
            sys.__stderr__.flush()
