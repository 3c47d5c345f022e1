"""Writes a request head. Framing is made anew here and nowhere else (RFC 9112 6): never copied, never twice."""

from __future__ import annotations

from typing import Final

from spork.adapters.http1 import faults
from spork.application.kernel.faults import FaultError
from spork.application.upstreams.transport import UpstreamRequest
from spork.domain.http.head import HOP_BY_HOP
from spork.domain.outcomes import FaultKind

#: Methods whose missing body is said with `Content-Length: 0` (RFC 9110 8.6).
_EXPECT_BODY: Final = frozenset(("POST", "PUT", "PATCH"))
_NEVER_COPIED: Final = HOP_BY_HOP | {b"content-length"}
_CR: Final = 0x0D
_LF: Final = 0x0A
_SPACE: Final = 0x20
_TOKEN: Final = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_MAX_KNOWN: Final = 4096
#: A line end and `name: ` for names that were valid once; empty for those that are never copied.
_prefixes: Final[dict[bytes, bytes]] = {}
_methods: Final[dict[str, bytes]] = {}


def render(request: UpstreamRequest, length: int | None) -> bytes:
    """The head on the wire. `length` is the body's in bytes, 0 for none, None for unknown (then chunked).

    Raises FaultError, before any byte is written, when a line end or NUL hides in the target, a name or a value.
    What comes from elsewhere stands at the odd places of `parts`; names are judged when they are learned.
    """
    target = request.target
    parts = [_methods.get(request.method) or _learn_method(request.method), target, b" HTTP/1.1", b""]
    for name, value in request.headers:
        prefix = _prefixes.get(name)
        if prefix is None:
            prefix = _learn_prefix(name)
        if prefix:
            parts.append(prefix)
            parts.append(value)
    foreign = b"".join(parts[1::2])
    if _CR in foreign or _LF in foreign or 0 in foreign or _SPACE in target:
        raise _refused("control byte in request head")
    parts.append(_framing(request, length))
    return b"".join(parts)


def _refused(note: str) -> FaultError:
    return faults.gateway(FaultKind.PROXY_INTERNAL_ERROR, note)


def _framing(request: UpstreamRequest, length: int | None) -> bytes:
    """The last lines of the head, from the line end before them to the empty line."""
    if request.upgrade:
        return b"\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n"
    if length is None:
        return b"\r\ntransfer-encoding: chunked\r\n\r\n"
    if length or request.method in _EXPECT_BODY:
        return b"\r\ncontent-length: %d\r\n\r\n" % length
    return b"\r\n\r\n"


def _learn_method(method: str) -> bytes:
    if not method.isascii() or not method or method.encode("ascii").translate(None, _TOKEN):
        raise _refused("bad method")
    known = method.encode("ascii") + b" "
    if len(_methods) < 64:
        _methods[method] = known
    return known


def _learn_prefix(name: bytes) -> bytes:
    if not name or name.translate(None, _TOKEN):
        raise _refused("bad field name")
    prefix = b"" if name.lower() in _NEVER_COPIED else b"\r\n%b: " % name
    if len(name) <= 64:
        if len(_prefixes) >= _MAX_KNOWN:
            _prefixes.clear()
        _prefixes[name] = prefix
    return prefix


def chunk(data: bytes) -> tuple[bytes, bytes, bytes]:
    return (b"%x\r\n" % len(data), data, b"\r\n")


LAST_CHUNK: Final = b"0\r\n\r\n"
