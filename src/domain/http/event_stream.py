"""Event streams as they pass (WHATWG HTML 9.2.5): where one event ends, so that something may be put in between."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

#: A comment that keeps proxies and clients from taking silence for an end.
HEARTBEAT: Final = b": \n\n"


@dataclass(frozen=True, slots=True)
class StreamPolicy:
    """What a route asks of event streams. Seconds; 0 is off. `retry` is what clients are told to wait when the gateway
    ends a stream."""

    heartbeat: float = 0.0
    first_event: float = 0.0
    idle: float = 0.0
    lifetime: float = 0.0
    retry: float = 0.0
    #: The gateway begins the answer by itself when the target has not after `heartbeat` seconds.
    heartbeat_early: bool = False
    #: Events of this name mean that the target failed, whatever status it began with; "" for none.
    error_event: str = ""


class EventBoundaries:
    """Follows a stream and knows whether it stands between two whole events. Lines end in LF, CR or CRLF; an event ends
    with an empty line. With `lines` every line is an event (NDJSON)."""

    __slots__ = ("_end", "_tail", "events")

    def __init__(self, lines: bool = False) -> None:
        self._tail = b""
        self._end = b"\n" if lines else b"\n\n"
        #: Whether at least one event has ended.
        self.events = False

    def advance(self, data: bytes) -> None:
        """Take in what passes."""
        if not self.events:
            whole = (self._tail + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
            self.events = self._end in whole
        self._tail = (self._tail + data)[-4:]

    @property
    def between(self) -> bool:
        """Whether nothing, or whole events only, have passed."""
        if not self._tail:
            return True
        return self._tail.replace(b"\r\n", b"\n").replace(b"\r", b"\n").endswith(self._end)


class EventNames:
    """Follows a stream and tells whether an event of one name has been in it."""

    __slots__ = ("_rest", "_wanted", "seen")

    def __init__(self, name: str) -> None:
        self._wanted = (b"event:" + name.encode(), b"event: " + name.encode())
        self._rest = b""
        self.seen = False

    def advance(self, data: bytes) -> None:
        """Take in what passes."""
        if self.seen:
            return
        text = (self._rest + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = text.split(b"\n")
        self._rest = lines.pop()[:512]
        self.seen = any(line in self._wanted for line in lines)


def retry_line(seconds: float) -> bytes:
    """Tells an EventSource how long to wait before it comes back; b"" for nothing to say."""
    return b"retry: %d\n\n" % round(seconds * 1000) if seconds else b""
