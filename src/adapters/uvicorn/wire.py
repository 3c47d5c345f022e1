"""Bytes of HTTP/1.1 responses: status lines and header sections, rendered with as few allocations as possible."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

from domain.http import Header

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode("ascii")


STATUS_LINES = {status: _status_line(status) for status in range(100, 600)}

#: Statuses whose answers never have a body (RFC 9110 6.4.1), beside every 1xx.
BODILESS = frozenset((204, 304))

_FRAMING = frozenset(
    (b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"date")
)


class UnsafeHeader(ValueError):
    """A header of an answer would break the header section apart (response splitting)."""


class Head:
    """A rendered header section without its end, and what its framing fields said.

    `lines` has no `Connection`, `Content-Length`, `Transfer-Encoding` or `Upgrade`: they depend on the connection.
    """

    __slots__ = ("close", "length", "lines", "upgrade")

    def __init__(self, status: int, headers: Iterable[Header], date: bytes) -> None:
        """Render. `date` is a whole Date line for answers without one (RFC 9110 6.6.1). Raises UnsafeHeader."""
        self.length: int | None = None
        self.close = False
        self.upgrade = b""
        parts = [STATUS_LINES[status]]
        dated = False
        count = 1
        for name, value in headers:
            if name in _FRAMING:
                if name == b"date":
                    dated = True
                else:
                    self._note(name, value)
                    continue
            parts += (name, b": ", value, b"\r\n")
            count += 1
        lines = b"".join(parts)
        if lines.count(b"\n") != count or lines.count(b"\r") != count or b"\0" in lines:
            raise UnsafeHeader
        self.lines = lines if dated else lines + date

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            if not value.isdigit() or (self.length is not None and self.length != int(value)):
                raise UnsafeHeader
            self.length = int(value)
        elif name == b"connection":
            self.close = self.close or b"close" in value.lower()
        elif name == b"upgrade":
            self.upgrade = value


def interim(status: int, headers: Iterable[Header]) -> bytes:
    """A whole interim answer (1xx)."""
    parts = [STATUS_LINES[status]]
    for name, value in headers:
        parts += (name, b": ", value, b"\r\n")
    parts.append(b"\r\n")
    return b"".join(parts)
