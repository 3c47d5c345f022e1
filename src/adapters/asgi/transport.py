"""Targets that are ASGI applications in this process: `asgi:package.module:app`.

An application's task runs beside the exchange; bodies stream both ways through queues of a few pieces, so that neither side
grows memory when the other is slow. An application that raises before its answer is a fault of the upstream side. Its lifespan
is entered once, with the first request, and left when the gateway ends.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final
from urllib.parse import unquote

from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import RequestBody, Tunnel
from spork.application.upstreams.transport import UpstreamRequest
from spork.domain.http.head import HOP_BY_HOP, Header
from spork.domain.outcomes import Fault, FaultKind, Side
from spork.domain.upstreams.model import Target

log = logging.getLogger("spork.asgi")

Message = MutableMapping[str, Any]
Application = Callable[[Any, Any, Any], Awaitable[None]]
#: Pieces of an answer that wait for the client; more hold the application up.
WAITING: Final = 4


def fault(kind: FaultKind, note: str, retry_safe: bool = False) -> FaultError:
    return FaultError(Fault(kind, Side.UPSTREAM, retry_safe=retry_safe, note=note))


class AsgiTransport:
    """Implements `UpstreamTransport` for targets whose scheme is `asgi`."""

    def __init__(self) -> None:
        self._loaded: dict[str, _Loaded] = {}

    async def send(self, target: Target, request: UpstreamRequest) -> AsgiResponse:
        """The answer's head. Raises FaultError: the application cannot be had, raised, or took too long."""
        if request.upgrade:
            raise fault(FaultKind.HTTP_UPGRADE_FAILED, "an application in process takes no upgrades", retry_safe=True)
        loaded = self._loaded.get(target.host)
        if loaded is None:
            loaded = self._loaded[target.host] = _Loaded(_import(target.host))
        await loaded.started()
        response = AsgiResponse(loaded.app, _scope(target, request, loaded.state), request)
        loop = asyncio.get_running_loop()
        patience = min(request.timeouts.first_byte, max(request.deadline - loop.time(), 0.001))
        try:
            async with asyncio.timeout(None if patience == float("inf") else patience):
                await response.head()
        except TimeoutError:
            response.close()
            raise fault(FaultKind.HTTP_RESPONSE_TIMEOUT, "no head in time") from None
        except BaseException:
            response.close()
            raise
        return response

    async def close(self) -> None:
        """Leave the lifespan of every application."""
        for loaded in self._loaded.values():
            await loaded.stop()
        self._loaded.clear()


def _import(name: str) -> Application:
    module, _, attribute = name.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        log.error("the application %s cannot be imported: %s: %s", name, type(error).__name__, error)
        raise fault(FaultKind.DESTINATION_UNAVAILABLE, f"{name} cannot be imported", retry_safe=True) from error
    application: Application = found
    return application


def _scope(target: Target, request: UpstreamRequest, state: dict[str, Any]) -> dict[str, Any]:
    raw, _, query = request.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(raw.decode("ascii")),
        "raw_path": raw,
        "query_string": query,
        "root_path": "",
        "headers": [(name, value) for name, value in request.headers],
        "client": None,
        "server": (target.host, None),
        "state": dict(state),
    }


class _Loaded:
    """An application and its lifespan. One that has none is served without."""

    def __init__(self, app: Application) -> None:
        self.app = app
        self.state: dict[str, Any] = {}
        self._task: asyncio.Task[None] | None = None
        self._orders: asyncio.Queue[Message] = asyncio.Queue()
        self._up = asyncio.Event()
        self._down = asyncio.Event()
        self._failed = ""

    async def started(self) -> None:
        """Raises FaultError for an application whose start-up failed."""
        if self._task is None:
            self._orders.put_nowait({"type": "lifespan.startup"})
            self._task = asyncio.create_task(self._run())
        await self._up.wait()
        if self._failed:
            raise fault(FaultKind.DESTINATION_UNAVAILABLE, self._failed, retry_safe=True)

    async def stop(self) -> None:
        if self._task is not None and not self._task.done():
            self._orders.put_nowait({"type": "lifespan.shutdown"})
            try:
                async with asyncio.timeout(5.0):
                    await self._down.wait()
            except TimeoutError:
                log.error("an application did not end its lifespan")
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self.app(scope, self._orders.get, self._hear)
        except Exception:
            log.debug("the application has no lifespan", exc_info=True)
        finally:
            self._up.set()
            self._down.set()

    async def _hear(self, message: Message) -> None:
        if message["type"] == "lifespan.startup.failed":
            self._failed = f"start-up failed: {message.get('message', '')}"
        if message["type"].startswith("lifespan.startup"):
            self._up.set()
        else:
            self._down.set()


class AsgiResponse:
    """Implements `UpstreamResponse`: one request that an application answers."""

    def __init__(self, app: Application, scope: dict[str, Any], request: UpstreamRequest) -> None:
        self.status = 0
        self.headers: list[Header] = []
        #: ASGI has no trailers that every application knows.
        self.trailers: list[Header] = []
        self._body = request.body
        self._sent_all = request.body is None
        self._pieces: asyncio.Queue[bytes | None] = asyncio.Queue(WAITING)
        self._ended = False
        self._started = asyncio.Event()
        self._gone = asyncio.Event()
        self._idle = request.timeouts.idle
        self._fault: FaultError | None = None
        self._headless = request.method == "HEAD"
        self._task = asyncio.create_task(self._run(app, scope))

    async def head(self) -> None:
        """Wait for the answer's head. Raises FaultError when there will be none."""
        await self._started.wait()
        if self.status == 0:
            raise self._fault or fault(FaultKind.HTTP_RESPONSE_INCOMPLETE, "the application gave no answer")

    async def _run(self, app: Application, scope: dict[str, Any]) -> None:
        try:
            await app(scope, self._receive, self._send)
            if self.status and not self._ended:
                self._fault = fault(FaultKind.HTTP_RESPONSE_INCOMPLETE, "the application did not finish its answer")
        except FaultError as error:  # the client's body broke, not the application
            self._fault = error
        except Exception as error:
            log.exception("an application in process failed")
            self._fault = fault(FaultKind.PROXY_INTERNAL_ERROR, f"{type(error).__name__}")
        finally:
            self._started.set()
        if not self._ended:
            await self._pieces.put(None)

    async def _receive(self) -> Message:
        if self._sent_all:
            await self._gone.wait()
            return {"type": "http.disconnect"}
        body = self._body
        if isinstance(body, RequestBodyTypes):
            self._sent_all = True
            return {"type": "http.request", "body": bytes(body), "more_body": False}
        assert body is not None
        reader: RequestBody = body
        piece = await reader.read()
        if not piece:
            self._sent_all = True
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start":
            self.headers = [
                (bytes(name).lower(), bytes(value))
                for name, value in message.get("headers", ())
                if bytes(name).lower() not in HOP_BY_HOP
            ]
            self.status = int(message["status"])
            self._started.set()
        elif kind == "http.response.body" and not self._ended:
            piece = bytes(message.get("body", b""))
            if piece and not self._headless:
                await self._pieces.put(piece)
            if not message.get("more_body", False):
                self._ended = True
                await self._pieces.put(b"")

    def take(self) -> tuple[bytes, bool]:
        """What the application has sent by now."""
        pieces: list[bytes] = []
        while not self._pieces.empty():
            piece = self._pieces.get_nowait()
            if piece == b"":
                return b"".join(pieces), True
            if piece is None:
                self._pieces.put_nowait(None)  # `read` says so
                break
            pieces.append(piece)
        return b"".join(pieces), False

    async def read(self) -> bytes:
        try:
            async with asyncio.timeout(None if self._idle == float("inf") else self._idle):
                piece = await self._pieces.get()
        except TimeoutError:
            raise fault(FaultKind.CONNECTION_READ_TIMEOUT, "the application fell silent") from None
        if piece is None:
            raise self._fault or fault(FaultKind.HTTP_RESPONSE_INCOMPLETE, "the application did not finish its answer")
        return piece

    def patience(self, idle: float) -> None:
        self._idle = max(self._idle, idle)

    def close(self) -> None:
        """The application hears `http.disconnect`; one that goes on all the same is cancelled."""
        self._gone.set()
        if not self._task.done() and not self._ended:
            self._task.cancel()

    def tunnel(self) -> Tunnel:
        raise fault(FaultKind.HTTP_UPGRADE_FAILED, "an application in process has no raw connection")


RequestBodyTypes = (bytes, bytearray)
