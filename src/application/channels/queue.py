"""What waits for a subscriber that reads slower than events come, within bounds."""

from __future__ import annotations

from collections import deque

from spork.domain.channels.settings import DROP_OLDEST, SlowBounds


class SendQueue:
    """Bytes that wait to be written. `add` answers False when the bounds are exceeded and the connection has to end."""

    __slots__ = ("_bounds", "_items", "dropped", "size")

    def __init__(self, bounds: SlowBounds) -> None:
        self._bounds = bounds
        self._items: deque[bytes] = deque()
        self.size = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._items)

    def add(self, data: bytes) -> bool:
        self._items.append(data)
        self.size += len(data)
        bounds = self._bounds
        while self.size > bounds.queue_bytes or len(self._items) > bounds.events:
            if bounds.then != DROP_OLDEST:
                return False
            self.size -= len(self._items.popleft())
            self.dropped += 1
        return True

    def take(self) -> bytes:
        """Everything that waits, as one piece; one event is the very object that was added."""
        items = self._items
        data = items[0] if len(items) == 1 else b"".join(items)
        items.clear()
        self.size = 0
        return data

    def clear(self) -> None:
        self._items.clear()
        self.size = 0
