"""The program is replaced without a refused connection: under load, with a stream and a WebSocket open."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
import websockets

from tests.servers import GatewayProcess, free_port, gateway_process, listening, python_env, wait_until

CONFIG = """
edge: {{drain_delay: 5s, grace: 20s}}
upstreams:
  target: {{targets: ['http://127.0.0.1:{port}']}}
  sockets: {{targets: ['http://127.0.0.1:{tunnels}']}}
routes:
  - {{name: sockets, match: /ws, upstream: sockets}}
  - {{name: all, match: /*, upstream: target}}
"""


@contextlib.asynccontextmanager
async def targets() -> AsyncIterator[tuple[int, int]]:
    """Ports of a target with a stream of lines for about four seconds at /stream and `ok` elsewhere, and of one that echoes on
    WebSockets."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                if head.startswith(b"GET /stream"):
                    writer.write(
                        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                    )
                    for number in range(40):
                        line = b"data: %d\n\n" % number
                        writer.write(b"%x\r\n%s\r\n" % (len(line), line))
                        await writer.drain()
                        await asyncio.sleep(0.1)
                    writer.write(b"0\r\n\r\n")
                else:
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        writer.close()

    async def echo(connection: websockets.ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    plain = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with websockets.serve(echo, "127.0.0.1", 0) as sockets:
        yield plain.sockets[0].getsockname()[1], next(iter(sockets.sockets)).getsockname()[1]
    plain.close()


@contextlib.contextmanager
def succeeded(gateway: GatewayProcess) -> Iterator[None]:
    """Whoever serves after `gateway` ends with the block."""
    try:
        yield
    finally:
        found = subprocess.run(["pgrep", "-f", str(gateway.directory / "spork.yaml")], capture_output=True, text=True)
        pids = [int(each) for each in found.stdout.split()]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        wait_until(
            lambda: not any(Path(f"/proc/{pid}/cmdline").exists() and _alive(pid) for pid in pids), 40, "the end"
        )


def _alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"State:\tZ" not in Path(f"/proc/{pid}/status").read_bytes()
    return False


@pytest.mark.parametrize("workers", [1, 2])
async def test_no_connection_is_refused_while_a_successor_takes_over(tmp_path: Path, workers: int) -> None:
    async with targets() as (port, tunnels):
        config = CONFIG.format(port=port, tunnels=tunnels)
        with gateway_process(config, tmp_path, "--workers", str(workers)) as gateway, succeeded(gateway):
            await hand_over_under_load(gateway)


async def hand_over_under_load(gateway: GatewayProcess) -> None:
    answers: Counter[object] = Counter()
    stop = asyncio.Event()

    async def load() -> None:
        async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
            while not stop.is_set():
                try:
                    answers[(await client.get(f"{gateway.url}/x", headers={"connection": "close"})).status_code] += 1
                except httpx.HTTPError as error:
                    answers[type(error).__name__] += 1

    async def stream() -> int:
        lines = 0
        async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
            async with client.stream("GET", f"{gateway.url}/stream") as answer:
                async for line in answer.aiter_lines():
                    lines += line.startswith("data:")
        return lines

    loading = [asyncio.create_task(load()) for _ in range(8)]
    streaming = asyncio.create_task(stream())
    async with websockets.connect(f"ws://127.0.0.1:{gateway.port}/ws", proxy=None) as tunnel:
        await tunnel.send("before")
        assert await tunnel.recv() == "before"
        gateway.process.send_signal(signal.SIGUSR2)
        began = time.monotonic()
        while gateway.log().count("a successor serves") == 0:
            assert time.monotonic() - began < 60, gateway.log()
            await asyncio.sleep(0.05)
            await tunnel.send("meanwhile")
            assert await tunnel.recv() == "meanwhile"
        for _ in range(10):
            await asyncio.sleep(0.1)
            await tunnel.send("after")
            assert await tunnel.recv() == "after", "a tunnel goes on where it began"
        assert gateway.process.poll() is None
        assert await streaming == 40, "a stream is whole"
        async with websockets.connect(f"ws://127.0.0.1:{gateway.port}/ws", proxy=None) as other:
            await other.send("new")
            assert await other.recv() == "new", "a new one is the successor's"
    await asyncio.to_thread(gateway.process.wait, 30)
    assert gateway.process.returncode == 0
    before = answers[200]
    while answers[200] < before + 50:
        await asyncio.sleep(0.05)
    stop.set()
    await asyncio.gather(*loading)
    assert set(answers) == {200}, answers


def test_a_successor_that_does_not_start_changes_nothing(tmp_path: Path) -> None:
    with gateway_process(CONFIG.format(port=free_port(), tunnels=free_port()), tmp_path) as gateway, succeeded(gateway):
        path = tmp_path / "spork.yaml"
        good = path.read_text()
        path.write_text("routes: [{")
        gateway.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: "the successor did not start" in gateway.log(), 40, "word of it")
        assert httpx.get(f"{gateway.admin_url}/ready", timeout=30).status_code == 200
        path.write_text(good)
        gateway.process.send_signal(signal.SIGUSR2)
        wait_until(lambda: "a successor serves" in gateway.log(), 40, "the next try")
        assert gateway.process.wait(30) == 0
        assert httpx.get(f"{gateway.admin_url}/ready", timeout=30).status_code == 200


def test_sockets_of_systemd_are_taken_by_port_and_by_name(tmp_path: Path) -> None:
    ports = free_port(), free_port()
    made = []
    for port in ports:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", port))
        sock.listen()
        made.append(sock)
    (tmp_path / "spork.yaml").write_text(
        f"listen: 127.0.0.1:{ports[0]}\nadmin: {{listen: 127.0.0.1:{ports[1]}}}\nstate_dir: {tmp_path}/.spork\n"
        + CONFIG.format(port=free_port(), tunnels=free_port())
    )
    start = (
        "import os, sys\n"
        f"os.dup2({made[1].fileno()}, 3); os.dup2({made[0].fileno()}, 4)\n"
        "os.set_inheritable(3, True); os.set_inheritable(4, True)\n"
        "os.environ.update(LISTEN_FDS='2', LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES='admin:web')\n"
        f"os.execv(sys.executable, [sys.executable, '-m', 'spork.cli', 'serve', '-c', '{tmp_path}/spork.yaml'])\n"
    )
    numbers = [sock.fileno() for sock in made]
    process = subprocess.Popen([sys.executable, "-c", start], pass_fds=numbers, env=python_env(), cwd=tmp_path)
    try:
        for sock in made:
            sock.close()
        wait_until(
            lambda: (
                listening(ports[1]) and httpx.get(f"http://127.0.0.1:{ports[1]}/ready", timeout=60).status_code == 200
            ),
            30,
        )
        assert httpx.get(f"http://127.0.0.1:{ports[0]}/x", timeout=30).status_code in (502, 503)
    finally:
        process.terminate()
        assert process.wait(30) == 0
