"""Bounded memory: a ring that keeps the newest and counts what it let go."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Ring(Generic[T]):
    """The newest `size` things, oldest first; `total` ever added, `dropped` no longer here."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.total = 0
        self._items: deque[T] = deque(maxlen=size)

    def add(self, item: T) -> None:
        self.total += 1
        self._items.append(item)

    def extend(self, items: Iterable[T]) -> None:
        for item in items:
            self.add(item)

    @property
    def dropped(self) -> int:
        return self.total - len(self._items)

    def newest(self, count: int) -> list[T]:
        """At most `count`, newest first."""
        out: list[T] = []
        for item in reversed(self._items):
            if len(out) >= count:
                break
            out.append(item)
        return out

    def clear(self) -> None:
        self._items.clear()

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __repr__(self) -> str:
        return f"Ring({len(self)} of {self.size}, {self.dropped} dropped)"
