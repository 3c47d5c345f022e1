"""What `EdgeServer` promises of its start, in the test's own loop."""

from __future__ import annotations

from typing import Any

import pytest

from spork.adapters.edge.edge import Edge
from spork.adapters.edge.server import CannotStart, EdgeServer, Listener
from spork.adapters.edge.sockets import CannotListen, listening_socket
from spork.adapters.litestar.problems import JsonProblemResponses
from tests.edges import own_endpoints, serving


async def test_an_application_that_fails_to_start_stops_the_start() -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        assert scope["type"] == "lifespan"
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    listener = Listener("admin", listening_socket("127.0.0.1", 0), Edge(JsonProblemResponses()), broken, lifespan="on")
    with pytest.raises(CannotStart, match="failed to start"):
        await EdgeServer([listener]).run()
    assert listener.sock.fileno() == -1


async def test_lifespans_run_around_the_service() -> None:
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            await own_endpoints(scope, receive, send)
            return
        for kind in ("startup", "shutdown"):
            await receive()
            heard.append(kind)
            await send({"type": f"lifespan.{kind}.complete"})

    listener = Listener("admin", listening_socket("127.0.0.1", 0), Edge(JsonProblemResponses()), app, lifespan="on")
    server = EdgeServer([listener], drain_delay=0)
    server.stop()
    await server.run()
    assert heard == ["startup", "shutdown"]


async def test_a_listener_without_a_gateway_serves_its_application() -> None:
    async with serving() as served:
        served.edge.gateway = None
        answer = await served.ask(b"GET /anything HTTP/1.1\r\nHost: a\r\n\r\n")
        assert answer.body == b"own /anything 0"


async def test_hooks_that_fail_do_not_keep_the_server() -> None:
    heard: list[str] = []

    async def drained() -> None:
        heard.append("drain")
        raise ValueError

    async with serving(server_options={"on_drain": drained}) as served:
        served.server.stop()
        await served.running
    assert heard == ["drain"]


def test_a_busy_address_carries_itself() -> None:
    taken = listening_socket("127.0.0.1", 0)
    port = taken.getsockname()[1]
    with pytest.raises(CannotListen) as busy:
        listening_socket("127.0.0.1", port)
    assert (busy.value.host, busy.value.port, busy.value.busy) == ("127.0.0.1", port, True)
    taken.close()
    with pytest.raises(CannotListen, match=r"cannot listen on 192\.0\.2\.1:80") as foreign:
        listening_socket("192.0.2.1", 80)
    assert not foreign.value.busy
