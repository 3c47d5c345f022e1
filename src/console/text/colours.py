"""Themes: which colour a tone has. Body text keeps a contrast of at least 7:1, dim text of 4.5:1."""

from __future__ import annotations

from dataclasses import dataclass


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
