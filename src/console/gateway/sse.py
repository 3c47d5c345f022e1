"""Server-sent events, the reading side (WHATWG HTML, section 9.2.6), on bytes as they arrive.

A parser, no connection: reconnecting, resuming and timing out belong to the feed.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_EVENT = 16 * 1024 * 1024
"""Longest event accepted, in bytes. A server that never ends an event must not fill the console's memory."""


class Oversized(ValueError):
    """An event grew past MAX_EVENT."""


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event. `comment` is a heartbeat: no name, no data."""

    name: str
    data: bytes
    id: str
    comment: bool = False


class Parser:
    """Feed it chunks in order; each call answers the events those bytes completed."""

    def __init__(self) -> None:
        self.last_id = ""
        self.retry_ms: int | None = None
        self._rest = b""
        self._name = ""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Events completed by `chunk`. Raises Oversized."""
        whole = self._rest + chunk
        if len(whole) + self._size > MAX_EVENT:
            raise Oversized(f"an event longer than {MAX_EVENT} bytes")
        # A carriage return at the very end may be half of a CR LF: keep it for the next chunk.
        held = b"\r" if whole.endswith(b"\r") else b""
        lines = (whole[:-1] if held else whole).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + held
        events: list[ServerEvent] = []
        for line in lines:
            event = self._line(line)
            if event is not None:
                events.append(event)
        return events

    def _line(self, line: bytes) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        if line.startswith(b":"):
            return ServerEvent("", b"", self.last_id, comment=True)
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
            self._size += len(value)
        elif field == b"event":
            self._name = value.decode("utf-8", "replace")
        elif field == b"id" and b"\0" not in value:
            self.last_id = value.decode("utf-8", "replace")
        elif field == b"retry" and value.isdigit():
            self.retry_ms = int(value[:9])
        return None

    def _dispatch(self) -> ServerEvent | None:
        name, data = self._name, self._data
        self._name, self._data, self._size = "", [], 0
        if not data:
            return None
        return ServerEvent(name or "message", b"\n".join(data), self.last_id)
