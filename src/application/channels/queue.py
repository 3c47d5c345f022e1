"""What waits for a subscriber to be written, within bounds."""

from __future__ import annotations

from collections import deque

from spork.domain.channels.settings import DROP_OLDEST, SlowBounds


class SendQueue:
    """Bytes that wait to be written. `add` answers False when the bounds are exceeded and the connection has to end.

    Most of the time nothing waits, or one event does: then there is no list of them.
    """

    __slots__ = ("_bounds", "_items", "_one", "dropped", "size")

    def __init__(self, bounds: SlowBounds) -> None:
        self._bounds = bounds
        self._one: bytes | None = None
        self._items: deque[bytes] | None = None
        self.size = 0
        self.dropped = 0

    def __len__(self) -> int:
        if self._items is not None:
            return len(self._items)
        return 0 if self._one is None else 1

    def add(self, data: bytes) -> bool:
        self.size += len(data)
        if self._one is None and self._items is None and self.size <= self._bounds.queue_bytes:
            self._one = data
            return True
        return self._add(data)

    def _add(self, data: bytes) -> bool:
        items = self._items
        if items is None:
            items = self._items = deque(() if self._one is None else (self._one,))
            self._one = None
        items.append(data)
        bounds = self._bounds
        while self.size > bounds.queue_bytes or len(items) > bounds.events:
            if bounds.then != DROP_OLDEST:
                return False
            self.size -= len(items.popleft())
            self.dropped += 1
        return True

    def take(self) -> bytes:
        """Everything that waits, as one piece; one event is the very object that was added."""
        one, items = self._one, self._items
        self._one = self._items = None
        self.size = 0
        if one is not None:
            return one
        return b"".join(items) if items is not None else b""

    def clear(self) -> None:
        self.take()
