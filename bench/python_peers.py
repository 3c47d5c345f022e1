"""Python peers as their own documentation writes them. `UPSTREAM` names the upstream."""

from __future__ import annotations

import os
from typing import Any

UPSTREAM = os.environ.get("UPSTREAM", "http://127.0.0.1:8001")


def __getattr__(name: str) -> Any:
    """Each application is built on first use, so that one missing package does not hide the others."""
    makers = {"fastapi_httpx": _fastapi_httpx, "proxy_lib": _proxy_lib, "asgi_proxy": _asgi_proxy}
    if name not in makers:
        raise AttributeError(name)
    return makers[name]()


def _fastapi_httpx() -> Any:
    import httpx
    from fastapi import FastAPI, Request
    from fastapi.responses import StreamingResponse
    from starlette.background import BackgroundTask

    app = FastAPI()
    client = httpx.AsyncClient(
        base_url=UPSTREAM, limits=httpx.Limits(max_connections=256, max_keepalive_connections=256)
    )

    async def proxy(request: Request) -> StreamingResponse:
        url = httpx.URL(path=request.url.path, query=request.url.query.encode("utf-8"))
        has_body = "content-length" in request.headers or "transfer-encoding" in request.headers
        content = request.stream() if has_body else None
        sent = client.build_request(request.method, url, headers=request.headers.raw, content=content)
        answer = await client.send(sent, stream=True)
        return StreamingResponse(
            answer.aiter_raw(),
            status_code=answer.status_code,
            headers=dict(answer.headers),
            background=BackgroundTask(answer.aclose),
        )

    app.router.add_route("/{path:path}", proxy, methods=["GET", "POST", "PUT", "DELETE"])
    return app


def _proxy_lib() -> Any:
    from fastapi_proxy_lib.fastapi.app import reverse_http_app

    return reverse_http_app(base_url=UPSTREAM + "/")


def _asgi_proxy() -> Any:
    from asgiproxy.config import BaseURLProxyConfigMixin, ProxyConfig
    from asgiproxy.context import ProxyContext
    from asgiproxy.simple_proxy import make_simple_proxy_app

    class Config(BaseURLProxyConfigMixin, ProxyConfig):
        upstream_base_url = UPSTREAM
        rewrite_host_header = "127.0.0.1"

    return make_simple_proxy_app(ProxyContext(Config()))
