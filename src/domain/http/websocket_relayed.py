"""Whole WebSocket messages out of frames, and frames out of messages (RFC 6455 5): for who reads what is said.

No extensions: a frame with reserved bits is a violation, so permessage-deflate must not have been agreed on.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from spork.domain.http.websocket import CLOSE, MOST_CONTROL, PROTOCOL_ERROR, TEXT, TOO_BIG

_CONTROL: Final = 0x8
_KNOWN: Final = frozenset((0x0, 0x1, 0x2, 0x8, 0x9, 0xA))


class Message(NamedTuple):
    """A whole message or control frame. `payload` None: there was more of it than is kept."""

    opcode: int
    payload: bytes | None


class MessageReader:
    """Takes the bytes of one direction. `violation` is a close code once the sender broke a rule; `between` whether no frame and no
    fragmented message is under way, so that one of ours may be put in."""

    __slots__ = ("_held", "_keep", "_kept", "_masked", "_most", "_opcode", "_size", "closed", "violation")

    def __init__(self, masked: bool, most: int, keep: bool = True) -> None:
        """`most`: largest message; a larger one is a violation, or, where not `keep`, passes as one without payload."""
        self._masked = masked
        self._most = most
        self._keep = keep
        self._held = bytearray()
        self._kept: list[bytes] | None = []
        self._opcode = 0
        self._size = 0
        self.violation = 0
        self.closed = False

    @property
    def between(self) -> bool:
        return not self._held and not self._opcode

    def advance(self, data: bytes) -> list[Message]:
        """The messages that ended within `data`."""
        held = self._held
        held += data
        found: list[Message] = []
        at = 0
        while not self.violation and not self.closed:
            taken = self._frame(held, at, found)
            if taken == 0:
                break
            at += taken
        del held[:at]
        return found

    def _frame(self, held: bytearray, at: int, found: list[Message]) -> int:
        """Read one frame at `at`; how many bytes it took, 0 when it is not whole."""
        if len(held) - at < 2:
            return 0
        first, second = held[at], held[at + 1]
        opcode = first & 0xF
        length = second & 0x7F
        size = 2 + (2 if length == 126 else 8 if length == 127 else 0) + (4 if self._masked else 0)
        control = opcode & _CONTROL
        if first & 0x70 or opcode not in _KNOWN or bool(second & 0x80) != self._masked:
            return self._break(PROTOCOL_ERROR)
        if control and (length > MOST_CONTROL or not first & 0x80):
            return self._break(PROTOCOL_ERROR)
        if not control and (opcode == 0) != (self._opcode != 0):
            return self._break(PROTOCOL_ERROR)
        if len(held) - at < size:
            return 0
        body = at + 2
        if length == 126:
            length = int.from_bytes(held[body : body + 2], "big")
            body += 2
        elif length == 127:
            length = int.from_bytes(held[body : body + 8], "big")
            body += 8
        if not control and self._size + length > self._most and self._keep:
            return self._break(TOO_BIG)
        if length > (1 << 32):
            return self._break(TOO_BIG)
        mask = b""
        if self._masked:
            mask = bytes(held[body : body + 4])
            body += 4
        if len(held) < body + length:
            return 0
        payload = masked(bytes(held[body : body + length]), mask)
        if control:
            found.append(Message(opcode, payload))
            self.closed = opcode == CLOSE
        else:
            self._data(opcode, payload, bool(first & 0x80), found)
        return body + length - at

    def _data(self, opcode: int, payload: bytes, final: bool, found: list[Message]) -> None:
        self._opcode = opcode or self._opcode
        self._size += len(payload)
        if self._kept is not None:
            self._kept.append(payload)
            if self._size > self._most:
                self._kept = None
        if final:
            found.append(Message(self._opcode, None if self._kept is None else b"".join(self._kept)))
            self._kept, self._opcode, self._size = [], 0, 0

    def _break(self, code: int) -> int:
        self.violation = code
        return 0


def masked(payload: bytes, mask: bytes) -> bytes:
    """The payload with its mask put on or taken off; as it is without one."""
    if not mask or not payload:
        return payload
    length = len(payload)
    key = int.from_bytes((mask * (length // 4 + 1))[:length], "big")
    return (int.from_bytes(payload, "big") ^ key).to_bytes(length, "big")


def message_frame(opcode: int, payload: bytes, mask: bytes = b"") -> bytes:
    """A message in one frame; `mask` of 4 bytes as a client sends it."""
    length = len(payload)
    bit = 0x80 if mask else 0
    if length < 126:
        head = bytes((0x80 | opcode, bit | length))
    elif length < 65536:
        head = bytes((0x80 | opcode, bit | 126)) + length.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, bit | 127)) + length.to_bytes(8, "big")
    return head + mask + masked(payload, mask)


def text_frame(text: bytes, mask: bytes = b"") -> bytes:
    """A text message in one frame."""
    return message_frame(TEXT, text, mask)
