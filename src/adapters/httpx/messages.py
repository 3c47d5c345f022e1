"""The request as httpx takes it: headers with framing made anew, and the body as a stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx

from spork.adapters.httpx import faults
from spork.application.upstreams.framing import Measured
from spork.application.upstreams.transport import UpstreamRequest
from spork.domain.http.head import HOP_BY_HOP, Header
from spork.domain.outcomes import FaultKind

_EXPECT_BODY = frozenset(("POST", "PUT", "PATCH"))
_NEVER_COPIED = HOP_BY_HOP | {b"content-length"}
_FORBIDDEN = b"\r\n\0"


def render_headers(request: UpstreamRequest, length: int | None) -> list[Header]:
    """End-to-end headers and one framing field. Raises FaultError when a line end or NUL hides in a line."""
    headers = [header for header in request.headers if header[0] not in _NEVER_COPIED]
    text = b"".join(name + value for name, value in headers) + request.target
    if len(text.translate(None, _FORBIDDEN)) != len(text) or b" " in request.target:
        raise faults.gateway(FaultKind.PROXY_INTERNAL_ERROR, "control byte in request head")
    if length is None:
        headers.append((b"transfer-encoding", b"chunked"))
    elif length or request.method in _EXPECT_BODY:
        headers.append((b"content-length", b"%d" % length))
    return headers


class RequestUrl(httpx.URL):
    """A URL whose request target goes on the wire as given.

    httpx repairs paths (`/a/../b`), and httpcore's `target` extension would replace the proxy's targets as well.
    """

    def __init__(self, origin: httpx.URL, target: bytes) -> None:
        super().__init__(origin)
        self._target = target

    @property
    def raw_path(self) -> bytes:
        return self._target


class Body(httpx.AsyncByteStream):
    """A measured body as httpx reads it. A fault of the client's passes through httpx untouched."""

    def __init__(self, body: Measured) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        stream, payload, _ = self._body
        if stream is None:
            if payload:
                yield payload
            return
        while piece := await stream.read():
            yield piece
