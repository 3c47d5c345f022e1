"""WebSocket frames as they pass (RFC 6455 5): where each begins and ends, what it carries, and how a Close is written.

Frames are observed, never rebuilt: what goes on is the bytes that came. Sizes count payload on the wire; with
permessage-deflate (RFC 7692) that is the compressed size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

CONTINUATION: Final = 0x0
TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
PING: Final = 0x9
PONG: Final = 0xA
#: The longest reason of a Close frame, bytes of UTF-8 (125 less the code).
MOST_REASON: Final = 123
#: The longest payload of a control frame.
MOST_CONTROL: Final = 125

NORMAL: Final = 1000
GOING_AWAY: Final = 1001
PROTOCOL_ERROR: Final = 1002
POLICY: Final = 1008
TOO_BIG: Final = 1009


def frame(opcode: int, payload: bytes, mask: bytes = b"") -> bytes:
    """One whole control frame (FIN set, at most 125 bytes of payload); `mask` of 4 bytes as a client sends it."""
    if len(payload) > MOST_CONTROL:
        raise ValueError("a control frame carries at most 125 bytes")
    if not mask:
        return bytes((0x80 | opcode, len(payload))) + payload
    masked = bytes(byte ^ mask[at & 3] for at, byte in enumerate(payload))
    return bytes((0x80 | opcode, 0x80 | len(payload))) + mask + masked


def close_frame(code: int, text: str = "", mask: bytes = b"") -> bytes:
    """A Close with its code and reason (5.5.1); a reason that is too long is cut at a character."""
    reason = text.encode("utf-8")[:MOST_REASON].decode("utf-8", "ignore").encode("utf-8")
    return frame(CLOSE, code.to_bytes(2, "big") + reason, mask)


#: Opcodes that RFC 6455 gives no meaning to.
_RESERVED: Final = frozenset((3, 4, 5, 6, 7, 11, 12, 13, 14, 15))
#: Payload of our own pings; a pong that carries it is not the other side's business.
PING_MARK: Final = b"spork-ping"

#: Asked when a data message begins: 0.0 lets it pass, a positive number is how many seconds it has to wait, `REFUSE` ends
#: the connection, `DROP` leaves the message out.
Meter = Callable[[], float]
REFUSE: Final = -1.0
DROP: Final = -2.0


class FrameObserver:
    """Follows the frames of one direction and answers, for what has come, which bytes may go on.

    What may go on are the very bytes that came, less dropped messages and pongs to our own pings. A frame's header is held
    until it is whole, so between two calls of `advance` the stream forwarded stands either inside a frame's payload
    or exactly between two frames, where a control frame of ours may be put in.

    `violation` is a close code once the sender broke a rule; then nothing more goes on. `waiting` are the seconds that a
    message has to wait (ask again with `advance(b"")`). `closed`: a Close went by. `messages` counts messages begun,
    `seen` every frame but pongs to our pings.
    """

    __slots__ = (
        "_begun", "_compressed", "_dropping", "_held", "_left", "_masked", "_meter", "_most", "_size", "_skip",
        "closed", "messages", "passes_close", "ponged", "seen", "violation", "waiting",
    )  # fmt: skip

    def __init__(self, masked: bool, most: int = 0, compressed: bool = False, meter: Meter | None = None) -> None:
        """`masked`: the sender is a client. `most`: largest message in bytes, 0 for any. `compressed`: RSV1 was
        negotiated (RFC 7692)."""
        self._masked = masked
        self._most = most
        self._compressed = compressed
        self._meter = meter
        self._held = b""
        self._left = 0
        #: Within a fragmented message, and its bytes so far.
        self._begun = False
        self._size = 0
        self._skip = False
        self._dropping = False
        self.violation = 0
        self.waiting = 0.0
        self.closed = False
        #: False: a Close is noted and goes no further.
        self.passes_close = True
        self.ponged = False
        self.messages = 0
        self.seen = 0

    @property
    def between(self) -> bool:
        """Whether what was let go on ends with a whole frame."""
        return not self._left or self._skip

    def advance(self, data: bytes) -> bytes:
        """Take in `data`; the bytes that may go on."""
        if self._held:
            data = self._held + data
            self._held = b""
        if self.violation or self.closed:
            return b""
        self.waiting = 0.0
        size = len(data)
        at = start = 0
        pieces: list[bytes] = []
        while at < size:
            if self._left:
                taken = self._left if self._left < size - at else size - at
                self._left -= taken
                at += taken
                if self._skip:
                    start = at
                continue
            if size - at < 2:
                break
            first = data[at]
            second = data[at + 1]
            length = second & 0x7F
            header = 6 if second & 0x80 else 2
            if length == 126:
                header += 2
            elif length == 127:
                header += 8
            if size - at < header:
                break
            if length == 126:
                length = int.from_bytes(data[at + 2 : at + 4], "big")
            elif length == 127:
                length = int.from_bytes(data[at + 2 : at + 10], "big")
            opcode = first & 0x0F
            if opcode & 0x8:
                self.violation = self._judge_control(first, second, length)
                if not self.violation:
                    if size - at < header + length:
                        break  # a control frame is short: it goes on when it is whole
                    if opcode == PONG and self._is_ours(data, at + header, second, length):
                        self.ponged = True
                        pieces.append(data[start:at])
                        at += header + length
                        start = at
                        continue
                    self.seen += 1
                    if opcode == CLOSE:
                        self.closed = True
                        size = at  # nothing follows it
                        if self.passes_close:
                            at = size = at + header + length
                        break
                    at += header + length
                    continue
            else:
                self.violation = self._judge_data(first, second, length)
                if not self.violation and opcode and self._meter is not None:
                    wait = self._meter()
                    if wait > 0.0:
                        self.waiting = wait
                        break
                    self._dropping = wait == DROP
                    if wait == REFUSE:
                        self.violation = POLICY
            if self.violation:
                break
            self.seen += 1
            if opcode:
                self.messages += 1
                self._size = 0
            self._size += length
            self._begun = not first & 0x80
            self._left = length
            if self._dropping:
                pieces.append(data[start:at])
                start = at + header
            self._skip = self._dropping
            at += header
        if self.violation == 0 and at < size:
            self._held = data[at:]
        ready = data[start:at] if start or at < len(data) else data
        if pieces:
            pieces.append(ready)
            return b"".join(pieces)
        return ready

    def _judge_control(self, first: int, second: int, length: int) -> int:
        if first & 0x70 or not first & 0x80 or length > MOST_CONTROL or (first & 0x0F) in _RESERVED:
            return PROTOCOL_ERROR
        return PROTOCOL_ERROR if bool(second & 0x80) is not self._masked else 0

    def _judge_data(self, first: int, second: int, length: int) -> int:
        opcode = first & 0x0F
        if opcode in _RESERVED or bool(second & 0x80) is not self._masked or length >> 63:
            return PROTOCOL_ERROR
        if bool(opcode) is self._begun or first & 0x30:
            return PROTOCOL_ERROR  # a continuation of nothing, or a new message within another
        if first & 0x40 and not (self._compressed and opcode):
            return PROTOCOL_ERROR
        if self._most and length + (0 if opcode else self._size) > self._most:
            return TOO_BIG
        return 0

    def _is_ours(self, data: bytes, at: int, second: int, length: int) -> bool:
        if length != len(PING_MARK):
            return False
        payload = data[at : at + length]
        if second & 0x80:
            mask = data[at - 4 : at]
            payload = bytes(byte ^ mask[index & 3] for index, byte in enumerate(payload))
        return payload == PING_MARK
