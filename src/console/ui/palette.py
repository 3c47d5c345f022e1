"""Themes: which colour a tone has. Body text keeps a contrast of at least 7:1, dim text of 4.5:1."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from rich.style import Style
from textual.theme import Theme


@dataclass(frozen=True, slots=True)
class Colours:
    """One theme. Values are what rich and Textual accept; `bg` 'default' means the terminal's own."""

    bg: str
    bar: str
    text: str
    dim: str
    bright: str
    line: str
    cursor: str
    accent: str
    ok: str
    warn: str
    bad: str
    forced: str
    unknown: str
    prod_bg: str
    prod_text: str
    dark: bool


DARK = Colours(
    bg="#0f1318",
    bar="#161c24",
    text="#c3ccd6",
    dim="#7c8896",
    bright="#eef2f6",
    line="#2b3542",
    cursor="#233349",
    accent="#6cb6e8",
    ok="#7fb08c",
    warn="#e3b55f",
    bad="#f47e75",
    forced="#cf9bea",
    unknown="#9fb0de",
    prod_bg="#b3261e",
    prod_text="#ffffff",
    dark=True,
)
LIGHT = Colours(
    bg="#fcfcfa",
    bar="#f0f1ee",
    text="#2b3138",
    dim="#656d76",
    bright="#0b0e12",
    line="#cfd4d8",
    cursor="#d9e6f5",
    accent="#0b63a5",
    ok="#1c6b34",
    warn="#8a5a00",
    bad="#b3201a",
    forced="#7a2fa0",
    unknown="#3d4fa0",
    prod_bg="#b3201a",
    prod_text="#ffffff",
    dark=False,
)
CVD = Colours(
    bg="#0f1318",
    bar="#161c24",
    text="#c9d1da",
    dim="#7f8b99",
    bright="#f3f6f9",
    line="#2b3542",
    cursor="#2c3a4d",
    accent="#9ad0f5",
    ok="#56b4e9",
    warn="#f0e442",
    bad="#ff9a3d",
    forced="#e0a0c8",
    unknown="#b8b8b8",
    prod_bg="#ff9a3d",
    prod_text="#000000",
    dark=True,
)
ANSI = Colours(
    bg="default",
    bar="default",
    text="default",
    dim="bright_black",
    bright="default",
    line="bright_black",
    cursor="",
    accent="cyan",
    ok="green",
    warn="yellow",
    bad="red",
    forced="magenta",
    unknown="blue",
    prod_bg="red",
    prod_text="bright_white",
    dark=True,
)

THEMES: dict[str, Colours] = {"dark": DARK, "light": LIGHT, "cvd": CVD, "ansi": ANSI}


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
            variables={"line": "ansi_bright_black", "bar": "ansi_default", "dim": "ansi_bright_black"},
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
