"""Where a part says what operators want to hear of."""

from __future__ import annotations

from typing import Protocol


class EventSink(Protocol):
    """Takes what operators want to hear of (a breaker opened, a target was ejected). Never blocks; drops and counts."""

    def publish(self, kind: str, subject: str, data: dict[str, object]) -> None: ...
