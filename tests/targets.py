"""Targets for system tests: one in this process that does as it is told, one in a process of its own that can be killed."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field

from tests.servers import free_port, listening, python_env, wait_until

Answer = tuple[int, float]


@dataclass
class Target:
    """A service in this event loop. `answer(path)` gives a status and how many seconds it takes."""

    answer: Callable[[str], Answer] = lambda path: (200, 0.0)
    port: int = field(default_factory=free_port)
    paths: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def requests(self) -> int:
        return len(self.paths)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                path = head.split(" ", 2)[1]
                length = head.lower().partition("content-length: ")[2].partition("\r\n")[0]
                if length:
                    await reader.readexactly(int(length))
                self.paths.append(path)
                status, seconds = self.answer(path)
                if seconds:
                    await asyncio.sleep(seconds)
                body = f"{self.port}".encode()
                writer.write(f"HTTP/1.1 {status} X\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
                await writer.drain()
        writer.close()

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[Target]:
        server = await asyncio.start_server(self.serve, "127.0.0.1", self.port)
        try:
            yield self
        finally:
            server.close()


@contextlib.contextmanager
def killable(count: int) -> Iterator[list[tuple[int, subprocess.Popen[bytes]]]]:
    """`count` services in processes of their own, as (port, process); each answers its port after 5 ms."""
    started: list[tuple[int, subprocess.Popen[bytes]]] = []
    try:
        for _ in range(count):
            port = free_port()
            command = [sys.executable, "-c", "from tests.targets import alone; alone()", str(port)]
            env = python_env()
            env["PYTHONPATH"] += ":" + str(__import__("pathlib").Path(__file__).parent.parent)
            started.append((port, subprocess.Popen(command, env=env)))
        for port, _ in started:
            wait_until(lambda port=port: listening(port), 15, "a target")  # type: ignore[misc]
        yield started
    finally:
        for _, process in started:
            process.kill()
            process.wait()


def alone() -> None:
    """The process of one killable target."""

    async def run() -> None:
        async with Target(lambda path: (200, 0.005), int(sys.argv[1])).up():
            await asyncio.Event().wait()

    asyncio.run(run())
