"""A front door in process: requests as calls, answers as values. What fast tests knock at."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from spork.application.exchange.answers import Gateway
from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import Tunnel
from spork.domain.http.head import Header, RequestHead
from spork.domain.outcomes import Fault, FaultKind, Side


class MemoryBody:
    """`ports.RequestBody` over pieces at hand."""

    def __init__(self, pieces: Iterable[bytes] = (), length: int | None = 0) -> None:
        self._pieces = list(pieces)
        self._maximum: float = float("inf")
        self.length = length
        self.received = 0

    def whole(self) -> bytes | None:
        """Pieces come one by one, so that streaming paths are taken; only an empty body is whole."""
        return b"" if not self._pieces else None

    def limit(self, maximum: int) -> None:
        self._maximum = maximum

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        if not self._pieces:
            return b""
        piece = self._pieces.pop(0)
        self.received += len(piece)
        if self.received > self._maximum:
            raise FaultError(Fault(FaultKind.BODY_TOO_LARGE, Side.DOWNSTREAM))
        return piece


@dataclass(slots=True)
class MemorySink:
    """`ports.ResponseSink` that keeps the answer."""

    status: int = 0
    headers: list[Header] = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    informed: list[tuple[int, list[Header]]] = field(default_factory=list)
    finished: bool = False
    aborted: bool = False
    paused: bool = False

    @property
    def started(self) -> bool:
        return self.status != 0

    @property
    def sent(self) -> int:
        return len(self.body)

    def inform(self, status: int, headers: list[Header]) -> None:
        self.informed.append((status, headers))

    def start(self, status: int, headers: list[Header]) -> None:
        assert not self.started, "an answer starts once"
        self.status, self.headers = status, headers

    def write(self, data: bytes) -> None:
        assert self.started, "a body follows its head"
        assert not self.finished, "nothing follows the end"
        self.body += data

    def finish(self) -> None:
        self.finished = True

    def abort(self) -> None:
        self.aborted = True

    async def drain(self) -> None:
        await asyncio.sleep(0)

    def tunnel(self) -> Tunnel:
        raise FaultError(Fault(FaultKind.HTTP_UPGRADE_FAILED, Side.GATEWAY, note="no tunnel in memory"))

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)

    def all(self, name: bytes) -> list[bytes]:
        return [value for key, value in self.headers if key == name]


async def request(
    gateway: Gateway,
    method: str,
    path: str,
    headers: Iterable[Header] = (),
    body: Iterable[bytes] = (),
    *,
    peer: str = "192.0.2.1",
    host: bytes = b"gateway.test",
    scheme: str = "http",
) -> MemorySink:
    """One request through `gateway`; the finished answer. `path` may carry a query."""
    where, mark, query = path.partition("?")
    pieces = list(body)
    head = RequestHead(
        method, where.encode(), query.encode() if mark else None, tuple(headers), scheme, host, "1.1", peer, 50000
    )
    sink = MemorySink()
    await gateway.handle(head, MemoryBody(pieces, sum(map(len, pieces))), sink)
    return sink
