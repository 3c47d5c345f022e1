"""A WebSocket of an ASGI server as the raw connection that the gateway relays: messages to frames, and frames to messages.

The server has made its own handshake, so no extension is offered to the target, and the server's pings stay its own.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final

from spork.application.kernel.streams import Tunnel
from spork.asgi.bodies import Receive, Send
from spork.domain.http.head import Header
from spork.domain.http.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, close_frame, frame

#: Fields of the answer that the server writes itself.
_SERVERS_OWN: Final = (b"sec-websocket-", b"connection", b"upgrade")
_ABNORMAL: Final = 1006


class AsgiWebSocket:
    """`ResponseSink` and `Tunnel` of one WebSocket; `drain_code` is the close code of a gateway that goes."""

    drain_code = 1001

    def __init__(self, receive: Receive, send: Send, extensions: Any) -> None:
        self._receive = receive
        self._send = send
        self._refuses_with_answers = "websocket.http.response" in (extensions or {})
        self._messages: list[dict[str, Any]] = []
        self._from_target = bytearray()
        self._fragments: list[bytes] = []
        self._opcode = 0
        self._ended = False
        self._answers: list[bytes] = []
        self.status = 0
        self.started = False
        self.sent = 0
        self.closed = False

    # ------------------------------------------------------------------------------------------------ the answer's head

    @property
    def paused(self) -> bool:
        return bool(self._messages)

    def inform(self, status: int, headers: list[Header]) -> None:
        """Nothing that a server could pass on."""

    def start(self, status: int, headers: list[Header]) -> None:
        self.started = True
        self.status = status
        if status == 101:
            protocol = next(
                (value.decode("ascii") for name, value in headers if name == b"sec-websocket-protocol"), None
            )
            told = [header for header in headers if not header[0].startswith(_SERVERS_OWN)]
            self._messages.append({"type": "websocket.accept", "subprotocol": protocol, "headers": told})
        elif self._refuses_with_answers:
            told = [header for header in headers if header[0] != b"connection"]
            self._messages.append({"type": "websocket.http.response.start", "status": status, "headers": told})
        else:
            self._messages.append({"type": "websocket.close", "code": 1008, "reason": ""})
            self.closed = True

    def write(self, data: bytes) -> None:
        if self.status == 101:
            self._from_target += data
            self._messages_of_frames()
        elif self._refuses_with_answers:
            self.sent += len(data)
            self._messages.append({"type": "websocket.http.response.body", "body": data, "more_body": True})

    def finish(self) -> None:
        if self.status != 101 and self._refuses_with_answers:
            self._messages.append({"type": "websocket.http.response.body", "body": b"", "more_body": False})

    def abort(self) -> None:
        self.go_away(1011)

    async def drain(self) -> None:
        messages, self._messages = self._messages, []
        for message in messages:
            await self._send(message)
        await asyncio.sleep(0)

    def tunnel(self) -> Tunnel:
        return self

    # ----------------------------------------------------------------------------------------------------- the tunnel

    async def read(self) -> bytes:
        """The client's next message as a masked frame; b"" when it has closed."""
        if self._answers:
            return self._answers.pop(0)
        while not self._ended:
            await self.drain()
            message = await self._receive()
            kind = message["type"]
            if kind == "websocket.connect":
                continue
            if kind == "websocket.disconnect":
                self._ended = True
                self.closed = True
                code = message.get("code") or 1005
                return close_frame(code if code not in (1005, _ABNORMAL) else 1000, "", os.urandom(4))
            text = message.get("text")
            if text is not None:
                return _masked(TEXT, text.encode("utf-8"))
            return _masked(BINARY, message.get("bytes") or b"")
        return b""

    def go_away(self, code: int = 0, text: str = "") -> None:
        if not self.closed:
            self.closed = True
            self._messages.append({"type": "websocket.close", "code": code or self.drain_code, "reason": text})
        self._ended = True

    def close(self) -> None:
        self.go_away(1000)

    def _messages_of_frames(self) -> None:
        """Make messages of the whole frames that have come."""
        data = self._from_target
        while len(data) >= 2 and not self.closed:
            length, at = data[1] & 0x7F, 2
            if length == 126:
                length, at = int.from_bytes(data[2:4], "big"), 4
            elif length == 127:
                length, at = int.from_bytes(data[2:10], "big"), 10
            if len(data) < at + length:
                break
            first, payload = data[0], bytes(data[at : at + length])
            del data[: at + length]
            self._take(first & 0x0F, bool(first & 0x80), payload)

    def _take(self, opcode: int, final: bool, payload: bytes) -> None:
        if opcode == PING:
            self._answers.append(frame(PONG, payload, os.urandom(4)))
        elif opcode == CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1000
            self.go_away(code, payload[2:].decode("utf-8", "replace"))
        elif opcode in (TEXT, BINARY, CONTINUATION):
            self._opcode = opcode or self._opcode
            self._fragments.append(payload)
            if final:
                whole = b"".join(self._fragments)
                self._fragments.clear()
                self.sent += len(whole)
                said = {"text": whole.decode("utf-8", "replace")} if self._opcode == TEXT else {"bytes": whole}
                self._messages.append({"type": "websocket.send", **said})


def _masked(opcode: int, payload: bytes) -> bytes:
    """One whole message as a client's frame."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 65536:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0x80 | 127)) + size.to_bytes(8, "big")
    mask = os.urandom(4)
    pad = (mask * (size // 4 + 1))[:size]
    masked = (int.from_bytes(payload, "big") ^ int.from_bytes(pad, "big")).to_bytes(size, "big") if size else b""
    return head + mask + masked
