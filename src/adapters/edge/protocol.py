"""What uvicorn serves a connection with: its own httptools protocol, with the edge in place of its request cycle.

The connection itself is a class without a base, so that it can be compiled (docs/deployment.md); this one only stands
between it and uvicorn. The calls that come per piece of data go past it, straight to the connection.
"""

from __future__ import annotations

import asyncio
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from spork.adapters.edge.connection import ClientConnection
from spork.adapters.edge.edge import Edge


class EdgeProtocol(HttpToolsProtocol):
    """One client connection, as uvicorn and the event loop see it. Built by `partial(EdgeProtocol, edge)`."""

    def __init__(
        self,
        edge: Edge,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        # uvicorn's constructor is left out: its parser leniency, flow control, loggers and timers are not used.
        loop = _loop or asyncio.get_running_loop()
        self.connection = connection = ClientConnection(edge, cast(Any, config.loaded_app), app_state, loop)
        for call in ("data_received", "eof_received", "pause_writing", "resume_writing", "shutdown"):
            setattr(self, call, getattr(connection, call))

    def __repr__(self) -> str:
        return repr(self.connection)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.connection.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.connection.connection_lost(exc)
