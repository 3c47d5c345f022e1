"""What a gateway must not overlook in JSON that others will read, too: hooks for the standard library's decoder.

Readers differ in what they make of a name that stands twice, and some take NaN for a number (RFC 8259 4 and 6): a check
that reads one thing while the target reads another is none.
"""

from __future__ import annotations

from typing import Any, NoReturn


def members_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """`object_pairs_hook`: the members of an object. Raises ValueError when a name stands twice."""
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name stands twice")
    return members


def no_constant(name: str) -> NoReturn:
    """`parse_constant`: raises ValueError for NaN and the infinities."""
    raise ValueError(f"{name} is not a JSON number")
