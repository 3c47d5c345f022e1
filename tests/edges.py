"""A real edge on a real socket inside the test's own event loop, and a client that speaks raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from spork.adapters.edge.edge import Edge
from spork.adapters.edge.server import EdgeServer, Listener
from spork.adapters.edge.sockets import listening_socket
from spork.adapters.litestar.problems import JsonProblemResponses
from spork.application.configuration.model import EdgeLimits, ListenerTls
from spork.application.kernel.faults import FaultError
from spork.application.kernel.streams import RequestBody, ResponseSink
from spork.domain.http.head import RequestHead

#: Seconds a test waits for what must come: a machine with much to do may take its time, and no test waits them out.
PATIENCE = 30.0

Behaviour = Callable[[RequestHead, RequestBody, ResponseSink], Awaitable[None]]


@dataclass
class Recorder:
    """A gateway that notes what reached it, reads the body and answers 200 with the number of the request.

    Another `behaviour` takes over from there. A body fault is answered as the real forwarder does.
    """

    behaviour: Behaviour | None = None
    heads: list[RequestHead] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    cancelled: int = 0

    @property
    def seen(self) -> list[str]:
        return [f"{head.method} {head.target.decode()}" for head in self.heads]

    async def handle(self, head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        self.heads.append(head)
        number = len(self.heads)
        try:
            if self.behaviour is not None:
                await self.behaviour(head, body, sink)
                return
            whole = bytearray()
            while piece := await body.read():
                whole += piece
            self.bodies.append(bytes(whole))
            text = b"%d" % number
            sink.start(200, [(b"content-length", b"%d" % len(text))])
            sink.write(text)
            sink.finish()
        except FaultError as error:
            self.faults.append(error.fault.kind.value)
            if sink.started:
                sink.abort()
                return
            answer = JsonProblemResponses().fail(error.fault, "r1")
            sink.start(answer.status, [*answer.headers, (b"connection", b"close")])
            sink.write(answer.body)
            sink.finish()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@dataclass
class Answer:
    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    #: False when the connection ended before the body was whole.
    whole: bool = True

    def header(self, name: str) -> str | None:
        wanted = name.lower().encode()
        return next((value.decode() for key, value in self.headers if key.lower() == wanted), None)


class Client:
    """One raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes, size: int | None = None) -> None:
        """Send `data`; with `size` in pieces of that many bytes, each in a segment of its own if the kernel agrees."""
        if size is None:
            self.writer.write(data)
            await self.writer.drain()
            return
        for at in range(0, len(data), size):
            self.writer.write(data[at : at + size])
            await self.writer.drain()
            await asyncio.sleep(0)

    async def answer(self, method: str = "GET") -> Answer:
        """The next answer, interim ones included."""
        async with asyncio.timeout(PATIENCE):
            return await self._answer(method)

    async def _answer(self, method: str) -> Answer:
        head = await self.reader.readuntil(b"\r\n\r\n")
        line, *fields = head[:-4].split(b"\r\n")
        version, status, _ = line.split(b" ", 2)
        assert version == b"HTTP/1.1"
        headers = [(name, value) for name, _, value in (one.partition(b": ") for one in fields)]
        answer = Answer(int(status), headers, b"")
        if answer.status < 200 or answer.status in (204, 304) or method == "HEAD":
            return answer
        try:
            answer.body = await self._body(answer)
        except (asyncio.IncompleteReadError, ConnectionResetError):
            answer.whole = False
        return answer

    async def _body(self, answer: Answer) -> bytes:
        length = answer.header("content-length")
        if length is not None:
            return await self.reader.readexactly(int(length))
        if answer.header("transfer-encoding") != "chunked":
            return await self.reader.read()
        body = b""
        while True:
            size = int((await self.reader.readuntil(b"\r\n"))[:-2], 16)
            piece = await self.reader.readexactly(size + 2)
            assert piece.endswith(b"\r\n")
            if not size:
                return body
            body += piece[:-2]

    async def exactly(self, size: int) -> bytes:
        """The next `size` raw bytes."""
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(size)

    async def rest(self) -> bytes:
        """Everything until the other side closes."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionResetError):
                return await self.reader.read()
            return b""

    async def closed(self) -> bool:
        """Wait for the end of the connection; False when a byte came first."""
        async with asyncio.timeout(PATIENCE):
            with contextlib.suppress(ConnectionResetError):
                return await self.reader.read(1) == b""
            return True

    def close(self) -> None:
        self.writer.close()


@dataclass
class Serving:
    """An edge that serves. `refused` holds (reason, status) of each refusal."""

    port: int
    edge: Edge
    gateway: Recorder
    server: EdgeServer
    running: asyncio.Task[None]
    refused: list[tuple[str, int]]
    clients: list[Client] = field(default_factory=list)

    async def client(self, **options: Any) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, **options))
        self.clients.append(client)
        return client

    async def ask(self, data: bytes, size: int | None = None, method: str = "GET") -> Answer:
        """One answer to `data` on a connection of its own, which is closed then."""
        client = await self.client()
        try:
            await client.send(data, size)
            return await client.answer(method)
        finally:
            client.close()


async def own_endpoints(scope: Any, receive: Any, send: Any) -> None:
    """The gateway's own ASGI application of these tests: says its path and how much body it got."""
    if "spork" in scope["extensions"]:
        cycle = scope["extensions"]["spork"]
        assert scope["path"] == "/"
        await cycle._connection.edge.gateway.handle(cycle.head, cycle, cycle)
        return
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": [(b"X-Path", scope["raw_path"])]})
    await send({"type": "http.response.body", "body": f"own {scope['path']} {size}".encode(), "more_body": False})


@contextlib.asynccontextmanager
async def serving(
    limits: EdgeLimits | None = None,
    gateway: Recorder | None = None,
    *,
    tls: ListenerTls | None = None,
    proxies: tuple[str, ...] = (),
    app: Any = own_endpoints,
    server_options: dict[str, Any] | None = None,
    **options: Any,
) -> AsyncIterator[Serving]:
    """A data listener with `limits` over `gateway`, its own endpoints at /health and below /own."""
    recorder = gateway or Recorder()
    refused: list[tuple[str, int]] = []
    edge = Edge(
        JsonProblemResponses(),
        gateway=recorder,
        limits=limits or EdgeLimits(),
        own_paths=["/health", "/own/*"],
        on_refused=lambda denial, status, peer, request_id: refused.append((denial.reason, status)),
        **options,
    )
    sock = listening_socket("127.0.0.1", 0)
    listener = Listener("data", sock, edge, app, tls, lifespan="off", proxies=proxies)
    server = EdgeServer([listener], **({"drain_delay": 0.0, "grace": 0.3} | (server_options or {})))
    running = asyncio.create_task(server.run())
    await server.started()
    served = Serving(listener.address[1], edge, recorder, server, running, refused)
    try:
        yield served
    finally:
        for client in served.clients:
            client.close()
        server.stop()
        server.stop()
        await running


async def until(check: Callable[[], object], what: str = "condition", seconds: float = PATIENCE) -> None:
    """Give the loop turns until `check` is true."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not check():
        assert asyncio.get_running_loop().time() < deadline, f"{what} did not come true within {seconds} s"
        await asyncio.sleep(0.005)
