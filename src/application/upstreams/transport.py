"""What an `UpstreamTransport` is asked to send: a module of its own, because it is made for every request."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from spork.application.kernel.streams import RequestBody, Tunnel
from spork.domain.http.head import Header
from spork.domain.upstreams.model import PoolPolicy, Target, Timeouts

_POOL: Final = PoolPolicy()


@dataclass(slots=True, init=False)
class UpstreamRequest:
    """What is sent to a target. `headers` are end-to-end ones including `host`; framing is the transport's own.

    `target` is the origin-form request target as it goes on the wire. `body` None means no body. With `upgrade` the
    transport sends `Connection: Upgrade` and `Upgrade: websocket` and accepts a 101. `deadline` is
    monotonic, ends the whole exchange and is infinite for none (it stands in for `timeouts.total`).
    `pool` bounds the connections to the target; requests with equal policies share them.
    """

    method: str
    target: bytes
    headers: list[Header]
    body: RequestBody | bytes | None
    timeouts: Timeouts
    deadline: float
    upgrade: bool
    on_inform: Callable[[int, list[Header]], None] | None
    pool: PoolPolicy

    # Written out, because the one that `dataclass` makes is not compiled.
    def __init__(
        self,
        method: str,
        target: bytes,
        headers: list[Header],
        body: RequestBody | bytes | None,
        timeouts: Timeouts,
        deadline: float,
        upgrade: bool = False,
        on_inform: Callable[[int, list[Header]], None] | None = None,
        pool: PoolPolicy = _POOL,
    ) -> None:
        self.method = method
        self.target = target
        self.headers = headers
        self.body = body
        self.timeouts = timeouts
        self.deadline = deadline
        self.upgrade = upgrade
        self.on_inform = on_inform
        self.pool = pool


class UpstreamResponse(Protocol):
    """A target's answer: its head at once, its body as it arrives."""

    @property
    def status(self) -> int: ...

    @property
    def headers(self) -> list[Header]:
        """End-to-end headers: hop-by-hop ones and framing removed, Content-Length kept when it is certain."""

    @property
    def trailers(self) -> Sequence[Header]:
        """Fields that came behind the body, once it has ended; empty where the transport does not see them."""

    def take(self) -> tuple[bytes, bool]:
        """What has arrived and was not read yet, and whether that is the clean end. Never suspends."""

    def patience(self, idle: float) -> None:
        """From now on a silence of `idle` seconds is right, if it was not already. Transports that cannot change their
        mind keep `timeouts.idle`."""

    async def read(self) -> bytes:
        """The next piece, b"" at the clean end. Raises FaultError when the body is cut or too slow."""

    def close(self) -> None:
        """Always called. Gives the connection back when the exchange on it is wholly over; otherwise ends it."""

    def tunnel(self) -> Tunnel:
        """After a 101: the raw connection to the target."""


class UpstreamTransport(Protocol):
    """Sends one request to one target. Raises FaultError when no response head arrived."""

    async def send(self, target: Target, request: UpstreamRequest) -> UpstreamResponse: ...

    async def close(self) -> None: ...
