"""A long list kept in order while a few of its rows change: the cost of a beat is that of what changed, not of the list.

Python's sort needs about one comparison per row for a list that is nearly in order; what is expensive is asking each row
for its value. So values are kept by key, and asked again only of rows the store says have changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, overload

from spork.console.pictures.columns import Column, Table, Test, order, select

if TYPE_CHECKING:
    from spork.console.session.store import Store


class ByKey(Sequence[Any]):
    """Rows in the order of their keys, looked up when asked for."""

    def __init__(self, keys: Sequence[str], rows: Mapping[str, Any]) -> None:
        self._keys, self._rows = keys, rows

    def __len__(self) -> int:
        return len(self._keys)

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> list[Any]: ...
    def __getitem__(self, at: int | slice) -> Any:
        if isinstance(at, slice):
            return [self._rows[key] for key in self._keys[at]]
        return self._rows[self._keys[at]]


class SortedRows:
    """The keys of one table's rows in order. `wants` says which rows and which order, `rows` brings it up to date."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._wanted: tuple[Any, ...] = ()
        self._store: Store | None = None
        self._version = -1
        self._keys: list[str] = []
        self._values: dict[str, Any] | None = None

    def wants(self, column: Column, descending: bool, test: Test | None, faults_only: bool, group: str) -> None:
        wanted = (column, descending, test, faults_only, group)
        if wanted != self._wanted:
            self._wanted, self._version = wanted, -1

    def rows(self, store: Store) -> tuple[Sequence[Any], list[str]]:
        """Rows and keys, in order. Both stay as they are while the caller shows them."""
        shelf = store.shelves[self.table.topic]
        changed = store.changed_since(self.table.topic, self._version) if self._store is store else None
        if (
            changed is None
            or self._values is None
            or self._version < 0
            or (changed and not self._again(shelf.rows, changed))
        ):
            self._anew(store)
        self._store, self._version = store, shelf.version
        return ByKey(self._keys, dict(shelf.rows)), self._keys

    def _anew(self, store: Store) -> None:
        column, descending, test, faults_only, group = self._wanted
        rows = select(self.table, store.rows(self.table.topic), test, faults_only, group)
        rows = order(rows, column, descending, self.table.key)
        self._keys = [self.table.key(row) for row in rows]
        values = [column.raw(row) for row in rows]
        # None has no place in a plain sort: such a list is sorted whole each time.
        self._values = None if None in values else dict(zip(self._keys, values, strict=True))

    def _again(self, rows: Mapping[str, Any], changed: set[str]) -> bool:
        """Move what changed; False if that cannot be done."""
        column, descending, test, faults_only, group = self._wanted
        values = self._values
        assert values is not None
        there = [rows[key] for key in changed if key in rows]
        kept = {self.table.key(row): row for row in select(self.table, there, test, faults_only, group)}
        came = [key for key in kept if key not in values]
        for key in changed:
            if key in kept:
                values[key] = column.raw(kept[key])
            else:
                values.pop(key, None)
        keys = [key for key in self._keys if key in values] + came
        try:
            keys.sort(key=values.__getitem__, reverse=descending)
        except TypeError:  # a None among them
            return False
        self._keys = keys
        return True
