"""Bytes of HTTP/1.1 responses: status lines and header sections, rendered with as few allocations as possible."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import Final

from spork.domain.http.head import Header

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}".encode("ascii")


STATUS_LINES: Final = {status: _status_line(status) for status in range(100, 600)}

#: Statuses whose answers never have a body (RFC 9110 6.4.1), beside every 1xx.
BODILESS: Final = frozenset((204, 304))

_FRAMING: Final = frozenset(
    (b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection", b"upgrade", b"date")
)


_CR: Final = 0x0D
_LF: Final = 0x0A
_MAX_KNOWN: Final = 4096
#: A line end and `name: ` for names seen before; empty for those of framing.
_prefixes: Final[dict[bytes, bytes]] = dict.fromkeys(_FRAMING, b"")


class UnsafeHeader(ValueError):
    """A header of an answer would break the header section apart (response splitting)."""


class ResponseHead:
    """A rendered header section without its end, and what its framing fields said.

    `lines` has no `Connection`, `Transfer-Encoding` or `Upgrade`: they depend on the connection; and `Content-Length`
    once, if the status allows one.
    """

    __slots__ = ("_bare", "_dated", "close", "length", "lines", "upgrade")

    def __init__(self, status: int, headers: Sequence[Header], date: bytes) -> None:
        """Render. `date` is a whole Date field for answers without one (RFC 9110 6.6.1). Raises UnsafeHeader.

        Line breaks in values are looked for in all of them at once; their other octets are their source's care. Names
        are judged when they are learned.
        """
        self.length: int | None = None
        self.close = False
        self.upgrade = b""
        self._dated = False
        self._bare = status == 204 or status < 200
        parts = [STATUS_LINES[status], b""]
        for name, value in headers:
            prefix = _prefixes.get(name)
            if prefix is None:
                prefix = _learn_prefix(name)
            if not prefix:
                if not self._note(name, value):
                    continue
                prefix = b"\r\n%b: " % name
            parts.append(prefix)
            parts.append(value)
        if not self._dated:
            parts.append(b"\r\n")
            parts.append(date)
        values = b"".join(parts[1::2])
        if _CR in values or _LF in values:
            raise UnsafeHeader
        parts.append(b"\r\n")
        self.lines = b"".join(parts)

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


def _learn_prefix(name: bytes) -> bytes:
    if _CR in name or _LF in name:
        raise UnsafeHeader
    prefix = b"\r\n%b: " % name
    if len(name) <= 64:
        if len(_prefixes) >= _MAX_KNOWN:
            _prefixes.clear()
            _prefixes.update(dict.fromkeys(_FRAMING, b""))
        _prefixes[name] = prefix
    return prefix


def interim(status: int, headers: Iterable[Header]) -> bytes:
    """A whole interim answer (1xx)."""
    return b"".join([STATUS_LINES[status], *(b"\r\n%b: %b" % header for header in headers), b"\r\n\r\n"])
