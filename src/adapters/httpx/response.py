"""A target's answer through httpx: head checks, the raw body, and the guard against surplus bytes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx

from spork.adapters.httpx import faults
from spork.application.kernel.streams import Tunnel
from spork.application.upstreams.transport import UpstreamRequest
from spork.domain.http.head import HOP_BY_HOP, Header
from spork.domain.outcomes import FaultKind

MAX_HEAD = 65536
MAX_FIELDS = 512
_CONTROLS = bytes(i for i in range(32) if i != 9) + b"\x7f"
_OPTIONS_KEPT = frozenset((b"close", b"keep-alive", b"upgrade", b"content-length", b""))


def examine(response: httpx.Response) -> list[Header]:
    """The end-to-end headers, names lower-case. Raises FaultError for a head that must not pass."""
    received = [(name.lower(), value) for name, value in response.headers.raw]
    if len(received) > MAX_FIELDS or sum(len(name) + len(value) + 4 for name, value in received) > MAX_HEAD:
        raise faults.upstream(FaultKind.HTTP_RESPONSE_HEADER_SECTION_SIZE, "head beyond 64 KiB")
    if response.status_code < 200:
        raise faults.upstream(FaultKind.HTTP_PROTOCOL_ERROR, "101 that was not asked for")
    lengths = [value for name, value in received if name == b"content-length"]
    codings = [value for name, value in received if name == b"transfer-encoding"]
    _check_framing(response, lengths, codings)
    named: set[bytes] = set()
    for name, value in received:
        if len(value.translate(None, _CONTROLS)) != len(value):
            raise faults.upstream(FaultKind.HTTP_PROTOCOL_ERROR, "control byte in field value")
        if name == b"connection":
            named.update(option.strip(b" \t") for option in value.lower().split(b","))
    dropped = HOP_BY_HOP | (named - _OPTIONS_KEPT)
    if response.status_code == 204:
        dropped |= {b"content-length"}
    return [header for header in received if header[0] not in dropped]


def _check_framing(response: httpx.Response, lengths: list[bytes], codings: list[bytes]) -> None:
    if len(lengths) > 1 or (lengths and not (lengths[0].isdigit() and len(lengths[0]) <= 18)):
        raise faults.upstream(FaultKind.HTTP_PROTOCOL_ERROR, "bad or repeated Content-Length")
    if codings and [coding.lower() for coding in codings] != [b"chunked"]:
        raise faults.upstream(FaultKind.HTTP_PROTOCOL_ERROR, "unknown transfer coding")
    if codings and (lengths or response.extensions.get("http_version") != b"HTTP/1.1"):
        raise faults.upstream(FaultKind.HTTP_PROTOCOL_ERROR, "Transfer-Encoding with Content-Length or not on 1.1")


class HttpxResponse:
    """`application.ports.UpstreamResponse`. The connection goes back when `read` has answered the clean end.

    `over` is called once, with whether that has happened; if not, it has to discard the response.
    """

    #: This transport does not see them.
    trailers: Sequence[Header] = ()

    def __init__(
        self,
        response: httpx.Response,
        headers: list[Header],
        request: UpstreamRequest,
        clock: Callable[[], float],
        over: Callable[[bool], None],
    ) -> None:
        self.status = response.status_code
        self.headers = headers
        self._response = response
        self._request = request
        self._clock = clock
        self._over = over
        self._closed = False
        self._ended = False
        self._stream: AsyncIterator[bytes] | None = None

    def take(self) -> tuple[bytes, bool]:
        return b"", self._ended

    async def read(self) -> bytes:
        if self._ended:
            return b""
        try:
            return await self._read()
        except TimeoutError as error:
            raise faults.upstream(FaultKind.CONNECTION_READ_TIMEOUT, "response not complete in time") from error
        except Exception as error:  # h11's own errors come through httpx as they are
            raise faults.of_body(error) from error

    async def _read(self) -> bytes:
        if self._stream is None:
            stream = self._response.stream
            assert isinstance(stream, httpx.AsyncByteStream)
            self._stream = aiter(stream)
        remaining = self._request.deadline - self._clock()
        async with asyncio.timeout(max(remaining, 0.0) if remaining < 86400.0 else None):
            while True:
                try:
                    piece = await anext(self._stream)
                except StopAsyncIteration:
                    self._ended = True
                    await self._give_back()
                    return b""
                if piece:
                    return piece

    async def finish_if_empty(self) -> None:
        """An answer that can have no body is over with its head."""
        empty = self.status in (204, 304) or self._request.method == "HEAD"
        if empty or (b"content-length", b"0") in self.headers:
            await self.read()

    def patience(self, idle: float) -> None:
        """The client library was told its timeouts with the request."""

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._over(self._ended)

    def tunnel(self) -> Tunnel:
        raise faults.gateway(FaultKind.HTTP_UPGRADE_FAILED, "this transport carries no upgrades")

    async def _give_back(self) -> None:
        """The clean end: the connection may carry another request unless bytes lie behind this answer."""
        if self._response.extensions.get("http_version") != b"HTTP/2" and not silent_after(self._response):
            await self._end_connection(self._response)
        await self._response.stream.aclose()  # type: ignore[union-attr]

    @staticmethod
    async def _end_connection(response: httpx.Response) -> None:
        stream = response.extensions.get("network_stream")
        if stream is not None:
            await stream.aclose()

    @classmethod
    async def discard(cls, response: httpx.Response) -> None:
        """End the exchange: on HTTP/1.1 with its connection, on HTTP/2 by resetting the stream."""
        try:
            if response.extensions.get("http_version") != b"HTTP/2":
                await cls._end_connection(response)
            await response.stream.aclose()  # type: ignore[union-attr]
        except Exception:
            pass  # it is being ended because it is broken or unwanted


def silent_after(response: httpx.Response) -> bool:
    """Whether nothing has been received beyond this answer's end.

    httpcore would let such bytes answer the next request on the connection. They lie in h11's buffer, which only
    private attributes reach: an httpcore built otherwise gives no proof of silence, and loses keep-alive instead.
    """
    part: Any = response.stream
    for name in ("_httpcore_stream", "_stream", "_connection", "_h11_state"):
        part = getattr(part, name, None)
    trailing = getattr(part, "trailing_data", None)
    return trailing is not None and trailing[0] == b""
