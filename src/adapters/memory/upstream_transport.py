"""Targets in process: a transport whose targets are functions. Real, public, and what fast tests forward to."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import Tunnel
from spork.application.upstreams.transport import UpstreamRequest
from spork.domain.http.head import Header
from spork.domain.outcomes import Fault, FaultKind, Side
from spork.domain.upstreams.model import Target


@dataclass(slots=True)
class Received:
    """A request as a target saw it, body read to its end."""

    target: Target
    method: str
    path: bytes
    headers: list[Header]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)


@dataclass(slots=True)
class Reply:
    """What a target answers: `pieces` are its body; `cut` ends it without its clean end."""

    status: int = 200
    headers: list[Header] = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    cut: bool = False
    trailers: list[Header] = field(default_factory=list)


Handler = Callable[[Received], "Reply | Awaitable[Reply]"]


class MemoryTransport:
    """`ports.UpstreamTransport` over a handler. Raise FaultError in the handler to break a connection.

    `requests` remembers what arrived, oldest first.
    """

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.requests: list[Received] = []

    async def send(self, target: Target, request: UpstreamRequest) -> MemoryResponse:
        body = request.body if isinstance(request.body, bytes) else b""
        if request.body is not None and not isinstance(request.body, bytes):
            pieces = []
            while piece := await request.body.read():
                pieces.append(piece)
            body = b"".join(pieces)
        received = Received(target, request.method, request.target, request.headers, body)
        self.requests.append(received)
        answer = self._handler(received)
        reply = answer if isinstance(answer, Reply) else await answer
        return MemoryResponse(reply)

    async def close(self) -> None:
        """Nothing is open."""


class MemoryResponse:
    """`ports.UpstreamResponse` over a `Reply`."""

    def __init__(self, reply: Reply) -> None:
        self.status = reply.status
        self.headers = list(reply.headers)
        self.trailers = list(reply.trailers)
        self._pieces = list(reply.pieces)
        self._cut = reply.cut
        self.closed = False

    def take(self) -> tuple[bytes, bool]:
        piece = self._pieces.pop(0) if self._pieces else b""
        return piece, not self._pieces and not self._cut

    async def read(self) -> bytes:
        await asyncio.sleep(0)
        if self._pieces:
            return self._pieces.pop(0)
        if self._cut:
            raise FaultError(Fault(FaultKind.HTTP_RESPONSE_INCOMPLETE, Side.UPSTREAM))
        return b""

    def close(self) -> None:
        self.closed = True

    def patience(self, idle: float) -> None:
        """Nothing here is too slow."""

    def tunnel(self) -> Tunnel:
        raise FaultError(Fault(FaultKind.HTTP_UPGRADE_FAILED, Side.UPSTREAM, note="no tunnel in memory"))
