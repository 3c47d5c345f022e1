"""Bytes of HTTP/1.1 responses: status lines and header sections, rendered with as few allocations as possible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

from domain.http import Header

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


STATUS_LINES: Final = {status: _status_line(status) for status in range(100, 600)}

#: Statuses whose answers never have a body (RFC 9110 6.4.1), beside every 1xx.
BODILESS: Final = frozenset((204, 304))

_FRAMING: Final = frozenset(
    (b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"date")
)


class UnsafeHeader(ValueError):
    """A header of an answer would break the header section apart (response splitting)."""


class Section:
    """A rendered header section without its end, and what its framing fields said.

    `lines` has no `Connection`, `Transfer-Encoding` or `Upgrade`: they depend on the connection; and `Content-Length`
    once, if the status allows one.
    """

    __slots__ = ("_bare", "_dated", "close", "length", "lines", "upgrade")

    def __init__(self, status: int, headers: Sequence[Header], date: bytes) -> None:
        """Render. `date` is a whole Date field for answers without one (RFC 9110 6.6.1). Raises UnsafeHeader.

        What is left of line breaks in a value is found by counting once; the rest of its octets is its source's care.
        """
        self.length: int | None = None
        self.close = False
        self.upgrade = b""
        self._dated = False
        self._bare = status == 204 or status < 200
        parts = [STATUS_LINES[status]]
        append = parts.append
        count = 1
        for header in headers:
            name = header[0]
            if name in _FRAMING and not self._note(name, header[1]):
                continue
            append(name)
            append(b": ")
            append(header[1])
            append(b"\r\n")
            count += 1
        if not self._dated:
            append(date)
            append(b"\r\n")
            count += 1
        self.lines = lines = b"".join(parts)
        if len(lines) - len(lines.translate(None, b"\r\n")) != 2 * count:
            raise UnsafeHeader

    def _note(self, name: bytes, value: bytes) -> bool:
        """Take in a field of framing; whether it goes out as it is."""
        if name == b"content-length":
            first = self.length is None
            if not value.isdigit() or not (first or self.length == int(value)):
                raise UnsafeHeader
            self.length = int(value)
            return first and not self._bare
        if name == b"date":
            self._dated = True
            return True
        if name == b"connection":
            self.close = self.close or b"close" in value.lower()
        elif name == b"upgrade":
            self.upgrade = value
        return False


def interim(status: int, headers: Iterable[Header]) -> bytes:
    """A whole interim answer (1xx)."""
    return b"".join([STATUS_LINES[status], *(b"%b: %b\r\n" % header for header in headers), b"\r\n"])
