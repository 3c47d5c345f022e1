"""Load at four times an upstream's capacity: most of the capacity is still served, and refusals are quick."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from tests.servers import GatewayProcess, free_port, gateway_process

WORKERS = 5
SERVICE_SECONDS = 0.05
CAPACITY = WORKERS / SERVICE_SECONDS


@contextlib.asynccontextmanager
async def target(port: int) -> AsyncIterator[None]:
    """Serves `WORKERS` at once, `SERVICE_SECONDS` each; the rest waits in its queue."""
    free = asyncio.Semaphore(WORKERS)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                await reader.readuntil(b"\r\n\r\n")
                async with free:
                    await asyncio.sleep(SERVICE_SECONDS)
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()


class Load:
    """An open loop: requests are sent when they are due, whatever became of the ones before."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def run(self, rate: float, seconds: float) -> dict[int, list[float]]:
        """Latencies in seconds by status."""
        seen: dict[int, list[float]] = {200: [], 503: []}
        tasks: set[asyncio.Task[None]] = set()
        began = time.monotonic()
        sent = 0
        while (elapsed := time.monotonic() - began) < seconds:
            while sent < elapsed * rate:
                sent += 1
                task = asyncio.create_task(self._one(seen))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(0.002)
        await asyncio.wait_for(asyncio.gather(*tasks), 10)
        return seen

    async def _one(self, seen: dict[int, list[float]]) -> None:
        began = time.monotonic()
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(b"GET /x HTTP/1.1\r\nHost: gw.test\r\n\r\n")
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        seen.setdefault(int(head[9:12]), []).append(time.monotonic() - began)
        if b"connection: close" in head:
            writer.close()
        else:
            self.idle.append((reader, writer))


async def overload(gateway: GatewayProcess, port: int) -> None:
    process = psutil.Process(gateway.process.pid)
    async with target(port):
        load = Load(gateway.port)
        await load.run(0.8 * CAPACITY, 5)
        before = process.memory_info().rss
        seen = await load.run(4 * CAPACITY, 20)
        assert set(seen) == {200, 503}
        assert len(seen[200]) / 20 >= 0.8 * CAPACITY
        refusals = sorted(seen[503])
        assert refusals[len(refusals) // 2] < 0.02  # on a machine shared with the load and the target
        assert process.memory_info().rss - before < 16 * 2**20
        await load.run(0.6 * CAPACITY, 2)
        after = await load.run(0.6 * CAPACITY, 3)
        assert len(after[503]) <= 0.02 * len(after[200])


@pytest.mark.alone
def test_four_times_the_capacity_for_twenty_seconds(tmp_path: Path) -> None:
    port = free_port()
    config = f"""
access_log: "off"
upstreams: {{t: {{targets: [http://127.0.0.1:{port}], adaptive_concurrency: true}}}}
routes: [{{name: all, match: {{path: /*}}, upstream: t}}]
"""
    with gateway_process(config, tmp_path) as gateway:
        asyncio.run(overload(gateway, port))
