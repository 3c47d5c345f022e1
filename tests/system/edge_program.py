"""A small program around `EdgeServer`, for tests of its life: `python edge_program.py PORT [workers]`.

Answers its process id, echoes on /echo, waits a second on /slow, a minute on /stuck; prints what its hooks heard of.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

from spork.adapters.edge.edge import Edge
from spork.adapters.edge.server import EdgeServer, Listener, run_until_done
from spork.adapters.edge.sockets import CannotListen, listening_socket
from spork.adapters.edge.workers import supervise
from spork.adapters.litestar.problems import JsonProblemResponses
from spork.application.kernel.streams import RequestBody, ResponseSink
from spork.domain.http.head import RequestHead


def say(what: str) -> None:
    os.write(1, what.encode() + b"\n")  # one write per line: workers share this pipe


class Pid:
    async def handle(self, head: RequestHead, body: RequestBody, sink: ResponseSink) -> None:
        wait = {b"/slow": 1.0, b"/stuck": 60.0}.get(head.path, 0.0)
        if head.path == b"/burn":
            await asyncio.sleep(0.02)  # leaves the other worker a chance to take the next connection
            until = time.process_time() + 0.01
            while time.process_time() < until:
                pass
        if head.path == b"/die":
            os._exit(3)
        if head.path == b"/echo":
            body.limit(1 << 40)
            sink.start(200, [] if body.length is None else [(b"content-length", b"%d" % body.length)])
            while piece := await body.read():
                sink.write(piece)
                if sink.paused:
                    await sink.drain()
            sink.finish()
            return
        if wait:
            say(f"serving {head.path.decode()}")
        await asyncio.sleep(wait)
        sink.start(200, [])
        sink.write(str(os.getpid()).encode())
        sink.finish()


def main() -> int:
    port, workers = int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0
    try:
        sock = listening_socket("127.0.0.1", port)
    except CannotListen as error:
        say(str(error))
        return 1
    ready = True

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200 if ready else 503, "headers": []})
        await send({"type": "http.response.body", "body": b"ready" if ready else b"draining"})

    async def serve() -> None:
        def drained() -> None:
            nonlocal ready
            ready = False
            say("draining")

        edge = Edge(JsonProblemResponses(), gateway=Pid(), own_paths=["/ready"])
        server = EdgeServer(
            [Listener("data", sock, edge, app, lifespan="off")],
            drain_delay=float(os.environ.get("DRAIN_DELAY", "1")),
            grace=float(os.environ.get("GRACE", "5")),
            on_drain=drained,
            on_reload=lambda: say("reload"),
        )
        running = asyncio.ensure_future(server.run())
        starting = asyncio.ensure_future(server.started())
        await asyncio.wait((running, starting), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            say("started")
        await running
        say("ended")

    if workers:
        return supervise(workers, lambda index: run_until_done(serve))
    run_until_done(serve)
    return 0


if __name__ == "__main__":
    sys.exit(main())
