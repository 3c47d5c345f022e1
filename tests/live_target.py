"""A target of live connections for tests: WebSocket echo on one port, event streams and model answers on another."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

Answer = Callable[["Asked", asyncio.StreamWriter], Coroutine[Any, Any, None]]


@dataclass
class Asked:
    """One request that the target got."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class LiveTarget:
    """`asked` are the plain requests so far, `sockets` the handshakes' headers, `closes` how sockets ended here."""

    socket_port: int = 0
    port: int = 0
    asked: list[Asked] = field(default_factory=list)
    sockets: list[dict[str, str]] = field(default_factory=list)
    closes: list[tuple[int | None, str | None]] = field(default_factory=list)
    received: list[str | bytes] = field(default_factory=list)
    #: Answers plain requests; replaceable.
    answer: Answer | None = None
    protocols: list[str] = field(default_factory=list)


async def _events(asked: Asked, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    number = 0
    while True:
        event = b"id: %d\ndata: event %d\n\n" % (number, number)
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        await writer.drain()
        number += 1
        await asyncio.sleep(0.1)


@contextlib.contextmanager
def live_target() -> Iterator[LiveTarget]:
    """Run a `LiveTarget` in a thread until the block ends."""
    target = LiveTarget()
    loop = asyncio.new_event_loop()
    started, stop = threading.Event(), asyncio.Event()

    async def echo(socket: ServerConnection) -> None:
        assert socket.request is not None
        target.sockets.append({name.lower(): value for name, value in socket.request.headers.raw_items()})
        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                target.received.append(message)
                if message == "big":
                    await socket.send("x" * 5000)
                elif message == "bye":
                    await socket.close(1000)
                elif message != "silent":
                    await socket.send(message)
        target.closes.append((socket.close_code, socket.close_reason))

    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                method, path, _ = head[0].split(" ")
                headers = {n.lower(): v.strip() for n, _, v in (line.partition(":") for line in head[1:] if line)}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                asked = Asked(method, path, headers, body)
                target.asked.append(asked)
                await (target.answer or _events)(asked, writer)
                await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def servers() -> AsyncIterator[None]:
        server = await asyncio.start_server(plain, "127.0.0.1", 0)
        async with serve(
            echo,
            "127.0.0.1",
            0,
            subprotocols=target.protocols or None,
            compression=None,
            max_size=None,  # type: ignore[arg-type]
        ) as sockets:
            target.port = server.sockets[0].getsockname()[1]
            target.socket_port = next(iter(sockets.sockets)).getsockname()[1]
            started.set()
            yield
            server.close()

    async def run() -> None:
        async with servers():
            await stop.wait()

    def main() -> None:
        asyncio.set_event_loop(loop)
        main_task = loop.create_task(run())
        loop.run_until_complete(main_task)
        for task in asyncio.all_tasks(loop):
            task.cancel()
        loop.run_until_complete(asyncio.sleep(0))

    thread = threading.Thread(target=main, daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield target
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
