"""WebSocket frames as they pass (RFC 6455 5): where each begins and ends, what it carries, and how a Close is written.

Frames are observed, never rebuilt: what goes on is the bytes that came. Sizes count payload on the wire; with
permessage-deflate (RFC 7692) that is the compressed size.
"""

from __future__ import annotations

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
