"""Cost that only the answer tells: tokens, rows, money. Where it stands, and how many units it makes.

`reserve` units are charged at admission; once the answer is over, the difference to what it really cost is settled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

#: Where answers of GraphQL services state what an operation really cost.
OF_OPERATIONS: Final = "extensions.cost.actualQueryCost"
#: The largest JSON answer that is read for its cost.
MOST_JSON: Final = 256 * 1024


@dataclass(frozen=True, slots=True)
class CostSource:
    """Where an answer states its cost: a response header or trailer, or JSON `fields` (dotted names) with weights.

    The sum is floored at 0 and capped at `most`; `missing` when nothing was found. `merge` says what becomes of a field
    that a stream states again: last, max or sum.
    """

    header: bytes = b""
    fields: tuple[tuple[str, int], ...] = ()
    reserve: int = 1
    most: int = 1_000_000
    missing: int = 0
    merge: str = "last"
    trailer: bytes = b""

    def reserving(self, units: int) -> CostSource:
        """The same where `units` were reserved, which is also what an answer costs that says nothing."""
        return CostSource(self.header, self.fields, units, self.most, units, self.merge)

    def units(self, values: Mapping[str, int], header: int | None) -> int | None:
        """The cost for what was found, `header` in the header or trailer; None when nothing was."""
        if self.header or self.trailer:
            return None if header is None else min(max(header, 0), self.most)
        found = [values[name] * weight for name, weight in self.fields if name in values]
        return min(max(sum(found), 0), self.most) if found else None


def number_at(document: object, path: tuple[str, ...]) -> int | None:
    """The whole number at a dotted place of a JSON document; None when there is none."""
    for name in path:
        if not isinstance(document, dict):
            return None
        document = document.get(name)
    if isinstance(document, bool) or not isinstance(document, int | float):
        return None
    return int(document) if abs(document) < 1e15 else None


class EventData:
    """Takes a text/event-stream in pieces and hands out the data of each whole event (WHATWG HTML 9.2.6) that contains one
    of `wanted`. Data of more than `most` bytes is let go."""

    __slots__ = ("_lines", "_most", "_rest", "_size", "_wanted")

    def __init__(self, wanted: tuple[bytes, ...], most: int = MOST_JSON) -> None:
        self._wanted = wanted
        self._most = most
        self._rest = b""
        self._lines: list[bytes] = []
        self._size = 0

    def advance(self, data: bytes) -> list[bytes]:
        """The data of events that ended within `data`."""
        text = self._rest + data
        held = text[-1:] == b"\r"  # may be the first half of CRLF
        if held:
            text = text[:-1]
        if b"\r" in text:
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = text.split(b"\n")
        self._rest = lines.pop()[-self._most :] + (b"\r" if held else b"")
        found: list[bytes] = []
        for line in lines:
            if not line:
                if self._lines:
                    whole = b"\n".join(self._lines)
                    self._lines = []
                    self._size = 0
                    if any(name in whole for name in self._wanted):
                        found.append(whole)
            elif line.startswith(b"data:") and self._size <= self._most:
                value = line[6:] if line[5:6] == b" " else line[5:]
                self._lines.append(value)
                self._size += len(value)
        return found
