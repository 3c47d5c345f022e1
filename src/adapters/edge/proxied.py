"""A listening socket behind a load balancer that speaks the PROXY protocol: connections are accepted here, so that what the
balancer says is read before TLS begins.

Only trusted peers are listened to, and they must speak it: one that does not is closed. Anybody else is served as on any other
listener, and a PROXY line of theirs is malformed HTTP.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any

from spork.domain.http.addresses import AddressSet
from spork.domain.http.proxy_protocol import (
    FIRST,
    HEAD_2,
    LINE_1,
    SIGNATURE,
    NotProxied,
    Origin,
    block_origin,
    length_of,
    line_origin,
)

log = logging.getLogger("spork.edge")

#: Connections accepted in one go, and connections whose header is still read, beyond which new ones are closed.
_AT_ONCE = 64
_WAITING = 1024
#: Seconds without accepting when the process is out of files.
_REST = 1.0


class Peers:
    """Peers that are trusted: networks, and `unix` for whoever may open a unix socket."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self._known = AddressSet(texts)

    def trusts(self, address: object) -> bool:
        """`address` as the socket tells it: host and port, or text for a unix socket."""
        return (str(address[0]).partition("%")[0] if isinstance(address, tuple) else "") in self._known


class ProxiedServer:
    """Accepts on `sock` until `close`. `make` makes the protocol of a connection, of which the balancer said `Origin`."""

    def __init__(
        self,
        sock: socket.socket,
        peers: Peers,
        make: Callable[[Origin | None], Any],
        tls: ssl.SSLContext | None,
        patience: float,
    ) -> None:
        self._sock = sock
        self._peers = peers
        self._make = make
        self._tls = tls
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._waiting: set[asyncio.Task[None]] = set()
        self._resume: asyncio.TimerHandle | None = None
        self._open = True
        self._loop.add_reader(sock.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more; connections whose header has not come are closed."""
        if not self._open:
            return
        self._open = False
        self._loop.remove_reader(self._sock.fileno())
        if self._resume is not None:
            self._resume.cancel()
        for task in self._waiting:
            task.cancel()

    def _accept(self) -> None:
        for _ in range(_AT_ONCE):
            try:
                sock, address = self._sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.warning("connections wait to be accepted: %s", error)
                self._loop.remove_reader(self._sock.fileno())
                self._resume = self._loop.call_later(_REST, self._go_on)
                return
            if len(self._waiting) >= _WAITING:
                sock.close()
                continue
            sock.setblocking(False)
            task = self._loop.create_task(self._take(sock, address))
            self._waiting.add(task)
            task.add_done_callback(self._waiting.discard)

    def _go_on(self) -> None:
        self._resume = None
        if self._open:
            self._loop.add_reader(self._sock.fileno(), self._accept)

    async def _take(self, sock: socket.socket, address: object) -> None:
        try:
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            origin = None
            if self._peers.trusts(address):
                async with asyncio.timeout(self._patience):
                    origin = await self._read(sock)
            await self._loop.connect_accepted_socket(
                lambda: self._make(origin),
                sock,
                ssl=self._tls,
                ssl_handshake_timeout=self._patience if self._tls is not None else None,
            )
        except NotProxied as error:
            log.warning("a trusted peer does not speak the PROXY protocol: %s", error, extra={"peer": str(address)})
            sock.close()
        except (OSError, EOFError, TimeoutError):
            sock.close()
        except BaseException:
            with contextlib.suppress(OSError):
                sock.close()
            raise

    async def _read(self, sock: socket.socket) -> Origin | None:
        """The header, and not one octet of what follows it. Raises NotProxied, EOFError, OSError."""
        begun = await self._exactly(sock, FIRST)
        if begun == SIGNATURE:
            head = begun + await self._exactly(sock, HEAD_2 - FIRST)
            return block_origin(head, await self._exactly(sock, length_of(head)))
        if not begun.startswith(b"PROXY "):
            raise NotProxied("no header")
        while not begun.endswith(b"\n"):
            if len(begun) >= LINE_1:
                raise NotProxied("the line does not end")
            begun += await self._exactly(sock, 1)
        return line_origin(begun)

    async def _exactly(self, sock: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            piece = await self._loop.sock_recv(sock, count - len(data))
            if not piece:
                raise EOFError
            data += piece
        return data
