"""What operators want to hear of: a ring of events, and its listeners (the log, the audit trail, an event hub)."""

from __future__ import annotations

import itertools
import logging
from collections import deque
from collections.abc import Callable

from spork.application.views import EventView

log = logging.getLogger("spork.events")

#: Kinds (or their first word) that are worse than news.
_WARNINGS = frozenset(("breaker.opened", "breaker.forced", "target.ejected", "target.down", "auth.failed", "config.refused",
                       "store.lost", "admin.refused", "node.silent", "admin.locked", "key.revoked", "upstream.degraded", "upstream.panic"))  # fmt: skip
_ERRORS = frozenset(("upstream.down", "internal.error", "audit.broken"))

Listener = Callable[[EventView, dict[str, object]], None]


class EventLog:
    """Takes events and keeps the latest (`application.ports.EventSink`). Never blocks; a listener's fault is logged."""

    def __init__(self, node: str, unix: Callable[[], float], kept: int = 2000, per_second: int = 20) -> None:
        self.node = node
        self._unix = unix
        self._ring: deque[EventView] = deque(maxlen=kept)
        self._numbers = itertools.count(1)
        self._listeners: list[Listener] = []
        self._per_second = per_second
        self._seconds: dict[str, tuple[int, int]] = {}
        self.counts: dict[tuple[str], int] = {}

    def listen(self, listener: Listener) -> None:
        """Have `listener` called with each event and its data, in the caller's thread."""
        self._listeners.append(listener)

    def publish(self, kind: str, subject: str, data: dict[str, object]) -> None:
        """Note that `kind` happened to `subject`. `data` may name actor, outcome, detail and audit_id."""
        at = self._unix()
        self.counts[(kind,)] = self.counts.get((kind,), 0) + 1
        event = EventView(
            id=f"{int(at * 1000):013d}-{next(self._numbers):06d}-{self.node}",
            at=at,
            kind=kind,
            actor=str(data.get("actor", "gateway")),
            object=subject,
            outcome=str(data.get("outcome", "")),
            detail=str(data.get("detail", "")),
            severity=severity_of(kind),
            audit_id=str(data["audit_id"]) if data.get("audit_id") else None,
            node=self.node,
        )
        if not self._flooded(kind, int(at)):
            self._ring.append(event)
        for listener in self._listeners:
            try:
                listener(event, data)
            except Exception:
                log.exception("listener of event %s", kind)

    def _flooded(self, kind: str, second: int) -> bool:
        """Whether this second has had its share of `kind`: the rest is counted, so that one caller who guesses cannot
        push everything else out of the ring."""
        since, seen = self._seconds.get(kind, (0, 0))
        seen = seen + 1 if since == second else 1
        self._seconds[kind] = (second, seen)
        return seen > self._per_second

    def latest(self, limit: int = 200) -> list[EventView]:
        """At most `limit` events, newest first."""
        return list(itertools.islice(reversed(self._ring), limit))

    def samples(self) -> list[tuple[str, tuple[str, ...], float]]:
        """For `spork.application.telemetry.families`."""
        return [("gateway_events_total", kind, count) for kind, count in self.counts.items()]


def severity_of(kind: str) -> str:
    if kind in _ERRORS:
        return "error"
    return "warning" if kind in _WARNINGS else "info"


def select(
    events: list[EventView], after: str = "", kind: str = "", actor: str = "", text: str = "", limit: int = 200
) -> list[EventView]:
    """Events newer than id `after` that fit, newest first. `kind` fits its sub-kinds (`breaker` fits `breaker.opened`)."""
    found = [
        event
        for event in events
        if (not after or event.id > after)
        and (not kind or event.kind == kind or event.kind.startswith(kind + "."))
        and (not actor or event.actor == actor)
        and (not text or text.lower() in f"{event.object} {event.detail} {event.outcome} {event.kind}".lower())
    ]
    return found[:limit]
