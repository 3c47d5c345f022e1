"""Plain YAML 1.2 of JSON values: block style, double quotes wherever a plain scalar might be read as something else."""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Iterable, Mapping
from typing import Any, Final

_PLAIN: Final = re.compile(r"[A-Za-z/_][A-Za-z0-9_/.{}+ -]*(?<! )\Z")
_SPECIAL: Final = frozenset(("true", "false", "null", "yes", "no", "on", "off", "y", "n"))


#: What must not stand in YAML as it is.
_NOT_PRINTABLE: Final = re.compile(
    r"[^\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]"
)


def scalar(value: object) -> str:
    """One value on one line."""
    if not isinstance(value, str):
        return json.dumps(value)
    if _PLAIN.match(value) and value.lower() not in _SPECIAL:
        return value
    return _NOT_PRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))


def lines(value: Any, indent: str = "") -> list[str]:
    """The lines of a mapping or list."""
    made: list[str] = []
    if isinstance(value, Mapping):
        for name, item in value.items():
            made += member(str(name), item, indent)
    else:
        for item in value:
            if isinstance(item, Mapping | list) and item:
                below = lines(item, indent + "  ")
                below[0] = f"{indent}- {below[0][len(indent) + 2 :]}"
                made += below
            else:
                made.append(f"{indent}- {scalar(item)}")
    return made


def member(name: str, value: Any, indent: str) -> list[str]:
    """The lines of one member of a mapping."""
    if isinstance(value, Mapping | list) and value:
        return [f"{indent}{scalar(name)}:", *lines(value, indent + "  ")]
    return [f"{indent}{scalar(name)}: {scalar(value)}"]


def yaml_text(pieces: Iterable[tuple[tuple[str, ...], Any]]) -> Generator[None, None, bytes]:
    """The document of (where, what) pieces (`rendering`), one piece a step."""
    parts: list[bytes] = []
    above: tuple[str, ...] = ()
    for where, value in pieces:
        same = 0
        while same < len(above) and same < len(where) - 1 and above[same] == where[same]:
            same += 1
        made = [f"{'  ' * depth}{scalar(where[depth])}:" for depth in range(same, len(where) - 1)]
        made += member(where[-1], value, "  " * (len(where) - 1))
        parts.append(("\n".join(made) + "\n").encode("utf-8", "replace"))
        above = where[:-1]
        yield
    return b"".join(parts)
