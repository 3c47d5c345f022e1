"""A theme's tones as styles, and the theme as Textual's own widgets want it."""

from __future__ import annotations

from functools import lru_cache

from rich.style import Style
from textual.theme import BUILTIN_THEMES, Theme

from spork.console.text.colours import THEMES


class Palette:
    """A theme's tones as styles. `style(tone, on)` for a tone on one of: body, bar, cursor, head."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.colours = THEMES[name]
        self._styles: dict[tuple[str, str], Style] = {}
        c = self.colours
        plain = name == "ansi"
        self._grounds = {
            "body": Style(color=c.text, bgcolor=c.bg),
            "bar": Style(color=c.text, bgcolor=c.bar),
            "cursor": Style(reverse=True) if plain else Style(color=c.bright, bgcolor=c.cursor),
            "head": Style(color=c.dim, bgcolor=c.bg),
        }
        self._tones = {
            "": Style(),
            "dim": Style(color=c.dim),
            "bold": Style(color=c.bright, bold=True) if not plain else Style(bold=True),
            "title": Style(color=c.bright, bold=True) if not plain else Style(bold=True),
            "accent": Style(color=c.accent),
            "ok": Style(color=c.ok),
            "warn": Style(color=c.warn),
            "bad": Style(color=c.bad, bold=True),
            "forced": Style(color=c.forced, bold=True),
            "unknown": Style(color=c.unknown),
            "prod": Style(color=c.prod_text, bgcolor=c.prod_bg, bold=True),
            "key": Style(color=c.accent, bold=True),
            "tab": Style(color=c.bright, bold=True, bgcolor=c.cursor) if not plain else Style(reverse=True, bold=True),
            "add": Style(color=c.ok),
            "del": Style(color=c.bad),
            "hunk": Style(color=c.accent),
            "line": Style(color=c.line),
        }

    def style(self, tone: str, on: str = "body") -> Style:
        found = self._styles.get((tone, on))
        if found is None:
            found = self._grounds[on] + self._tones.get(tone, Style())
            if on == "cursor" and self.name == "ansi":
                found = Style(reverse=True, bold=bool(self._tones.get(tone, Style()).bold))
            self._styles[tone, on] = found
        return found


@lru_cache(maxsize=8)
def palette(name: str) -> Palette:
    return Palette(name)


def textual_theme(name: str) -> Theme:
    """The theme for Textual's own widgets: inputs, buttons, the palette."""
    c = THEMES[name]
    if name == "ansi":
        return Theme(
            name="spork-ansi",
            primary="ansi_cyan",
            secondary="ansi_blue",
            accent="ansi_cyan",
            warning="ansi_yellow",
            error="ansi_red",
            success="ansi_green",
            foreground="ansi_default",
            background="ansi_default",
            surface="ansi_default",
            panel="ansi_default",
            dark=True,
            ansi=True,
            variables={
                **BUILTIN_THEMES["ansi-dark"].variables,
                "line": "ansi_bright_black",
                "bar": "ansi_default",
                "dim": "ansi_bright_black",
            },
        )
    return Theme(
        name=f"spork-{name}",
        primary=c.accent,
        secondary=c.unknown,
        accent=c.accent,
        warning=c.warn,
        error=c.bad,
        success=c.ok,
        foreground=c.text,
        background=c.bg,
        surface=c.bar,
        panel=c.bar,
        dark=c.dark,
        variables={
            "line": c.line,
            "bar": c.bar,
            "dim": c.dim,
            "scrollbar": c.line,
            "scrollbar-background": c.bg,
            "scrollbar-hover": c.dim,
            "scrollbar-active": c.accent,
            "scrollbar-background-hover": c.bg,
            "scrollbar-background-active": c.bg,
            "scrollbar-corner-color": c.bg,
        },
    )
