"""Values with placeholders: `{tenant}` (a path parameter), `{claim:org}`, `{consumer}`, `{header:X-Id}`, `{request_id}`.

A value is inserted as a value: into JSON as a string, into a query percent-encoded by whoever inserts it, never as
text that could end a string or begin a member.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from spork.domain.transforms.pointers import MISSING

#: Answers what a placeholder stands for in one request, or None.
Lookup = Callable[[str], str | None]
_PLACEHOLDER: Final = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*(?::[^{}\s]+)?)\}")
#: Placeholders that depend on who calls.
_CALLER: Final = ("claim:", "consumer")


class Template:
    """A text with placeholders, compiled."""

    __slots__ = ("_parts", "names")

    def __init__(self, text: str) -> None:
        self._parts = _PLACEHOLDER.split(text)
        self.names = tuple(self._parts[1::2])

    def fill(self, lookup: Lookup) -> str | None:
        """The text; None when a placeholder stands for nothing."""
        filled = self._parts[:]
        for index in range(1, len(filled), 2):
            value = lookup(filled[index])
            if value is None:
                return None
            filled[index] = value
        return "".join(filled)


#: Makes the value of one request, or MISSING.
Value = Callable[[Lookup], Any]


def compile_value(given: Any) -> Value:
    """A JSON value in which every text may have placeholders."""
    if isinstance(given, str):
        template = Template(given)
        if not template.names:
            return lambda lookup: given

        def fill(lookup: Lookup) -> Any:
            text = template.fill(lookup)
            return MISSING if text is None else text

        return fill
    if isinstance(given, dict):
        members = {name: compile_value(value) for name, value in given.items()}
        return lambda lookup: {n: v for n, make in members.items() if (v := make(lookup)) is not MISSING}
    if isinstance(given, list | tuple):
        elements = [compile_value(value) for value in given]
        return lambda lookup: [v for make in elements if (v := make(lookup)) is not MISSING]
    return lambda lookup: given


def placeholders(given: Any) -> set[str]:
    """Every placeholder in a JSON value."""
    if isinstance(given, str):
        return set(Template(given).names)
    if isinstance(given, dict):
        return {name for value in given.values() for name in placeholders(value)}
    if isinstance(given, list | tuple):
        return {name for value in given for name in placeholders(value)}
    return set()


def names_caller(given: Any) -> bool:
    """Whether the value differs by who calls, so that it must not be kept for others."""
    return any(name.startswith(_CALLER) for name in placeholders(given))
