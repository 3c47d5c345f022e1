"""The demo's services: users, products and echo. `python -m spork.cli.demo.services users:7001 products:7002 echo:7003`.

Each misbehaves on request, so that a breaker can be watched: `POST /misbehave {"status": 503, "seconds": 20}`, or
`{"delay": 2.0, "seconds": 20}` for slowness.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, cast

import msgspec
import uvicorn
from litestar import Litestar, asgi, delete, get, post
from litestar.enums import MediaType, ScopeType
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.params import PathParameter
from litestar.response import ServerSentEvent
from litestar.types import ASGIApp, Receive, Scope, Send


class Mood(msgspec.Struct):
    """How a service misbehaves, and for how long."""

    status: int = 0
    delay: float = 0.0
    seconds: float = 20.0


class Misbehaviour:
    """Middleware and switch: while it lasts, answers fail or are slow. `/health` fails with them."""

    def __init__(self) -> None:
        self.mood = Mood()
        self.until = 0.0

    def begin(self, mood: Mood) -> dict[str, object]:
        self.mood, self.until = mood, time.monotonic() + mood.seconds
        return {"misbehaving": mood.status or f"slow by {mood.delay} s", "for_seconds": mood.seconds}

    def middleware(self, app: ASGIApp) -> ASGIApp:
        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == ScopeType.HTTP and scope["path"] != "/misbehave" and time.monotonic() < self.until:
                await asyncio.sleep(self.mood.delay)
                if self.mood.status:
                    body = b'{"detail": "misbehaving, as told"}'
                    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
                    await send({"type": "http.response.start", "status": self.mood.status, "headers": headers})
                    await send({"type": "http.response.body", "body": body, "more_body": False})
                    return
            await app(scope, receive, send)

        return serve


def collection(name: str, rows: list[dict[str, Any]]) -> list[HTTPRouteHandler]:
    """List, read, create and delete over a list in memory."""
    by_id = {row["id"]: row for row in rows}

    @get(["/", f"/api/v1/{name}"], sync_to_thread=False)
    def index() -> list[dict[str, Any]]:
        return list(by_id.values())

    @get(["/{row_id:int}", f"/api/v1/{name}/{{row_id:int}}"], sync_to_thread=False)
    def read(row_id: Annotated[int, PathParameter()]) -> dict[str, Any]:
        if row_id not in by_id:
            raise NotFoundException(f"no {name[:-1]} {row_id}")
        return by_id[row_id]

    @post(["/", f"/api/v1/{name}"], sync_to_thread=False)
    def create(data: dict[str, Any]) -> dict[str, Any]:
        row = {**data, "id": max(by_id, default=0) + 1}
        if len(by_id) < 1000:
            by_id[row["id"]] = row
        return row

    @delete(["/{row_id:int}", f"/api/v1/{name}/{{row_id:int}}"], sync_to_thread=False)
    def remove(row_id: Annotated[int, PathParameter()]) -> None:
        by_id.pop(row_id, None)

    return [index, read, create, remove]


@asgi("/", is_mount=True, copy_scope=False)
async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers any request with what arrived: method, target, headers, body."""
    fields: dict[str, Any] = scope  # type: ignore[assignment]
    body = b""
    while True:
        message: dict[str, Any] = await receive()  # type: ignore[assignment]
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    query = fields["query_string"].decode("latin-1")
    answer = msgspec.json.encode(
        {
            "method": fields["method"],
            "path": fields.get("raw_path", b"").decode("latin-1") + ("?" + query if query else ""),
            "headers": [[k.decode("latin-1"), v.decode("latin-1")] for k, v in fields["headers"]],
            "body": body.decode("utf-8", "replace"),
        }
    )
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": answer, "more_body": False})


@get("/events")
async def events() -> ServerSentEvent:
    """A server-sent event each second, for thirty seconds."""

    async def ticks() -> AsyncIterator[str]:
        for number in range(30):
            yield str(number)
            await asyncio.sleep(1)

    return ServerSentEvent(ticks())


@get("/live", media_type=MediaType.HTML, sync_to_thread=False)
def live() -> str:
    """A page that shows events of a channel as they are published, over the gateway's Mercure hub."""
    return _PAGE


_PAGE = """<!doctype html><meta charset="utf-8"><title>Spork: channels</title>
<style>body{font:16px sans-serif;max-width:46em;margin:2em auto}li{font-family:monospace}#state{color:#777}</style>
<h1>Channel demo/news</h1><p id="state">connecting ...</p><ol id="events" reversed></ol>
<script>
const url = new URL("/.well-known/mercure", location.origin);
url.searchParams.append("match", "demo/news");
url.searchParams.append("last_event_id", "earliest");
const source = new EventSource(url), state = document.getElementById("state");
source.onopen = () => state.textContent = "open: publish something, it appears here at once";
source.onerror = () => state.textContent = "the connection is away, the browser comes back by itself";
source.onmessage = event => {
  const item = document.createElement("li");
  item.textContent = new Date().toLocaleTimeString() + "  " + event.data;
  document.getElementById("events").prepend(item);
};
</script>"""


def service(name: str) -> Litestar:
    """One demo service by name."""
    switch = Misbehaviour()

    @get("/health", sync_to_thread=False)
    def health() -> dict[str, str]:
        return {"status": "ok", "service": name}

    @post("/misbehave", sync_to_thread=False, status_code=200)
    def misbehave(data: Mood) -> dict[str, object]:
        return switch.begin(data)

    handlers: list[Any] = [health, misbehave]
    if name == "users":
        handlers += collection(
            "users", [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Grace"}, {"id": 3, "name": "Edsger"}]
        )
    elif name == "products":
        handlers += collection(
            "products", [{"id": 1, "name": "spoon", "price": 3}, {"id": 2, "name": "fork", "price": 4}]
        )
    else:
        handlers += [echo, events, live]
    return Litestar(handlers, middleware=[switch.middleware], openapi_config=None)


def heads(app: ASGIApp) -> ASGIApp:
    """`app`, which also answers HEAD (`curl -I`) as GET; the server leaves the body out."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.HTTP and scope["method"] == "HEAD":
            scope = cast(Scope, {**scope, "method": "GET"})
        await app(scope, receive, send)

    return serve


async def main(specs: list[str]) -> None:
    """Serve each `name:port` until the parent is gone (its end of our standard input closes) or a signal comes."""
    servers = []
    for spec in specs:
        name, _, port = spec.partition(":")
        config = uvicorn.Config(
            heads(cast(ASGIApp, service(name))),
            host=os.environ.get("SPORK_DEMO_HOST", "127.0.0.1"),
            port=int(port),
            log_level="warning",
            access_log=False,
            lifespan="off",
        )
        server = Quiet(config)
        servers.append(server)
    running = [asyncio.ensure_future(server.serve()) for server in servers]
    loop = asyncio.get_running_loop()
    await loop.run_in_executor(None, sys.stdin.read)
    for server in servers:
        server.should_exit = server.force_exit = True
    await asyncio.gather(*running)


class Quiet(uvicorn.Server):
    """The parent tells these services when to end, not the terminal's Ctrl-C."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


if __name__ == "__main__":
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(main(sys.argv[1:]))
