"""Which key does what: keys as people write them, and the operator's own.

    # ~/.config/spork/console.toml
    [keys]
    faults = "x"               # a command by its name or its `:` word
    trip = ["T", "f5"]         # several keys; what changes a gateway takes capital letters and function keys
    mouse = []                 # none; `:mouse` still works

Inside the console keys have Textual's names (`slash`, `pagedown`); people write `/` and `pgdn`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from spork.console.gateway.contexts import BadContext, read
from spork.console.keys.actions import COMMANDS, GROUPS, LISTS, MARKABLE, Command

_WRITTEN = {"escape": "esc", "pagedown": "pgdn", "pageup": "pgup", "minus": "-"}
_UNICODE = {
    "solidus": "slash",
    "reverse_solidus": "backslash",
    "commercial_at": "at",
    "hyphen_minus": "minus",
    "plus_sign": "plus",
    "low_line": "underscore",
}
_NAMED = {
    *("escape", "enter", "tab", "space", "backspace", "delete", "insert", "home", "end", "pageup", "pagedown"),
    *("up", "down", "left", "right", *(f"f{number}" for number in range(1, 13))),
}
TAKEN = {"ctrl+c": "copies the selected text", "enter": "opens", "escape": "goes back"}


def _character_name(char: str) -> str:
    """How Textual calls the key of a printed character."""
    if char.isalnum():
        return char
    name = unicodedata.name(char, "").lower().replace("-", "_").replace(" ", "_")
    return _UNICODE.get(name, name)


_SIGNS = {_character_name(char): char for char in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"}


def key_name(key: str) -> str:
    """A key as people write it."""
    return _WRITTEN.get(key) or _SIGNS.get(key, key)


def read_key(text: str) -> str:
    """A key as people write it, by Textual's name. Raises ValueError with what is accepted."""
    written = {name: key for key, name in _WRITTEN.items()}
    key = written.get(text, text)
    if len(key) == 1 and key.isascii() and key.isprintable():
        return "space" if key == " " else _character_name(key)
    plain = key.removeprefix("ctrl+")
    if key in _NAMED or key in _SIGNS or (plain != key and len(plain) == 1 and plain.isascii() and plain.islower()):
        return key
    raise ValueError(f"no key {text!r}: one character, f1 to f12, ctrl+a to ctrl+z, or a name such as space, tab, home")


def keys_of(command: Command) -> str:
    return " ".join(key_name(key) for key in command.keys)


# ------------------------------------------------------------------------------------------------ the operator's own


def load_commands(path: Path) -> tuple[Command, ...]:
    """The commands with the keys that the file's `[keys]` gives them. Raises BadContext, naming what is wrong."""
    wanted = read(path).get("keys", {})
    try:
        return rekeyed(wanted) if wanted else COMMANDS
    except ValueError as error:
        raise BadContext(f"{path}: keys: {error}") from error


def rekeyed(wanted: Mapping[str, Any], commands: Iterable[Command] = COMMANDS) -> tuple[Command, ...]:
    """`commands` with other keys. A key given to one command is taken from another of the same place unless that one
    is given keys too. Raises ValueError."""
    if not isinstance(wanted, Mapping):
        raise ValueError("a table is expected: command = key")
    commands = tuple(commands)
    given = {_named(name, commands).name: _keys(name, keys) for name, keys in wanted.items()}
    for command in commands:
        for key in given.get(command.name, ()):
            _fit_to_have(command, key)
    changed = tuple(replace(c, keys=given[c.name]) if c.name in given else c for c in commands)
    return tuple(
        command if command.name in given else _yielded(command, changed, given) for command in _sound(changed, given)
    )


def _named(name: str, commands: Iterable[Command]) -> Command:
    for command in commands:
        if name == command.name or name in command.words:
            return command
    raise ValueError(f"there is no command {name!r}; `?` in the console lists them")


def _keys(name: str, keys: Any) -> tuple[str, ...]:
    texts = [keys] if isinstance(keys, str) else keys
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"{name}: a key or a list of keys is expected")
    return tuple(dict.fromkeys(read_key(text) for text in texts))


def fit_to_change(key: str) -> bool:
    """May this key stand for something that changes a gateway?"""
    return (key in _NAMED and key[0] == "f") or (len(key) == 1 and key.isupper())


def _fit_to_have(command: Command, key: str) -> None:
    """A write on a small letter would be done by mistake; some keys mean the same everywhere."""
    if command.tier is not None and not fit_to_change(key):
        raise ValueError(f"{command.name} changes the gateway: a capital letter or f1 to f12, not {key_name(key)!r}")
    if key in TAKEN and key not in _default_keys(command.name):
        raise ValueError(f"{key_name(key)!r} {TAKEN[key]}, whatever is configured")


def _default_keys(name: str) -> tuple[str, ...]:
    return next(command.keys for command in COMMANDS if command.name == name)


def _sound(changed: tuple[Command, ...], given: Mapping[str, tuple[str, ...]]) -> tuple[Command, ...]:
    """Refuses two of the operator's own that clash."""
    own = [command for command in changed if command.name in given]
    for index, one in enumerate(own):
        for other in own[index + 1 :]:
            both = set(one.keys) & set(other.keys)
            if both and _meet(one, other):
                raise ValueError(f"{key_name(min(both))!r} is given to {one.name} and to {other.name}")
    return changed


def _yielded(command: Command, changed: tuple[Command, ...], given: Mapping[str, tuple[str, ...]]) -> Command:
    taken = {key for other in changed if other.name in given and _meet(command, other) for key in other.keys}
    return replace(command, keys=tuple(key for key in command.keys if key not in taken)) if taken else command


def _meet(one: Command, other: Command) -> bool:
    """Is there a place in which both mean something?"""
    return not one.places or not other.places or bool(set(one.places) & set(other.places))


# ------------------------------------------------------------------------------------------------------------- docs


def key_table() -> str:
    """The Markdown tables of docs/console.md."""
    lines: list[str] = []
    for group in GROUPS:
        lines += [f"### {group}", "", "| key | command | what it does | where |", "|---|---|---|---|"]
        for command in COMMANDS:
            if command.group == group:
                lines.append(_key_row(command))
        lines.append("")
    return "\n".join(lines)


def _key_row(command: Command) -> str:
    keys = " ".join(f"`{key_name(key)}`" for key in command.keys)
    words = " ".join(f"`:{word}{' ' + command.argument if command.argument else ''}`" for word in command.words[:1])
    tier = "" if command.tier is None else f" Tier {command.tier}, role {command.role}."
    where = (
        ", ".join(command.places)
        if command.places and command.places not in (LISTS, MARKABLE)
        else ("lists" if command.places else "")
    )
    return f"| {keys} | {words} | {command.help}.{tier} | {where} |".replace("a|b", r"a\|b")
