"""Applications in which the gateway is mounted, for uvicorn: `uvicorn --factory tests.hosts:starlette`. Reads HOST_CONFIG."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import Any

import spork.asgi

#: Endless answers that were ended.
ENDED: list[str] = []
CONFIG = os.environ.get("HOST_CONFIG", "spork.yaml")


async def echo_app(scope: Any, receive: Any, send: Any) -> None:
    """A target in process: echoes what it gets, piece by piece; `/slow` streams one piece, waits, and streams another."""
    if scope["type"] == "lifespan":
        await receive()
        scope["state"]["started"] = "yes"
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})
        return
    if scope["path"].endswith("/raise"):
        raise RuntimeError("boom")
    if scope["path"].endswith("/ended"):
        fields = [(b"content-length", b"0"), (b"x-ended", b"%d" % len(ENDED))]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        await send({"type": "http.response.body", "body": b""})
        return
    if scope["path"].endswith("/endless"):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        try:
            while True:
                await send({"type": "http.response.body", "body": b"more", "more_body": True})
                await asyncio.sleep(0.01)
        finally:
            ENDED.append(scope["path"])
    head = f"{scope['method']} {scope['raw_path'].decode()} {scope['state'].get('started')}\n".encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": head, "more_body": True})
    if scope["path"].endswith("/slow"):
        await asyncio.sleep(0.3)
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        await send({"type": "http.response.body", "body": message.get("body", b""), "more_body": True})
        if not message.get("more_body"):
            break
    await send({"type": "http.response.body", "body": b"end"})


def plain() -> Any:
    """A host without a framework: the gateway below /gw, `root_path` as Starlette sets it."""
    gateway = spork.asgi.gateway(CONFIG)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await gateway(scope, receive, send)
        else:
            await gateway({**scope, "root_path": "/gw"}, receive, send)

    return app


def starlette() -> Any:
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Mount, Route

    gateway = spork.asgi.gateway(CONFIG)
    routes = [Route("/own", lambda request: PlainTextResponse("own")), Mount("/gw", gateway)]
    return Starlette(routes=routes, lifespan=gateway.lifespan)


def fastapi() -> Any:
    from fastapi import FastAPI

    gateway = spork.asgi.gateway(CONFIG)
    app = FastAPI(lifespan=gateway.lifespan)

    @app.get("/own")
    def own() -> str:
        return "own"

    app.mount("/gw", gateway)
    return app


def litestar() -> Any:
    from litestar import Litestar, asgi, get

    gateway = spork.asgi.gateway(CONFIG, prefix="/gw")

    @get("/own", sync_to_thread=False)
    def own() -> str:
        return "own"

    @asgi("/gw", is_mount=True, copy_scope=False)
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await gateway(scope, receive, send)

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> Any:
        async with gateway.lifespan(app):
            yield

    return Litestar([own, mounted], lifespan=[lifespan])


def django() -> Any:
    import django as package
    from django.conf import settings
    from django.core.asgi import get_asgi_application
    from django.http import HttpResponse
    from django.urls import path

    urls = type("Urls", (), {"urlpatterns": [path("own", lambda request: HttpResponse("own"))]})
    settings.configure(DEBUG=False, ALLOWED_HOSTS=["*"], ROOT_URLCONF=urls, SECRET_KEY="x" * 40)
    package.setup()
    return spork.asgi.SporkMiddleware(get_asgi_application(), CONFIG)


def middleware() -> Any:
    """The gateway around an application without a framework."""

    async def own(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            raise RuntimeError("no lifespan")
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"3")]})
        await send({"type": "http.response.body", "body": b"own"})

    return spork.asgi.SporkMiddleware(own, CONFIG)
