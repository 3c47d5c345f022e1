"""Events for services that changed state, as operators see the state."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping

from spork.application.kernel.events import EventSink

#: Seconds between two looks.
WATCH_EVERY = 1.0


class StateChanges:
    """Compares the services' states with those of a second ago and publishes `upstream.<state>` for each that moved."""

    def __init__(self, states: Callable[[], Mapping[str, str]], events: EventSink) -> None:
        """`states()` answers each service's state by name (`spork.application.fleet.service_state`)."""
        self._states = states
        self._events = events
        self._before: dict[str, str] = {}

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            with contextlib.suppress(Exception):
                self.look()
            await asyncio.sleep(WATCH_EVERY)

    def look(self) -> None:
        """Publish what changed since the last look. A service that was unknown and is healthy is no news."""
        states = dict(self._states())
        for name, state in states.items():
            before = self._before.get(name, "unknown")
            if state != before and state != "unknown" and not (before == "unknown" and state == "healthy"):
                self._events.publish(f"upstream.{state}", name, {"detail": f"was {before}", "before": before})
        self._before = states
