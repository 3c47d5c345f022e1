"""The walk of one request, and of an operator's trip, counted: calls, files, and changes from one file to another.

`python -m bench.walk`: starts the gateway of this checkout in this process, composed as in production, sends each request a few times
and counts the calls of functions below `src/` (the fewest of several rounds, for timers run between them). What is counted is how
far a reader has to follow the code, not what it costs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
SOURCES = (f"{ROOT}/src/", f"{ROOT}/spork/")
ROUNDS = 15

CONFIGURATION = """
listen: 127.0.0.1:{port}
admin: {{listen: 127.0.0.1:{admin}, tokens: [{{name: walker, token: "{token}", role: admin}}]}}
state_dir: {state}
access_log: {state}/access.log
plans: {{basic: {{limits: [{{quota: 100000, per: 1m}}]}}}}
consumers: {{ada: {{plan: basic}}}}
upstreams:
  users:
    targets: ["http://127.0.0.1:{target}"]
    breaker: {{window: 10s}}
    retries: {{attempts: 2}}
routes:
  - name: users
    match: /users/*
    upstream: users
    auth: api_key
    cors: {{origins: ["https://app.example.com"]}}
    limits: [{{name: per-ip, quota: 100000, per: 1m, by: ip}}, {{name: plan, by: consumer, from: plan}}]
"""


class Walk:
    """Counts calls while it is on. `rows` are (calls, files, changes of file) of each round."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, int, int]] = []
        self._visited: list[str] = []

    def __enter__(self) -> Walk:
        self._visited = []
        sys.setprofile(self._seen)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        changes = sum(1 for one, other in zip(self._visited, self._visited[1:], strict=False) if one != other)
        self.rows.append((len(self._visited), len(set(self._visited)), changes))

    def _seen(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call" and frame.f_code.co_filename.startswith(SOURCES):
            self._visited.append(frame.f_code.co_filename)

    def __str__(self) -> str:
        calls, files, changes = min(self.rows)
        return f"{calls} calls, {files} files, {changes} changes of file"


async def answer_target(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A target: answers every request with the same few bytes."""
    with contextlib.suppress(asyncio.IncompleteReadError):
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-type: application/json\r\n\r\n{}")


async def ask(port: int, request: bytes, walk: Walk | None) -> int:
    """One request on a connection of its own that exists already; answers the status."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await asyncio.sleep(0.01)
    if walk is None:
        status = await _exchange(reader, writer, request)
    else:
        with walk:
            status = await _exchange(reader, writer, request)
    writer.close()
    return status


async def _exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> int:
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    return int(head[9:12])


def free_socket() -> socket.socket:
    found = socket.socket()
    found.bind(("127.0.0.1", 0))
    found.listen(64)
    found.setblocking(False)
    return found


async def key_of(state: str) -> str:
    from spork.application.callers.keys import KeyRequest
    from spork.application.configuration.model import Configuration
    from spork.cli.commands.keys import opened_keys

    async with opened_keys(Configuration(state_dir=state)) as keys:
        return str((await keys.issue(KeyRequest("ada"), time.time())).text)


async def counted(count: Callable[[Walk | None], Awaitable[int]], expected: int) -> Walk:
    """Warm up twice, then count."""
    walk = Walk()
    for round_ in range(ROUNDS + 2):
        status = await count(None if round_ < 2 else walk)
        if status != expected:
            raise SystemExit(f"answered {status} instead of {expected}")
    return walk


async def main() -> None:
    from spork.adapters.yaml.load import load
    from spork.composition.process import Sockets, serve

    with tempfile.TemporaryDirectory() as state:
        data, admin, token = free_socket(), free_socket(), "walk-" + os.urandom(16).hex()
        target = await asyncio.start_server(answer_target, "127.0.0.1", 0)
        ports = {
            "port": data.getsockname()[1],
            "admin": admin.getsockname()[1],
            "target": target.sockets[0].getsockname()[1],
        }
        path = Path(state) / "spork.yaml"
        path.write_text(CONFIGURATION.format(state=state, token=token, **ports))
        loaded = load(path, {})
        if loaded.configuration is None:
            raise SystemExit("\n".join(str(problem) for problem in loaded.problems))
        key = await key_of(state)
        started = asyncio.Event()
        gateway = asyncio.ensure_future(serve(loaded.configuration, path, Sockets(data, admin), started.set))
        await asyncio.wait({gateway, asyncio.ensure_future(started.wait())}, return_when=asyncio.FIRST_COMPLETED)
        request = (
            f"GET /users/1 HTTP/1.1\r\nhost: a\r\norigin: https://app.example.com\r\nx-api-key: {key}\r\n\r\n".encode()
        )
        print("a request with key, CORS, two limits, breaker, retries and log:",
              await counted(lambda walk: ask(ports["port"], request, walk), 200))  # fmt: skip
        body = b'{"reason": "walked"}'
        trip = (
            f"POST /admin/v1/breakers/users/trip HTTP/1.1\r\nhost: 127.0.0.1:{ports['admin']}\r\nauthorization: Bearer {token}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        ).encode() + body
        print("an operator's trip:", await counted(lambda walk: ask(ports["admin"], trip, walk), 200))
        gateway.cancel()
        await asyncio.gather(gateway, return_exceptions=True)
        target.close()


if __name__ == "__main__":
    asyncio.run(main())
