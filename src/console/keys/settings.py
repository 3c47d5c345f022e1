"""What an operator's own file says of looks and keys beyond contexts: columns of lists, keys for `:` lines.

# ~/.config/spork/console.toml
[columns]
services = ["state", "service", "rps", "err", "p95"]   # in this order; the rest is not shown

[hotkeys]
"f5" = "services err>5"                                # any `:` line; what changes a gateway takes capitals and f-keys
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spork.console.gateway.contexts import BadContext, read
from spork.console.keys.command_line import UnknownCommand, parse
from spork.console.keys.keymap import TAKEN, fit_to_change, key_name, read_key


@dataclass(frozen=True, slots=True)
class Settings:
    """`columns` by list, `hotkeys` by key in Textual's names."""

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    hotkeys: dict[str, str] = field(default_factory=dict)


def load_settings(path: Path) -> Settings:
    """Read from the file. Raises BadContext, naming what is wrong. Whether lists and columns exist is checked where they are."""
    document = read(path)
    try:
        return Settings(_columns(document.get("columns", {})), _hotkeys(document.get("hotkeys", {})))
    except ValueError as error:
        raise BadContext(f"{path}: {error}") from error


def _columns(given: Any) -> dict[str, tuple[str, ...]]:
    if not isinstance(given, Mapping):
        raise ValueError('columns: a table is expected, such as services = ["state", "service"]')
    for name, columns in given.items():
        if not isinstance(columns, list) or not columns or not all(isinstance(column, str) for column in columns):
            raise ValueError(f"columns: {name}: a list of column names is expected")
    return {name: tuple(columns) for name, columns in given.items()}


def _hotkeys(given: Any) -> dict[str, str]:
    if not isinstance(given, Mapping) or not all(isinstance(line, str) for line in given.values()):
        raise ValueError('hotkeys: a table is expected, such as "f5" = "services err>5"')
    found: dict[str, str] = {}
    for text, line in given.items():
        try:
            key, typed = read_key(text), parse(line)
        except (ValueError, UnknownCommand) as error:
            raise ValueError(f"hotkeys: {text}: {error}") from error
        if key in TAKEN:
            raise ValueError(f"hotkeys: {key_name(key)!r} {TAKEN[key]}, whatever is configured")
        if typed.command.tier is not None and not fit_to_change(key):
            raise ValueError(
                f"hotkeys: {typed.command.name} changes the gateway: a capital letter or f1 to f12, not {key_name(key)!r}"
            )
        found[key] = line
    return found
