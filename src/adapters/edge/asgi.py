"""ASGI on top of a `Cycle`: how the gateway's own endpoints, and the mount, see a request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from spork.adapters.edge.line import Line
from spork.adapters.edge.wire import UnsafeHeader
from spork.application.kernel.faults import FaultError

if TYPE_CHECKING:
    from spork.adapters.edge.cycle import ServerExchange
    from spork.domain.http.head import Header

#: The path every proxied request shows to the application: its router remembers paths, so it must never see clients'
#: ones, whose number has no bound; the gateway's own table routes by `raw_path` and the head in the extension.
MOUNT_PATH: Final = "/"
_VERSIONS: Final = {"version": "3.0", "spec_version": "2.3"}


def own_scope(connection: Line, cycle: ServerExchange) -> dict[str, Any]:
    """The ASGI scope of a request for one of the gateway's own endpoints."""
    head = cycle.head
    path = head.path.decode("ascii")
    # A slash that is part of a name stays escaped: whoever reads the name undoes it.
    path = unquote(path.replace("%2F", "%252F")) if "%" in path else path
    scope = _scope(connection, cycle, path, list(head.headers), {}, connection.app_state.copy())
    if head.method == "HEAD":  # what GET says without its content, which the cycle leaves out (RFC 9110 9.3.2)
        scope["method"] = "GET"
    return scope


def mount_scope(connection: Line, cycle: ServerExchange) -> dict[str, Any]:
    """The ASGI scope of a proxied request: the `Cycle` in its extension, one path for all.

    Its headers are left out: they are judged already, and the mount reads them from the cycle. What is the same for
    every request of a connection is kept with it, `state` among it, until the application answers by itself.
    """
    head = cycle.head
    if connection.mount_scope is None:
        connection.mount_scope = _scope(connection, cycle, MOUNT_PATH, [], {}, connection.app_state.copy())
    scope = connection.mount_scope.copy()
    scope["http_version"] = head.version
    scope["method"] = head.method
    scope["raw_path"] = head.path
    scope["query_string"] = head.query or b""
    scope["extensions"] = {"spork": cycle}
    return scope


def _scope(
    connection: Line,
    cycle: ServerExchange,
    path: str,
    headers: list[Header],
    extensions: dict[str, Any],
    state: dict[str, Any],
) -> dict[str, Any]:
    head = cycle.head
    return {
        "type": "http",
        "asgi": _VERSIONS,
        "http_version": head.version,
        "method": head.method,
        "scheme": head.scheme,
        "path": path,
        "raw_path": head.path,
        "query_string": head.query or b"",
        "root_path": "",
        "headers": headers,
        "extensions": extensions,
        "client": (head.peer, head.peer_port),
        "server": connection.server,
        "state": state,
    }


class AsgiExchange:
    """`receive` and `send` of one request."""

    __slots__ = ("_connection", "_ended", "_headless", "cycle", "scope")

    def __init__(self, connection: Line, cycle: ServerExchange, scope: dict[str, Any]) -> None:
        self._connection = connection
        self.cycle = cycle
        self.scope = scope
        self._ended = False
        self._headless = cycle.head.method == "HEAD"

    async def receive(self) -> dict[str, Any]:
        cycle = self.cycle
        if not self._ended and not cycle.finished:
            try:
                body = await cycle.read()
            except FaultError as error:
                self._ended = True
                cycle.fail(error.fault)
                return {"type": "http.disconnect"}
            self._ended = cycle.exhausted
            return {"type": "http.request", "body": body, "more_body": not self._ended}
        await cycle.over()
        return {"type": "http.disconnect"}

    async def send(self, message: dict[str, Any]) -> None:
        """Messages for a client that is gone are dropped, as uvicorn does; `receive` says that it is."""
        cycle = self.cycle
        self._connection.mount_scope = None
        if cycle.gone:
            return
        kind = message["type"]
        if kind == "http.response.start":
            headers = [(bytes(name).lower(), bytes(value)) for name, value in message.get("headers", ())]
            if any(b"\r" in value or b"\0" in value for _, value in headers):
                raise RuntimeError("a header of this answer has a control byte")
            if not any(name == b"x-request-id" for name, _ in headers):
                headers.append((b"x-request-id", self._connection.edge.new_request_id().encode("ascii")))
            if cycle.started:  # the edge had to answer for the application: its body could not be read
                return
            try:
                cycle.start(message["status"], headers)
            except UnsafeHeader:
                raise RuntimeError("a header of this answer has a line break or ambiguous length") from None
        elif kind == "http.response.body" and not cycle.finished:
            cycle.write(message.get("body", b""))
            if self._headless or not message.get("more_body", False):
                cycle.finish()
            elif cycle.paused:
                await cycle.drain()
