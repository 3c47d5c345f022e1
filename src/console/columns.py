"""What a table is, without a screen: columns, their order, which survive a narrow window, sorting and filtering.

The same tables feed the console's lists, `spork-console get` and the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from console.spans import Span, cells

GAP = 2
"""Blank cells between two columns."""


@dataclass(frozen=True, slots=True)
class Moment:
    """What a cell may know besides its row: the server's time, whether sums are lower bounds, ASCII only."""

    now: float = 0.0
    partial: bool = False
    ascii_only: bool = False


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `priority` 1 is dropped last; a `grow` column takes the room that is left, up to `most` cells.

    `raw` is what sorting compares; rows with None come last in either direction.
    """

    name: str
    title: str
    width: int
    cell: Callable[[Any, Moment], Span]
    raw: Callable[[Any], Any]
    priority: int = 1
    right: bool = False
    grow: bool = False
    most: int = 400


@dataclass(frozen=True, slots=True)
class Table:
    """One kind of list. `order` is (column, descending); `faulty` decides what 'faults only' keeps.

    `groups` maps a name to a test, for lists that can be looked at by kind.
    """

    name: str
    topic: str
    title: str
    columns: tuple[Column, ...]
    order: tuple[str, bool]
    key: Callable[[Any], str]
    faulty: Callable[[Any], bool]
    search: Callable[[Any], str]
    empty: str = "nothing here yet"
    groups: tuple[str, ...] = ()
    group_of: Callable[[Any], str] | None = None
    fields: Callable[[Any], dict[str, str]] | None = None

    def column(self, name: str) -> Column | None:
        """The column of that name, title or unique beginning, whatever the case."""
        wanted = name.lower()
        for column in self.columns:
            if wanted in (column.name, column.title.lower()):
                return column
        starting = [column for column in self.columns if column.name.startswith(wanted)]
        return starting[0] if len(starting) == 1 else None


def layout(columns: Sequence[Column], width: int, wide: bool = False) -> list[tuple[Column, int]]:
    """The columns that fit in `width` cells and the width of each; the least important are dropped first.

    With `wide`, nothing is dropped and the caller scrolls sideways.
    """
    kept = list(columns)
    while not wide and len(kept) > 1 and _needed(kept) > width:
        kept.remove(max(kept, key=lambda column: (column.priority, columns.index(column))))
    sizes = {column.name: column.width for column in kept}
    spare = width - _needed(kept)
    growing = [column for column in kept if column.grow]
    for index, column in enumerate(growing):
        share = spare // (len(growing) - index)
        grant = max(0, min(share, column.most - column.width))
        sizes[column.name] += grant
        spare -= grant
    return [(column, sizes[column.name]) for column in kept]


def _needed(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + GAP * (len(columns) - 1)


def total_width(placed: Sequence[tuple[Column, int]]) -> int:
    return sum(width for _, width in placed) + GAP * max(0, len(placed) - 1)


def order(rows: list[Any], column: Column, descending: bool, key: Callable[[Any], str]) -> list[Any]:
    """Sorted by the column's raw value, ties by key so that equal rows keep their places; None last."""
    raw = column.raw
    present = [(value, key(row), row) for row in rows if (value := raw(row)) is not None]
    absent = [row for row in rows if raw(row) is None]
    if descending:
        present.sort(key=_second)
        present.sort(key=_first, reverse=True)
    else:
        present.sort(key=_first_two)
    absent.sort(key=key)
    return [row for _, _, row in present] + absent


def _first(entry: tuple[Any, str, Any]) -> Any:
    return entry[0]


def _second(entry: tuple[Any, str, Any]) -> Any:
    return entry[1]


def _first_two(entry: tuple[Any, str, Any]) -> Any:
    return entry[:2]


class BadFilter(ValueError):
    """A filter that cannot be read; the message says why."""


Test = Callable[[str, dict[str, str]], bool]


def compile_filter(text: str) -> Test | None:
    """A test of (searchable text, fields) from what follows `/`; None if empty. Raises BadFilter.

    Words are all required, case does not matter. `a|b` either; `!word` not; `field:word` in that field only;
    `re:expression` a regular expression over the whole text.
    """
    text = text.strip()
    if not text:
        return None
    if text.startswith("re:"):
        return _expression(text[3:])
    tests = [_word(word) for word in text.split()]
    if len(tests) == 1:
        return tests[0]
    return lambda searched, fields: all(test(searched, fields) for test in tests)


def _expression(source: str) -> Test:
    try:
        pattern = re.compile(source, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError) as error:
        raise BadFilter(f"not a regular expression: {error}") from error
    return lambda searched, fields: pattern.search(searched) is not None


def _word(word: str) -> Test:
    if word.startswith("!") and len(word) > 1:
        test = _word(word[1:])
        return lambda searched, fields: not test(searched, fields)
    name, colon, value = word.partition(":")
    if colon and value and name.isidentifier():
        wanted = tuple(value.lower().split("|"))
        whole = word.lower()
        return lambda searched, fields: (
            any(part in fields[name].lower() for part in wanted) if name in fields else whole in searched
        )
    choices = tuple(part for part in word.lower().split("|") if part)
    if not choices:
        return lambda searched, fields: True
    return lambda searched, fields: any(part in searched for part in choices)


def select(
    table: Table, rows: Sequence[Any], test: Test | None, faults_only: bool = False, group: str = ""
) -> list[Any]:
    """The rows that pass the filter, the faults switch and the group."""
    found = list(rows)
    if group and table.group_of is not None:
        group_of = table.group_of
        found = [row for row in found if group_of(row) == group]
    if faults_only:
        found = [row for row in found if table.faulty(row)]
    if test is not None:
        search, fields = table.search, table.fields
        nothing: dict[str, str] = {}
        found = [row for row in found if test(search(row), fields(row) if fields else nothing)]
    return found


def natural_width(column: Column, rows: Sequence[Any], moment: Moment) -> int:
    """Cells the column needs to show all of `rows` whole; for output that is not a screen."""
    return max([cells(column.title), *(cells(column.cell(row, moment)[0]) for row in rows)], default=0)
