"""What a table is, without a screen: columns, their order, which survive a narrow window, sorting and filtering.

The same tables feed the console's lists, `spork-console get` and the documentation.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from operator import eq, ge, gt, le, lt
from typing import TYPE_CHECKING, Any

from spork.console.gateway.link_state import UP
from spork.console.text.moment import Moment
from spork.console.text.spans import Span, cells

if TYPE_CHECKING:
    from spork.console.session.store import Store

GAP = 2
"""Blank cells between two columns."""


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
    middle: bool = False
    """Too long a text is cut in its middle: the ends tell such names apart."""


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
    nothing: str = "nothing here yet"
    """What is true when the gateway was asked and has no row. See `empty`."""
    groups: tuple[str, ...] = ()
    group_of: Callable[[Any], str] | None = None
    fields: Callable[[Any], dict[str, str]] | None = None
    watch: Callable[[Any], object] | None = None
    """What of a row is worth a mark when it changes: its state, not its counts."""

    measured: str = ""
    """Over which time its rates and shares are taken."""
    needs: tuple[str, ...] = ()
    """Topics that have to be known before nothing means nothing; the table's own if none are named."""

    def empty(self, store: Store, filtered: bool) -> str:
        """What stands in place of rows. Nothing known, nothing left by a filter and nothing there are three things."""
        needs = self.needs or (self.topic,)
        unknown = [name for name in needs if not store.known(name)]
        if unknown:
            return f"not known: {store.why_unknown(unknown[0])}"
        if filtered:
            return "no row passes the filter; esc shows all"
        stale = "" if store.link.state == UP else " (as last read; the gateway does not answer now)"
        return self.nothing + stale

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


def arranged(table: Table, names: Sequence[str]) -> Table:
    """The table with these columns, in this order; the last ones give way first in a narrow window. All as declared if none
    are named. Raises BadFilter for a column that it does not have."""
    if not names:
        return table
    chosen: list[Column] = []
    for at, name in enumerate(names):
        column = table.column(name)
        if column is None:
            raise BadFilter(f"no column {name!r} in {table.name}; there are {', '.join(c.name for c in table.columns)}")
        if all(column.name != other.name for other in chosen):
            chosen.append(replace(column, priority=at + 1))
    return replace(table, columns=tuple(chosen))


TIES_BY_KEY = 2_000
"""Lists up to this long settle ties by key; longer ones keep the order they came in, which the store keeps steady."""


def order(rows: list[Any], column: Column, descending: bool, key: Callable[[Any], str]) -> list[Any]:
    """Sorted by the column's raw value, equal rows in a steady order; None last either way."""
    raw = column.raw
    if len(rows) <= TIES_BY_KEY:
        rows = sorted(rows, key=key)
    try:
        return sorted(rows, key=raw, reverse=descending)
    except TypeError:  # None does not compare: the longer way
        pass
    values = [raw(row) for row in rows]
    known = [place for place, value in enumerate(values) if value is not None]
    known.sort(key=values.__getitem__, reverse=descending)
    return [rows[place] for place in known] + [row for row, value in zip(rows, values, strict=True) if value is None]


def top(rows: Sequence[Any], column: Column, count: int) -> list[Any]:
    """The `count` rows with the largest raw values, largest first, without sorting the rest; None counts as smallest."""
    raw = column.raw
    return nlargest(count, (row for row in rows if raw(row) is not None), key=raw)


class BadFilter(ValueError):
    """A filter that cannot be read; the message says why."""


Fields = Callable[[Any], dict[str, str]]
Test = Callable[[str, Fields, Any], bool]
"""Of a row's searchable text, the function that names its fields, and the row; fields are made only if asked for."""


def no_fields(row: Any) -> dict[str, str]:
    return {}


_COMPARED = re.compile(r"([a-z0-9_%/]+)(>=|<=|>|<|=)([0-9]+(?:\.[0-9]+)?)(ms|s|k|%)?", re.IGNORECASE)


def compile_filter(text: str, table: Table | None = None) -> Test | None:
    """A test of (searchable text, fields) from what follows `/`; None if empty. Raises BadFilter.

    Words are all required, case does not matter. `a|b` either; `!word` not; `field:word` in that field only;
    `re:expression` a regular expression over the whole text. With a table, `err>5` compares what a column sorts by:
    percent where its title says so, milliseconds in latencies (`p95>0.5s`).
    """
    text = text.strip()
    if not text:
        return None
    if text.startswith("re:"):
        return _expression(text[3:])
    tests = [_word(word, table) for word in text.split()]
    if len(tests) == 1:
        return tests[0]
    return lambda searched, fields, row: all(test(searched, fields, row) for test in tests)


def _expression(source: str) -> Test:
    try:
        pattern = re.compile(source, re.IGNORECASE)
    except (re.error, RecursionError, OverflowError) as error:
        raise BadFilter(f"not a regular expression: {error}") from error
    return lambda searched, fields, row: pattern.search(searched) is not None


def _compared(word: str, table: Table | None) -> Test | None:
    """A comparison of a column's number, or None if the word is none. Raises BadFilter for a column that has no number."""
    found = _COMPARED.fullmatch(word)
    if found is None or table is None:
        return None
    name, sign, digits, unit = found.groups()
    column = table.column(name)
    if column is None:
        raise BadFilter(f"no column {name!r}; there are {', '.join(column.name for column in table.columns)}")
    scale = 100.0 if column.title.endswith("%") else 1.0
    bound = float(digits) * {"s": 1000.0, "k": 1000.0}.get((unit or "").lower(), 1.0)
    compare = {">": gt, "<": lt, ">=": ge, "<=": le, "=": eq}[sign]

    def test(searched: str, fields: Fields, row: Any) -> bool:
        value = column.raw(row)
        return isinstance(value, (int, float)) and bool(compare(value * scale, bound))

    return test


def _word(word: str, table: Table | None) -> Test:
    compared = _compared(word, table)
    if compared is not None:
        return compared
    if word.startswith("!") and len(word) > 1:
        test = _word(word[1:], table)
        return lambda searched, fields, row: not test(searched, fields, row)
    name, colon, value = word.partition(":")
    if colon and value and name.isidentifier():
        return _in_field(name, tuple(value.lower().split("|")), word.lower())
    choices = tuple(part for part in word.lower().split("|") if part)
    if not choices:
        return lambda searched, fields, row: True
    if len(choices) == 1:
        only = choices[0]
        return lambda searched, fields, row: only in searched
    return lambda searched, fields, row: any(part in searched for part in choices)


def _in_field(name: str, wanted: tuple[str, ...], whole: str) -> Test:
    """In that field if rows have it; else the word as it stands, colon included, anywhere."""

    def test(searched: str, fields: Fields, row: Any) -> bool:
        there = fields(row)
        if name not in there:
            return whole in searched
        text = there[name].lower()
        return any(part in text for part in wanted)

    return test


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
        search, fields = table.search, table.fields or no_fields
        found = [row for row in found if test(search(row), fields, row)]
    return found


def natural_width(column: Column, rows: Sequence[Any], moment: Moment) -> int:
    """Cells the column needs to show all of `rows` whole; for output that is not a screen."""
    return max([cells(column.title), *(cells(column.cell(row, moment)[0]) for row in rows)], default=0)
