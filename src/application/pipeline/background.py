"""An exchange that is nobody's request: what the gateway asks a target on its own account, behind an answer."""

from __future__ import annotations

from typing import Any

from spork.application.exchange.exchange import Exchange
from spork.application.kernel.clock import Clock
from spork.domain.http.head import Header, RequestHead


class NoBody:
    """A request without a body."""

    length: int | None = 0
    received = 0

    def whole(self) -> bytes | None:
        return b""

    async def read(self) -> bytes:
        return b""

    def limit(self, maximum: int) -> None:
        """Nothing to bound."""


class NoSink:
    """Nobody is answered."""

    started = False
    paused = False
    sent = 0

    def inform(self, status: int, headers: list[Header]) -> None: ...

    def start(self, status: int, headers: list[Header]) -> None: ...

    def write(self, data: bytes) -> None: ...

    def finish(self) -> None: ...

    def abort(self) -> None: ...

    async def drain(self) -> None: ...

    def tunnel(self) -> Any:
        raise NotImplementedError


def background_exchange(behind: Exchange, clock: Clock) -> Exchange:
    """An exchange that asks a target for the same as `behind`. It is not closed: no observer sees it, no limit or usage counts
    it."""
    head = behind.head
    own = RequestHead(
        "GET", head.path, head.query, head.headers, head.scheme, head.host, head.version, head.peer, head.peer_port
    )
    made = Exchange(own, NoBody(), NoSink(), behind.snapshot, clock.monotonic(), clock.unix())
    made.plan = behind.plan
    made.params = behind.params
    made.rest = behind.rest
    made.client = behind.client
    made.consumed = behind.consumed
    made.principal = behind.principal
    made.request_headers = list(behind.request_headers)
    made.request_id_bytes = behind.request_id_bytes
    made.traceparent = behind.traceparent
    return made
