"""WebSocket messages where the gateway itself is the server (RFC 6455 5): frames of a client taken apart, text put into frames."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from spork.domain.http.websocket import BINARY, CLOSE, CONTINUATION, PING, PONG, PROTOCOL_ERROR, TEXT, TOO_BIG

#: The payload of a frame is not UTF-8.
BAD_DATA: Final = 1007
#: Data of a kind that is not spoken here.
UNSUPPORTED: Final = 1003
_MOST_CONTROL: Final = 125


_ACCEPT: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_of(key: bytes) -> bytes:
    """Sec-WebSocket-Accept for a client's Sec-WebSocket-Key (RFC 6455 4.2.2)."""
    return base64.b64encode(hashlib.sha1(key.strip() + _ACCEPT, usedforsecurity=False).digest())


def text_frame(payload: bytes) -> bytes:
    """One unmasked text frame, as a server sends it."""
    size = len(payload)
    if size < 126:
        return b"\x81" + bytes((size,)) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def unmasked(payload: bytes, mask: bytes) -> bytes:
    """The payload with its mask taken off."""
    size = len(payload)
    if not size:
        return payload
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(size, "big")


class MessageReader:
    """Takes a client's bytes and gives whole messages: (opcode, payload) for text, ping, pong and close.

    `violation` is a close code once the client broke a rule; then nothing more is read. `most` bytes a message.
    """

    __slots__ = ("_begun", "_held", "_most", "_pieces", "_size", "violation")

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = b""
        self._pieces: list[bytes] = []
        self._begun = False
        self._size = 0
        self.violation = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """What is whole by now."""
        found: list[tuple[int, bytes]] = []
        data = self._held + data if self._held else data
        at = 0
        while not self.violation and (frame := self._frame(data, at)) is not None:
            first, payload, at = frame
            message = self._message(first & 0x0F, bool(first & 0x80), payload)
            if message is not None:
                found.append(message)
                if message[0] == CLOSE:
                    break
        self._held = b"" if self.violation else data[at:]
        return found

    def _frame(self, data: bytes, at: int) -> tuple[int, bytes, int] | None:
        """First octet, payload and end of the frame at `at`; None while it is not whole, or when it breaks a rule."""
        if len(data) - at < 2:
            return None
        first, second = data[at], data[at + 1]
        length = second & 0x7F
        control = bool(first & 0x08)
        if first & 0x70 or not second & 0x80 or (control and (length > _MOST_CONTROL or not first & 0x80)):
            self.violation = PROTOCOL_ERROR
            return None
        extended = 2 if length == 126 else 8 if length == 127 else 0
        start = at + 2 + extended + 4
        if extended:
            if len(data) < start:
                return None
            length = int.from_bytes(data[at + 2 : at + 2 + extended], "big")
        if not control and self._size + length > self._most:
            self.violation = TOO_BIG
            return None
        if len(data) < start + length:
            return None
        return first, unmasked(data[start : start + length], data[start - 4 : start]), start + length

    def _message(self, opcode: int, final: bool, payload: bytes) -> tuple[int, bytes] | None:
        if opcode in (PING, PONG, CLOSE):
            return opcode, payload
        if opcode == BINARY:
            self.violation = UNSUPPORTED
        elif opcode not in (TEXT, CONTINUATION) or (opcode == CONTINUATION) != self._begun:
            self.violation = PROTOCOL_ERROR
        else:
            self._pieces.append(payload)
            self._size += len(payload)
            self._begun = not final
            if final:
                whole = b"".join(self._pieces)
                self._pieces.clear()
                self._size = 0
                return TEXT, whole
        return None
