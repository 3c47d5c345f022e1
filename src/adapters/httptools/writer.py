"""Writes a request head. Framing is made anew here and nowhere else (RFC 9112 6): never copied, never twice."""

from __future__ import annotations

from adapters.httptools import faults
from application.ports import UpstreamRequest
from domain.http import HOP_BY_HOP
from domain.outcomes import FaultKind

#: Methods whose missing body is said with `Content-Length: 0` (RFC 9110 8.6).
_EXPECT_BODY = frozenset(("POST", "PUT", "PATCH"))
_NEVER_COPIED = HOP_BY_HOP | {b"content-length"}
#: The line ends that `render` wrote are all there may be of these.
_CONTROLS = b"\r\n\0"
_methods: dict[str, bytes] = {}


def render(request: UpstreamRequest, length: int | None) -> bytes:
    """The head on the wire. `length` is the body's in bytes, 0 for none, None for unknown (then chunked).

    Raises FaultError, before any byte is written, when a line end or NUL hides in the target, a name or a value.
    """
    parts = [_method(request.method), request.target, b" HTTP/1.1\r\n"]
    for name, value in request.headers:
        if name not in _NEVER_COPIED:
            parts += (name, b": ", value, b"\r\n")
    head = b"".join(parts)
    ends = len(parts) // 4 * 2 + 2
    if len(head) - len(head.translate(None, _CONTROLS)) != ends or b" " in request.target:
        raise faults.gateway(FaultKind.PROXY_INTERNAL_ERROR, "control byte in request head")
    return head + _framing(request, length)


def _framing(request: UpstreamRequest, length: int | None) -> bytes:
    if request.upgrade:
        return b"connection: Upgrade\r\nupgrade: websocket\r\n\r\n"
    if length is None:
        return b"transfer-encoding: chunked\r\n\r\n"
    if length or request.method in _EXPECT_BODY:
        return b"content-length: %d\r\n\r\n" % length
    return b"\r\n"


def _method(method: str) -> bytes:
    known = _methods.get(method)
    if known is None:
        if not method.isascii() or not method.replace("-", "").isalnum():
            raise faults.gateway(FaultKind.PROXY_INTERNAL_ERROR, "bad method")
        known = method.encode("ascii") + b" "
        if len(_methods) < 64:
            _methods[method] = known
    return known


def chunk(data: bytes) -> tuple[bytes, bytes, bytes]:
    return (b"%x\r\n" % len(data), data, b"\r\n")


LAST_CHUNK = b"0\r\n\r\n"
