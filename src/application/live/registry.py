"""Exchanges that outlive their head: WebSockets, event streams, long downloads. Each can be listed and ended.

A request is judged once, when it comes; a live exchange goes on for hours. So its caller's trust is judged again:
`watch` looks ten times a second whether a token has expired, and, only when a revocation or a consumer changed, at
every entry (half a microsecond each). That holds whatever way the change came here, and costs an exchange no
index of its own.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import logging
from collections.abc import Callable, Iterator
from typing import Final

from spork.application.kernel.clock import Clock
from spork.application.live.endings import BY_OPERATOR, DRAINING, EXPIRED, LIFETIME, NOT_ALLOWED, REVOKED, Ending
from spork.application.views import ConnectionView
from spork.domain.identity.consumers import Consumer
from spork.domain.identity.revocation import RevocationSet
from spork.domain.identity.tokens import Principal

log = logging.getLogger("spork.live")

#: Seconds between two looks.
LOOK_EVERY: Final = 0.1

WEBSOCKET: Final = "websocket"
STREAM: Final = "stream"
DOWNLOAD: Final = "download"
CHANNEL: Final = "channel"

End = Callable[[Ending], None]


class LiveExchange:
    """One exchange that goes on. Times are Unix seconds; `ends_at` is 0.0 when nothing ends it by itself."""

    __slots__ = (
        "began", "client", "declared", "end_by", "ending", "ends_at", "id", "kind", "lifetime_at", "principal", "route",
    )  # fmt: skip

    def __init__(
        self, id: int, kind: str, route: str, client: str, principal: Principal | None, began: float, end_by: End
    ) -> None:
        self.id = id
        self.kind = kind
        self.route = route
        self.client = client
        self.principal = principal
        self.began = began
        self.end_by = end_by
        self.ending: Ending | None = None
        self.ends_at = principal.expires_at if principal is not None else 0.0
        self.lifetime_at = 0.0
        #: The consumer was a declared one when the exchange began.
        self.declared = False

    def end(self, ending: Ending) -> None:
        """End it; the first ending holds."""
        if self.ending is not None:
            return
        self.ending = ending
        try:
            self.end_by(ending)
        except Exception:
            log.exception("ending %s %d of route %s", self.kind, self.id, self.route)


class LiveExchanges:
    """Every live exchange of this process. `changed(...)` counters of trust are read, nothing is called by them."""

    def __init__(
        self, clock: Clock, revoked: RevocationSet, named: Callable[[str], Consumer | None], node: str = ""
    ) -> None:
        self._unix = clock.unix
        self._revoked = revoked
        self._named = named
        self._node = node
        self._all: dict[int, LiveExchange] = {}
        self._numbers = itertools.count(1)
        self._due: list[tuple[float, int]] = []
        self._seen = -1
        self._consumers_changed = False
        self._ended: dict[tuple[str, str], int] = {}

    def __repr__(self) -> str:
        return f"LiveExchanges({len(self._all)})"

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[LiveExchange]:
        return iter(tuple(self._all.values()))

    def enter(
        self, kind: str, route: str, client: str, principal: Principal | None, end: End, lifetime: float = 0.0
    ) -> LiveExchange:
        """From now on the exchange is listed, and `end` is called when it has to go. `lifetime` in seconds, 0: none."""
        now = self._unix()
        live = LiveExchange(next(self._numbers), kind, route, client, principal, now, end)
        if principal is not None and principal.consumer:
            live.declared = self._named(principal.consumer) is not None
        if lifetime:
            live.lifetime_at = now + lifetime
            if not live.ends_at or live.lifetime_at < live.ends_at:
                live.ends_at = live.lifetime_at
        self._all[live.id] = live
        if live.ends_at:
            heapq.heappush(self._due, (live.ends_at, live.id))
            self._tidy()
        # Trust may have been taken back while the handshake waited for the target.
        if principal is not None and (reason := self._revoked.covers(principal)) is not None:
            live.end(REVOKED[reason])
        return live

    def leave(self, live: LiveExchange) -> None:
        """It is over."""
        self._all.pop(live.id, None)
        if live.ending is not None:
            mark = (live.kind, live.ending.reason)
            self._ended[mark] = self._ended.get(mark, 0) + 1

    def _tidy(self) -> None:
        """Exchanges that left keep their place in the heap until it is mostly such places."""
        if len(self._due) > 64 and len(self._due) > 2 * len(self._all):
            self._due = [due for due in self._due if due[1] in self._all]
            heapq.heapify(self._due)

    # -------------------------------------------------------------------------------------------------------- ending

    def consumers_changed(self) -> None:
        """Consumers were declared anew: those that are gone lose what they hold open."""
        self._consumers_changed = True

    def look(self) -> None:
        """End what has expired and what is no longer trusted."""
        now = self._unix()
        while self._due and self._due[0][0] <= now:
            _, number = heapq.heappop(self._due)
            live = self._all.get(number)
            if live is not None:
                live.end(LIFETIME if live.lifetime_at and live.lifetime_at <= now else EXPIRED)
        if self._revoked.changes != self._seen:
            self._seen = self._revoked.changes
            for live in self:
                if live.principal is not None and (reason := self._revoked.covers(live.principal)) is not None:
                    live.end(REVOKED[reason])
        if self._consumers_changed:
            self._consumers_changed = False
            for live in self:
                if live.declared and live.principal is not None and self._named(live.principal.consumer) is None:
                    live.end(NOT_ALLOWED)

    async def watch(self) -> None:
        """Look until cancelled."""
        while True:
            try:
                self.look()
            except Exception:
                log.exception("looking at live exchanges")
            await asyncio.sleep(LOOK_EVERY)

    def drain(self) -> None:
        """The gateway is going: streams are ended between events. Tunnels are the edge's to say goodbye to."""
        for live in self:
            if live.kind in (STREAM, CHANNEL):
                live.end(DRAINING)

    def close(self, id: str) -> bool:
        """End one for an operator. False when there is none of this number."""
        live = self._all.get(int(id)) if id.isascii() and id.isdigit() else None
        if live is None:
            return False
        live.end(BY_OPERATOR)
        return True

    # ------------------------------------------------------------------------------------------------------- looking

    def views(self, consumer: str = "", route: str = "", kind: str = "") -> list[ConnectionView]:
        """What is live here, the oldest first; each filter is exact, empty for any."""
        return [
            view
            for live in self
            if (view := self.view_of(live))
            and (not consumer or consumer in (view.consumer, view.subject))
            and (not route or view.route == route)
            and (not kind or view.kind == kind)
        ]

    def view(self, id: str) -> ConnectionView | None:
        live = self._all.get(int(id)) if id.isascii() and id.isdigit() else None
        return None if live is None else self.view_of(live)

    def view_of(self, live: LiveExchange) -> ConnectionView:
        principal = live.principal
        return ConnectionView(
            id=str(live.id),
            node=self._node,
            kind=live.kind,
            route=live.route,
            client=live.client,
            consumer=principal.consumer if principal is not None else "",
            subject=principal.subject if principal is not None else "",
            method=principal.method if principal is not None else "",
            since=live.began,
            ends_at=live.ends_at or None,
        )

    def samples(self) -> list[tuple[str, tuple[str, ...], float]]:
        counts = dict.fromkeys((WEBSOCKET, STREAM, DOWNLOAD, CHANNEL), 0)
        for live in self._all.values():
            counts[live.kind] += 1
        open_now = [("gateway_live_exchanges", (kind,), float(count)) for kind, count in counts.items()]
        ended = [("gateway_live_ended_total", mark, float(count)) for mark, count in self._ended.items()]
        return [*open_now, *ended]
