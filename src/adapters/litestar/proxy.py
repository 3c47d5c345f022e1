"""The proxy as one root mount of a Litestar application.

Under the gateway's own edge protocol the mount finds the request's cycle in the scope and hands it to the core. Under
any other ASGI server (a test client, another deployment) the same core runs over plain ASGI messages; what the edge checks
on raw bytes is then checked on what ASGI still shows.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from litestar.handlers import ASGIRouteHandler
from litestar.types import ExceptionHandlersMap, Receive, Scope, Send

from spork.application.exchange.answers import Gateway, ProblemResponses
from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import Tunnel
from spork.domain.http.head import BAD_HEADER_NAME, Header, RequestHead, canonical_path, header_name
from spork.domain.outcomes import Denial, Fault, FaultKind, Side

#: Under which key of `scope["extensions"]` the edge leaves the cycle.
EXTENSION = "spork"


class Mount(ASGIRouteHandler):
    """The handler of the mount. Litestar asks it for its exception handlers on every request: they are gathered once."""

    __slots__ = ("_gathered",)

    def __init__(self) -> None:
        super().__init__("/", is_mount=True, copy_scope=False)
        self._gathered: ExceptionHandlersMap | None = None

    def resolve_exception_handlers(self) -> ExceptionHandlersMap:
        if self._gathered is None:
            self._gathered = super().resolve_exception_handlers()
        return self._gathered


def proxy_mount(gateway: Gateway, refusals: ProblemResponses) -> ASGIRouteHandler:
    """The mount that takes everything the gateway does not answer itself."""

    @Mount()
    async def proxy(scope: Scope, receive: Receive, send: Send) -> None:
        extensions: Any = scope.get("extensions")
        if extensions and EXTENSION in extensions:
            cycle = extensions[EXTENSION]
            # The edge goes on with it when the application has returned: no frame of Litestar's waits for the target.
            cycle.handed = gateway.handle(cycle.head, cycle, cycle)
            return
        sink = AsgiSink(send)
        head = head_from_scope(scope)
        if isinstance(head, Denial):
            answer = refusals.deny(head, "")
            sink.start(answer.status, list(answer.headers))
            sink.write(answer.body)
            sink.finish()
        else:
            await gateway.handle(head, AsgiBody(receive, head), sink)
        await sink.drain()

    return proxy


def head_from_scope(scope: Scope) -> RequestHead | Denial:
    """A request head from an ASGI scope, or why it is refused."""
    fields = cast("dict[str, Any]", scope)
    headers: tuple[Header, ...] = tuple(fields["headers"])
    path = canonical_path(fields.get("raw_path") or fields["path"].encode())
    if isinstance(path, Denial):
        return path
    for name, _ in headers:
        if header_name(name) is None:
            return BAD_HEADER_NAME
    peer = fields.get("client") or ("", 0)
    host = next((value for name, value in headers if name == b"host"), b"").lower()
    return RequestHead(
        fields["method"],
        path,
        fields["query_string"] or None,
        headers,
        fields.get("scheme", "http"),
        host,
        fields.get("http_version", "1.1"),
        peer[0],
        peer[1],
    )


class AsgiBody:
    """`ports.RequestBody` over ASGI's receive."""

    def __init__(self, receive: Receive, head: RequestHead) -> None:
        self._receive = receive
        self._more = True
        self._maximum: float = float("inf")
        self.received = 0
        chunked = head.header(b"transfer-encoding") is not None
        self.length = None if chunked else int(head.header(b"content-length") or 0)

    def whole(self) -> bytes | None:
        return b"" if self.length == 0 else None

    def limit(self, maximum: int) -> None:
        self._maximum = maximum

    async def read(self) -> bytes:
        while self._more:
            message = cast("dict[str, Any]", await self._receive())
            if message["type"] == "http.disconnect":
                raise FaultError(Fault(FaultKind.CLIENT_GONE, Side.DOWNSTREAM))
            piece: bytes = message.get("body", b"")
            self._more = message.get("more_body", False)
            self.received += len(piece)
            if self.received > self._maximum:
                raise FaultError(Fault(FaultKind.BODY_TOO_LARGE, Side.DOWNSTREAM))
            if piece:
                return piece
        return b""


class AsgiSink:
    """`ports.ResponseSink` over ASGI's send: messages wait in order until `drain`."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._messages: list[dict[str, Any]] = []
        self.started = False
        self.sent = 0
        self.gone = False

    @property
    def paused(self) -> bool:
        return len(self._messages) > 0

    def inform(self, status: int, headers: list[Header]) -> None:
        """Interim answers have no ASGI message that every server knows; they may be left out (RFC 9110 15.2)."""

    def start(self, status: int, headers: list[Header]) -> None:
        self.started = True
        self._messages.append({"type": "http.response.start", "status": status, "headers": headers})

    def write(self, data: bytes) -> None:
        self.sent += len(data)
        self._messages.append({"type": "http.response.body", "body": data, "more_body": True})

    def finish(self) -> None:
        self._messages.append({"type": "http.response.body", "body": b"", "more_body": False})

    def abort(self) -> None:
        """Leave the response incomplete: the server then cuts the connection."""

    async def drain(self) -> None:
        messages, self._messages = self._messages, []
        for message in messages:
            await self._send(cast(Any, message))
        await asyncio.sleep(0)

    def tunnel(self) -> Tunnel:
        raise FaultError(Fault(FaultKind.HTTP_UPGRADE_FAILED, Side.GATEWAY, note="no raw connection under this server"))
