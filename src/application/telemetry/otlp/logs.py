"""Log records as OTLP: a line of the access log or an event, with the ids of its trace."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from spork.application.telemetry.otlp.wire import Attributes, Value, any_value, fixed32, fixed64, message, nanoseconds

_RECORD: Final = b"\x12"
_ATTRIBUTE: Final = b"\x32"
#: SeverityNumber of opentelemetry-proto logs/v1.
SEVERITIES: Final = {"debug": 5, "info": 9, "warning": 13, "error": 17, "critical": 21}


class LogLine(NamedTuple):
    """One record: Unix seconds, severity, what happened, its fields, and the `traceparent` it belongs to (or b"")."""

    at: float
    severity: str
    event: str
    body: str
    fields: Sequence[tuple[str, Value]]
    traceparent: bytes = b""


class LogEncoder:
    """Encodes lines. For one thread."""

    def __init__(self) -> None:
        self._attributes = Attributes()

    def encode(self, line: LogLine, seen: float) -> bytes:
        """One LogRecord framed as field 2 of ScopeLogs; `seen` is when it was taken, in Unix seconds."""
        content = fixed64(b"\x09", nanoseconds(line.at))
        content += b"\x10" + bytes((SEVERITIES.get(line.severity, 9),))
        content += message(b"\x1a", line.severity.upper().encode("ascii"))
        content += message(b"\x2a", any_value(line.body))
        content += b"".join([self._attributes.once(_ATTRIBUTE, key, value) for key, value in line.fields])
        if line.traceparent:
            content += fixed32(b"\x45", int(line.traceparent[53:55], 16))
            content += message(b"\x4a", bytes.fromhex(line.traceparent[3:35].decode("ascii")))
            content += message(b"\x52", bytes.fromhex(line.traceparent[36:52].decode("ascii")))
        content += fixed64(b"\x59", nanoseconds(seen))
        content += message(b"\x62", line.event.encode("utf-8"))
        return message(_RECORD, content)
