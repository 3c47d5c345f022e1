"""The mounted gateway: an ASGI application with a lifespan that its host enters."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

from spork.adapters.yaml.load import Loaded, load
from spork.application.configuration.problems import check_report
from spork.application.pipeline.admission import host_name
from spork.asgi.bodies import AsgiBody, AsgiSink, Receive, Send
from spork.asgi.websockets import AsgiWebSocket
from spork.composition.gateway import GatewayContainer
from spork.composition.material import material_problems
from spork.composition.process import running
from spork.domain.http.authority import HostList
from spork.domain.http.head import (
    BAD_HEADER_NAME,
    BAD_HOST,
    BAD_METHOD,
    METHODS,
    Header,
    RequestHead,
    canonical_path,
    header_name,
    judged_host,
)
from spork.domain.outcomes import Denial
from spork.domain.routing.table import Matched, MethodNotAllowed

log = logging.getLogger("spork.asgi")

Scope = Any
Application = Callable[[Scope, Receive, Send], Awaitable[None]]
_NOT_HERE: Final = Denial("no_route", "Nothing is served at this address.")
_NOT_ENTERED: Final = (
    "the gateway is mounted, and its lifespan was not entered: give the application lifespan=gateway.lifespan, or enter"
    " `async with gateway.lifespan(app)` in its own"
)


class MountedGateway:
    """The gateway as an ASGI application. `prefix` is where it is mounted, for hosts that do not say so in `root_path`."""

    def __init__(self, config: str | Path, prefix: str = "") -> None:
        self._config = config
        self._prefix = prefix.rstrip("/").encode("ascii")
        self._container: GatewayContainer | None = None
        self._hosts = HostList()

    def __repr__(self) -> str:
        return f"<MountedGateway {self._config}: {'running' if self._container is not None else 'not entered'}>"

    @contextlib.asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncIterator[None]:
        """Read the configuration and run everything of the gateway but its listeners, until the block ends.

        Raises ValueError with the report of `spork check` for a configuration that has errors.
        """
        loaded: Loaded = load(self._config, os.environ, material_problems)
        configuration = loaded.configuration
        if configuration is None:
            raise ValueError(f"the gateway cannot start:\n{check_report(loaded.problems)}")
        container = GatewayContainer(configuration=configuration, config_path=Path(self._config))
        self._hosts = HostList(configuration.hosts)
        async with running(container, configuration):
            lifecycle = container.lifecycle()
            lifecycle.became_ready(container.clock().unix())
            self._container = container
            try:
                yield
            finally:
                self._container = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one scope. Raises RuntimeError for requests before the lifespan was entered."""
        if scope["type"] == "lifespan":
            await self._own_lifespan(receive, send)
            return
        if self._container is None:
            raise RuntimeError(_NOT_ENTERED)
        head = self.head_of(scope)
        if scope["type"] == "websocket":
            await self._serve_websocket(head, scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(head, receive, send)

    def knows(self, scope: Scope) -> bool:
        """Whether a route of the gateway's own takes this request."""
        if self._container is None:
            return False
        head = self.head_of(scope)
        if isinstance(head, Denial):
            return False
        table = self._container.current().snapshot.table
        host = "" if table.any_host or not head.host else host_name(head.host)
        found = table.resolve(host, head.path, head.method, head.headers, head.query)
        return isinstance(found, Matched | MethodNotAllowed)

    def head_of(self, scope: Scope) -> RequestHead | Denial:
        """The request that a scope shows, its path without the mount, or why it is refused."""
        upgrade = scope["type"] == "websocket"
        headers: tuple[Header, ...] = tuple((bytes(name), bytes(value)) for name, value in scope["headers"])
        method = "GET" if upgrade else scope["method"]
        if method not in METHODS:
            return BAD_METHOD
        if any(header_name(name) is None for name, _ in headers):
            return BAD_HEADER_NAME
        hosts = [value for name, value in headers if name == b"host"]
        host = judged_host(hosts[0], self._hosts) if len(hosts) == 1 else BAD_HOST
        if isinstance(host, Denial):
            return host
        raw = scope.get("raw_path") or scope["path"].encode("utf-8")
        below = self._below(raw.partition(b"?")[0], scope.get("root_path") or "")
        if below is None:
            return _NOT_HERE
        path = canonical_path(below)
        if isinstance(path, Denial):
            return path
        if upgrade:
            headers = _handshake(headers)
        scheme = {"ws": "http", "wss": "https"}.get(scope.get("scheme", "http"), scope.get("scheme", "http"))
        peer = scope.get("client") or ("", 0)
        head = RequestHead(
            method, path, scope.get("query_string") or None, headers, scheme, host, "1.1", peer[0], peer[1] or 0
        )
        head.upgrade = upgrade
        return head

    def _below(self, raw: bytes, root_path: str) -> bytes | None:
        """What is left of the path below the mount, cut at the boundary of a segment; None for a path that is elsewhere."""
        prefix = self._prefix or root_path.rstrip("/").encode("utf-8")
        if not prefix:
            return raw
        if not raw.startswith(prefix):
            return None
        rest = raw[len(prefix) :]
        return rest if rest[:1] == b"/" else b"/" if not rest else None

    async def _serve(self, head: RequestHead | Denial, receive: Receive, send: Send) -> None:
        assert self._container is not None
        headless = not isinstance(head, Denial) and head.method == "HEAD"
        sink = AsgiSink(send, headless)
        if isinstance(head, Denial):
            answer = self._container.refusals().deny(head, "")
            sink.start(answer.status, list(answer.headers))
            sink.write(answer.body)
            sink.finish()
            await sink.drain()
            return
        body = AsgiBody(receive, _length(head))
        gateway = self._container.data_gateway()
        handling = asyncio.ensure_future(_handled(gateway.handle(head, body, sink), sink))
        watching = asyncio.ensure_future(body.watch())
        try:
            await asyncio.wait((handling, watching), return_when=asyncio.FIRST_COMPLETED)
            if not handling.done():
                handling.cancel()
            await asyncio.gather(handling, return_exceptions=True)
        finally:
            for task in (handling, watching):
                task.cancel()
            await asyncio.gather(handling, watching, return_exceptions=True)
        if sink.cut:
            raise RuntimeError("the answer was cut: its target broke off")  # the server closes the connection
        if not handling.cancelled() and (error := handling.exception()) is not None:
            raise error

    async def _serve_websocket(self, head: RequestHead | Denial, scope: Scope, receive: Receive, send: Send) -> None:
        assert self._container is not None
        socket = AsgiWebSocket(receive, send, scope.get("extensions"))
        if isinstance(head, Denial):
            answer = self._container.refusals().deny(head, "")
            socket.start(answer.status, list(answer.headers))
            socket.write(answer.body)
            socket.finish()
        else:
            body = AsgiBody(receive, 0)
            await self._container.data_gateway().handle(head, body, socket)
        await socket.drain()

    async def _own_lifespan(self, receive: Receive, send: Send) -> None:
        """The lifespan of a gateway that is the whole application of its server."""
        try:
            async with self.lifespan():
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
        except ValueError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.shutdown.complete"})


class SporkMiddleware:
    """The gateway around an application: its own routes first, everything else to the application.

    As `app.add_middleware(SporkMiddleware, config="spork.yaml")`, or `SporkMiddleware(django_application, "spork.yaml")`.
    Its lifespan is entered with the application's; where the application has none, with the server's.
    """

    def __init__(self, app: Application, config: str | Path) -> None:
        self.app = app
        self.gateway = MountedGateway(config)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._lifespan(scope, receive, send)
        elif scope["type"] in ("http", "websocket") and self.gateway.knows(scope):
            await self.gateway(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application's lifespan within the gateway's."""
        try:
            async with self.gateway.lifespan():
                answered = False

                async def hear(message: Any) -> None:
                    nonlocal answered
                    answered = True
                    await send(message)

                try:
                    await self.app(scope, receive, hear)
                except Exception:
                    if answered:
                        raise
                    # An application without a lifespan (Django) raises: the gateway's is then the only one.
                    await receive()
                    await send({"type": "lifespan.startup.complete"})
                    await receive()
                    await send({"type": "lifespan.shutdown.complete"})
        except ValueError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})


def gateway(config: str | Path, prefix: str = "") -> MountedGateway:
    """The gateway that the file `config` describes, to be mounted. `prefix` is needed where the host says no `root_path`."""
    return MountedGateway(config, prefix)


async def _handled(handling: Awaitable[None], sink: AsgiSink) -> None:
    await handling
    await sink.drain()


def _length(head: RequestHead) -> int | None:
    if head.header(b"transfer-encoding") is not None:
        return None
    length = head.header(b"content-length") or b"0"
    return int(length) if length.isdigit() else None


def _handshake(headers: tuple[Header, ...]) -> tuple[Header, ...]:
    """The fields of a handshake of our own towards the target: no extension, and a key of our own."""
    kept = [
        header
        for header in headers
        if header[0]
        not in (b"sec-websocket-extensions", b"sec-websocket-key", b"sec-websocket-version", b"connection", b"upgrade")
    ]
    key = base64.b64encode(os.urandom(16))
    return (
        *kept,
        (b"upgrade", b"websocket"),
        (b"connection", b"Upgrade"),
        (b"sec-websocket-version", b"13"),
        (b"sec-websocket-key", key),
    )
