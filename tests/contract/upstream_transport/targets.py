"""Targets written by hand, byte for byte: what a real server never sends, a scripted one does.

A script is a coroutine that talks to one connection: `await peer.request()`, `peer.send(...)`, `peer.close()`. It may
await events of the test's, so that nothing depends on sleeping.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from spork.domain.upstreams.model import Target, TlsToTarget


@dataclass
class Received:
    """A request as it came over the wire."""

    head: bytes
    body: bytes = b""

    @property
    def line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    def values(self, name: bytes) -> list[bytes]:
        """Values of the fields called `name`, in any case."""
        rows = [row.partition(b":") for row in self.head.split(b"\r\n")[1:] if row]
        return [value.strip() for key, _, value in rows if key.lower() == name]


class Peer:
    """The target's end of one connection."""

    def __init__(self, target: ScriptedTarget, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._target = target
        self.reader = reader
        self.writer = writer

    async def head(self) -> Received:
        """Read one request head; its body is left on the connection."""
        received = Received(await self.reader.readuntil(b"\r\n\r\n"))
        self._target.requests.append(received)
        return received

    async def request(self) -> Received:
        """Read one whole request."""
        received = await self.head()
        if received.values(b"transfer-encoding"):
            received.body = await self._chunks()
        elif received.values(b"content-length"):
            received.body = await self.reader.readexactly(int(received.values(b"content-length")[0]))
        return received

    async def _chunks(self) -> bytes:
        body = b""
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            piece = await self.reader.readexactly(size + 2)
            if not size:
                return body
            body += piece[:-2]

    def send(self, data: bytes) -> None:
        self._still_there()
        self.writer.write(data)

    async def flush(self) -> None:
        self._still_there()
        await self.writer.drain()

    def _still_there(self) -> None:
        if self.writer.is_closing():  # uvloop would raise RuntimeError
            raise ConnectionResetError

    def close(self) -> None:
        """An orderly end (FIN)."""
        self.writer.close()

    def reset(self) -> None:
        """A rude end (RST)."""
        sock: socket.socket = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def gone(self) -> bool:
        """Wait until the other side has ended the connection; bytes it still sends are read and dropped."""
        with contextlib.suppress(ConnectionError):
            while await self.reader.read(65536):
                pass
        return True


Script = Callable[[Peer], Awaitable[None]]


@dataclass
class ScriptedTarget:
    """A listening socket whose n-th connection follows the n-th script, the last one again and again."""

    scripts: tuple[Script, ...]
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    ended: int = 0
    port: int = 0
    unix_path: str | None = None
    tls: TlsToTarget | None = None
    host: str = "127.0.0.1"
    peers: list[Peer] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    @property
    def target(self) -> Target:
        scheme = "https" if self.tls else "http"
        url = f"{scheme}://{self.host}:{self.port}"
        return Target(url, scheme, self.host, self.port, unix_path=self.unix_path, tls=self.tls)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self.scripts[min(self.connections, len(self.scripts) - 1)]
        self.connections += 1
        peer = Peer(self, reader, writer)
        self.peers.append(peer)
        try:
            await script(peer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the transport ended the connection, as it may
        except Exception as error:
            self.failures.append(error)
        finally:
            self.ended += 1
            if not writer.is_closing():
                writer.close()


@contextlib.asynccontextmanager
async def scripted(
    *scripts: Script,
    tls: ssl.SSLContext | None = None,
    trust: TlsToTarget | None = None,
    unix: bool = False,
    host: str = "127.0.0.1",
) -> AsyncIterator[ScriptedTarget]:
    """Run a scripted target until the block ends. `trust` is how the transport is to verify it when `tls` is given."""
    target = ScriptedTarget(scripts, tls=trust, host=host)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(target.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    with tempfile.TemporaryDirectory(prefix="spork-target-") as directory:
        if unix:
            target.unix_path = str(Path(directory) / "target.sock")
            server = await asyncio.start_unix_server(connected, target.unix_path, ssl=tls)
        else:
            server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
            target.port = server.sockets[0].getsockname()[1]
        try:
            yield target
        finally:
            server.close()
            for task in tuple(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert not target.failures, target.failures


def answering(*answers: bytes) -> Script:
    """Give each answer to one request, the last one for ever."""

    async def script(peer: Peer) -> None:
        turn = 0
        while True:
            await peer.request()
            peer.send(answers[min(turn, len(answers) - 1)])
            turn += 1

    return script


def answering_then_close(answer: bytes) -> Script:
    """One answer, then an orderly end."""

    async def script(peer: Peer) -> None:
        await peer.request()
        peer.send(answer)
        await peer.flush()
        peer.close()

    return script


def plain(body: bytes = b"ok", *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """A response with Content-Length."""
    head = b"".join(field + b"\r\n" for field in fields)
    return b"HTTP/1.1 %b\r\ncontent-length: %d\r\n%b\r\n%b" % (status, len(body), head, body)
