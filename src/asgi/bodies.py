"""A request body and an answer over ASGI's `receive` and `send`, with the client's leaving heard while an answer streams."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import Tunnel
from spork.domain.http.head import Header
from spork.domain.outcomes import Fault, FaultKind, Side

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class AsgiBody:
    """`RequestBody` over `receive`. `gone` is set when the client has left."""

    def __init__(self, receive: Receive, length: int | None) -> None:
        self._receive = receive
        self._more = True
        self._maximum: float = float("inf")
        self.received = 0
        self.length = length
        self.gone = asyncio.Event()

    def whole(self) -> bytes | None:
        return b"" if self.length == 0 else None

    def limit(self, maximum: int) -> None:
        self._maximum = maximum

    async def read(self) -> bytes:
        while self._more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self._more = False
                self.gone.set()
                raise FaultError(Fault(FaultKind.CLIENT_GONE, Side.DOWNSTREAM))
            piece: bytes = message.get("body", b"")
            self._more = message.get("more_body", False)
            self.received += len(piece)
            if self.received > self._maximum:
                raise FaultError(Fault(FaultKind.BODY_TOO_LARGE, Side.DOWNSTREAM))
            if piece:
                return piece
        return b""

    async def watch(self) -> None:
        """Return when the client has left. To be called when nobody reads the body any more, or nobody will."""
        while not self.gone.is_set():
            if self.length != 0 and self._more:
                await asyncio.sleep(0.05)  # somebody reads the body, and hears of it there
                continue
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone.set()


class AsgiSink:
    """`ResponseSink` over `send`: messages wait in order until `drain`."""

    def __init__(self, send: Send, headless: bool = False) -> None:
        self._send = send
        self._messages: list[Message] = []
        self._headless = headless
        self.started = False
        self.sent = 0
        self.cut = False

    @property
    def paused(self) -> bool:
        return bool(self._messages)

    def inform(self, status: int, headers: list[Header]) -> None:
        """Interim answers have no ASGI message that every server knows; they may be left out (RFC 9110 15.2)."""

    def start(self, status: int, headers: list[Header]) -> None:
        self.started = True
        told = [header for header in headers if header[0] != b"connection"]
        self._messages.append({"type": "http.response.start", "status": status, "headers": told})

    def write(self, data: bytes) -> None:
        if data:
            self.sent += len(data)
        if not self._headless:
            self._messages.append({"type": "http.response.body", "body": data, "more_body": True})

    def finish(self) -> None:
        self._messages.append({"type": "http.response.body", "body": b"", "more_body": False})

    def abort(self) -> None:
        """Leave the response incomplete: the server then cuts the connection."""
        self.cut = True

    async def drain(self) -> None:
        messages, self._messages = self._messages, []
        for message in messages:
            await self._send(message)
        await asyncio.sleep(0)

    def tunnel(self) -> Tunnel:
        raise FaultError(Fault(FaultKind.HTTP_UPGRADE_FAILED, Side.GATEWAY, note="no raw connection under this server"))
