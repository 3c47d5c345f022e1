"""What an `UpstreamTransport` is asked to send: a module of its own, because it is made for every request."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from domain.http import Header
from domain.upstreams import PoolPolicy, Timeouts

if TYPE_CHECKING:
    from application.ports import RequestBody

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
