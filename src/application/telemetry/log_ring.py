"""Log records on their way to a collector: finished requests and events, in a bounded ring that a thread empties."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from spork.application.telemetry.otlp.logs import LogLine
from spork.application.telemetry.otlp.wire import Value
from spork.domain.outcomes import SERVER_ERRORS

if TYPE_CHECKING:
    from spork.application.exchange.exchange import Exchange

#: Lines that may wait; then the oldest are dropped and counted.
MOST_WAITING: Final = 4096
_BATCH: Final = 512


def _nobody() -> None:
    """Nobody waits for a batch."""


class LogRing:
    """Sees finished exchanges (`exchange.Observer`). `fields` are those of the access log's line, redacted like it.

    Costs nothing while it is not `active`.
    """

    def __init__(
        self,
        fields: Callable[[Exchange], Iterable[tuple[str, Value]]],
        waiting: int = MOST_WAITING,
        on_full: Callable[[], None] = _nobody,
    ) -> None:
        """`on_full` is called when a batch waits; it must not block."""
        self._fields = fields
        self._ring: deque[LogLine] = deque(maxlen=waiting)
        self._waiting = waiting
        self.active = False
        self.dropped = 0
        self._on_full = on_full

    def __len__(self) -> int:
        return len(self._ring)

    def closed(self, exchange: Exchange) -> None:
        if not self.active:
            return
        fields = tuple(self._fields(exchange))
        route = exchange.plan.name if exchange.plan is not None else "-"
        body = f"{exchange.head.method} {route} {exchange.status}"
        severity = "error" if exchange.status >= SERVER_ERRORS else "info"
        self.put(LogLine(exchange.unix, severity, "request", body, fields, exchange.traceparent))

    def put(self, line: LogLine) -> None:
        if not self.active:
            return
        if len(self._ring) == self._waiting:
            self.dropped += 1
        self._ring.append(line)
        if len(self._ring) % _BATCH == 0:
            self._on_full()

    def take(self, most: int = _BATCH) -> list[LogLine]:
        """The oldest lines, removed. For one thread."""
        lines: list[LogLine] = []
        while len(lines) < most:
            try:
                lines.append(self._ring.popleft())
            except IndexError:
                break
        return lines
