"""Events on their way to a message hub: CloudEvents 1.0, a bounded queue, delivery in the background, loss counted.

Publishing never waits and never fails. While the hub does not take events they wait, `bound` of them; what comes beyond
that is lost and counted, and the next event that is delivered after a loss says how many there were (`lostbefore`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections import deque
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from spork.application.kernel.tasks import end
from spork.application.views import EventView

log = logging.getLogger("spork.events")

#: Events delivered in one call at most.
BATCH = 100
#: Longest pause between two tries at a hub that does not answer, seconds.
LONGEST_PAUSE = 10.0

CloudEvent = dict[str, Any]


def cloud_event(event: EventView, data: dict[str, object], source: str) -> CloudEvent:
    """The event in CloudEvents 1.0 JSON form. `source` is a URI reference that names this gateway."""
    return {
        "specversion": "1.0",
        "id": event.id,
        "source": source,
        "type": f"spork.{event.kind}",
        "subject": event.object,
        "time": datetime.fromtimestamp(event.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "severity": event.severity,
        "data": {**data, "actor": event.actor, "node": event.node},
    }


def encode(event: CloudEvent) -> bytes:
    """One line of JSON whatever the data holds."""
    return json.dumps(event, default=str, ensure_ascii=True, separators=(",", ":")).encode("ascii")


class Hub(Protocol):
    """A message hub. `deliver` raises HubGone when it took nothing, and is then called again with the same events."""

    async def deliver(self, events: Sequence[CloudEvent]) -> None: ...

    async def close(self) -> None: ...


class HubGone(Exception):
    """The hub does not take events now."""


class EventDelivery:
    """Hears events (`EventLog.listen(delivery.hear)`) and delivers them to a hub. `open` and `close` with the process.

    `kinds` select: `breaker.opened`, `target.*`; empty takes all. `grace` seconds are left for what waits at the end.
    """

    def __init__(
        self,
        hub: Hub,
        source: str,
        kinds: Sequence[str] = (),
        bound: int = 1000,
        pause: float = 0.2,
        grace: float = 1.0,
    ) -> None:
        self._hub = hub
        self._source = source
        self._exact = frozenset(kind for kind in kinds if not kind.endswith(".*"))
        self._prefixes = tuple(kind[:-1] for kind in kinds if kind.endswith(".*"))
        self._waiting: deque[CloudEvent] = deque()
        self._bound = bound
        self._pause = pause
        self._grace = grace
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._task: asyncio.Task[None] | None = None
        self._lost_since = 0
        self.lost = 0
        self.delivered = 0

    def hear(self, event: EventView, data: dict[str, object]) -> None:
        """Take one event; never waits."""
        if not self._wanted(event.kind):
            return
        if len(self._waiting) >= self._bound:
            self.lost += 1
            self._lost_since += 1
            return
        made = cloud_event(event, data, self._source)
        if self._lost_since:
            made["lostbefore"] = self._lost_since
            self._lost_since = 0
        self._waiting.append(made)
        self._idle.clear()
        self._news.set()

    def _wanted(self, kind: str) -> bool:
        if not self._exact and not self._prefixes:
            return True
        return kind in self._exact or kind.startswith(self._prefixes)

    async def open(self) -> None:
        self._task = asyncio.create_task(self._deliver_on(), name="event delivery")

    async def close(self) -> None:
        """Deliver what waits, within the grace; what remains counts as lost."""
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._idle.wait(), self._grace)
            await end([self._task])
        self.lost += len(self._waiting)
        self._waiting.clear()
        await self._hub.close()

    async def _deliver_on(self) -> None:
        pause = self._pause
        while True:
            await self._news.wait()
            self._news.clear()
            while self._waiting:
                batch = [self._waiting[i] for i in range(min(BATCH, len(self._waiting)))]
                try:
                    await self._hub.deliver(batch)
                except HubGone as error:
                    log.warning("%d events wait for the message hub: %s", len(self._waiting), error)
                    await asyncio.sleep(pause)
                    pause = min(LONGEST_PAUSE, pause * 2)
                    continue
                except Exception:
                    log.exception("%d events are lost", len(batch))
                    self.lost += len(batch)
                else:
                    self.delivered += len(batch)
                    pause = self._pause
                for _ in batch:
                    self._waiting.popleft()
            self._idle.set()

    def samples(self) -> Iterable[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        yield ("gateway_events_lost_total", (), float(self.lost))
        yield ("gateway_events_delivered_total", (), float(self.delivered))
        yield ("gateway_events_waiting", (), float(len(self._waiting)))


#: Members of every line of the log; data of the same name is written as `data_NAME`.
_TAKEN = frozenset((*vars(logging.makeLogRecord({})), "message", "asctime", "taskName", "event", "level", "time", "logger",
                    "source", "subject", "event_id"))  # fmt: skip


class EventLines:
    """Writes each event to the log: its kind as the line's event, its data as fields beside it.

    At most `per_second` lines of a kind: who guesses passwords by the thousand is not to fill the log as well. The next
    line of that kind says how many are missing (`left_out`); the metrics count them all.
    """

    def __init__(self, per_second: int = 20) -> None:
        self._most = per_second
        #: kind -> (second, lines in it, left out since the last line)
        self._seconds: dict[str, tuple[int, int, int]] = {}

    def hear(self, event: EventView, data: dict[str, object]) -> None:
        """A listener (`EventLog.listen`)."""
        level = {"error": logging.ERROR, "warning": logging.WARNING}.get(event.severity, logging.INFO)
        if not log.isEnabledFor(level):
            return
        second = int(event.at)
        since, lines, left_out = self._seconds.get(event.kind, (second, 0, 0))
        if since != second:
            lines = 0
        if lines >= self._most:
            self._seconds[event.kind] = (second, lines, left_out + 1)
            return
        self._seconds[event.kind] = (second, lines + 1, 0)
        fields = log_fields(event, data)
        log.log(level, event.kind, extra=fields | {"left_out": left_out} if left_out else fields)


def log_fields(event: EventView, data: dict[str, object]) -> dict[str, object]:
    """What a line says beside the kind; data without a value is left out."""
    told = {
        f"data_{name}" if name in _TAKEN else name: value for name, value in data.items() if value not in (None, "")
    }
    return {"subject": event.object, **told, "source": f"/spork/{event.node}", "event_id": event.id}
